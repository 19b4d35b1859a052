package wsgw

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/specjson"
)

// Close codes, as docs/live.md has them.
const (
	closeProtocol    = websocket.StatusProtocolError
	closeBinary      = websocket.StatusUnsupportedData
	closeGone        = websocket.StatusAbnormalClosure // is never sent
	closeBadText     = websocket.StatusInvalidFramePayloadData
	closeNotAllowed  = websocket.StatusPolicyViolation
	closeTooLarge    = websocket.StatusMessageTooBig
	closeRestart     = websocket.StatusServiceRestart
	closeTryLater    = websocket.StatusTryAgainLater
	closeTimeout     = 2 * time.Second
	maxStrikes       = 100       // frames above the rate that are refused before the connection is closed
	maxUnknownFrame  = 64 << 10  // of who has not authenticated
	maxPatternsOfAll = 10_000    // of a connection's subscriptions together
	keepScratch      = 256 << 10 // of a buffer that frames are read into
)

// conn is a connection. Its reader is the goroutine of run.
type conn struct {
	g     *Gateway
	ws    *websocket.Conn
	wire  wire
	about Conn // Principal is set when it is known, before OnOpen

	ctx    context.Context // of all that it waits for
	cancel context.CancelFunc
	tasks  sync.WaitGroup // goroutines beside the reader

	// of the reader
	opened         bool // OnOpen was told
	limit, strikes *rate.Limiter

	mu    sync.Mutex // guards what follows; nothing is locked under it
	room  sync.Cond  // there may be room for answers, or the connection ends
	over  bool       // no task begins any more
	shuts *shutting  // why the node closes it
	timer *time.Timer
	cred  auth.Credential
	grant *auth.Grant // nil until it is known who it is

	asked   int   // how often the client was asked whether it is there since it was heard
	askedAt int64 // when last, in Unix nanoseconds

	refs    map[string]*op // what is under way
	calls   int            // of refs, that are calls
	appends int            // of refs, that are appends
	subs    int            // of refs, that are subscriptions
	lanes   map[edda.Address][]*callOp
	queue   []*appendOp // appends that wait for those before them
	adding  bool        // a task is at the queue

	drained  bool // it was told that the node stops
	writing  bool // a task writes
	out      []answer
	spare    []answer // what out was before
	outBytes int      // of answers that are not written yet
	ready    []*sub   // subscriptions that may have messages
	turns    []*sub   // what ready was before
}

// shutting is why the node closes a connection.
type shutting struct {
	code   websocket.StatusCode
	reason string
}

// answer is a frame that waits to be written.
type answer []byte

// op is what a ref stands for; one of them is not nil.
type op struct {
	call *callOp
	add  *appendOp
	sub  *sub
}

func (g *Gateway) newConn(r *http.Request, namespace string, cred auth.Credential, grant *auth.Grant) *conn {
	h := r.Header.Clone()
	for _, secret := range append([]string{"Authorization", "Cookie"}, g.keys...) {
		h.Del(secret)
	}
	c := &conn{
		g: g, about: Conn{Namespace: namespace, RemoteAddr: r.RemoteAddr, Header: h}, cred: cred, grant: grant,
		limit: rate.NewLimiter(rate.Limit(g.opts.Rate), g.opts.Burst), strikes: rate.NewLimiter(1, maxStrikes),
	}
	c.wire.timeout, c.wire.metrics = g.opts.WriteTimeout, g.metrics
	c.room.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if grant != nil {
		c.about.Principal = grant.Principal
	}
	if g.opts.OnOpen == nil && g.opts.OnClose == nil && g.opts.OnPing == nil {
		c.about.Header = nil // nobody asks, and connections last
	}
	g.mu.Lock()
	g.lastID++
	c.about.ID = g.lastID
	g.mu.Unlock()
	return c
}

// principal is who the connection is counted for; empty when that is not known.
func (c *conn) principal() edda.Principal { return c.about.Principal }

// run reads the connection until it ends, and then ends all that was begun for it.
func (c *conn) run() {
	g := c.g
	g.metrics.opened()
	err := errShut
	if g.enter(c) {
		c.begin()
		err = c.read()
	} else {
		c.shut(closeRestart, "the node stops")
	}
	code := c.ended(err)
	c.mu.Lock()
	c.over = true
	timer, subs := c.timer, c.subscriptions()
	c.room.Broadcast()
	c.mu.Unlock()
	c.cancel()
	if timer != nil {
		timer.Stop()
	}
	for _, s := range subs {
		s.end()
	}
	c.tasks.Wait()
	g.metrics.calls.Sub(float64(c.calls)) // which waited for those before them, and never went
	_ = c.ws.CloseNow()
	g.metrics.closed(int(code))
	if c.opened && g.opts.OnClose != nil {
		g.opts.OnClose(&c.about, int(code))
	}
	g.leave(c, c.principal())
}

// begin starts the clocks, and lets in who is known.
func (c *conn) begin() {
	c.mu.Lock()
	c.timer = time.AfterFunc(c.nextBeat(time.Now()), c.beat)
	known := c.grant != nil
	c.mu.Unlock()
	if !known {
		c.ws.SetReadLimit(maxUnknownFrame)
		return
	}
	c.letIn()
}

// letIn takes note of who it is, once that is known.
func (c *conn) letIn() {
	c.ws.SetReadLimit(c.g.opts.MaxFrame)
	if c.g.opts.OnOpen != nil {
		if err := c.g.opts.OnOpen(c.ctx, &c.about); err != nil {
			if _, ok := errors.AsType[*edda.Error](err); !ok {
				err = &edda.Error{Reason: edda.NotAllowed, Err: err}
			}
			c.reject("", err)
			return
		}
	}
	c.opened = true
}

// errShut: the node closes the connection, and nothing more is read.
var errShut = errors.New("the connection is being closed")

// read handles frames until the connection ends, and returns why.
func (c *conn) read() error {
	for {
		if !c.waitForRoom() {
			return errShut
		}
		kind, r, err := c.ws.Reader(context.Background())
		if err != nil {
			return err
		}
		if kind != websocket.MessageText {
			c.shut(closeBinary, "frames are text")
			return errShut
		}
		buf := batches.Get().(*[]byte)
		*buf, err = readAll(r, (*buf)[:0])
		if err == nil {
			err = c.frame(*buf)
		}
		if cap(*buf) <= keepScratch {
			*buf = (*buf)[:0]
			batches.Put(buf)
		}
		if err != nil {
			return err
		}
	}
}

// readAll appends all there is to b.
func readAll(r io.Reader, b []byte) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return b, err
		}
	}
}

// frame handles one message of the client. An error ends the connection.
func (c *conn) frame(b []byte) error {
	if !utf8.Valid(b) {
		c.shut(closeBadText, "frames are UTF-8")
		return errShut
	}
	c.g.metrics.framesIn.Inc()
	f, err := specjson.ReadFrame(c.about.Namespace, b)
	if !c.limit.Allow() {
		c.fail(f.Ref, &edda.Error{Reason: edda.RateLimited, RetryAfter: time.Second, Err: errRate})
		if !c.strikes.Allow() {
			c.shut(closeNotAllowed, "too many frames")
			return errShut
		}
		return nil
	}
	if err != nil {
		c.fail(f.Ref, err)
		return nil
	}
	c.handle(f)
	if c.isShut() {
		return errShut
	}
	return nil
}

var errRate = errors.New("the connection sends more frames in a second than it may")

// pinged answers a ping of the client, unless it sends too many.
func (c *conn) pinged(context.Context, []byte) bool {
	if !c.limit.Allow() {
		if !c.strikes.Allow() {
			c.shut(closeNotAllowed, "too many pings")
		}
		return false
	}
	if c.opened && c.g.opts.OnPing != nil {
		c.g.opts.OnPing(&c.about)
	}
	return true
}

// ended finds out how the connection ended, and closes it unless a task does.
func (c *conn) ended(err error) websocket.StatusCode {
	c.mu.Lock()
	shuts := c.shuts
	c.mu.Unlock()
	switch {
	case shuts != nil:
		return shuts.code
	case websocket.CloseStatus(err) != -1:
		return websocket.CloseStatus(err)
	case errors.Is(err, websocket.ErrMessageTooBig):
		c.shut(closeTooLarge, "the frame is too large")
		return closeTooLarge
	case isBroken(err):
		_ = c.ws.CloseNow()
		return closeGone
	default:
		c.shut(closeProtocol, "a breach of the protocol")
		return closeProtocol
	}
}

// isBroken reports whether there is nobody to say anything to.
func isBroken(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled)
}

// shut has the connection closed once the answers before it are written.
func (c *conn) shut(code websocket.StatusCode, reason string) {
	c.mu.Lock()
	if c.shuts == nil {
		c.shuts = &shutting{code, reason}
		c.room.Broadcast()
		c.wake()
	}
	c.mu.Unlock()
	c.cancel()
}

func (c *conn) isShut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shuts != nil
}

// task starts a goroutine that the connection's end waits for. It is false when there is
// to be none any more.
func (c *conn) task(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	c.tasks.Go(f)
	return true
}

// drain tells the client that the node is about to stop.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained || c.over {
		return
	}
	c.drained = true
	c.put([]byte(`{"op":"drain"}`))
	c.closeIfDrained()
}

// closeIfDrained closes a connection that was told to go, and has nothing to wait for. The
// caller holds mu.
func (c *conn) closeIfDrained() {
	if c.drained && c.calls == 0 && c.appends == 0 && c.shuts == nil {
		c.shuts = &shutting{closeRestart, "the node stops"}
		c.room.Broadcast()
		c.wake()
	}
}
