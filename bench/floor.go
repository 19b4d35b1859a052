package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/edda-io/edda"
)

const (
	// preparedBytes is the size of the file that floors write into: as large as a
	// segment of the log gets.
	preparedBytes = 64 << 20
	flushBytes    = 4 << 10
)

// prepared is a file whose blocks were all written before, so that a flush has
// no metadata to write. Writes go round it from end to start.
type prepared struct {
	f     *os.File
	off   int64
	flush bool
}

// newPrepared makes the file and writes all of it. When flush is false, write
// leaves the bytes to the operating system.
func newPrepared(dir string, flush bool) (*prepared, error) {
	f, err := os.Create(filepath.Join(dir, "prepared"))
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < preparedBytes && err == nil; off += int64(len(zeros)) {
		_, err = f.WriteAt(zeros, off)
	}
	if err = errors.Join(err, f.Sync()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &prepared{f: f, flush: flush}, nil
}

// write puts b behind what was written last and makes it durable.
func (p *prepared) write(b []byte) error {
	if p.off+int64(len(b)) > preparedBytes {
		p.off = 0
	}
	if _, err := p.f.WriteAt(b, p.off); err != nil {
		return err
	}
	p.off += int64(len(b))
	if !p.flush {
		return nil
	}
	return syncData(p.f)
}

// openPrepared makes a prepared file in a directory of its own; the function
// removes both.
func openPrepared(e *env) (*prepared, func() error, error) {
	dir, remove, err := e.subdir()
	if err != nil {
		return nil, nil, err
	}
	p, err := newPrepared(dir, e.Durability == edda.Fsync)
	if err != nil {
		remove()
		return nil, nil, err
	}
	return p, func() error { defer remove(); return p.f.Close() }, nil
}

// openFlush readies the row flush: one caller writes 4 KiB and flushes.
func openFlush(_ context.Context, e *env, _ int) (*driver, error) {
	p, remove, err := openPrepared(e)
	if err != nil {
		return nil, err
	}
	block := make([]byte, flushBytes)
	for i := range block {
		block[i] = byte(i)
	}
	op := func(context.Context, int) error { return p.write(block) }
	return &driver{op: op, close: remove}, nil
}

// batchWriter is the floor of durable appends: callers leave a record and wait;
// one goroutine writes all that was left in one piece, flushes, and wakes them.
type batchWriter struct {
	p    *prepared
	wake chan struct{} // holds a token when there is something to write
	done chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex // guards what follows
	buf    []byte
	cohort *cohort
}

// cohort is the callers of one write.
type cohort struct {
	written chan struct{}
	err     error // set before written is closed
}

func newBatchWriter(p *prepared) *batchWriter {
	w := &batchWriter{p: p, wake: make(chan struct{}, 1), done: make(chan struct{}), cohort: newCohort()}
	go w.run()
	return w
}

func newCohort() *cohort { return &cohort{written: make(chan struct{})} }

// append returns once the record is durable.
func (w *batchWriter) append(record []byte) error {
	w.mu.Lock()
	c := w.cohort
	first := len(w.buf) == 0
	w.buf = append(w.buf, record...)
	w.mu.Unlock()
	if first {
		w.wake <- struct{}{}
	}
	<-c.written
	return c.err
}

// run writes until close. Two buffers take turns.
func (w *batchWriter) run() {
	defer close(w.done)
	var spare []byte
	for range w.wake {
		w.mu.Lock()
		buf, c := w.buf, w.cohort
		w.buf, w.cohort = spare[:0], newCohort()
		w.mu.Unlock()
		c.err = w.p.write(buf)
		close(c.written)
		spare = buf
	}
}

// close ends the goroutine. No append may be running.
func (w *batchWriter) close() {
	close(w.wake)
	<-w.done
}

// openAppendFloor readies the row append-floor.
func openAppendFloor(_ context.Context, e *env, _ int) (*driver, error) {
	p, remove, err := openPrepared(e)
	if err != nil {
		return nil, err
	}
	w := newBatchWriter(p)
	record := payload()
	return &driver{
		op:    func(context.Context, int) error { return w.append(record) },
		close: func() error { w.close(); return remove() },
	}, nil
}

// payload returns what every row sends.
func payload() []byte {
	b := make([]byte, payloadBytes)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}
