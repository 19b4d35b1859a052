package memlog_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	log, err := memlog.Open(memlog.Options{Partitions: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	ctx := context.Background()
	owned, err := log.Own(ctx, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan engine.Result, 1)
	log.Append(&engine.Batch{
		Epoch:   owned[0].Epoch,
		First:   owned[0].Next,
		Records: [][]byte{[]byte("one"), []byte("two")},
		Done:    func(_ *engine.Batch, r engine.Result) { done <- r },
	})
	fmt.Println((<-done).Outcome)
	for e, err := range log.Read(ctx, engine.Start{Position: 2}) {
		fmt.Printf("%d %s %v\n", e.First, e.Records, err)
	}
	// Output:
	// durable
	// 2 [two] <nil>
}

func open(t testing.TB, partitions int) *memlog.Log {
	t.Helper()
	l, err := memlog.Open(memlog.Options{Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func own(t testing.TB, l *memlog.Log) engine.Ownership {
	t.Helper()
	o, err := l.Own(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return o[0]
}

func appendOne(l *memlog.Log, o engine.Ownership, record string) engine.Result {
	done := make(chan engine.Result, 1)
	l.Append(&engine.Batch{
		Epoch: o.Epoch, First: o.Next, Records: [][]byte{[]byte(record)},
		Done: func(_ *engine.Batch, r engine.Result) { done <- r },
	})
	return <-done
}

func TestOptions(t *testing.T) {
	for _, n := range []int{-1, 1<<16 + 1} {
		if _, err := memlog.Open(memlog.Options{Partitions: n}); err == nil {
			t.Errorf("Open with %d partitions: got no error", n)
		}
	}
	if got := open(t, 0).Info().Partitions; got != memlog.DefaultPartitions {
		t.Errorf("partitions by default: got %d, want %d", got, memlog.DefaultPartitions)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		fault   memlog.Fault
		outcome engine.Outcome
		next    engine.Position
	}{
		{memlog.UnknownWritten, engine.Unknown, 3},
		{memlog.UnknownLost, engine.Unknown, 2},
		{memlog.Unavailable, engine.Unavailable, 2},
	} {
		l := open(t, 1)
		o := own(t, l)
		if r := appendOne(l, o, "a"); r.Outcome != engine.Durable {
			t.Fatalf("before the fault: got %v", r)
		}
		l.Inject(0, c.fault, c.fault)
		o.Next++
		r := appendOne(l, o, "b")
		if r.Outcome != c.outcome || !errors.Is(r.Err, memlog.ErrInjected) {
			t.Errorf("fault %d: got %v, want %v", c.fault, r, c.outcome)
		}
		for o.Next = 1; o.Next < 4; o.Next++ {
			if r := appendOne(l, o, "c"); r.Outcome != engine.Fenced {
				t.Errorf("fault %d: append at %d under the failed epoch: got %v, want fenced", c.fault, o.Next, r)
			}
		}
		if o = own(t, l); o.Next != c.next {
			t.Errorf("fault %d: next position: got %d, want %d", c.fault, o.Next, c.next)
		}
		if r := appendOne(l, o, "d"); r.Outcome != c.outcome {
			t.Errorf("second fault %d: got %v, want %v", c.fault, r, c.outcome)
		}
		if r := appendOne(l, own(t, l), "e"); r.Outcome != engine.Durable {
			t.Errorf("after the faults %d: got %v, want durable", c.fault, r)
		}
	}
}

func TestReopenClosesOldAndForgetsOwners(t *testing.T) {
	l := open(t, 1)
	o := own(t, l)
	appendOne(l, o, "a")
	l.Inject(0, memlog.Unavailable)
	again, err := l.Reopen()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	o.Next++
	if r := appendOne(l, o, "b"); r.Outcome != engine.Unavailable || !errors.Is(r.Err, engine.ErrClosed) {
		t.Errorf("append to the old log: got %v, want unavailable", r)
	}
	if r := appendOne(again, o, "b"); r.Outcome != engine.Fenced {
		t.Errorf("append under the epoch before: got %v, want fenced", r)
	}
	if r := appendOne(again, own(t, again), "b"); r.Outcome != engine.Durable {
		t.Errorf("append to the new log: got %v, want durable", r)
	}
	if _, err := l.Reopen(); err == nil {
		t.Error("reopen a log twice: got no error")
	}
}

// TestBubble uses a log in a synctest bubble, where time moves only while every
// goroutine waits.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, 1)
		o := own(t, l)
		done := make(chan engine.Result, 1)
		time.AfterFunc(time.Hour, func() {
			l.Append(&engine.Batch{
				Epoch: o.Epoch, First: o.Next, Records: [][]byte{{1}},
				Done: func(_ *engine.Batch, r engine.Result) { done <- r },
			})
		})
		if r := <-done; r.Outcome != engine.Durable {
			t.Errorf("append: got %v, want durable", r)
		}
	})
}

func TestTrimFreesMemory(t *testing.T) {
	l := open(t, 1)
	o := own(t, l)
	record := string(make([]byte, 1<<20))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range 32 {
		appendOne(l, o, record)
		o.Next++
	}
	if grown := heap() - before; grown < 30<<20 {
		t.Fatalf("heap grew by %d bytes, want 32 MiB: the test measures nothing", grown)
	}
	if err := l.Trim(t.Context(), engine.Start{Position: o.Next - 1}); err != nil {
		t.Fatal(err)
	}
	if after := heap(); after > before+4<<20 {
		t.Errorf("heap after trim: got %d bytes, want about %d", after, before)
	}
}

// BenchmarkAppend appends batches of 64 records of 256 bytes, 64 batches in
// flight, and trims what is old.
func BenchmarkAppend(b *testing.B) {
	l := open(b, 1)
	o := own(b, l)
	records := make([][]byte, 64)
	for i := range records {
		records[i] = make([]byte, 256)
	}
	slots := make(chan struct{}, 64)
	done := func(_ *engine.Batch, r engine.Result) {
		if r.Outcome != engine.Durable {
			b.Error(r)
		}
		<-slots
	}
	b.ReportAllocs()
	b.SetBytes(64 * 256)
	for i := 0; b.Loop(); i++ {
		slots <- struct{}{}
		l.Append(&engine.Batch{Epoch: o.Epoch, First: o.Next, Records: records, Done: done})
		o.Next += engine.Position(len(records))
		if i%1024 == 0 {
			if err := l.Trim(b.Context(), engine.Start{Position: o.Next}); err != nil {
				b.Fatal(err)
			}
		}
	}
}
