package cqrs

import (
	"testing"

	"github.com/edda-io/edda/cqrs/driver"
)

// The whole of it: a command becomes an event with its projections, all at once.
func TestDo(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Profile.save", profiles, nil, On("user.:user_uuid.created", Config{Priority: 1}))
		b.Projector("Log.write", logs("saw"), nil, On("user.*", Config{}))
		w := start(t, db, b)
		out := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "42", Email: "ann@x"})})
		if out.Command.IsZero() || out.Replayed || out.Position.IsZero() {
			t.Errorf("outcome %+v", out)
		}
		w.is("SELECT event_type FROM edda_events", "user.42.created")
		w.is("SELECT email FROM profiles", "ann@x")
		w.is("SELECT line FROM log", "saw user.42.created")
	})
}
