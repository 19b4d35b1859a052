package oneport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// direct finds out what a connection is for, and hands it over.
func (s *Server) direct(c net.Conn, toHTTP, toRPC *port) {
	deadline := time.Now().Add(s.opts.Handshake)
	_ = c.SetDeadline(deadline)
	if s.tls == nil {
		s.look(c, nil, toHTTP, toRPC)
		return
	}
	t := tls.Server(c, s.tls)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && e.Conn != nil && looksLikeHTTP(e.RecordHeader) {
			_, _ = io.WriteString(c, noTLS)
		}
		s.log.Debug("TLS handshake", "peer", c.RemoteAddr().String(), "error", err)
		_ = c.Close()
		return
	}
	state := t.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		_ = t.SetDeadline(time.Time{})
		toHTTP.hand(t)
		return
	}
	s.look(t, &state, toHTTP, toRPC)
}

// noTLS is what net/http answers to a request without TLS where there must be one.
const noTLS = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

// looksLikeHTTP reports whether what should be the header of a TLS record is the
// beginning of an HTTP request.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "PRI *":
		return true
	}
	return false
}

// look reads the beginning of a connection, and hands it over with all that was
// read.
func (s *Server) look(c net.Conn, state *tls.ConnectionState, toHTTP, toRPC *port) {
	l := &lookout{conn: c}
	rpc, err := l.look()
	if err != nil {
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Time{})
	r := &replayed{Conn: c, first: l.read.Bytes(), state: state}
	switch {
	case !rpc:
		if l.nudged {
			// net/http takes an acknowledgement of settings that it did not send for a
			// breach of the protocol; gRPC passes over it.
			r.acks = newAckFilter(reader(r.unfiltered))
		}
		// net/http speaks HTTP/2 over what it takes for a connection without TLS, and
		// over a *tls.Conn, which this is no more.
		toHTTP.hand(r)
	case state != nil:
		toRPC.hand(&secured{r})
	default:
		toRPC.hand(r)
	}
}

// lookout reads what comes first over a connection.
type lookout struct {
	conn   net.Conn
	read   bytes.Buffer
	nudged bool // settings were sent
}

// nudgeAfter is how long a client of HTTP/2 may take for its first request before
// it is sent settings: some, as that of grpc-go, send none until they have them.
const nudgeAfter = 3 * time.Millisecond

// maxPreludeFrames bounds what may come before the first request.
const maxPreludeFrames = 100

// look reports whether the connection begins with a gRPC request. It returns an
// error when nothing can be made of the connection.
func (l *lookout) look() (rpc bool, err error) {
	in := io.TeeReader(l.conn, &l.read)
	preface := make([]byte, len(http2.ClientPreface))
	for n := range preface {
		if _, err := io.ReadFull(in, preface[n:n+1]); err != nil {
			return false, err
		}
		if preface[n] != http2.ClientPreface[n] {
			return false, nil
		}
	}
	defer l.nudge()()
	f := http2.NewFramer(io.Discard, in)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.MaxHeaderListSize = maxHeaderBytes
	for range maxPreludeFrames {
		frame, err := f.ReadFrame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false, nil // it is kept for later, for as long as net/http lets it
		case broken(err):
			return false, nil // net/http says so
		case err != nil:
			return false, err
		}
		if h, ok := frame.(*http2.MetaHeadersFrame); ok {
			return isRPC(fieldOf(h, "content-type")), nil
		}
	}
	return false, nil
}

// broken reports whether what was read is not HTTP/2.
func broken(err error) bool {
	_, conn := errors.AsType[http2.ConnectionError](err)
	_, stream := errors.AsType[http2.StreamError](err)
	return conn || stream || errors.Is(err, http2.ErrFrameTooLarge)
}

const maxHeaderBytes = 64 << 10

func fieldOf(h *http2.MetaHeadersFrame, name string) string {
	for _, f := range h.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// nudge sends settings once the client has had the time to go ahead without. The
// function it returns waits until that is done or will not be.
func (l *lookout) nudge() (settle func()) {
	var once sync.WaitGroup
	once.Add(1)
	t := time.AfterFunc(nudgeAfter, func() {
		defer once.Done()
		l.nudged = http2.NewFramer(l.conn, nil).WriteSettings() == nil
	})
	return func() {
		if t.Stop() {
			once.Done()
		}
		once.Wait()
	}
}
