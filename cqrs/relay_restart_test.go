package cqrs

import (
	"context"
	"flag"
	"log/slog"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/pgdb"
	"github.com/edda-io/edda/internal/pgtest"
	"github.com/edda-io/edda/node"
)

// movingNode is a node that is another one now and then.
type movingNode struct {
	mu sync.Mutex // guards n
	n  *node.Node
}

func (m *movingNode) now() *node.Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n
}

func (m *movingNode) set(n *node.Node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n = n
}

// streamsOf has the streams of a node that is another one now and then; sagas are not asked for.
type streamsOf struct {
	Backend

	node *movingNode
}

func (s streamsOf) Stream(ctx context.Context, namespace, name string) (*edda.Stream, error) {
	return s.node.now().Stream(ctx, namespace, name)
}

func (s streamsOf) SetStream(ctx context.Context, spec edda.StreamSpec) (*edda.Stream, bool, error) {
	return s.node.now().SetStream(ctx, spec)
}

func (s streamsOf) Append(ctx context.Context, a *edda.Append) (*edda.AppendAck, error) {
	return s.node.now().Append(ctx, a)
}

// A node that is stopped and started again, on what it has on its disk, gets each event once,
// from relays that go on all the time.
func TestRelayWhileTheNodeRestarts(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		o := node.Options{Dir: t.TempDir(), Durability: edda.OS, Partitions: 1, Logger: slog.New(slog.DiscardHandler)}
		open := func() *node.Node {
			n, err := node.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		moving := &movingNode{n: open()}
		t.Cleanup(func() { _ = moving.now().Stop(context.WithoutCancel(t.Context())) })
		backend := streamsOf{node: moving}
		a, _ := startRelay(t, db, backend, Options{Shards: 2})
		b, _ := startRelay(t, db, backend, Options{Shards: 2})
		for range 3 {
			makeEvents(t, db, 200, 11, 10)
			a.committed()
			b.committed()
			if err := moving.now().Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			makeEvents(t, db, 50, 11, 10)
			moving.set(open())
		}
		isRelayed(t, db, moving.now(), 2)
	})
}

// PostgreSQL is stopped and started again while commands commit and two relays run.
func TestRelayWhilePostgresRestarts(t *testing.T) {
	pgtest.Open(t) // which skips the test where there is no PostgreSQL
	server, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	db, err := pgdb.Open(t.Context(), server.Open(t), pgdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	n := newRelayNode(t)
	a, _ := startRelay(t, db, n, Options{})
	b, _ := startRelay(t, db, n, Options{})
	for range 2 {
		down := make(chan error, 1)
		makeEvents(t, db, 300, 11, 10)
		a.committed()
		b.committed()
		go func() { down <- server.Stop() }()
		some := []*Event{madeEvent(int(madeEvents.Add(1)), 11), madeEvent(int(madeEvents.Add(1)), 11)}
		_ = db.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *Tx) error { return (eventRows{}).insertEvents(ctx, tx, some) })
		if err := <-down; err != nil {
			t.Fatal(err)
		}
		if err := server.Run(); err != nil {
			t.Fatal(err)
		}
	}
	makeEvents(t, db, 100, 11, 10)
	isRelayed(t, db, n, 1)
}

var manyEvents = flag.Int("relay.events", 10_000, "how many events TestRelayMany relays")

// Many events come once each, in order, from relays that do the same work.
func TestRelayMany(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		makeEvents(t, db, *manyEvents, 1000, 5000)
		n := newRelayNode(t)
		one, two := prometheus.NewRegistry(), prometheus.NewRegistry()
		_, stop := startRelay(t, db, n, Options{Shards: 4, Registerer: one})
		_, other := startRelay(t, db, n, Options{Shards: 4, Registerer: two})
		isRelayed(t, db, n, 4)
		isNoted(t, db, *manyEvents)
		other()
		stop()
		var noted, behind int
		err := db.Reader().QueryRowContext(t.Context(), "SELECT number, (SELECT count(*) FROM edda_events AS e WHERE (e.tx, e.seq) > (r.tx, r.seq))"+
			" FROM edda_relays AS r WHERE name = 'default/cqrs'").Scan(&noted, &behind)
		if err != nil || noted != *manyEvents || behind != 0 {
			t.Errorf("%d events are noted and %d behind, %v, want %d and none", noted, behind, err, *manyEvents)
		}
		got := 0.0
		for _, r := range []*prometheus.Registry{one, two} {
			families, err := r.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "edda_cqrs_relayed_events_total" {
					got += f.GetMetric()[0].GetCounter().GetValue()
				}
			}
		}
		if got <= 0 || got > float64(*manyEvents) {
			t.Errorf("%v events were counted", got)
		}
	})
}
