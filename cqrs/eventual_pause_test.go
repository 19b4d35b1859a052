package cqrs

import (
	"context"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// A handler that is paused has still passed what it had passed, though the last of that was
// not for it, and its place not written yet.
func TestPausedHandlerHasPassedWhatItHad(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Users.later", Projects(func(context.Context, *Tx, *Event, *user) error { return nil }), nil,
			On("user.*", Config{Consistency: Eventual}))
		w := startLate(t, db, b)
		for range 5 {
			id := newID().String()
			if _, err := w.Do(t.Context(), &Command{Type: "create.user", Data: staged(t, users, user{ID: id})}); err != nil {
				t.Fatal(err)
			}
			out, err := w.Do(t.Context(), &Command{Type: "create.friend", Data: staged(t, friends, friend{ID: id, User: id})})
			if err != nil {
				t.Fatal(err)
			}
			const handler = "Users/Users.later"
			if err := w.Wait(t.Context(), handler, out.Position); err != nil {
				t.Fatal(err)
			}
			if err := w.PauseProjection(t.Context(), handler); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if err := w.Wait(ctx, handler, out.Position); err != nil {
				t.Errorf("once it is paused: %v (%s)", err, edda.ReasonOf(err))
			}
			cancel()
			if err := w.ResumeProjection(t.Context(), handler); err != nil {
				t.Fatal(err)
			}
		}
	})
}
