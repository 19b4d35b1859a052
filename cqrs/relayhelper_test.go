package cqrs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/node"
)

// relayNode is a node whose appends can be tampered with.
type relayNode struct {
	*node.Node
	// before and after are asked before and after an append; with an error the caller gets that.
	before, after func(a *edda.Append) error
}

func (n *relayNode) Append(ctx context.Context, a *edda.Append) (*edda.AppendAck, error) {
	if n.before != nil {
		if err := n.before(a); err != nil {
			return nil, err
		}
	}
	ack, err := n.Node.Append(ctx, a)
	if err == nil && n.after != nil {
		if err := n.after(a); err != nil {
			return nil, err
		}
	}
	return ack, err
}

// newRelayNode opens a node in memory.
func newRelayNode(t testing.TB) *relayNode {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop(context.WithoutCancel(t.Context())) })
	return &relayNode{Node: n}
}

// newDiskNode opens a node that keeps what it has.
func newDiskNode(t testing.TB) *relayNode {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Dir: t.TempDir(), Durability: edda.OS, Partitions: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop(context.WithoutCancel(t.Context())) })
	return &relayNode{Node: n}
}

// startRelay starts an app with a relay. It is stopped by stop, or with the test.
func startRelay(t testing.TB, db driver.DB, backend Backend, o Options, bs ...*Broadcaster) (a *App, stop func()) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(bs) == 0 {
		bs = []*Broadcaster{newUsers()}
	}
	a, err := New(db, o, bs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context(), backend); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		if err := a.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return a, stop
}

// isNoted returns once the relay has noted so many events as relayed, which it does soon after
// they are in the stream; not if it is stopped in between.
func isNoted(t testing.TB, db driver.DB, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var got int
		err := db.Reader().QueryRowContext(ctx, "SELECT number FROM edda_relays WHERE name = 'default/cqrs'").Scan(&got)
		switch {
		case errors.Is(err, sql.ErrNoRows): // not yet
		case err != nil:
			t.Fatalf("%d of %d events are noted: %v", got, want, err)
		case got == want:
			return
		}
		<-tick.C
	}
}

// madeEvents counts them over all tests.
var madeEvents atomic.Uint64

// makeEvents stores events of some aggregates, so many at a time.
func makeEvents(t testing.TB, db driver.DB, n, aggregates, atOnce int) {
	t.Helper()
	for done := 0; done < n; {
		some := make([]*Event, min(atOnce, n-done))
		for i := range some {
			some[i] = madeEvent(int(madeEvents.Add(1)), aggregates)
		}
		err := db.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *Tx) error { return (eventRows{}).insertEvents(ctx, tx, some) })
		if err != nil {
			t.Fatal(err)
		}
		done += len(some)
	}
}

// madeEvent is an event of an aggregate, with everything that there may be in some of them.
func madeEvent(n, aggregates int) *Event {
	key := fmt.Sprint(n % aggregates)
	e := &Event{
		ID: edda.NewID(uint64(n), time.Now()), CommandID: edda.NewID(uint64(n), time.Now()), CorrelationID: fmt.Sprint("story-", n/3), CorrelationType: "create.user",
		CorrelationPattern: "create.user", Broadcaster: "Users", Type: "user." + key + ".created", Pattern: "user.:user_uuid.created", Object: "User",
		Key: key, PrimaryKeys: map[string]json.RawMessage{"user_uuid": edda.JSON(key)}, Data: edda.JSON(user{ID: key, Email: "ada@example.org"}),
		Metadata: map[string]json.RawMessage{"user": []byte(`"ada"`)}, Version: uint64(n), Live: true, CreatedAt: time.UnixMicro(1_800_000_000_000_000 + int64(n)).UTC(),
		Before: []string{"Users.isUnique"}, Saga: []string{}, After: []string{}, Chain: []string{"Users.project"},
	}
	if n%50 == 0 {
		e.Type, e.Object, e.Data = "user.list.created", "User.list", edda.JSON([]user{{ID: key}, {ID: "<other> \u2028 é\""}})
		e.Items = []Item{{Key: key, Version: uint64(n)}, {Key: "other", Version: uint64(n)}}
		e.CausationID, e.CausationLevel, e.AppVersion = edda.NewID(1, time.Now()), 3, "1.2 \"x\"\n"
		e.Explain, e.Live = []byte(`{"why":"<b>"}`), false
	}
	return e
}

// streamed reads all messages of the events' stream, at least n, in the order of their shards.
func streamed(t testing.TB, backend edda.StreamBackend, shards, n int) map[string][]edda.StreamMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	all := map[string][]edda.StreamMessage{}
	for count := 0; count < n; {
		for i := range shards {
			name := fmt.Sprint(i)
			if shards == 1 {
				name = edda.DefaultShard
			}
			read := edda.Read{Stream: "cqrs.events", Shard: name, From: edda.FromOffset(uint64(len(all[name]))), Limit: edda.MaxReadLimit, Wait: 20 * time.Millisecond}
			page, err := backend.ReadStream(ctx, read)
			switch {
			case ctx.Err() != nil:
				t.Fatalf("%d of %d events have come", count, n)
			case edda.ReasonOf(err) == edda.NoStream:
				continue // not yet
			case err != nil:
				t.Fatal(err)
			}
			all[name] = append(all[name], page.Messages...)
			count += len(page.Messages)
		}
	}
	return all
}

// shardFor is the shard of a stream with so many that a key's events go to, for ever.
func shardFor(key string, shards int) string {
	if shards == 1 {
		return edda.DefaultShard
	}
	h := fnv.New64a()
	h.Write([]byte(key))
	return fmt.Sprint(h.Sum64() % uint64(shards))
}

// isRelayed waits until all events of a database are in the stream, and checks that each of them
// is there once, in order, as it is stored.
func isRelayed(t testing.TB, db driver.DB, backend edda.StreamBackend, shards int) {
	t.Helper()
	events, err := (eventRows{}).selectEvents(t.Context(), db.Reader(), db.Dialect(), ledger.Range{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]*Event{}
	for _, e := range events {
		name := shardFor(strings.TrimSuffix(e.Object, listSuffix)+"/"+e.Key, shards)
		want[name] = append(want[name], e)
	}
	got := streamed(t, backend, shards, len(events))
	for name := range want {
		if len(got[name]) != len(want[name]) {
			t.Errorf("shard %s has %d events, want %d", name, len(got[name]), len(want[name]))
		}
		for i := range min(len(got[name]), len(want[name])) {
			e, m := want[name][i], &got[name][i]
			if m.ID != e.ID.String() {
				t.Fatalf("message %d of shard %s is %s, want event %s", i, name, m.ID, e.ID)
			}
			if i%97 < 2 || e.List() {
				sameMessage(t, e, m)
			}
		}
	}
}

// sameMessage checks that a message says what the event is.
func sameMessage(t testing.TB, e *Event, m *edda.StreamMessage) {
	t.Helper()
	var got Event
	if err := json.Unmarshal(m.Payload, &got); err != nil {
		t.Fatalf("the payload %s: %v", m.Payload, err)
	}
	if diff := gocmp.Diff(plainEvent(t, e), plainEvent(t, &got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	key := strings.TrimSuffix(e.Object, listSuffix) + "/" + e.Key
	if m.Type != e.Type || m.Key != key || m.CausationID != e.CausationID || m.CorrelationID != e.CorrelationID || !m.Time.Equal(e.CreatedAt) ||
		m.Headers.Get(HeaderBroadcaster) != e.Broadcaster || m.Headers.Get(HeaderObject) != e.Object || m.Headers.Get(HeaderVersion) != fmt.Sprint(e.Version) {
		t.Errorf("event %+v has the message %+v", e, m)
	}
}

// plainEvent is an event's JSON without white space, in an order of its own.
func plainEvent(t testing.TB, e *Event) any {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
