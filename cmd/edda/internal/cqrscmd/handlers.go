package cqrscmd

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *area) handlers() *cobra.Command {
	return &cobra.Command{
		Use:   "handlers",
		Short: "List hooks and handlers, and the patterns of types that they run on",
		Long: `Lists the routing table: each hook on types of commands, and each projector,
processor and dispatcher on types of events. Hooks run before or after the calls
of their command, strong handlers within its transaction, eventual ones later. A
handler that several of its patterns match runs once, as the most specific one
says; match explains that.`,
		Example: `  ` + a.Program + ` cqrs handlers
  ` + a.Program + ` cqrs match user.42.created`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p eddahttp.Page[cqrs.HandlerInfo]
			if done, err := a.ask(cmd.Context(), "handlers", struct{}{}, &p); done || err != nil {
				return err
			}
			var rows [][]string
			for _, h := range p.Items {
				head := []string{h.Broadcaster, h.Handler, string(h.Kind)}
				if len(h.Routes) == 0 {
					rows = append(rows, append(head, "never", "", "", ""))
				}
				for _, r := range h.Routes {
					rows = append(rows, append(head[:3:3], r.Pattern, when(&r.Config), fmt.Sprint(r.Config.Priority), checks(&r.Config)))
				}
			}
			return a.Table("no handlers", []string{"BROADCASTER", "HANDLER", "KIND", "ON", "WHEN", "PRIORITY", "HOW"}, rows)
		},
	}
}

// when says when a handler runs.
func when(c *cqrs.Config) string { return cmp.Or(string(c.Lifecycle), string(c.Consistency)) }

// checks says what a config expects, and does with the result.
func checks(c *cqrs.Config) string {
	var all []string
	add := func(what string, of cqrs.Objects) {
		if len(of) > 0 {
			all = append(all, what+" "+strings.Join(of, " or "))
		}
	}
	add("takes", c.ExpectsInput)
	add("gets back", c.ExpectsResponse)
	add("gives", c.ExpectsOutput)
	if c.DispatchesCommand != "" {
		all = append(all, "runs "+c.DispatchesCommand)
	}
	if c.Merge != (cqrs.Merge{}) {
		all = append(all, "merges "+merged(c.Merge))
	}
	if c.MergeMetadata != (cqrs.Merge{}) {
		all = append(all, "merges "+merged(c.MergeMetadata)+" into metadata")
	}
	if c.Retry.Max != 1 {
		tries := fmt.Sprintf("tries %d times", c.Retry.Max)
		if c.Retry.Max < 0 {
			tries = "tries without end"
		}
		all = append(all, tries)
	}
	return strings.Join(all, ", ")
}

// merged says what becomes of a result.
func merged(m cqrs.Merge) string {
	text := ""
	switch {
	case m.As != "":
		text = "as " + m.As
	case m.Push != "":
		text = "push on " + m.Push
	case m.Zip != "":
		text = "zip on " + m.Zip
	case m.True || m.Each:
		text = "it"
	}
	if m.Each {
		text += " in each"
	}
	switch m.Include {
	case "":
	case "*":
		text += " beside"
	default:
		text += " beside as " + m.Include
	}
	return strings.TrimSpace(text)
}

func (a *area) match() *cobra.Command {
	return &cobra.Command{
		Use:   "match TYPE",
		Short: "Explain what a type of command or event leads to",
		Long: `Explains what happens on a type of command, or else of event: who validates it,
which hooks, calls and handlers run, in which order, by which pattern, and why
by that one. Parameters may be filled in (update.user.42) or not.`,
		Example: `  ` + a.Program + ` cqrs match create.user
  ` + a.Program + ` cqrs match user.42.created`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var m cqrs.Match
			if done, err := a.ask(cmd.Context(), "match", map[string]string{"type": args[0]}, &m); done || err != nil {
				return err
			}
			return a.printMatch(&m)
		},
	}
}

func (a *area) printMatch(m *cqrs.Match) error {
	var channels []string
	for _, c := range m.Channels {
		channels = append(channels, c.Channel)
	}
	var err error
	if c := m.Command; c != nil {
		err = a.Fields("command", c.Type, "of", c.Broadcaster, "about", c.Object, "validated by", names(c.Validators), "calls", names(c.Calls),
			"event", c.Event, "channels", names(channels))
	} else {
		err = a.Fields("event", m.Type, "channels", names(channels))
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout)
	rows := make([][]string, len(m.Handlers))
	for i, h := range m.Handlers {
		why := h.Why
		if why == "" {
			why = "no other of its patterns matches"
		}
		rows[i] = []string{fmt.Sprint(i + 1), h.When, h.Broadcaster, h.Handler, string(h.Kind), fmt.Sprint(h.Config.Priority), h.Pattern, why}
	}
	return a.Table("no hook or handler runs", []string{"", "WHEN", "BROADCASTER", "HANDLER", "KIND", "PRIORITY", "BY", "WHY"}, rows)
}
