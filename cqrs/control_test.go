package cqrs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// ask calls a method of the app's own service, as a node would, and returns its reply and parts.
func (w *world) ask(method, payload string) (reply *edda.Reply, parts []string) {
	w.t.Helper()
	all := w.Services()
	own := all[slices.IndexFunc(all, func(s *edda.Service) bool { return s.Name == "cqrs.cqrs" })]
	p := &partsOf{}
	out := own.Invoke(w.t.Context(), &edda.Dispatch{
		Message: &edda.Message{ID: newID(), Type: method, To: edda.Address{Name: own.Name}, ContentType: "application/json", Payload: []byte(payload)},
		Attempt: 1, Parts: p,
	})
	if out.Err != nil {
		w.t.Fatalf("%s %s: %v", method, payload, out.Err)
	}
	return out.Reply, p.parts
}

type partsOf struct{ parts []string }

func (p *partsOf) WritePart(_ context.Context, _ string, payload []byte) error {
	p.parts = append(p.parts, string(payload))
	return nil
}

// What is wrong is a reply that says so, with the status of its reason.
func TestControlRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := startLate(t, db, story(t))
		id := newID().String()
		for _, c := range []struct {
			method, payload string
			reason          edda.Reason
			detail          string
		}{
			{"events", `{"limit":5000}`, edda.BadValue, "limit is 5000, must be 1 to 1000"},
			{"events", `{"types":["a.:"]}`, edda.BadValue, `pattern "a.:"`},
			{"events", `{"command_uuid":"x"}`, edda.BadValue, `id "x" is not a UUID`},
			{"event", `{"id":"` + id + `"}`, edda.NoEvent, "there is no event " + id},
			{"event", `{"id":"x"}`, edda.NoEvent, "there is no event x"},
			{"trace", `{"id":"x"}`, edda.NoEvent, "no story of the id x"},
			{"match", `{"type":""}`, edda.BadValue, "type is missing"},
			{"pause", `{"handler":"X.y"}`, edda.BadName, `there is no handler of events "X.y"; there is Users/Profiles.save`},
			{"pause", `{"handler":"Profiles.save"}`, edda.BadName, "it is strong"},
			{"resume", `{"handler":"Users/X.y"}`, edda.BadName, `there is no handler of events "Users/X.y"`},
			{"rebuild", `{"handler":"Log.write"}`, edda.BadValue, "names no tables"},
			{"rebuild", `{"handler":"X.y"}`, edda.BadName, "there is no handler"},
			{"dead", `{"limit":-1}`, edda.BadValue, "limit is -1"},
			{"dead", `{"after":"x"}`, edda.BadValue, "after must be the next of a page before"},
			{"dead", `{"handler":"X.y"}`, edda.BadName, "there is no handler"},
			{"retry", `{"handler":"Log.write","event_uuid":"x"}`, edda.BadValue, "is not a UUID"},
			{"retry", `{"handler":"Log.write","event_uuid":"` + id + `"}`, edda.NoDeadLetter, "is none of its dead letters"},
			{"drop", `{"handler":"Log.write","event_uuid":"` + id + `"}`, edda.NoDeadLetter, "is none of its dead letters"},
		} {
			r, _ := w.ask(c.method, c.payload)
			var got struct {
				Reason edda.Reason
				Detail string
			}
			if err := json.Unmarshal(r.Payload, &got); err != nil {
				t.Fatal(err)
			}
			if got.Reason != c.reason || r.Status != c.reason.HTTPStatus() || !strings.Contains(got.Detail, c.detail) {
				t.Errorf("%s %s: %d %s, want %s with %q", c.method, c.payload, r.Status, r.Payload, c.reason, c.detail)
			}
		}
	})
}

// A page ends before it is too large for a reply.
func TestControlEventsFit(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, story(t))
		events := make([]*Event, 7)
		for i := range events {
			data := `"` + strings.Repeat("x", 700<<10) + `"`
			events[i] = &Event{ID: newID(), CommandID: newID(), Type: "x", Object: "User", Key: fmt.Sprint(i), Version: 1, Data: json.RawMessage(data), CreatedAt: time.Now()}
			switch i % 3 { // what else may be large
			case 1:
				events[i].Data, events[i].Metadata = raw(1), map[string]json.RawMessage{"large": json.RawMessage(data)}
			case 2:
				events[i].Data, events[i].Explain = raw(1), json.RawMessage(data)
			}
		}
		transact(t, db, func(ctx context.Context, tx *Tx) error { return (eventRows{}).insertEvents(ctx, tx, events) })
		var got []edda.ID
		pages := 0
		for after := ""; ; pages++ {
			r, _ := w.ask("events", `{"limit":1000,"oldest_first":true,"after":"`+after+`"}`)
			if len(r.Payload) > 3<<20 {
				t.Errorf("a page has %d bytes", len(r.Payload))
			}
			var page EventPage
			if err := json.Unmarshal(r.Payload, &page); err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Items {
				got = append(got, e.ID)
			}
			if after = page.Next; after == "" {
				break
			}
		}
		want := make([]edda.ID, len(events))
		for i, e := range events {
			want[i] = e.ID
		}
		if !slices.Equal(got, want) || pages < 2 {
			t.Errorf("%d more pages have %d events, want all %d", pages, len(got), len(events))
		}
	})
}

// Dead letters come in pages too.
func TestControlDeadPages(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, story(t))
		transact(t, db, func(ctx context.Context, tx *Tx) error {
			for i := range 5 {
				handler := []string{"Users/Log.write", "Users/Mail.send"}[i%2]
				err := ledger.PutParked(ctx, tx, &ledger.Parked{Handler: handler, EventID: newID(), Position: Position{Seq: int64(i + 1)}, Key: fmt.Sprint(i), State: ledger.Dead}, time.Now())
				if err != nil {
					return err
				}
			}
			return nil
		})
		list := func(handler string) (keys []string) {
			for after := ""; ; {
				r, _ := w.ask("dead", `{"handler":"`+handler+`","limit":2,"after":"`+after+`"}`)
				var page items[DeadLetter]
				if err := json.Unmarshal(r.Payload, &page); err != nil {
					t.Fatal(err)
				}
				for _, l := range page.Items {
					keys = append(keys, l.Key)
				}
				if after = page.Next; after == "" {
					return keys
				}
			}
		}
		if got := list(""); !slices.Equal(got, []string{"0", "2", "4", "1", "3"}) {
			t.Errorf("the dead letters are those of %v", got)
		}
		if got := list("Mail.send"); !slices.Equal(got, []string{"1", "3"}) {
			t.Errorf("the dead letters of Mail.send are those of %v", got)
		}
	})
}

// A trace is sent without data; an event is sent with it.
func TestControlTraceHasNoData(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, story(t))
		out := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1", Email: "ada@example.com"})})
		for method, want := range map[string]bool{"trace": false, "event": true} {
			r, _ := w.ask(method, `{"id":"`+out.Command.String()+`"}`)
			if got := strings.Contains(string(r.Payload), "ada@example.com"); got != want || !strings.Contains(string(r.Payload), out.Event.ID.String()) {
				t.Errorf("%s is answered with %s; that it has data is %t, want %t", method, r.Payload, got, want)
			}
		}
	})
}

// A name alone is enough where there is one handler of it.
func TestControlHandlerNames(t *testing.T) {
	m := routedModel()
	one, two := broadcasterOf(m), NewBroadcaster("Other")
	for _, b := range []*Broadcaster{one, two} {
		b.Projector("A.both", nothingProjected, nil, On("*", Config{}))
	}
	one.Projector("A.one", nothingProjected, nil, On("*", Config{}))
	made, err := newTable([]*Broadcaster{one, two}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &App{table: made}
	for name, want := range map[string]string{"A.one": "Test/A.one", "Other/A.both": "Other/A.both", "Gone/A.a": "Gone/A.a"} {
		if got, err := a.handlerNamed(name); got != want || err != nil {
			t.Errorf("%s is %q, %v, want %s", name, got, err, want)
		}
	}
	if _, err := a.handlerNamed("A.both"); err == nil || !strings.Contains(err.Error(), "say which, Test/A.both or Other/A.both") {
		t.Errorf("a name that two have: %v", err)
	}
}
