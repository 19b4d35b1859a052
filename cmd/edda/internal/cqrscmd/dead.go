package cqrscmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *area) dead() *cobra.Command {
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
			if err := cli.CheckLimit(paging.Limit, cqrs.MaxEvents); err != nil {
				return err
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

func (a *area) printLetters(p *eddahttp.Page[cqrs.DeadLetter]) error {
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
func (a *area) withLetter(method, short, done string) *cobra.Command {
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
