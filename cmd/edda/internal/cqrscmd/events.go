package cqrscmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cmd/edda/internal/tracedraw"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *area) events() *cobra.Command {
	// The ids are text: the app checks them.
	var in struct {
		cqrs.EventFilter
		CommandID   string `json:"command_uuid,omitempty"`
		CausationID string `json:"causation_uuid,omitempty"`
	}
	var since, until string
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List events, the latest first",
		Long: `Lists events, the latest first, with what they are about and the command that they
come from. Flags choose those for which all that is said is true.`,
		Example: `  ` + a.Program + ` cqrs events --type 'user.*' --since 1h
  ` + a.Program + ` cqrs events --object User --key 42 --oldest-first
  ` + a.Program + ` cqrs events --correlation ID`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.CheckLimit(in.Limit, cqrs.MaxEvents); err != nil {
				return err
			}
			var err error
			now := time.Now()
			if in.Since, err = cli.ParseTime("--since", since, now); err != nil {
				return err
			}
			if in.Until, err = cli.ParseTime("--until", until, now); err != nil {
				return err
			}
			var p eddahttp.Page[cqrs.Event]
			if done, err := a.ask(cmd.Context(), "events", in, &p); done || err != nil {
				return err
			}
			return cli.List(a.Invocation, &p, "no events", []string{"EVENT", "TYPE", "ABOUT", "VERSION", "COMMAND", "CREATED"}, func(e *cqrs.Event) []string {
				return []string{e.ID.String(), e.Type, about(e), fmt.Sprint(e.Version), e.CorrelationType, human.Age(e.CreatedAt)}
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&in.Types, "type", nil, "`PATTERN` of types, such as user.* or user.:id.created; may be repeated")
	f.StringVar(&in.Broadcaster, "broadcaster", "", "only those of this `NAME`")
	f.StringVar(&in.Object, "object", "", "only those about objects of this `MODEL`, such as User, or about lists: User.list")
	f.StringVar(&in.Key, "key", "", "only those about the aggregate of this `KEY`")
	f.StringVar(&in.CorrelationID, "correlation", "", "only those of the story of this `ID`")
	f.StringVar(&in.CommandID, "command", "", "only those of the command of this `ID`")
	f.StringVar(&in.CausationID, "causation", "", "only those that the event of this `ID` brought about itself")
	f.StringVar(&since, "since", "", "only those since this `TIME`: 2h or 7d ago, 2026-11-21, or RFC 3339")
	f.StringVar(&until, "until", "", "only those before this `TIME`")
	f.BoolVar(&in.OldestFirst, "oldest-first", false, "list them in their order")
	f.IntVar(&in.Limit, "limit", cqrs.DefaultEvents, "at most so many, up to 1000")
	f.StringVar(&in.After, "after", "", "go on after this cursor, which the page before ended with")
	return cmd
}

// about is what an event is about.
func about(e *cqrs.Event) string {
	name := e.Object + "/" + e.Key
	if n := len(e.Items); n > 1 {
		name += fmt.Sprintf(" and %d more", n-1)
	}
	return name
}

func (a *area) event() *cobra.Command {
	return &cobra.Command{
		Use:     "event ID",
		Short:   "Show an event with its data",
		Long:    `Shows an event, named by its id or by that of the command that it comes from.`,
		Example: `  ` + a.Program + ` cqrs event ID --json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var e cqrs.Event
			if done, err := a.ask(cmd.Context(), "event", map[string]string{"id": args[0]}, &e); done || err != nil {
				return err
			}
			return a.printEvent(&e)
		},
	}
}

func (a *area) printEvent(e *cqrs.Event) error {
	cause := ""
	if !e.CausationID.IsZero() {
		cause = e.CausationID.String()
	}
	correlation := e.CorrelationID
	if correlation == e.CommandID.String() {
		correlation = ""
	}
	position := ""
	if !e.Position.IsZero() {
		position = e.Position.String()
	}
	if err := a.Fields(
		"id", e.ID.String(), "type", e.Type, "about", about(e), "version", fmt.Sprint(e.Version), "broadcaster", e.Broadcaster,
		"command", e.CorrelationType+" "+e.CommandID.String(), "caused by", cause, "correlation", correlation,
		"before", names(e.Before), "calls", names(e.Saga), "after", names(e.After), "strong", names(e.Chain),
		"explain", string(e.Explain), "app version", e.AppVersion, "created", human.Stamp(e.CreatedAt), "position", position,
	); err != nil {
		return err
	}
	for _, part := range []struct {
		what string
		v    any
		is   bool
	}{{"metadata", e.Metadata, len(e.Metadata) > 0}, {"data", e.Data, len(e.Data) > 0}} {
		if !part.is {
			continue
		}
		fmt.Fprintf(a.Stdout, "\n%s\n", part.what)
		if err := a.PrintJSON(part.v); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.Stderr, "\n  what led to it, and what it led to: %s\n", a.Spell("cqrs trace", e.ID.String()))
	return nil
}

// names writes names of handlers in their order.
func names(of []string) string { return strings.Join(of, ", ") }

func (a *area) trace() *cobra.Command {
	return &cobra.Command{
		Use:   "trace ID",
		Short: "Draw what an event is part of: what led to it, and what it led to",
		Long: `Draws the story of an event as a tree, from the command that began it: each event,
with the hooks, calls and strong handlers that ran, and when it happened, and
below it the events that it brought about. ID is that of the event (◄ marks it),
of its command, or the correlation id of the story.

Eventual handlers run after all this. Their marks are

  ✓ done  · not yet  ↻ failed and to be tried again  ✗ dead letter`,
		Example: `  ` + a.Program + ` cqrs trace ID
  ` + a.Program + ` cqrs trace ID --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var t cqrs.Trace
			if done, err := a.ask(cmd.Context(), "trace", map[string]string{"id": args[0]}, &t); done || err != nil {
				return err
			}
			return a.printTrace(&t)
		},
	}
}

func (a *area) printTrace(t *cqrs.Trace) error {
	events, first, last := 0, time.Time{}, time.Time{}
	dead := false
	var walk func(n *cqrs.TraceNode)
	walk = func(n *cqrs.TraceNode) {
		at := n.Event.CreatedAt
		if events++; first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
		for _, h := range n.Eventual {
			dead = dead || h.State == "dead" || h.State == "stopped"
		}
		for _, child := range n.Children {
			walk(child)
		}
	}
	for _, r := range t.Roots {
		walk(r)
	}
	count := fmt.Sprintf("%d within %s", events, human.Duration(last.Sub(first)))
	if events == 1 {
		count = "1"
	}
	if err := a.Fields("story", t.CorrelationID, "events", count); err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "\n%s", tracedraw.Text(t, time.Now()))
	if t.Truncated {
		fmt.Fprintf(a.Stderr, "\n  there are more events: %s\n", a.Spell("cqrs events --correlation", human.Plain(t.CorrelationID)))
	}
	if dead {
		fmt.Fprintf(a.Stderr, "\n  dead letters: %s\n", a.Spell("cqrs dead"))
	}
	return nil
}
