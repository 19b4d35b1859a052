package filelog_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

// open opens a log and closes it at the end of the test.
func open(t testing.TB, fs vfs.FS, opts filelog.Options) *filelog.Log {
	t.Helper()
	opts.FS = fs
	l, err := filelog.Open("data", opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// own takes partition p.
func own(t testing.TB, l *filelog.Log, p engine.Partition) engine.Ownership {
	t.Helper()
	o, err := l.Own(t.Context(), p)
	if err != nil {
		t.Fatalf("own %d: %v", p, err)
	}
	return o[0]
}

// put appends records and waits for the outcome.
func put(l *filelog.Log, p engine.Partition, e engine.Epoch, first engine.Position, records ...string) engine.Result {
	b := &engine.Batch{Partition: p, Epoch: e, First: first}
	for _, r := range records {
		b.Records = append(b.Records, []byte(r))
	}
	done := make(chan engine.Result, 1)
	b.Done = func(_ *engine.Batch, r engine.Result) { done <- r }
	l.Append(b)
	return <-done
}

// read returns the records of p from a position on.
func read(t testing.TB, l *filelog.Log, p engine.Partition, from engine.Position) []string {
	t.Helper()
	got, next := []string{}, max(from, 1)
	for e, err := range l.Read(t.Context(), engine.Start{Partition: p, Position: from}) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if e.Partition != p || e.First != next {
			t.Fatalf("entry of partition %d at %d, want partition %d at %d", e.Partition, e.First, p, next)
		}
		for _, r := range e.Records {
			got = append(got, string(r))
		}
		next += engine.Position(len(e.Records))
	}
	return got
}

func TestReopen(t *testing.T) {
	fs := vfs.NewMem()
	next := engine.Position(1)
	for round := range 5 {
		l := open(t, fs, filelog.Options{MinSegmentBytes: 256, MaxSegmentBytes: 256, Partitions: 4})
		o := own(t, l, 2)
		if o.Epoch != engine.Epoch(round+1) || o.Next != next {
			t.Fatalf("round %d: owned %+v, want epoch %d, next %d", round, o, round+1, next)
		}
		for range 20 {
			if r := put(l, 2, o.Epoch, next, fmt.Sprint("r", next)); r.Outcome != engine.Durable {
				t.Fatalf("append: %v", r)
			}
			next++
		}
		got := read(t, l, 2, 1)
		if len(got) != int(next-1) || got[0] != "r1" || got[len(got)-1] != fmt.Sprint("r", next-1) {
			t.Fatalf("round %d: got %d records, %v", round, len(got), got)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
