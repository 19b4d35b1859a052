package cqrs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// scrambled is a codec that keeps data in a form that nobody can read by accident, until
// forget says that the key of an aggregate is gone.
func scrambled(forget *atomic.Pointer[string]) Codec {
	turned := func(b []byte) []byte {
		b = bytes.Clone(b)
		for i := range b {
			b[i] ^= 0xff
		}
		return b
	}
	return Codec{
		Encode: func(_ context.Context, e *Event) ([]byte, error) {
			if e.Key == "refused" {
				return nil, errors.New("there is no key")
			}
			return turned(e.Data), nil
		},
		Decode: func(_ context.Context, e *Event, stored []byte) (json.RawMessage, error) {
			if key := forget.Load(); key != nil && *key == e.Key {
				return json.RawMessage(`{"user_uuid":"redacted"}`), nil
			}
			return turned(stored), nil
		},
	}
}

// The database has the data of events as the codec made it; whoever reads them through the
// app, strong and eventual handlers, the stream, queries and a rebuild has it as it was.
func TestCodec(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		const email = "ada@example.org"
		var forget atomic.Pointer[string]
		seen := make(chan string, 10)
		project := func(consistency string) ProjectFunc {
			return Projects(func(_ context.Context, _ *Tx, _ *Event, u *user) error {
				seen <- consistency + " " + u.Email
				return nil
			})
		}
		b := newUsers()
		b.Projector("Users.now", project("strong"), nil, On("*", Config{}))
		b.Projector("Users.later", project("eventual"), nil, On("*", Config{Consistency: Eventual}))
		n := newRelayNode(t)
		a, _ := startRelay(t, db, n, Options{Codec: scrambled(&forget)}, b)

		out, err := a.Do(t.Context(), &Command{Type: "create.user", Data: staged(t, users, user{ID: "42", Email: email})})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"strong " + email, "eventual " + email} {
			if got := <-seen; got != want {
				t.Errorf("a handler saw %q, want %q", got, want)
			}
		}
		var stored []byte
		if err := db.Reader().QueryRowContext(t.Context(), "SELECT data FROM edda_events").Scan(&stored); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(stored, []byte(email)) || json.Valid(stored) {
			t.Errorf("the database has %q", stored)
		}
		m, err := n.AwaitMessage(t.Context(), "", a.EventStream(), out.Event.ID.String(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(m.Payload), email) {
			t.Errorf("the stream has %s", m.Payload)
		}
		read, err := a.Event(t.Context(), out.Event.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := edda.JSON(read), edda.JSON(out.Event); !bytes.Equal(got, want) {
			t.Errorf("event read is %s, want %s", got, want)
		}
		if want := edda.JSON(read); !bytes.Equal(m.Payload, want) {
			t.Errorf("message is %s, want %s", m.Payload, want)
		}

		forget.Store(&read.Key)
		if read, err = a.Event(t.Context(), out.Event.ID); err != nil || string(read.Data) != `{"user_uuid":"redacted"}` {
			t.Errorf("without its key the event has %s, %v", read.Data, err)
		}
		_, err = a.Do(t.Context(), &Command{Type: "create.user", Data: staged(t, users, user{ID: "refused"})})
		if edda.ReasonOf(err) != edda.Failed {
			t.Errorf("what cannot be encoded: got error %v", err)
		}
	})
}

func TestCodecIsWhole(t *testing.T) {
	o := Options{Codec: Codec{Encode: scrambled(nil).Encode}}
	if _, err := New(&noDirect{}, o, newUsers()); edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), "Codec") {
		t.Errorf("got error %v", err)
	}
}
