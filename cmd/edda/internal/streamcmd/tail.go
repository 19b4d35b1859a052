package streamcmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/message"
	"github.com/edda-io/edda/internal/eddahttp"
)

// How long to wait before a node is tried again.
const (
	firstPause = 200 * time.Millisecond
	mostPause  = 5 * time.Second
)

// tail follows a shard of a stream.
type tail struct {
	a             *area
	c             *eddahttp.Client
	stream, shard string
	view          message.View
	// next is the offset of the next message: all before it were printed.
	next uint64
	// pause is how long to wait before the node is tried again.
	pause time.Duration
}

func (a *area) tail() *cobra.Command {
	var t tail
	var from string
	var last uint64
	cmd := &cobra.Command{
		Use:   "tail STREAM",
		Short: "Print messages as they come",
		Long: `Prints the messages of a shard of a stream as they come, until it is interrupted. It
begins with the next one, with the last N (-n N), or where --from says. When the
connection breaks or the node starts anew it says so and goes on where it was: no
message is printed twice, and none is left out that is still kept.`,
		Example: `  ` + a.Program + ` streams tail orders -n 10
  ` + a.Program + ` streams tail orders --from start --json | jq .data`,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&t.shard, "shard", "", "of this `SHARD` (default default)")
	f.StringVar(&from, "from", "", "from here on: `start|end|OFFSET|TIME`, where a time is 2h or 7d ago, 2026-11-21, or RFC 3339 (default end)")
	f.Uint64VarP(&last, "last", "n", 0, "begin with the last `N` messages")
	t.view.AddFlags(f)
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if from != "" && cmd.Flags().Changed("last") {
			return cli.WrongUse("-n and --from both say where to begin: leave one out")
		}
		if err := t.view.Check(a.JSON); err != nil {
			return err
		}
		place, err := parsePlace("--from", from, time.Now())
		if err != nil {
			return err
		}
		t.a, t.c, t.stream, t.pause = a, c, args[0], firstPause
		if err = t.begin(ctx, place, last); err == nil {
			err = t.follow(ctx)
		}
		if errors.Is(err, context.Canceled) {
			return nil // that is how it ends
		}
		return err
	})
	return cmd
}

// begin finds out which offset it begins with, so that it can go on from there whatever
// happens.
func (t *tail) begin(ctx context.Context, from edda.From, last uint64) error {
	if from == "" {
		from = edda.FromEnd
	}
	p, err := t.look(ctx, from)
	if err != nil {
		return err
	}
	t.a.sayGone(from, p)
	t.next = p.Next - uint64(len(p.Messages))
	if last > 0 {
		t.next = max(p.First, t.next-min(last, t.next))
	}
	return nil
}

func (t *tail) look(ctx context.Context, from edda.From) (*edda.StreamPage, error) {
	return t.c.ReadStream(ctx, edda.Read{Stream: t.stream, Shard: t.shard, From: from, Limit: 1})
}

// follow prints messages until there can be no more. It goes on after whatever passes.
func (t *tail) follow(ctx context.Context) error {
	for {
		began := time.Now()
		err := t.connected(ctx)
		if !passes(err) {
			return err
		}
		if time.Since(began) > mostPause {
			t.pause = firstPause // else it is a node that only seems to be well
		}
		fmt.Fprintf(t.a.Stderr, "%s: trying again\n", cli.Describe(err))
		if err := t.reconnect(ctx); err != nil {
			return err
		}
		fmt.Fprintf(t.a.Stderr, "connected again, going on with offset %d\n", t.next)
	}
}

// passes reports whether an error is one that a node gets over.
func passes(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	switch edda.ReasonOf(err) {
	case edda.Unavailable, edda.Draining, edda.Overloaded:
		return true
	}
	return false
}

// connected prints what comes over one connection.
func (t *tail) connected(ctx context.Context) error {
	for m, err := range t.c.TailStream(ctx, edda.Read{Stream: t.stream, Shard: t.shard, From: edda.FromOffset(t.next)}) {
		if err != nil {
			return err
		}
		if m.Offset < t.next {
			continue // it was printed
		}
		if m.Offset > t.next {
			fmt.Fprintf(t.a.Stderr, "not kept any more: %s\n", message.Offsets(t.next, m.Offset-1))
		}
		if err := t.a.printMessages([]edda.StreamMessage{m}, &t.view); err != nil {
			return err
		}
		t.next = m.Offset + 1
	}
	return context.Cause(ctx)
}

// reconnect waits until the node answers again.
func (t *tail) reconnect(ctx context.Context) error {
	for ; ; t.pause = min(2*t.pause, mostPause) {
		select {
		case <-time.After(t.pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		p, err := t.look(ctx, edda.FromOffset(t.next))
		switch {
		case err == nil && p.End < t.next:
			return fmt.Errorf("stream %s is another one now: it ends with offset %d, and was followed up to %d", t.stream, p.End, t.next)
		case err == nil:
			t.pause = min(2*t.pause, mostPause)
			return nil
		case !passes(err):
			return err
		}
	}
}
