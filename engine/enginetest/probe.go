package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda/engine"
)

// patience is how long the suite waits for what must happen.
const patience = 30 * time.Second

// call is an append that was submitted.
type call struct {
	t     *testing.T
	batch *engine.Batch
	times atomic.Int32
	ended chan engine.Result
	then  func(engine.Result) // called by Done, if not nil
}

// submit appends a batch and checks what holds for every Done. It does not wait.
func submit(t *testing.T, e engine.Engine, b engine.Batch, then func(engine.Result)) *call {
	t.Helper()
	c := &call{t: t, batch: &b, ended: make(chan engine.Result, 1), then: then}
	c.batch.Done = c.done
	appendWithin(e, c.batch)
	return c
}

// appendWithin is found on the stack of a Done that Append calls itself.
//
//go:noinline
func appendWithin(e engine.Engine, b *engine.Batch) { e.Append(b) }

func (c *call) done(b *engine.Batch, r engine.Result) {
	if b != c.batch {
		c.t.Error("done was called with another batch")
	}
	if c.times.Add(1) > 1 {
		c.t.Error("done was called twice")
		return
	}
	if r.Outcome < engine.Durable || r.Outcome > engine.Unavailable {
		c.t.Errorf("outcome: got %d, which does not exist", r.Outcome)
	}
	if (r.Outcome == engine.Durable) != (r.Err == nil) {
		c.t.Errorf("outcome %v with error %v, want an error exactly when it is not durable", r.Outcome, r.Err)
	}
	if (r.Outcome == engine.Durable || r.Outcome == engine.Unknown) && withinAppend() {
		c.t.Errorf("append itself called done with %v", r.Outcome)
	}
	if c.then != nil {
		c.then(r)
	}
	c.ended <- r
}

func withinAppend() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "enginetest.appendWithin") {
			return true
		}
		if !more {
			return false
		}
	}
}

// wait returns how the append ended.
func (c *call) wait() engine.Result {
	c.t.Helper()
	select {
	case r := <-c.ended:
		c.ended <- r
		return r
	case <-time.After(patience):
		c.t.Errorf("done was not called within %v", patience)
		return engine.Result{}
	}
}

// want waits and demands one of the outcomes.
func (c *call) want(outcomes ...engine.Outcome) {
	c.t.Helper()
	if r := c.wait(); !slices.Contains(outcomes, r.Outcome) {
		c.t.Errorf("append to partition %d at %d: got %v (%v), want %v", c.batch.Partition, c.batch.First, r.Outcome, r.Err, outcomes)
	}
}

// writer appends to one partition, as its owner.
type writer struct {
	t     *testing.T
	e     engine.Engine
	p     engine.Partition
	epoch engine.Epoch
	next  engine.Position
}

func own(t *testing.T, e engine.Engine, p engine.Partition) *writer {
	t.Helper()
	return ownAll(t, e, p)[0]
}

func ownAll(t *testing.T, e engine.Engine, ps ...engine.Partition) []*writer {
	t.Helper()
	owned, err := e.Own(t.Context(), ps...)
	if err != nil {
		t.Fatalf("own %v: %v", ps, err)
	}
	if len(owned) != len(ps) {
		t.Fatalf("own %v: got %d ownerships", ps, len(owned))
	}
	ws := make([]*writer, len(ps))
	for i, p := range ps {
		o := owned[i]
		if o.Epoch == 0 || o.Next == 0 {
			t.Fatalf("own partition %d: got %+v, want an epoch and a position from 1 on", p, o)
		}
		ws[i] = &writer{t, e, p, o.Epoch, o.Next}
	}
	return ws
}

// batch makes the next batch of the writer.
func (w *writer) batch(records ...string) engine.Batch {
	b := engine.Batch{Partition: w.p, Epoch: w.epoch, First: w.next}
	for _, r := range records {
		b.Records = append(b.Records, []byte(r))
	}
	return b
}

// start submits the next batch; the one after it follows.
func (w *writer) start(records ...string) *call {
	c := submit(w.t, w.e, w.batch(records...), nil)
	w.next += engine.Position(len(records))
	return c
}

// append submits the next batch and waits until it is durable.
func (w *writer) append(records ...string) {
	w.t.Helper()
	w.start(records...).want(engine.Durable)
}

// fill appends n batches of one to three records, each of its own text.
func (w *writer) fill(n int) {
	w.t.Helper()
	var last *call
	for i := range n {
		var records []string
		for j := range 1 + i%3 {
			records = append(records, fmt.Sprintf("%d/%d", w.p, int(w.next)+j))
		}
		last = w.start(records...)
	}
	if last != nil {
		last.want(engine.Durable)
	}
}

// read collects what Read yields, and the error at its end.
func read(ctx context.Context, t *testing.T, e engine.Engine, from ...engine.Start) ([]engine.Entry, error) {
	t.Helper()
	var got []engine.Entry
	var last error
	next := map[engine.Partition]engine.Position{}
	for entry, err := range e.Read(ctx, from...) {
		if last != nil {
			t.Errorf("read went on after the error %v", last)
		}
		if last = err; err != nil {
			continue
		}
		if want := next[entry.Partition]; want != 0 && entry.First != want {
			t.Errorf("read of partition %d: got position %d, want %d", entry.Partition, entry.First, want)
		}
		next[entry.Partition] = entry.First + engine.Position(len(entry.Records))
		got = append(got, entry)
	}
	return got, last
}

// mustRead is read without an error.
func mustRead(t *testing.T, e engine.Engine, from ...engine.Start) []engine.Entry {
	t.Helper()
	got, err := read(t.Context(), t, e, from...)
	if err != nil {
		t.Fatalf("read %v: %v", from, err)
	}
	return got
}

// show writes entries as "partition@first: records".
func show(entries []engine.Entry) []string {
	lines := []string{}
	for _, e := range entries {
		line := fmt.Appendf(nil, "%d@%d:", e.Partition, e.First)
		for _, r := range e.Records {
			if len(r) > 40 {
				r = fmt.Appendf(nil, "%d bytes", len(r))
			}
			line = append(append(line, ' '), r...)
		}
		lines = append(lines, string(line))
	}
	return lines
}

// wantRead demands what a read shows.
func wantRead(t *testing.T, e engine.Engine, from []engine.Start, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, show(mustRead(t, e, from...))); diff != "" {
		t.Errorf("read %v (-want +got):\n%s", from, diff)
	}
}

func at(p engine.Partition, pos engine.Position) []engine.Start {
	return []engine.Start{{Partition: p, Position: pos}}
}

// records returns the records of all entries as text.
func records(entries []engine.Entry) []string {
	var rs []string
	for _, e := range entries {
		for _, r := range e.Records {
			rs = append(rs, string(r))
		}
	}
	return rs
}

// beforeAndAfterReopen runs check on the engine, and on the reopened one.
func beforeAndAfterReopen(t *testing.T, h Harness, check func(engine.Engine)) {
	t.Helper()
	check(h.Engine)
	check(h.Reopen(t))
}

// text is the state that a snapshot stores.
type text string

func (s text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(s))
	return int64(n), err
}

// cancelled returns a context that has ended.
func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// filler returns n bytes that differ along the way.
func filler(n int) string {
	return string(bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstu"), n/31+1)[:n])
}
