package eddahttp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/streamjson"
)

// How long a subscription waits before it connects again: twice as long each time, from
// firstPause to mostPause, less up to half by chance.
const (
	firstPause = 200 * time.Millisecond
	mostPause  = 5 * time.Second
)

// Subscribe says what to hear of a channel, and what else to be told.
type Subscribe struct {
	Channel string
	// Patterns says which types of messages; all when empty. There is no comma in them.
	Patterns []string
	// From is where to begin: edda.FromEnd when empty, edda.FromStart, a time, or a resume
	// point.
	From edda.From
	// Gap, when not nil, is called when messages may be missing, because they were removed
	// before they could be read.
	Gap func()
	// Lost, when not nil, is called when the connection is lost, or cannot be had again,
	// and in how long it is tried.
	Lost func(err error, in time.Duration)
}

// Subscribe yields the messages of a channel as they come, each once, without an end.
// When the connection breaks, goes silent or the node starts anew it connects again and
// goes on after the last message. The error that ends it is the last pair: the node's
// refusal, such as NoChannel, also later, and Unavailable when the node was never
// reached. It ends with ctx.
func (c *Client) Subscribe(ctx context.Context, s Subscribe) iter.Seq2[*edda.LiveMessage, error] {
	return func(yield func(*edda.LiveMessage, error) bool) {
		l := &listener{c: c, s: s, op: "subscribe to channel " + s.Channel, pause: firstPause, yield: yield}
		for {
			err := l.listen(ctx)
			switch {
			case l.left:
				return
			case !l.goesOn(err) || ctx.Err() != nil:
				yield(nil, err)
				return
			}
			wait := l.pause - rand.N(l.pause/2)
			l.pause = min(2*l.pause, mostPause)
			if s.Lost != nil {
				s.Lost(err, wait)
			}
			if err := pass(ctx, wait); err != nil {
				yield(nil, &edda.Error{Op: l.op, Reason: edda.Cancelled, Err: interrupted(err)})
				return
			}
		}
	}
}

// pass waits.
func pass(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// listener is a subscription over one connection after another.
type listener struct {
	c     *Client
	s     Subscribe
	op    string
	yield func(*edda.LiveMessage, error) bool
	// last is the id of the last event; it is where to go on.
	last string
	// known says that there has been a connection, left that nobody listens any more.
	known, left bool
	pause       time.Duration
}

// goesOn reports whether another connection may do better.
func (l *listener) goesOn(err error) bool {
	if !l.known {
		return false
	}
	switch edda.ReasonOf(err) {
	case edda.Unavailable, edda.Draining, edda.Overloaded, edda.RateLimited, edda.Slow:
		return true
	default:
		return false
	}
}

// listen yields what comes over one connection, and returns why it ended.
func (l *listener) listen(ctx context.Context) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	x := exchange{
		op: l.op, method: http.MethodGet, path: l.c.Path("channels", l.s.Channel),
		query: url.Values{}, header: http.Header{"Accept": {eventStream}},
	}
	if len(l.s.Patterns) > 0 {
		x.query["patterns"] = l.s.Patterns
	}
	switch {
	case l.last != "":
		x.header.Set("Last-Event-ID", l.last)
	case l.s.From != "":
		x.query.Set("from", string(l.s.From))
	}
	res, err := l.c.send(ctx, x)
	if err != nil {
		return err
	}
	if res.status != http.StatusOK || res.header.Get("Content-Type") != eventStream {
		whole, err := l.c.whole(x, res)
		if err == nil {
			err = l.c.refusal(x.op, whole)
		}
		return err
	}
	defer func() { _ = res.body.Close() }() // it is given up, or broken
	l.known = true
	alarm := time.AfterFunc(mostSilence, func() { giveUp(errSilent) })
	defer alarm.Stop()
	return l.read(ctx, &heard{res.body, alarm})
}

// read yields a message for each event that is one.
func (l *listener) read(ctx context.Context, body io.Reader) error {
	s := bufio.NewScanner(body)
	s.Buffer(nil, maxStreamEvent)
	for e := range withIDs(s) {
		err := l.take(e)
		if l.left || err != nil {
			return err
		}
	}
	err := s.Err()
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		err = errSilent
	case err == nil:
		err = io.ErrUnexpectedEOF
	}
	return &edda.Error{Op: l.op, Reason: edda.Unavailable, Err: fmt.Errorf("the connection to %s broke: %w", l.c.base, interrupted(err))}
}

// take does what an event asks for.
func (l *listener) take(e event) error {
	switch e.name {
	case "": // it only says where to go on
	case streamjson.GapEvent:
		if l.s.Gap != nil {
			l.s.Gap()
		}
	case streamjson.EndEvent:
		if problem, _ := decodeProblem(l.op, []byte(e.data)); problem != nil {
			return problem
		}
		return fmt.Errorf("%s: %s broke off without a reason", l.op, l.c.base)
	default:
		var item streamjson.LiveItem
		if err := json.Unmarshal([]byte(e.data), &item); err != nil {
			return fmt.Errorf("%s: %s sent something else than a message: %w", l.op, l.c.base, err)
		}
		m, err := item.Live(l.c.namespace)
		if err != nil {
			return err
		}
		l.left = !l.yield(m, nil)
	}
	if e.id != "" {
		l.last, l.pause = e.id, firstPause
	}
	return nil
}

// event is a server-sent event; one without a name has an id alone.
type event struct{ id, name, data string }

// withIDs yields events, whose data is one line.
func withIDs(s *bufio.Scanner) iter.Seq[event] {
	return func(yield func(event) bool) {
		var e event
		for s.Scan() {
			name, value, _ := strings.Cut(s.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case name == "id":
				e.id = value
			case name == "event":
				e.name = value
			case name == "data":
				e.data = value
			case s.Text() == "" && e != event{}:
				if !yield(e) {
					return
				}
				e = event{}
			}
		}
	}
}
