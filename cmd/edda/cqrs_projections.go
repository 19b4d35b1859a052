package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *app) cqrsProjections() *cobra.Command {
	return &cobra.Command{
		Use:   "projections",
		Short: "List projectors and other eventual handlers, and how far they have come",
		Long: `Lists projectors, and all other handlers that are eventual. BEHIND is how many
events one has not come to yet, and how old the first of those is. A strong
projector is never behind: it runs in the transaction of the command.`,
		Example: `  ` + a.Program + ` cqrs projections
  ` + a.Program + ` cqrs pause Users/Search.index
  ` + a.Program + ` cqrs rebuild Users/Profiles.save`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p eddahttp.Page[cqrs.Projection]
			if done, err := a.ask(cmd.Context(), "projections", struct{}{}, &p); done || err != nil {
				return err
			}
			err := cli.List(a.Invocation, &p, "no projections", []string{"HANDLER", "KIND", "WHEN", "STATE", "BEHIND", "HANDLED", "WAITING", "DEAD", "ERROR"}, projectionRow)
			if err != nil {
				return err
			}
			a.sayDead(p.Items)
			return nil
		},
	}
}

func projectionRow(p *cqrs.Projection) []string {
	state, behind, handled := p.State, "", ""
	if p.Consistency == cqrs.Eventual || p.Kind == "" {
		behind, handled = "0", fmt.Sprint(p.Events)
		if p.LagEvents > 0 {
			behind = fmt.Sprintf("%d, %s", p.LagEvents, human.Duration(p.Lag))
		}
	}
	if r := p.Rebuild; r != nil {
		state += fmt.Sprintf(", rebuilding: %d", r.Events)
	}
	kind := cmp.Or(string(p.Kind), "unknown")
	return []string{p.Handler, kind, string(p.Consistency), state, behind, handled, count(p.Waiting), count(p.Dead), human.Clip(p.Error)}
}

// count is a number, or "" for none.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// sayDead says where to look when there are dead letters.
func (a *app) sayDead(all []cqrs.Projection) {
	for i := range all {
		if all[i].Dead > 0 {
			fmt.Fprintf(a.Stderr, "\n  what could not be handled: %s\n", a.Spell("cqrs dead"))
			return
		}
	}
}

// withHandler makes a command that does something to an eventual handler.
func (a *app) withHandler(method, short, done string) *cobra.Command {
	return &cobra.Command{
		Use:     method + " HANDLER",
		Short:   short,
		Long:    short + `. HANDLER is BROADCASTER/NAME, or NAME where there is one of it.`,
		Example: `  ` + a.Program + ` cqrs ` + method + ` Users/Search.index`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var of struct{ Handler string }
			if printed, err := a.ask(cmd.Context(), method, map[string]string{"handler": args[0]}, &of); printed || err != nil {
				return err
			}
			return a.PrintDone(done, of.Handler)
		},
	}
}

func (a *app) cqrsDead() *cobra.Command {
	var in struct {
		Handler string `json:"handler,omitempty"`
		Waiting bool   `json:"waiting,omitempty"`
		Limit   int    `json:"limit,omitempty"`
		After   string `json:"after,omitempty"`
	}
	var paging eddahttp.Query
	cmd := &cobra.Command{
		Use:   "dead [HANDLER]",
		Short: "List events that handlers could not handle, retry and drop them",
		Long: `Lists dead letters: events that an eventual handler could not handle, however often
it tried. One is stopped when the later events of its aggregate wait for it.
With --waiting those are listed too that will be tried again, or wait behind
such.`,
		Example: `  ` + a.Program + ` cqrs dead Users/Mail.send
  ` + a.Program + ` cqrs dead retry Users/Mail.send EVENT
  ` + a.Program + ` cqrs dead drop Users/Mail.send EVENT`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if paging.Limit < 1 || paging.Limit > cqrs.MaxEvents {
				return cli.WrongUse("--limit is %d, must be from 1 to %d", paging.Limit, cqrs.MaxEvents)
			}
			in.Limit, in.After = paging.Limit, paging.After
			if len(args) > 0 {
				in.Handler = args[0]
			}
			var p eddahttp.Page[cqrs.DeadLetter]
			if done, err := a.ask(cmd.Context(), "dead", in, &p); done || err != nil {
				return err
			}
			return a.printLetters(&p)
		},
	}
	cmd.Flags().BoolVar(&in.Waiting, "waiting", false, "list those too that will be tried again")
	cli.AddPaging(cmd.Flags(), &paging)
	cmd.AddCommand(
		a.withLetter("retry", "Let a handler try an event again, with all its attempts", "retried"),
		a.withLetter("drop", "Take a dead letter away: the handler will not handle the event", "dropped"))
	return cmd
}

func (a *app) printLetters(p *eddahttp.Page[cqrs.DeadLetter]) error {
	err := cli.List(a.Invocation, p, "no dead letters", []string{"HANDLER", "EVENT", "ABOUT", "STATE", "ATTEMPTS", "NEXT", "SINCE", "ERROR"}, func(d *cqrs.DeadLetter) []string {
		return []string{d.Handler, d.Event.String(), d.Object + "/" + d.Key, d.State, fmt.Sprint(d.Attempts), human.Age(d.NextAt), human.Age(d.UpdatedAt), human.Clip(d.Error)}
	})
	if err != nil || len(p.Items) == 0 {
		return err
	}
	d := &p.Items[0]
	fmt.Fprintf(a.Stderr, "\n  see the event: %s\n  try it again:  %s\n  give it up:    %s\n",
		a.Spell("cqrs trace", d.Event.String()), a.Spell("cqrs dead retry", human.Plain(d.Handler), d.Event.String()),
		a.Spell("cqrs dead drop", human.Plain(d.Handler), d.Event.String()))
	return nil
}

// withLetter makes a command that does something to a dead letter.
func (a *app) withLetter(method, short, done string) *cobra.Command {
	return &cobra.Command{
		Use:     method + " HANDLER EVENT",
		Short:   short,
		Long:    short + `. HANDLER is BROADCASTER/NAME, or NAME where there is one of it.`,
		Example: `  ` + a.Program + ` cqrs dead ` + method + ` Users/Mail.send EVENT`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := edda.ParseID(args[1]); err != nil {
				return cli.AsWrongUse(err)
			}
			var of struct {
				Handler string
				Event   string `json:"event_uuid"`
			}
			in := map[string]string{"handler": args[0], "event_uuid": args[1]}
			if printed, err := a.ask(cmd.Context(), method, in, &of); printed || err != nil {
				return err
			}
			return a.PrintDone(done, of.Event+" of "+of.Handler)
		},
	}
}

func (a *app) cqrsRebuild() *cobra.Command {
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
			return a.rebuild(cmd.Context(), in)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&in.Replace, "replace", false, "put what was rebuilt in the place of what is there")
	f.StringArrayVar(&in.Ignore, "ignore", nil, "`TABLE.COLUMN` that may differ; may be repeated")
	f.BoolVar(&in.TakeOver, "take-over", false, "end a rebuild of the same tables that seems to be under way")
	return cmd
}

// rebuild asks for a rebuild and follows it.
func (a *app) rebuild(ctx context.Context, in any) error {
	client, err := a.Client()
	if err != nil {
		return err
	}
	call, err := a.cqrsCall(ctx, client, "rebuild", in)
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
func (a *app) rebuilt(ctx context.Context, client *eddahttp.Client, call *eddahttp.Call) (*eddahttp.Answer, error) {
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
func (a *app) printRebuilt(service edda.Address, answer *eddahttp.Answer) error {
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
