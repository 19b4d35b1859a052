package httppush

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync"
)

// hopConn is a connection to an endpoint that notes how the answer began which came over it
// last. net/http takes Connection away from an answer that says "Connection: close", and with
// it what else is named there: headers that are hop-by-hop (RFC 9110 7.6.1), and not the
// reply's.
type hopConn struct {
	net.Conn

	mu   sync.Mutex // guards what follows; nothing is locked under it
	head []byte
	done bool // the head has been noted whole
}

// asked says that a request is about to be sent, and forgets the answer to the one before.
func (c *hopConn) asked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head, c.done = c.head[:0], false
}

// Read reads from the connection.
func (c *hopConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.note(p[:max(n, 0)])
	return n, err
}

// note keeps what has come until the head of an answer is whole. What is informational, such
// as a 100, has a head of its own, and is passed over.
func (c *hopConn) note(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done || len(c.head) > maxHeader {
		return
	}
	c.head = append(c.head, b...)
	for !c.done {
		end := headEnd(c.head)
		if end < 0 {
			return
		}
		if bytes.HasPrefix(c.head, []byte("HTTP/1.1 1")) {
			c.head = append(c.head[:0], c.head[end:]...)
			continue
		}
		c.head, c.done = c.head[:end], true
	}
}

// headEnd returns where the empty line ends that ends a head; -1 when it has not come.
func headEnd(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return -1
		}
		at += i + 1
		if rest := bytes.TrimPrefix(b[at:], []byte("\r")); len(rest) > 0 && rest[0] == '\n' {
			return len(b) - len(rest) + 1
		}
	}
}

// connection returns the values of Connection in the head that was noted.
func (c *hopConn) connection() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var values []string
	for line := range strings.Lines(string(c.head)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Connection") {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// restore puts Connection back into an answer from which net/http took it.
func (c *hopConn) restore(res *http.Response) {
	if c != nil && res.Close && res.ProtoMajor == 1 {
		res.Header["Connection"] = c.connection()
	}
}

// dial connects to an endpoint without TLS.
func (t *target) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := t.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &hopConn{Conn: c}, nil
}

// dialTLS connects to an endpoint with TLS, which the dialer's timeout is for too. Over HTTP/2
// there are no hop-by-hop headers.
func (t *target) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	d := tls.Dialer{NetDialer: &t.dialer, Config: t.transport.TLSClientConfig}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tc, ok := c.(*tls.Conn); ok && tc.ConnectionState().NegotiatedProtocol == "h2" {
		return c, nil // as it is, which is how the transport knows
	}
	return &hopConn{Conn: c}, nil
}
