package cqrs

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/channel"
	"github.com/edda-io/edda/cqrs/driver"
)

// The channels of the broadcasters that are served are fed by the stream, each with the
// broadcaster's patterns, and carry the events of commands that have committed.
func TestChannels(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		n := newRelayNode(t)
		mine := edda.ChannelSpec{Name: "names", From: []edda.ChannelSource{{Stream: "other"}}, History: edda.History{Count: 7}}
		if _, _, err := n.SetChannel(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		us, others, away := newUsers(), NewBroadcaster("Others"), NewBroadcaster("Away")
		us.Channel(ChannelSpec{Name: "users"})
		us.Channel(ChannelSpec{Name: "names", Events: []string{"user.:user_uuid.created"}})
		others.Channel(ChannelSpec{Name: "names", Events: []string{"other.*"}})
		away.Channel(ChannelSpec{Name: "away"})
		for range 2 { // the second time there is nothing to change
			a, stop := startRelay(t, db, n, Options{Profile: []string{"Users", "Others"}}, us, others, away)
			out, err := a.Do(t.Context(), &Command{Type: "create.user", Data: staged(t, users, user{ID: edda.NewID(0, time.Now()).String(), Email: "a@b"})})
			if err != nil {
				t.Fatal(err)
			}
			hears(t, n, "names", out.Event)
			stop()
		}
		for name, want := range map[string][]edda.ChannelSource{
			"users": {{Stream: "cqrs.events", Patterns: []string{"friend.created", "user.:user_uuid.created", "user.:user_uuid.updated"}}},
			"names": {{Stream: "other"}, {Stream: "cqrs.events", Patterns: []string{"other.*", "user.:user_uuid.created"}}},
		} {
			c, err := n.Channel(t.Context(), "", name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, c.From); diff != "" {
				t.Errorf("channel %s: -want +got:\n%s", name, diff)
			}
			if name == "names" && c.History.Count != 7 {
				t.Errorf("its history is %+v now", c.History)
			}
		}
		if _, err := n.Channel(t.Context(), "", "away"); edda.ReasonOf(err) != edda.NoChannel {
			t.Errorf("a broadcaster that is not served has its channel: %v", err)
		}
	})
}

// hears waits until a channel has an event.
func hears(t *testing.T, n *relayNode, name string, want *Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for m, err := range channel.Subscribe(ctx, n, edda.Subscribe{Channel: name, From: edda.FromStart}) {
		if err != nil {
			t.Fatal(err)
		}
		var got Event
		if err := json.Unmarshal(m.Message.Payload, &got); err != nil {
			t.Fatal(err)
		}
		if got.ID == want.ID && m.Message.Type == want.Type {
			return
		}
	}
}

// bare is a connection that cannot set channels.
type bare struct{ Backend }

func TestChannelsThatCannotBeSet(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		book := newLogBook()
		b := newUsers()
		b.Channel(ChannelSpec{Name: "users"})
		n := newRelayNode(t)
		startRelay(t, db, bare{n}, Options{Logger: slog.New(slog.NewTextHandler(book, nil))}, b)
		book.await(t, "the channels of broadcasters are not set")
		makeEvents(t, db, 3, 1, 1)
		isRelayed(t, db, n, 1)
	})
}

func TestChannelsAreChecked(t *testing.T) {
	b := newUsers()
	b.Channel(ChannelSpec{Name: "a b"})
	b.Channel(ChannelSpec{Name: "ok", Events: []string{strings.Repeat("x", 1000)}})
	_, err := New(&noDirect{}, Options{}, b)
	if err == nil || !strings.Contains(err.Error(), `check broadcaster Users: check channel: channel "a b"`) || !strings.Contains(err.Error(), "pattern") {
		t.Errorf("got %v", err)
	}
}

// An event that no stream would take is not stored.
func TestEventsThatCannotBeRelayed(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for name, c := range map[string]struct {
			change func(e *Event)
			reason edda.Reason
			text   string
		}{
			"data":        {func(e *Event) { e.Data = edda.JSON(strings.Repeat("x", MaxEventBytes)) }, edda.TooLarge, "at most 3145728 are allowed together"},
			"type":        {func(e *Event) { e.Type = strings.Repeat("x", 256) }, edda.BadValue, "type has 256 bytes"},
			"correlation": {func(e *Event) { e.CorrelationID = strings.Repeat("x", edda.MaxMessageContextBytes) }, edda.TooLarge, "correlation id"},
		} {
			e := madeEvent(int(madeEvents.Add(1)), 3)
			c.change(e)
			err := db.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *Tx) error {
				return newEventRows(Codec{}).insertEvents(ctx, tx, []*Event{e})
			})
			if edda.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: got %v, want %s and %q", name, err, c.reason, c.text)
			}
		}
		long := madeEvent(int(madeEvents.Add(1)), 3)
		long.Key, long.Data = strings.Repeat("k", edda.MaxKeyBytes), edda.JSON(strings.Repeat("x", MaxEventBytes-1000))
		if err := db.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *Tx) error {
			return newEventRows(Codec{}).insertEvents(ctx, tx, []*Event{long})
		}); err != nil {
			t.Fatal(err)
		}
		n := newRelayNode(t)
		startRelay(t, db, n, Options{})
		m := streamed(t, n, 1, 1)[edda.DefaultShard][0]
		if m.ID != long.ID.String() || !strings.HasPrefix(m.Key, "sha256/") || len(m.Key) != len("sha256/")+64 {
			t.Errorf("got %s with the key %q", m.ID, m.Key)
		}
	})
}
