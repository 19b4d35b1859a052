package filelog_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

// What is about to come shares the flush of what is there.
func TestComing(t *testing.T) {
	var l *filelog.Log
	second := make(chan engine.Result, 1)
	var other *engine.Batch // of the writer's goroutine, once it is set
	l = open(t, vfs.NewMem(), filelog.Options{Partitions: 2, Coming: func() bool {
		b := other
		if b == nil {
			return false
		}
		other = nil
		l.Append(b)
		return true
	}})
	o, p := own(t, l, 0), own(t, l, 1)
	other = &engine.Batch{
		Partition: 1, Epoch: p.Epoch, First: 1, Records: [][]byte{[]byte("b")},
		Done: func(_ *engine.Batch, r engine.Result) { second <- r },
	}
	before := l.Stats().Flushes
	if r := put(l, 0, o.Epoch, 1, "a"); r.Outcome != engine.Durable {
		t.Fatalf("got %v", r)
	}
	if other != nil {
		t.Fatal("the log did not ask what is about to come")
	}
	if r := <-second; r.Outcome != engine.Durable {
		t.Fatalf("got %v", r)
	}
	if n := l.Stats().Flushes - before; n != 1 {
		t.Errorf("there were %d flushes, want 1", n)
	}
}

// The log does not wait for what follows from records of which nothing does.
func TestQuiet(t *testing.T) {
	l := open(t, vfs.NewMem(), filelog.Options{Partitions: 1, Gather: 6 * time.Minute})
	o := own(t, l, 0)
	done := make(chan engine.Result, 2)
	begin := time.Now()
	for first := range engine.Position(2) {
		l.Append(&engine.Batch{
			Epoch: o.Epoch, First: 1 + 2*first, Records: [][]byte{[]byte("a"), []byte("b")}, Quiet: 1,
			Done: func(_ *engine.Batch, r engine.Result) { done <- r },
		})
		if r := <-done; r.Outcome != engine.Durable {
			t.Fatalf("got %v", r)
		}
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}
