package filelog_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

const (
	payloadBytes    = 256
	benchPartitions = 64
)

// BenchmarkAppend has callers that each append a record and wait until it is
// durable; those of one partition share a batch when they come together. Floor
// is a writer that only appends and flushes, for the same callers; compare
// appends/s. Run it with -benchtime of some seconds: a new log grows first.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("floor/%d", n), func(b *testing.B) { benchFloor(b, n) })
		b.Run(fmt.Sprintf("filelog/%d", n), func(b *testing.B) { benchAppend(b, n) })
	}
}

// drive runs b.N operations from n callers.
func drive(b *testing.B, n int, op func(caller int)) {
	b.Helper()
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
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
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// loop is one partition's place in the benchmark.
type loop struct {
	mu    sync.Mutex
	owner engine.Ownership
	open  *group
}

// group is a batch and those who wait for it.
type group struct {
	batch engine.Batch
	done  chan struct{}
}

func benchAppend(b *testing.B, n int) {
	b.Helper()
	l, err := filelog.Open(b.TempDir(), filelog.Options{Partitions: benchPartitions})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	loops := make([]loop, benchPartitions)
	for i := range loops {
		loops[i].owner = own(b, l, engine.Partition(i))
	}
	record := make([]byte, payloadBytes)
	before := l.Stats()
	var written atomic.Int64
	drive(b, n, func(c int) {
		p := engine.Partition(c % benchPartitions)
		g, leads := loops[p].join(record)
		if leads {
			if n > benchPartitions {
				runtime.Gosched() // let the others of the partition join
			}
			loops[p].submit(l, p, g)
		}
		<-g.done
		// Trim as often as a node does, which flushes its store every 64 MiB.
		if written.Add(1)%(64<<20/payloadBytes) == 0 {
			trimAll(b, l, loops)
		}
	})
	s := l.Stats()
	b.ReportMetric(float64(s.FlushP50.Microseconds()), "flush-p50-µs")
	b.ReportMetric(float64(b.N)/float64(s.Flushes-before.Flushes), "appends/flush")
	b.ReportMetric(float64(s.LSN-before.LSN)/float64(b.N)-payloadBytes, "overhead-B/append")
}

func (p *loop) join(record []byte) (g *group, leads bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open, leads = &group{done: make(chan struct{})}, true
	}
	p.open.batch.Records = append(p.open.batch.Records, record)
	return p.open, leads
}

func (p *loop) submit(l *filelog.Log, n engine.Partition, g *group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = nil
	g.batch.Partition, g.batch.Epoch, g.batch.First = n, p.owner.Epoch, p.owner.Next
	p.owner.Next += engine.Position(len(g.batch.Records))
	g.batch.Done = func(_ *engine.Batch, r engine.Result) {
		if r.Outcome != engine.Durable {
			panic(r.Err)
		}
		close(g.done)
	}
	l.Append(&g.batch)
}

func trimAll(b *testing.B, l *filelog.Log, loops []loop) {
	b.Helper()
	var starts []engine.Start
	for i := range loops {
		loops[i].mu.Lock()
		starts = append(starts, engine.Start{Partition: engine.Partition(i), Position: loops[i].owner.Next})
		loops[i].mu.Unlock()
	}
	if err := l.Trim(b.Context(), starts...); err != nil {
		b.Error(err)
	}
}

// floorWriter takes what callers left, writes it in one piece into a file that
// was written before, flushes, and wakes them all.
type floorWriter struct {
	file vfs.File
	wake chan struct{}
	mu   sync.Mutex
	buf  []byte
	done chan struct{}
}

const floorBytes = 64 << 20

func benchFloor(b *testing.B, n int) {
	b.Helper()
	f, err := vfs.Default.OpenReadWrite(filepath.Join(b.TempDir(), "floor"), vfs.WriteCategoryUnspecified)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, floorBytes)); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	w := &floorWriter{file: f, wake: make(chan struct{}, 1), done: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(w.run)
	record := make([]byte, payloadBytes)
	drive(b, n, func(int) { <-w.put(record) })
	close(w.wake)
	wg.Wait()
}

func (w *floorWriter) put(record []byte) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf) == 0 {
		w.wake <- struct{}{}
	}
	w.buf = append(w.buf, record...)
	return w.done
}

func (w *floorWriter) run() {
	var buf, spare []byte
	at := int64(0)
	for range w.wake {
		w.mu.Lock()
		done := w.done
		buf, w.buf, w.done = w.buf, spare[:0], make(chan struct{})
		w.mu.Unlock()
		if at+int64(len(buf)) > floorBytes {
			at = 0
		}
		_, err := w.file.WriteAt(buf, at)
		if err == nil {
			err = w.file.SyncData()
		}
		if err != nil {
			panic(err)
		}
		at += int64(len(buf))
		spare = buf
		close(done)
	}
}

// BenchmarkRead replays a log of all partitions in one pass, and opens it.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	l, err := filelog.Open(dir, filelog.Options{Partitions: benchPartitions, Durability: "os"})
	if err != nil {
		b.Fatal(err)
	}
	const frames, batch = 2000, 8
	var wg sync.WaitGroup
	owners := make([]engine.Ownership, benchPartitions)
	starts := make([]engine.Start, benchPartitions)
	records := make([][]byte, batch)
	for i := range records {
		records[i] = make([]byte, payloadBytes)
	}
	for i := range owners {
		owners[i] = own(b, l, engine.Partition(i))
		starts[i].Partition = engine.Partition(i)
	}
	for range frames {
		for i := range owners {
			wg.Add(1)
			l.Append(&engine.Batch{Partition: engine.Partition(i), Epoch: owners[i].Epoch, First: owners[i].Next,
				Records: records, Done: func(*engine.Batch, engine.Result) { wg.Done() }})
			owners[i].Next += batch
		}
		wg.Wait()
	}
	size := int64(l.Stats().LSN)
	b.Run("replay", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			n := 0
			for e, err := range l.Read(b.Context(), starts...) {
				if err != nil {
					b.Fatal(err)
				}
				n += len(e.Records)
			}
			if n != frames*batch*benchPartitions {
				b.Fatalf("read %d records", n)
			}
		}
	})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			l, err := filelog.Open(dir, filelog.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(l.Recovery().Took.Milliseconds()), "recovery-ms")
			l.Close()
		}
	})
}
