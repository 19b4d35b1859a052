package cqrscmd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *area) rebuild() *cobra.Command {
	var in struct {
		Handler  string   `json:"handler"`
		Replace  bool     `json:"replace,omitempty"`
		Ignore   []string `json:"ignore,omitempty"`
		TakeOver bool     `json:"take_over,omitempty"`
	}
	cmd := &cobra.Command{
		Use:   "rebuild HANDLER",
		Short: "Make a projection anew from all events, and compare it with what is there",
		Long: `Runs a projector on all events from the beginning, beside the live tables, which
are used and written meanwhile. Then, in one transaction, the two are compared.
Where they differ nothing is changed, and the exit code is 1, unless --replace
says that what was rebuilt takes the place of what is there. HANDLER is
BROADCASTER/NAME, or NAME where there is one of it. It goes on when this command is
interrupted: projections shows how far it is.`,
		Example: `  ` + a.Program + ` cqrs rebuild Users/Profiles.save
  ` + a.Program + ` cqrs rebuild Users/Profiles.save --ignore profiles.updated_at
  ` + a.Program + ` cqrs rebuild Users/Profiles.save --replace`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Handler = args[0]
			return a.followRebuild(cmd.Context(), in)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&in.Replace, "replace", false, "put what was rebuilt in the place of what is there")
	f.StringArrayVar(&in.Ignore, "ignore", nil, "`TABLE.COLUMN` that may differ; may be repeated")
	f.BoolVar(&in.TakeOver, "take-over", false, "end a rebuild of the same tables that seems to be under way")
	return cmd
}

// rebuild asks for a rebuild and follows it.
func (a *area) followRebuild(ctx context.Context, in any) error {
	client, err := a.Client()
	if err != nil {
		return err
	}
	call, err := a.call(ctx, client, "rebuild", in)
	if err != nil {
		return err
	}
	answer, err := a.rebuilt(ctx, client, call)
	if err != nil {
		return a.aboutApp(call.To, err)
	}
	return a.printRebuilt(call.To, answer)
}

// rebuilt returns the answer to a rebuild, and says how far it is while it goes on.
func (a *area) rebuilt(ctx context.Context, client *eddahttp.Client, call *eddahttp.Call) (*eddahttp.Answer, error) {
	parts, err := client.CallParts(ctx, *call)
	if err != nil {
		return nil, err
	}
	defer func() { _ = parts.Close() }() // it was read to its end, or its error is known
	shown := false
	for part, err := range parts.All() {
		if err != nil {
			return nil, err
		}
		var p cqrs.RebuildProgress
		if a.IsTerminal(a.Stderr) && json.Unmarshal(part.Payload, &p) == nil {
			fmt.Fprintf(a.Stderr, "\r\x1b[K  %d events", p.Events)
			shown = true
		}
	}
	if shown {
		fmt.Fprint(a.Stderr, "\r\x1b[K")
	}
	return client.Reply(ctx, parts.RequestID, 0)
}

// printRebuilt says what came of a rebuild, also when what was rebuilt differs.
func (a *area) printRebuilt(service edda.Address, answer *eddahttp.Answer) error {
	var done cqrs.Rebuilt
	printed, failed := a.answered(service, answer, &done)
	switch {
	case printed:
		return nil
	case failed != nil && answer.Reply != nil:
		var why struct{ Result *cqrs.Rebuilt }
		if json.Unmarshal(answer.Reply.Payload, &why) != nil || why.Result == nil {
			return failed
		}
		if a.JSON {
			if err := a.PrintJSON(json.RawMessage(answer.Reply.Payload)); err != nil {
				return err
			}
			return failed
		}
		done = *why.Result
	case failed != nil:
		return failed
	}
	outcome := "nothing differs"
	switch {
	case failed != nil:
		outcome = "they differ, nothing was changed"
	case done.Replaced:
		outcome = "replaced"
	}
	if err := a.Fields("rebuilt", strings.Join(done.Handlers, ", "), "events", fmt.Sprint(done.Events), "took", human.Duration(done.Took), "outcome", outcome); err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout)
	rows := make([][]string, len(done.Tables))
	for i, t := range done.Tables {
		same := "yes"
		if t.Rows != t.RebuiltRows || t.Checksum != t.RebuiltChecksum {
			same = "no"
		}
		rows[i] = []string{string(t.Table), fmt.Sprint(t.Rows), fmt.Sprint(t.RebuiltRows), same, fmt.Sprint(t.Changed)}
	}
	if err := a.Table("", []string{"TABLE", "ROWS", "REBUILT", "SAME", "CHANGED"}, rows); err != nil {
		return err
	}
	return failed
}
