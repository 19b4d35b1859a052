package cqrs

import (
	"log/slog"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// withoutInfo is a node elsewhere, which does not say what it keeps before it has acknowledged something.
type withoutInfo struct{ Backend }

// A node that had the stream in its memory is stopped, and the next one begins with nothing: it gets all
// events, once each, whether it keeps them or not, and whether it is in this process or elsewhere.
func TestRelayAfterANodeInMemory(t *testing.T) {
	for name, c := range map[string]struct {
		before  int
		backend func(n *relayNode) Backend
		next    func(t testing.TB) *relayNode
	}{
		"memory":    {30, func(n *relayNode) Backend { return n }, newRelayNode},
		"no events": {0, func(n *relayNode) Backend { return n }, newRelayNode},
		"elsewhere": {30, func(n *relayNode) Backend { return withoutInfo{n} }, newRelayNode},
		"disk":      {30, func(n *relayNode) Backend { return n }, newDiskNode},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db driver.DB) {
				makeEvents(t, db, c.before, 7, 500)
				first := newRelayNode(t)
				_, stop := startRelay(t, db, c.backend(first), Options{})
				isNoted(t, db, c.before)
				stop()
				for range 2 {
					makeEvents(t, db, 10, 7, 500)
					book, n := newLogBook(), c.next(t)
					o := Options{Logger: slog.New(slog.NewTextHandler(book, nil))}
					_, stop := startRelay(t, db, c.backend(n), o)
					_, other := startRelay(t, db, c.backend(n), o)
					isRelayed(t, db, n, 1)
					book.await(t, "all events are relayed anew")
					stop()
					other()
					if name == "disk" { // it would be there the next time
						break
					}
				}
			})
		})
	}
}

// Where the stream is on a disk, a node in memory does not take its place; neither does one whose stream
// somebody has written to.
func TestRelayAtANodeInMemory(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		refused := func(n *relayNode) {
			t.Helper()
			book := newLogBook()
			_, stop := startRelay(t, db, n, Options{Logger: slog.New(slog.NewTextHandler(book, nil))})
			book.await(t, "at another node")
			stop()
		}
		disk, memory := newDiskNode(t), newRelayNode(t)
		makeEvents(t, db, 30, 7, 500)
		_, stop := startRelay(t, db, disk, Options{})
		isNoted(t, db, 30)
		stop()
		refused(memory)
		execute(t, db, "DELETE FROM edda_relays")
		_, stop = startRelay(t, db, memory, Options{})
		isNoted(t, db, 30)
		stop()
		next := newRelayNode(t)
		if _, err := next.Append(t.Context(), &edda.Append{Stream: "cqrs.events", Messages: []edda.StreamMessage{{Type: "own"}}}); err != nil {
			t.Fatal(err)
		}
		refused(next)
	})
}
