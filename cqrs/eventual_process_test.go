package cqrs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// befriends is a processor that makes a friend for each user.
func befriends(t *testing.T, before func(e *Event) error) ProcessFunc {
	return func(_ context.Context, _ Querier, e *Event) (*Command, error) {
		if before != nil {
			if err := before(e); err != nil {
				return nil, err
			}
		}
		var u user
		if err := e.Decode(&u); err != nil || u.Email == "alone" {
			return nil, err
		}
		d, err := friends.Stage(friend{ID: u.Email, User: u.ID})
		return &Command{Type: "create.friend", Data: d}, err
	}
}

const friendHandler = "Users/Friends.make"

func TestEventualProcessorsRunTheirCommandOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		var fail atomic.Bool
		b := newUsers()
		b.Processor("Friends.make", befriends(t, func(*Event) error {
			if fail.Load() {
				return errors.New("not yet")
			}
			return nil
		}), On("user.*", Config{Consistency: Eventual, Retry: quick(-1), DispatchesCommand: "create.friend", ExpectsResponse: Objects{"Friend"}}))
		w := startLate(t, db, b)
		first := w.user("a", "f1")
		w.wait(friendHandler, first.Position)
		w.is("SELECT key || version FROM edda_aggregates WHERE object = 'Friend'", "f11")
		w.is("SELECT causation_hierarchy_level || correlation_uuid || causation_uuid FROM edda_events WHERE event_type = 'friend.created'",
			fmt.Sprintf("1%s%s", first.Command, first.Event.ID))
		w.wait(friendHandler, w.user("a", "alone").Position)

		// A process that dies between the command and its place runs the command again, and gets its outcome.
		w.exec("UPDATE edda_positions SET tx = 0, seq = 0, generation = generation + 1 WHERE handler = $1", friendHandler)
		free, err := w.late.Hold(t.Context(), friendHandler) // so that it reads its row again
		if err != nil {
			t.Fatal(err)
		}
		free()
		fail.Store(true)
		last := w.user("a", "f2").Position
		w.until("the event is parked", func() bool { return len(w.strings("SELECT state FROM edda_parked")) > 0 })
		behind := w.user("a", "f3").Position
		fail.Store(false)
		w.wait(friendHandler, last)
		w.wait(friendHandler, behind)
		w.is("SELECT key FROM edda_events WHERE event_type = 'friend.created' ORDER BY tx, seq", "f1", "f2", "f3")
	})
}

func TestEventualProcessorsWhoseCommandIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Processor("Friends.make", befriends(t, nil), On("user.*", Config{Consistency: Eventual, Retry: quick(2), OnDead: edda.StopKey}))
		b.Hook("Friends.refuse", func(_ context.Context, _ Querier, c *Command) (Data, error) {
			if c.Data.keys[0] == "bad" {
				return Data{}, errors.New("no such friend")
			}
			return Data{}, nil
		}, On("create.friend", Config{}))
		w := startLate(t, db, b)
		bad := w.user("a", "bad")
		w.user("a", "f1")
		w.wait(friendHandler, w.user("b", "f2").Position)
		if err := w.Wait(t.Context(), friendHandler, bad.Position); edda.ReasonOf(err) != edda.Dead {
			t.Errorf("waiting for the event whose command is refused: %v", err)
		}
		w.is("SELECT key FROM edda_events WHERE event_type = 'friend.created'", "f2")
		w.is("SELECT state || attempts FROM edda_parked ORDER BY tx, seq", "stopped2", "waiting0")
		if err := w.DropDead(t.Context(), friendHandler, bad.Event.ID); err != nil {
			t.Fatal(err)
		}
		w.until("the aggregate goes on", func() bool { return len(w.strings("SELECT state FROM edda_parked")) == 0 })
		w.is("SELECT key FROM edda_events WHERE event_type = 'friend.created' ORDER BY tx, seq", "f2", "f1")
	})
}

func TestEventualDispatchersDeriveEvents(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		var failures atomic.Int32
		failures.Store(2)
		b := newUsers()
		b.Dispatcher("Users.welcome", func(_ context.Context, _ Querier, e *Event) ([]*Derived, error) {
			return []*Derived{{Type: "welcome.:user_uuid"}, {Type: "goodbye.:user_uuid"}}, nil
		}, On("user.*", Config{Consistency: Eventual, Retry: quick(5)}))
		b.Projector("Journal.write", journals(func(_ context.Context, e *Event) error {
			if e.Type == "goodbye.a" && failures.Add(-1) >= 0 {
				return errors.New("not yet")
			}
			return nil
		}), nil, On("goodbye.*", Config{}))
		b.Projector("Late.write", journals(nil), nil, On("welcome.*", Config{Consistency: Eventual}))
		w := startLate(t, db, b)
		w.exec(journal)
		p := w.user("a", "1").Position
		w.wait("Users/Users.welcome", p)
		w.until("derived events are handled", func() bool { return len(w.strings("SELECT line FROM journal")) == 2 })
		w.is("SELECT event_type FROM edda_events ORDER BY tx, seq", "user.a.created", "welcome.a", "goodbye.a")
	})
}

// A processor that cannot be served by somebody fails like any other: events of other aggregates go on.
func TestEventualProcessorSaysUnavailable(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Processor("Late.process", func(_ context.Context, _ Querier, e *Event) (*Command, error) {
			if e.Key == "bad" {
				return nil, &edda.Error{Op: "ask the partner", Reason: edda.Unavailable, Err: errors.New("it is away")}
			}
			return nil, nil
		}, On("user.*", Config{Consistency: Eventual, Retry: quick(2)}))
		w := startLate(t, db, b)
		bad := w.user("bad", "1")
		w.wait("Users/Late.process", w.user("good", "2").Position)
		w.until("the event is a dead letter", func() bool {
			return edda.ReasonOf(w.Wait(t.Context(), "Users/Late.process", bad.Position)) == edda.Dead
		})
	})
}
