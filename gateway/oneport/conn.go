package oneport

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
)

// port is a listener whose connections others accept.
type port struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPort(a net.Addr) *port {
	return &port{addr: a, conns: make(chan net.Conn), done: make(chan struct{})}
}

// hand hands over a connection, or closes it when nobody takes it any more.
func (p *port) hand(c net.Conn) {
	select {
	case p.conns <- c:
	case <-p.done:
		_ = c.Close()
	}
}

// Accept waits for a connection. After Close it returns net.ErrClosed.
func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close ends the port.
func (p *port) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr is the address of the listener behind it.
func (p *port) Addr() net.Addr { return p.addr }

// replayed is a connection of which something was read already. Its first reads
// return that. One goroutine at a time reads it.
type replayed struct {
	net.Conn
	first []byte
	acks  *ackFilter           // nil: nothing is left out
	state *tls.ConnectionState // nil without TLS
}

// Read reads what was read before, then the connection.
func (c *replayed) Read(b []byte) (int, error) {
	if c.acks != nil && c.acks.over() {
		c.acks = nil // connections last, and most are idle: each byte counts
	}
	if c.acks != nil {
		return c.acks.Read(b)
	}
	return c.unfiltered(b)
}

func (c *replayed) unfiltered(b []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.first)
	if c.first = c.first[n:]; len(c.first) == 0 {
		c.first = nil
	}
	return n, nil
}

// secured is replayed over TLS, and shows it.
type secured struct{ *replayed }

// ConnectionState is that of the TLS connection.
func (c *secured) ConnectionState() tls.ConnectionState { return *c.state }

// ackFilter leaves out the first acknowledgement of settings that a client of
// HTTP/2 sends.
type ackFilter struct {
	from *bufio.Reader
	left int  // bytes of the preface, or of a frame, that may go by unseen
	done bool // it was left out
}

const (
	frameHeaderBytes = 9
	filterBytes      = 512 // room for the first frames of most clients
)

func newAckFilter(r io.Reader) *ackFilter {
	return &ackFilter{from: bufio.NewReaderSize(r, filterBytes), left: len(http2.ClientPreface)}
}

// over reports whether there is nothing left for the filter to do.
func (f *ackFilter) over() bool { return f.done && f.from.Buffered() == 0 }

func (f *ackFilter) Read(b []byte) (int, error) {
	for !f.done && f.left == 0 {
		h, err := f.from.Peek(frameHeaderBytes)
		if err != nil {
			return 0, err
		}
		if http2.FrameType(h[3]) == http2.FrameSettings && http2.Flags(h[4]).Has(http2.FlagSettingsAck) {
			_, _ = f.from.Discard(frameHeaderBytes) // they are there
			f.done = true
			break
		}
		f.left = frameHeaderBytes + int(h[0])<<16 + int(h[1])<<8 + int(h[2])
	}
	if !f.done {
		b = b[:min(len(b), f.left)]
	}
	n, err := f.from.Read(b)
	f.left -= n
	return n, err
}

// reader makes a reader of a function.
type reader func([]byte) (int, error)

func (r reader) Read(b []byte) (int, error) { return r(b) }
