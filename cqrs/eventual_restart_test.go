package cqrs

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/pgdb"
	"github.com/edda-io/edda/internal/pgtest"
)

// A server that restarts under load, while two processes share the handlers: each event is projected once, and
// in order.
func TestEventualHandlersOverRestartsOfTheServer(t *testing.T) {
	server := pgtest.Private(t)
	db, err := pgdb.Open(t.Context(), server.Open(t), pgdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	var text atomic.Pointer[string]
	text.Store(new(string))
	route := On("user.*", Config{Consistency: Eventual, Retry: quick(-1)})
	b := newUsers()
	b.Projector("Journal.write", journals(nil), nil, route)
	b.BatchProjector("Counts.add", countsBatch(&text), []Table{"counts"}, route)
	b.Processor("Friends.make", befriends(t, nil), route)
	w := start(t, db, b)
	w.exec(journal)
	w.exec(countsTable)
	w.process(db, b)
	w.process(db, b)

	var wg sync.WaitGroup
	stop, some := make(chan struct{}), make(chan struct{})
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				c := &Command{ID: newID(), Type: "create.user", Expect: AnyVersion(),
					Data: staged(t, users, user{ID: fmt.Sprint("u", i%3), Email: fmt.Sprintf("%d-%d", g, i)})}
				for {
					_, err := w.Do(t.Context(), c)
					if err == nil {
						break
					}
					if r := edda.ReasonOf(err); r != edda.Unavailable && r != edda.OutcomeUnknown {
						t.Errorf("a command failed with %s: %v", r, err)
						break
					}
				}
				select {
				case <-stop:
					return
				case some <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 2 {
		for range 15 {
			<-some
		}
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
		if err := server.Run(); err != nil {
			t.Error(err)
			break
		}
	}
	for range 15 {
		<-some
	}
	close(stop)
	wg.Wait()
	last := w.user("last", "last").Position
	for _, h := range []string{journalHandler, countsHandler, friendHandler} {
		w.wait(h, last)
	}
	w.until("nothing is parked", func() bool { return len(w.strings("SELECT state FROM edda_parked")) == 0 })
	w.likeAReplay()
}
