package filelog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

const payload = 256

// BenchmarkAppend has callers that each append a record and wait until it is
// durable; each has a partition of its own, or shares it by turns. Floor is a
// writer that only appends and flushes the same records for the same callers.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("floor/%d", n), func(b *testing.B) { benchFloor(b, n) })
		b.Run(fmt.Sprintf("single/%d", n), func(b *testing.B) { benchLog(b, n, n) })
		if n > 64 {
			b.Run(fmt.Sprintf("batched/%d", n), func(b *testing.B) { benchLog(b, n, 64) })
		}
	}
}

// callers runs b.N operations from n goroutines.
func callers(b *testing.B, n int, op func(caller int)) {
	b.SetBytes(payload)
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	begin := time.Now()
	b.ResetTimer()
	for i := range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				op(i)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "appends/s")
	b.ReportMetric(0, "ns/op")
}

// group is the callers that share a batch.
type group struct {
	batch engine.Batch
	done  chan struct{}
}

func benchLog(b *testing.B, n, partitions int) {
	l, err := filelog.Open(b.TempDir(), filelog.Options{Partitions: partitions})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	ps := make([]engine.Partition, partitions)
	for i := range ps {
		ps[i] = engine.Partition(i)
	}
	owned, err := l.Own(b.Context(), ps...)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("n %d", b.N)
	before := l.Stats()
	rec := make([]byte, payload)
	starts := make([]engine.Start, partitions)
	type place struct {
		mu   sync.Mutex
		open *group
		next engine.Position
	}
	places := make([]place, partitions)
	for i := range places {
		places[i].next = owned[i].Next
	}
	var batches sync.Pool
	done := func(bt *engine.Batch, r engine.Result) {
		if r.Outcome != engine.Durable {
			panic(r.Err)
		}
	}
	_ = done
	stop := make(chan struct{})
	var trimmer sync.WaitGroup
	trimmer.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for i := range places {
				places[i].mu.Lock()
				next := places[i].next
				places[i].mu.Unlock()
				starts[i] = engine.Start{Partition: ps[i], Position: next}
			}
			_ = l.Trim(b.Context(), starts...)
		}
	})
	_ = batches.Get
	callers(b, n, func(c int) {
		p := &places[c%partitions]
		p.mu.Lock()
		g := p.open
		lead := g == nil
		if lead {
			g = &group{done: make(chan struct{})}
			p.open = g
		}
		g.batch.Records = append(g.batch.Records, rec)
		if lead {
			if n > partitions {
				p.mu.Unlock()
				runtime.Gosched()
				p.mu.Lock()
			}
			g.batch.Partition, g.batch.Epoch, g.batch.First = ps[c%partitions], owned[c%partitions].Epoch, p.next
			p.next += engine.Position(len(g.batch.Records))
			g.batch.Done = func(_ *engine.Batch, r engine.Result) {
				if r.Outcome != engine.Durable {
					panic(r.Err)
				}
				close(g.done)
			}
			p.open = nil
			l.Append(&g.batch)
		}
		p.mu.Unlock()
		<-g.done
	})
	close(stop)
	trimmer.Wait()
	s := l.Stats()
	b.ReportMetric(float64(s.FlushP50.Microseconds()), "flush-p50-µs")
	b.ReportMetric(float64(b.N)/float64(s.Flushes-before.Flushes), "appends/flush")
	b.ReportMetric(float64(s.LSN-before.LSN)/float64(b.N)-payload, "overhead-B")
}

func benchFloor(b *testing.B, n int) {
	f, err := vfs.Default.OpenReadWrite(filepath.Join(b.TempDir(), "floor"), vfs.WriteCategoryUnspecified)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const size = 64 << 20
	if _, err := f.WriteAt(make([]byte, size), 0); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	type cohort struct{ done chan struct{} }
	var mu sync.Mutex
	cur := &cohort{make(chan struct{})}
	var buf []byte
	wake := make(chan struct{}, 1)
	end := make(chan struct{})
	rec := make([]byte, payload)
	go func() {
		defer close(end)
		var spare []byte
		off := int64(0)
		for range wake {
			mu.Lock()
			w, c := buf, cur
			buf, cur = spare[:0], &cohort{make(chan struct{})}
			mu.Unlock()
			if off+int64(len(w)) > size {
				off = 0
			}
			if _, err := f.WriteAt(w, off); err != nil {
				panic(err)
			}
			if err := f.SyncData(); err != nil {
				panic(err)
			}
			off += int64(len(w))
			close(c.done)
			spare = w
		}
	}()
	callers(b, n, func(int) {
		mu.Lock()
		c := cur
		first := len(buf) == 0
		buf = append(buf, rec...)
		mu.Unlock()
		if first {
			wake <- struct{}{}
		}
		<-c.done
	})
	close(wake)
	<-end
	_ = os.Remove
}
