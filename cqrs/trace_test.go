package cqrs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// story is a broadcaster where a user brings a friend about, and both are heard of later.
func story(t *testing.T) *Broadcaster {
	t.Helper()
	b := newUsers()
	b.Hook("Users.isUnique", nothingHooked, On("create.user", Config{}))
	b.Projector("Profiles.save", nothingProjected, nil, On("user.*", Config{Priority: 1}))
	b.Processor("Friends.make", func(_ context.Context, _ Querier, e *Event) (*Command, error) {
		var u user
		if err := e.Decode(&u); err != nil {
			return nil, err
		}
		d, err := friends.Stage(friend{ID: "f" + u.ID, User: u.ID})
		return &Command{Type: "create.friend", Data: d}, err
	}, On("user.*", Config{Priority: 2}))
	b.Dispatcher("Friends.tell", func(context.Context, Querier, *Event) ([]*Derived, error) {
		return []*Derived{{Type: "friend.told"}}, nil
	}, On("friend.created", Config{}))
	for _, name := range []string{"Log.write", "Mail.send", "Never.run"} {
		b.Projector(name, nothingProjected, nil, On("user.*", Config{Consistency: Eventual}))
	}
	return b
}

// drawn is a trace in short.
func drawn(t *Trace) []string {
	var lines []string
	var draw func(n *TraceNode, indent string)
	draw = func(n *TraceNode, indent string) {
		line := indent + n.Event.Type
		if n.Asked {
			line += " *"
		}
		for _, h := range n.Eventual {
			line += fmt.Sprintf(" %s=%s/%d", h.Handler, h.State, h.Attempts)
		}
		lines = append(lines, line)
		for _, child := range n.Children {
			draw(child, indent+"  ")
		}
	}
	for _, r := range t.Roots {
		draw(r, "")
	}
	return lines
}

func TestTrace(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, story(t))
		first := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"}), CorrelationID: "our story"})
		second := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2"}), CorrelationID: "our story"})
		w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "3"})})
		page, err := w.Events(t.Context(), EventFilter{Types: []string{"friend.told"}, CorrelationID: "our story", OldestFirst: true})
		if err != nil || len(page.Items) != 2 {
			t.Fatalf("the friends were told %+v, %v", page, err)
		}
		told := page.Items[0]
		// Log.write has seen the first user, and Mail.send could not handle it.
		transact(t, db, func(ctx context.Context, tx *Tx) error {
			if err := ledger.InsertPlaces(ctx, tx, []string{"Users/Log.write", "Users/Mail.send"}, time.Now()); err != nil {
				return err
			}
			for _, h := range []string{"Users/Log.write", "Users/Mail.send"} {
				r := &ledger.Place{Handler: h, Position: first.Event.Position, State: ledger.Running, Generation: 1}
				if err := ledger.MovePlace(ctx, tx, r, time.Now()); err != nil {
					return err
				}
			}
			return ledger.PutParked(ctx, tx, &ledger.Parked{
				Handler: "Users/Mail.send", EventID: first.Event.ID, Position: first.Event.Position, State: ledger.Dead, Attempts: 3, Error: "no post",
			}, time.Now())
		})
		one := func(asked string) []string {
			return []string{
				"user.1.created" + map[bool]string{true: " *"}[asked == "user"] + " Users/Log.write=done/0 Users/Mail.send=dead/3 Users/Never.run=pending/0",
				"  friend.created",
				"    friend.told" + map[bool]string{true: " *"}[asked == "told"],
			}
		}
		two := []string{
			"user.2.created Users/Log.write=pending/0 Users/Mail.send=pending/0 Users/Never.run=pending/0", "  friend.created", "    friend.told",
		}
		for id, want := range map[string][]string{
			first.Event.ID.String(): one("user"), first.Command.String(): one("user"), told.ID.String(): one("told"), "our story": append(one(""), two...),
		} {
			got, err := w.Trace(t.Context(), id)
			if err != nil {
				t.Errorf("trace %s: %v", id, err)
				continue
			}
			if diff := cmp.Diff(want, drawn(got)); diff != "" || got.Truncated || got.CorrelationID != "our story" {
				t.Errorf("the trace of %s is %v (-want +got):\n%s", id, got, diff)
			}
			if got.Roots[0].Eventual[1].Error != "no post" {
				t.Errorf("why the mail was not sent is %q", got.Roots[0].Eventual[1].Error)
			}
		}
		if _, err := json.Marshal(second); err != nil {
			t.Error(err)
		}
		for _, id := range []string{newID().String(), "nobody's story", ""} {
			if _, err := w.Trace(t.Context(), id); edda.ReasonOf(err) != edda.NoEvent {
				t.Errorf("the trace of %q: %v, want NoEvent", id, err)
			}
		}
	})
}

// A story that is too long is cut, and says so.
func TestTraceIsCut(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		a, err := New(db, Options{NoRelay: true})
		if err != nil {
			t.Fatal(err)
		}
		events := make([]*Event, MaxTraceEvents+5)
		for i := range events {
			events[i] = &Event{ID: newID(), CommandID: newID(), Object: "User", Key: fmt.Sprint(i), Version: 1, Data: json.RawMessage(`{}`), CreatedAt: time.Now()}
			if i > 0 {
				events[i].CausationID, events[i].CausationLevel = events[0].ID, 1
			}
		}
		transact(t, db, func(ctx context.Context, tx *Tx) error { return (eventRows{}).insertEvents(ctx, tx, events) })
		got, err := a.Trace(t.Context(), events[7].ID.String())
		if err != nil || !got.Truncated || len(got.Roots) != 1 || len(got.Roots[0].Children) != MaxTraceEvents-1 {
			t.Errorf("the trace is %v, %v", got, err)
		}
	})
}

// A command, its hooks and handlers, and the commands that follow are one trace.
func TestSpansOfCommand(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		recorder := tracetest.NewSpanRecorder()
		w := startWith(t, db, Options{
			NoRelay: true, Logger: slog.New(slog.DiscardHandler), TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)),
		}, nil, story(t))
		w.do(&Command{
			Type: "create.user", Data: staged(t, users, user{ID: "1"}),
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		})
		names := map[string]string{"b7ad6b7169203331": "caller"}
		for _, s := range recorder.Ended() {
			names[s.SpanContext().SpanID().String()] = s.Name()
		}
		var got []string
		for _, s := range recorder.Ended() {
			got = append(got, s.Name()+" in "+names[s.Parent().SpanID().String()])
			if id := s.SpanContext().TraceID().String(); id != "0af7651916cd43dd8448eb211c80319c" {
				t.Errorf("%s is part of the trace %s", s.Name(), id)
			}
		}
		if diff := cmp.Diff([]string{
			"hook Users.isUnique in command create.user",
			"projector Profiles.save in command create.user",
			"dispatcher Friends.tell in command create.friend",
			"command create.friend in processor Friends.make",
			"processor Friends.make in command create.user",
			"command create.user in caller",
		}, got); diff != "" {
			t.Errorf("the spans (-want +got):\n%s", diff)
		}
	})
}
