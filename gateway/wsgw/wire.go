package wsgw

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes of what a connection has for itself, of which there are many idle ones, and of what
// is written at once.
const (
	readBuffer  = 2 << 10
	writeBuffer = 512
	batchBytes  = 256 << 10
)

// batches holds the buffers of frames that travel together.
var batches = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// wire is the network connection under a WebSocket. What is written between hold and
// release travels together. Control frames, which whoever reads writes, come as one Write.
type wire struct {
	net.Conn
	timeout time.Duration
	metrics *metrics
	// first was read before the upgrade. It is the reader's.
	first []byte
	// heard is when something was read last, in Unix nanoseconds.
	heard atomic.Int64

	mu    sync.Mutex // guards what follows, and is held while the connection is written
	batch *[]byte    // not nil while it holds
}

// Read reads what came with the upgrade, then the connection.
func (w *wire) Read(b []byte) (int, error) {
	if len(w.first) > 0 {
		n := copy(b, w.first)
		if w.first = w.first[n:]; len(w.first) == 0 {
			w.first = nil
		}
		return n, nil
	}
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.heard.Store(time.Now().UnixNano())
		w.metrics.bytesIn.Add(float64(n))
	}
	return n, err
}

// Write writes a frame, or a part of one.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.batch == nil {
		return len(b), w.send(b)
	}
	*w.batch = append(*w.batch, b...)
	if len(*w.batch) < batchBytes {
		return len(b), nil
	}
	err := w.send(*w.batch)
	*w.batch = (*w.batch)[:0]
	return len(b), err
}

// send writes to the connection in the time there is. The caller holds mu.
func (w *wire) send(b []byte) error {
	if err := w.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return err
	}
	n, err := w.Conn.Write(b)
	w.metrics.bytesOut.Add(float64(n))
	return err
}

// hold keeps what is written until release.
func (w *wire) hold() {
	w.mu.Lock()
	w.batch = batches.Get().(*[]byte)
	w.mu.Unlock()
}

// release writes what was kept.
func (w *wire) release() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.batch
	w.batch = nil
	var err error
	if len(*b) > 0 {
		err = w.send(*b)
	}
	if cap(*b) <= 2*batchBytes {
		*b = (*b)[:0]
		batches.Put(b)
	}
	return err
}

// hijacker hands a connection over with small buffers, and a wire around it.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

// Hijack takes the connection from net/http.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire.Conn = c
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Peek(n) // they are there
		h.wire.first = append([]byte(nil), b...)
	}
	h.wire.heard.Store(time.Now().UnixNano())
	return h.wire, bufio.NewReadWriter(bufio.NewReaderSize(h.wire, readBuffer), bufio.NewWriterSize(h.wire, writeBuffer)), nil
}
