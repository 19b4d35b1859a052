package follow_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/follow"
)

var key = follow.Key{Namespace: "ns", Stream: "s", Shard: "default"}

func newTails() (*follow.Tails, *atomic.Int64) {
	var waiters atomic.Int64
	return follow.NewTails(follow.NewRinger(), &waiters), &waiters
}

func upTo(end uint64) stream.View { return stream.View{End: end} }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Readers are woken when the batch is done with, and not before, each once.
func TestReadersAreWokenByRing(t *testing.T) {
	ts, waiters := newTails()
	tail := ts.Add(key, upTo(3))
	if ts.Find(key) != tail || tail.Key() != key {
		t.Fatal("the tail is not found")
	}
	if tail.Wait(2) != nil {
		t.Error("a reader waits for what is there")
	}
	a, b := tail.Wait(3), tail.Wait(3)
	if a == nil || waiters.Load() != 2 {
		t.Fatalf("%d readers wait, want 2", waiters.Load())
	}
	ts.Show(tail, upTo(4))
	ts.Show(tail, upTo(5))
	if v, ok := tail.Look(); !ok || v.End != 5 || closed(a) {
		t.Errorf("got %d (%v), want that 5 is shown and nobody woken", v.End, ok)
	}
	ts.Ring()
	if !closed(a) || !closed(b) {
		t.Error("readers sleep on")
	}
	tail.Leave()
	tail.Leave()
	later := tail.Wait(5)
	ts.Ring()
	if closed(later) || waiters.Load() != 1 {
		t.Errorf("a reader is woken for nothing, %d wait", waiters.Load())
	}
	ts.Show(tail, upTo(6))
	ts.Ring()
	if !closed(later) {
		t.Error("the second ring wakes nobody")
	}
}

// What is shown in another way wakes nobody.
func TestRefresh(t *testing.T) {
	ts, _ := newTails()
	tail := ts.Add(key, upTo(3))
	rung := tail.Wait(3)
	tail.Refresh(stream.View{End: 3, Bytes: 1})
	ts.Ring()
	if v, _ := tail.Look(); closed(rung) || v.Bytes != 1 {
		t.Errorf("got %+v, and the reader was woken: %v", v, closed(rung))
	}
}

// Readers of a tail that is removed look anew, or hear why there is nothing.
func TestRemove(t *testing.T) {
	ts, _ := newTails()
	for _, why := range []error{nil, errors.New("gone")} {
		tail := ts.Add(key, upTo(3))
		rung := tail.Wait(3)
		ts.Remove(tail, why)
		if _, ok := tail.Look(); ok || !closed(rung) || tail.Reason() != why || tail.Wait(9) != nil { //nolint:errorlint // it is handed through as it is
			t.Errorf("removed for %v: got a tail that is there, or readers that sleep", why)
		}
		if ts.Find(key) != nil {
			t.Error("the tail is found still")
		}
		next := ts.Add(key, upTo(3))
		ts.Remove(tail, why) // which is not the one that is there now
		if ts.Find(key) != next {
			t.Error("another tail was removed with it")
		}
	}
}

func TestIdle(t *testing.T) {
	ts, _ := newTails()
	tail := ts.Add(key, upTo(3))
	for i, c := range []struct {
		use  func()
		want bool
	}{
		{func() {}, false}, // it is new
		{func() {}, true},
		{func() { tail.Look() }, false},
		{func() { tail.Wait(3) }, false},
		{func() {}, false},
		{tail.Leave, true},
	} {
		c.use()
		if got := tail.Idle(); got != c.want {
			t.Errorf("step %d: idle is %v, want %v", i, got, c.want)
		}
	}
	if all := ts.All(); len(all) != 1 || all[0] != tail {
		t.Errorf("got %v", all)
	}
}

func TestCloseTails(t *testing.T) {
	ts, _ := newTails()
	tail := ts.Add(key, upTo(3))
	var rung []<-chan struct{}
	for range 100 {
		rung = append(rung, tail.Wait(3))
	}
	stopped := errors.New("the node stops")
	ts.Close(stopped)
	for _, c := range rung {
		if !closed(c) {
			t.Fatal("a reader sleeps on")
		}
	}
	if tail.Reason() != stopped || ts.Find(key) != nil || len(ts.All()) != 0 { //nolint:errorlint // it is handed through as it is
		t.Errorf("got the reason %v", tail.Reason())
	}
}

// Many readers are woken by the ringer, all of them; those who come after its end are
// woken at once.
func TestManyReadersAreWokenByTheRinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waiters atomic.Int64
		ringer := follow.NewRinger()
		ts := follow.NewTails(ringer, &waiters)
		tail := ts.Add(key, upTo(0))
		halt := make(chan struct{})
		var running sync.WaitGroup
		for end := range uint64(3) {
			if end == 1 {
				running.Go(func() { ringer.Run(halt) })
			}
			if end == 2 {
				close(halt)
				running.Wait()
			}
			var readers sync.WaitGroup
			for range 100 {
				readers.Go(func() {
					if rung := tail.Wait(end); rung != nil {
						<-rung
						tail.Leave()
					}
				})
			}
			synctest.Wait()
			ts.Show(tail, upTo(end+1))
			ts.Ring()
			synctest.Wait()
			if left := waiters.Load(); (left == 100) != (end == 0) || end > 0 && left != 0 {
				t.Errorf("round %d: %d readers wait", end, left)
			}
			if end > 0 {
				readers.Wait()
			}
		}
	})
}
