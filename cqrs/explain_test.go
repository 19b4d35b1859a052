package cqrs

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
)

func explained(t *testing.T) *table {
	t.Helper()
	return tableOf(t, func(b *Broadcaster) {
		done := func(context.Context, *Called) (any, error) { return nil, nil }
		b.Command(CommandSpec{Type: "book.:test_uuid", Event: "test.:test_uuid.booked", Model: b.commands[0].Model, Calls: []Call{{Name: "hotel", Do: done}, {Name: "car", Do: done}}})
		b.Validator("book.*", allValid)
		b.Hook("H.after", nothingHooked, On("book.*", Config{Lifecycle: After}))
		b.Hook("H.before", nothingHooked, On("*", Config{}))
		b.Projector("P.later", nothingProjected, nil, On("*", Config{Consistency: Eventual}))
		b.Projector("P.now", nothingProjected, []Table{"profiles"},
			On("test.*", Config{Priority: 3}), On("test.:a.:b", Config{Priority: 4}), On("test.:c.:d", Config{Priority: 5}))
		b.Processor("Q.unrouted", nothingProcessed)
		b.Channel(ChannelSpec{Name: "bookings", Events: []string{"*.booked"}})
		b.Channel(ChannelSpec{Name: "creations", Events: []string{"*.created"}})
	})
}

// told is a match in short.
func told(m *Match) []string {
	var lines []string
	for _, h := range m.Handlers {
		lines = append(lines, h.When+" "+h.Handler+" as "+h.Pattern+": "+h.Why)
	}
	for _, c := range m.Channels {
		lines = append(lines, "channel "+c.Channel)
	}
	return lines
}

func TestMatchOfCommand(t *testing.T) {
	m := explained(t).explain("book.42")
	want := &CommandMatch{
		Broadcaster: "Test", Type: "book.:test_uuid", Event: "test.:test_uuid.booked", Object: "Test", Validators: []string{"*", "book.*"}, Calls: []string{"hotel", "car"},
	}
	if diff := cmp.Diff(want, m.Command); diff != "" {
		t.Errorf("the command (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"before H.before as *: ",
		"after H.after as book.*: ",
		"strong P.now as test.:c.:d: more specific than test.*; registered after test.:a.:b, which is as specific",
		"eventual P.later as *: ",
		"channel bookings",
	}, told(m)); diff != "" {
		t.Errorf("what runs (-want +got):\n%s", diff)
	}
	now := m.Handlers[2]
	if now.Config.Priority != 5 || now.Config.Timeout != DefaultHandlerTimeout || now.Config.Retry.Max != 1 || now.Kind != KindProjector || now.Broadcaster != "Test" {
		t.Errorf("P.now runs as %+v", now)
	}
	if got := m.Handlers[3].Config.Retry.Max; got != 10 {
		t.Errorf("an eventual handler is tried %d times, want edda's default", got)
	}
}

// A hook does not run on events, however its pattern reads.
func TestMatchOfEvent(t *testing.T) {
	m := explained(t).explain("test.created")
	if m.Command != nil {
		t.Errorf("it is taken for the command %+v", m.Command)
	}
	if diff := cmp.Diff([]string{"strong P.now as test.*: ", "eventual P.later as *: ", "channel creations"}, told(m)); diff != "" {
		t.Errorf("what runs (-want +got):\n%s", diff)
	}
	if m := tableOf(t, func(*Broadcaster) {}).explain("x"); m.Handlers == nil || m.Channels == nil || len(m.Handlers)+len(m.Channels) > 0 {
		t.Errorf("where nothing runs, it is %+v", m)
	}
}

func TestHandlers(t *testing.T) {
	infos := explained(t).infos()
	var got []string
	for _, h := range infos {
		line := h.Broadcaster + " " + string(h.Kind) + " " + h.Handler
		for _, r := range h.Routes {
			line += " " + r.Pattern
		}
		for _, table := range h.Tables {
			line += " writes " + string(table)
		}
		got = append(got, line)
	}
	if diff := cmp.Diff([]string{
		"Test hook H.after book.*", "Test hook H.before *", "Test projector P.later *",
		"Test projector P.now test.:c.:d test.:a.:b test.* writes profiles", "Test processor Q.unrouted",
	}, got); diff != "" {
		t.Errorf("the routing table (-want +got):\n%s", diff)
	}
	b, err := json.Marshal(infos[3].Routes[2])
	const want = `{"pattern":"test.*","config":{"priority":3,"consistency":"strong",` +
		`"retry":{"max":1,"delay":"100ms","maxDelay":"30s","backoff":2,"jitter":0.2},"timeout":"30s","onDead":"continue"}}`
	if err != nil || string(b) != want {
		t.Errorf("a route is %s, %v, want %s", b, err, want)
	}
	var c Config
	if err := json.Unmarshal([]byte(`{"onDead":"continue"}`), &c); err != nil || c.OnDead != edda.Continue {
		t.Errorf("read %+v, %v", c, err)
	}
}
