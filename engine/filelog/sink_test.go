package filelog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/directio"
)

// TestRefusal: where direct writes are refused, frames go through the cache, and
// the log says why, once.
func TestRefusal(t *testing.T) {
	opts, err := Options{FS: vfs.NewMem(), Partitions: 1, MinSegmentBytes: 1 << 10, MaxSegmentBytes: 1 << 10}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	opts.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l, err := open("data", opts, func(path string, _ int64) (sink, error) {
		return nil, fmt.Errorf("%s: %w: no sectors", path, directio.ErrRefused)
	})
	if err != nil {
		t.Fatal(err)
	}
	o, err := l.Own(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range engine.Position(5) {
		if r := appendOne(l, o[0].Epoch, o[0].Next+i); r.Outcome != engine.Durable {
			t.Fatalf("append: %v", r)
		}
	}
	if s := l.Stats(); s.Direct || s.Segments < 2 {
		t.Errorf("stats %+v, want no direct writes and several segments", s)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "no sectors") {
		t.Errorf("logged %q, want one line with the reason", got)
	}
}

// TestBrokenSpare: a file whose probe fails otherwise than by a refusal is not
// used, and does not stay.
func TestBrokenSpare(t *testing.T) {
	mem := vfs.NewMem()
	s := newSpares(mem, "", 4096, 1<<10, 1<<10, slog.New(slog.DiscardHandler))
	s.direct = func(string, int64) (sink, error) { return nil, syscall.EIO }
	if sp, err := s.take(1); !errors.Is(err, syscall.EIO) {
		t.Errorf("took %+v, %v", sp, err)
	}
	f, err := mem.Create("segment", vfs.WriteCategoryUnspecified)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if s.recycle(&segment{path: "segment", room: 1 << 10}) {
		t.Error("a file that cannot be written was recycled")
	}
	if names, err := mem.List(""); err != nil || len(names) > 0 {
		t.Errorf("files %q, %v are left", names, err)
	}
	s.close()
}

// halfSink writes half of what it is given.
type halfSink struct{ sink }

func (s halfSink) WriteAt(b []byte, at int64) (int, error) {
	n, err := s.sink.WriteAt(b[:len(b)/2], at)
	return n, errors.Join(err, io.ErrShortWrite)
}

// TestFailedDirectWriteStops: as with a failed flush, nobody knows what the disk
// holds.
func TestFailedDirectWriteStops(t *testing.T) {
	mem := vfs.NewMem()
	l, err := OpenEmulated("data", Options{FS: mem, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	o, err := l.Own(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if r := appendOne(l, o[0].Epoch, 1); r.Outcome != engine.Durable {
		t.Fatalf("append: %v", r)
	}
	l.w.out = halfSink{l.w.out.(emulated).flushed} // the writer waits for the next item
	if r := appendOne(l, o[0].Epoch, 2); r.Outcome != engine.Unknown || !errors.Is(r.Err, io.ErrShortWrite) {
		t.Errorf("append with a short write ended %v: %v", r.Outcome, r.Err)
	}
	if r := appendOne(l, o[0].Epoch, 3); r.Outcome != engine.Unavailable || !errors.Is(r.Err, engine.ErrStopped) {
		t.Errorf("append after a short write ended %v: %v", r.Outcome, r.Err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify("data", mem); err != nil || len(r.Damage) > 0 || r.Records != 1 && r.Records != 2 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

// appendOne appends a record of 400 bytes and waits for the outcome.
func appendOne(l *Log, e engine.Epoch, first engine.Position) engine.Result {
	done := make(chan engine.Result, 1)
	l.Append(&engine.Batch{Partition: 0, Epoch: e, First: first, Records: [][]byte{make([]byte, 400)},
		Done: func(_ *engine.Batch, r engine.Result) { done <- r }})
	return <-done
}

// TestReserve: an item takes no more than its size, so the frame stays where
// reserve put it.
func TestReserve(t *testing.T) {
	const huge = 1<<64 - 1
	w := &writer{nextID: huge}
	for _, records := range [][][]byte{
		{{1}},
		{make([]byte, MaxBatchBytes)},
		{make([]byte, 1<<21), make([]byte, 1<<21-1), {1}},
		bytesEach(10_000, 1),
		bytesEach(10_000, 128),
		bytesEach(100, 1<<14),
	} {
		b := &engine.Batch{Partition: maxPartitions - 1, Epoch: huge, First: huge, Records: records}
		w.buf = w.buf[:0]
		w.reserve(frameHead + 20)
		w.buf = beginFrame(w.buf, huge, huge)
		for range 3 {
			w.reserve((&item{batch: b}).size())
			before := &w.buf[0]
			w.buf = appendBatch(w.buf, b)
			if &w.buf[0] != before {
				t.Fatalf("%d records of %d bytes took more than their size", len(records), len(records[0]))
			}
		}
		before := &w.buf[0]
		if w.buf = sealFrame(w.buf, 0, 1); &w.buf[0] != before {
			t.Fatal("what fills the frame up found no room")
		}
	}
}

func bytesEach(n, size int) [][]byte {
	rs := make([][]byte, n)
	for i := range rs {
		rs[i] = make([]byte, size)
	}
	return rs
}
