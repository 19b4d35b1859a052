package cqrscmd

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *area) projections() *cobra.Command {
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
func (a *area) sayDead(all []cqrs.Projection) {
	for i := range all {
		if all[i].Dead > 0 {
			fmt.Fprintf(a.Stderr, "\n  what could not be handled: %s\n", a.Spell("cqrs dead"))
			return
		}
	}
}

// withHandler makes a command that does something to an eventual handler.
func (a *area) withHandler(method, short, done string) *cobra.Command {
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
