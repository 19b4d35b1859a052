package rpcconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/certwhy"
)

// Conn is a connection to a node that can tell why there is none. It is safe for
// concurrent use.
type Conn struct {
	*grpc.ClientConn
	w *witness
}

// NewStream opens a stream. When there is no connection the error says why: an
// *edda.Error, NoRoute, when that would be so the next time too, because what is
// there is no node, or none that this side can talk to with the URL and the TLS
// configuration that it has; NoCredentials when the node refuses the certificate of
// this side; else an error whose text is the same each time the cause is.
func (c *Conn) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := c.ClientConn.NewStream(ctx, d, method, opts...)
	return s, c.explain(err)
}

// Invoke makes a unary call. Errors are those of NewStream where there was no
// connection.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.explain(c.ClientConn.Invoke(ctx, method, args, reply, opts...))
}

// dialing is what gRPC writes before the error of a dial.
const dialing = "transport: Error while dialing: "

// explain says more of an error about a connection that could not be made.
func (c *Conn) explain(err error) error {
	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.Unavailable || len(st.Proto().GetDetails()) > 0 {
		return err
	}
	text := st.Message()
	if quoted, ok := strings.CutPrefix(text, "connection error: desc = "); ok {
		if plain, err := strconv.Unquote(quoted); err == nil {
			text = plain
		}
	}
	if dial, ok := strings.CutPrefix(text, dialing); ok {
		return dialError(c.w.addr, dial)
	}
	if why := c.w.last(); why != nil {
		return why
	}
	return err
}

// dialError says more of an error of net.Dial, of which only the text is known.
func dialError(addr, text string) error {
	switch {
	case strings.Contains(text, "refused"):
		return fmt.Errorf("nobody listens at %s: start a node there, or connect to the port of one (7400 by default): %s", addr, text)
	case strings.Contains(text, "no such host"):
		return fmt.Errorf("the host of %s is not known: correct its name, or wait until it is known: %s", addr, text)
	default:
		return errors.New(text)
	}
}

// witness sees how a connection begins, because gRPC leaves of that only a text.
type witness struct {
	addr string // HOST:PORT

	mu    sync.Mutex // guards what follows
	began bool       // the last connection is one to a node, or was
	why   error      // it did not come about; nil: it did, or is about to
}

func (w *witness) last() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// opens notes that a connection is being made, or with began that it was.
func (w *witness) opens(began bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began, w.why = began, nil
}

// fails notes why a connection did not come about. What is only a consequence of
// what was noted before is passed over.
func (w *witness) fails(why error, consequence bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.began && (w.why == nil || !consequence) {
		w.why = why
	}
}

// lasting is an error that the next connection would meet too.
func lasting(reason edda.Reason, format string, args ...any) error {
	return &edda.Error{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// handshakeError says what a failed handshake means.
func (w *witness) handshakeError(err error) error {
	if text, passes, ok := certwhy.Explain(w.addr, err); ok {
		if passes {
			return errors.New(text)
		}
		return lasting(edda.NoRoute, "%s", text)
	}
	switch {
	case certwhy.NotTLS(err):
		return lasting(edda.NoRoute, "there is no TLS at %s: connect to http://%[1]s, without a TLS configuration, if a node is there", w.addr)
	case strings.Contains(err.Error(), "application protocol"), strings.Contains(err.Error(), "ALPN"):
		return lasting(edda.NoRoute, "what is at %s speaks no HTTP/2, so it is no node: connect to the port of one (7400 by default)", w.addr)
	}
	return w.broken(err, true)
}

// broken says what a connection that ends too early means.
func (w *witness) broken(err error, secure bool) error {
	if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" {
		if strings.Contains(alert.Err.Error(), "certificate") {
			return lasting(edda.NoCredentials, "the node at %s refuses the certificate of this side: %s; present one of the CA that it trusts", w.addr, alert.Err)
		}
		return fmt.Errorf("%s refuses the TLS handshake: %w", w.addr, alert.Err)
	}
	var timeout net.Error
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("what is at %s takes the connection and says nothing: is it a node?", w.addr)
	case secure:
		return fmt.Errorf("what is at %s ends the connection at once: is it a node, and does it take the certificate of this side?", w.addr)
	default:
		return fmt.Errorf("what is at %s ends the connection at once: is it a node, and without TLS?", w.addr)
	}
}

// stranger says what an answer means that is not HTTP/2.
func (w *witness) stranger(answer []byte, secure bool) error {
	switch {
	case !secure && certwhy.WantsTLS(answer):
		return lasting(edda.NoRoute, "there is TLS at %s: connect to https://%[1]s", w.addr)
	case bytes.HasPrefix(answer, []byte("HTTP/1.")):
		return lasting(edda.NoRoute, "what is at %s speaks HTTP/1, so it is no node: connect to the port of one (7400 by default), and not through a proxy without HTTP/2", w.addr)
	default:
		return lasting(edda.NoRoute, "what is at %s does not speak HTTP/2, so it is no node: connect to the port of one (7400 by default)", w.addr)
	}
}

// watched are credentials that show the witness what comes of them.
type watched struct {
	credentials.TransportCredentials
	w      *witness
	secure bool
}

// ClientHandshake makes the handshake.
func (c watched) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c.w.opens(false)
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		c.w.fails(c.w.handshakeError(err), false)
		return nil, nil, err
	}
	return &opening{Conn: conn, w: c.w, secure: c.secure}, info, nil
}

// Clone returns a copy that shows the same witness.
func (c watched) Clone() credentials.TransportCredentials {
	return watched{c.TransportCredentials.Clone(), c.w, c.secure}
}

// opening is a connection whose first bytes are looked at. One goroutine reads it.
type opening struct {
	net.Conn
	w      *witness
	secure bool
	head   []byte // what was read so far, until seen
	seen   bool
}

// What a node sends first is the header of a SETTINGS frame of stream 0.
const (
	frameHeaderBytes = 9
	frameSettings    = 4
	frameTypeAt      = 3
	answerBytes      = 512 // enough of what else may come
)

func (o *opening) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	if !o.seen {
		o.look(b[:n], err)
	}
	return n, err
}

// look notes what the beginning means.
func (o *opening) look(b []byte, err error) {
	o.head = append(o.head, b[:min(len(b), answerBytes)]...)
	switch {
	case len(o.head) == 0 && err == nil:
		return
	case len(o.head) < frameHeaderBytes && err == nil:
		return // more is to come
	case len(o.head) == 0:
		o.w.fails(o.w.broken(err, o.secure), errors.Is(err, net.ErrClosed))
	case len(o.head) < frameHeaderBytes, o.head[frameTypeAt] != frameSettings, !bytes.Equal(o.head[5:frameHeaderBytes], make([]byte, 4)):
		o.w.fails(o.w.stranger(o.head, o.secure), false)
	default:
		o.w.opens(true)
	}
	o.seen, o.head = true, nil
}

// Write writes. An error before the node has said anything tells of the connection:
// gRPC may give it up for that without reading on.
func (o *opening) Write(b []byte) (int, error) {
	n, err := o.Conn.Write(b)
	if err != nil {
		o.w.fails(o.w.broken(io.EOF, o.secure), true)
	}
	return n, err
}
