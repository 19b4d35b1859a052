// Package client connects to a node in another process. A [Conn] is an
// [edda.Backend], an [edda.SagaBackend], an [edda.StreamBackend] and an
// [edda.GroupBackend] as a node is one, so that a program which calls services, or has
// sagas or streams, does not change when the node moves out of its process:
//
//	conn, err := client.Dial("http://127.0.0.1:7400", client.Options{})
//	c := conn.Client() // as node.Client()
//
// It sets, looks up, lists and removes channels as an [edda.ChannelBackend] does, an append
// with a Channel publishes, and [Conn.Listen] subscribes; for presence, and subscriptions whose
// patterns change, there are HTTP and WebSocket.
//
// Calls, sends and appends travel together on a few connections, as many at a time as are
// waiting. They return the same replies and the same [edda.Error] as in process,
// and what was acknowledged is as durable. When the connection breaks before an
// answer has come, the request may or may not have been stored: one with an
// idempotency key, or an append whose messages have ids, is sent again, for any other the
// error is OutcomeUnknown. What is asked of a saga, a stream, a group or a channel is sent
// again where a second time changes nothing.
package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
)

// Defaults of Options.
const (
	DefaultConnections    = 2
	DefaultConnectTimeout = 5 * time.Second
)

// Options say how to connect. The zero value works.
type Options struct {
	// Token is sent as a bearer token; none when empty. Without TLS it can be read on
	// its way. The node takes the principal from it, whatever Client.As says.
	Token string
	// TLS secures the connection to an https URL, or to a bare host:port. Nil means
	// the system's roots for https, and no TLS for host:port.
	TLS *tls.Config
	// Connections is how many connections carry calls when there are many. One more
	// carries large messages. Zero means DefaultConnections.
	Connections int
	// ConnectTimeout is how long a request waits for a connection, when there is none,
	// before it is refused with Unavailable. Zero means DefaultConnectTimeout.
	ConnectTimeout time.Duration
	// Logger is told of connections that are lost or cannot be made: why, once until
	// that changes. Nil discards it.
	Logger *slog.Logger
}

// Conn is a connection to a node. It is safe for concurrent use.
//
// Beside the errors that the node gives, its methods return Unavailable when there
// is no connection, or at once NoRoute when what is there is no node that this side
// can talk to, both of which promise that nothing was stored; OutcomeUnknown when
// it broke before the answer came; and TooLarge for a message beyond what a node
// takes.
type Conn struct {
	url    string
	opts   Options
	log    *slog.Logger
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	base   *rpcconn.Conn // of the calls that do not travel together
	large  *lane
	wg     sync.WaitGroup
	closed sync.Once
	small  atomic.Pointer[[]*lane] // the first Connections of them have one each

	mu    sync.Mutex // held while a lane is added; guards what follows
	ccs   []*rpcconn.Conn
	ended bool

	toldMu sync.Mutex // guards told
	told   string     // why there is no connection, as the log has it; empty: there is one
}

var (
	_ edda.Backend     = (*Conn)(nil)
	_ edda.SagaBackend = (*Conn)(nil)

	_ edda.StreamBackend = (*Conn)(nil)
	_ edda.GroupBackend  = (*Conn)(nil)
)

// Dial returns a connection to the node at url: "http://host:port",
// "https://host:port" or "host:port". It does not wait for the node: the
// connection is made when it is first used, and again whenever it has to be. Close
// it after use. The error is an *edda.Error, BadValue, that says what is wrong with
// url or the options.
func Dial(url string, o Options) (*Conn, error) {
	o.Connections = cmp.Or(o.Connections, DefaultConnections)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, DefaultConnectTimeout)
	bad := func(format string, args ...any) (*Conn, error) {
		return nil, &edda.Error{Op: fmt.Sprintf("connect to %q", url), Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
	}
	if o.Connections < 0 || o.Connections > 64 {
		return bad("option Connections is %d, must be 1 to 64", o.Connections)
	}
	if o.ConnectTimeout < 0 {
		return bad("option ConnectTimeout is %v, must be positive", o.ConnectTimeout)
	}
	c := &Conn{url: url, opts: o, log: o.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for range o.Connections + 1 {
		cc, err := rpcconn.Dial(url, rpcconn.Options{Token: o.Token, TLS: o.TLS, Agent: "edda-go"})
		if err != nil {
			c.cancel()
			return nil, errors.Join(err, c.closeAll())
		}
		c.ccs = append(c.ccs, cc)
	}
	c.base = c.ccs[o.Connections]
	c.large = c.start(c.base)
	var small []*lane
	for _, cc := range c.ccs[:o.Connections] {
		small = append(small, c.start(cc))
	}
	c.small.Store(&small)
	return c, nil
}

// Client returns a client in the default namespace.
func (c *Conn) Client() *edda.Client { return edda.NewClient(c) }

// Close ends the connection. Requests that wait end with Unavailable when they were
// not sent, else with OutcomeUnknown; the requests themselves go on. A second Close
// does nothing.
func (c *Conn) Close() error {
	var err error
	c.closed.Do(func() {
		c.mu.Lock()
		c.ended = true
		c.mu.Unlock()
		c.cancel()
		c.wg.Wait()
		err = c.closeAll()
	})
	return err
}

func (c *Conn) closeAll() error {
	var errs []error
	for _, cc := range c.ccs {
		errs = append(errs, cc.Close())
	}
	return errors.Join(errs...)
}

const (
	// largeBytes is from when on a message is large, and does not travel with others.
	largeBytes = 128 << 10
	// spill is how many calls one connection has before the next is used: together
	// they travel at less cost.
	spill = 256
	// full is how many calls one stream has before another is opened: a node reads on
	// only while it has less than twice as many to answer.
	full = 1024
)

// start starts a lane on a connection.
func (c *Conn) start(cc *rpcconn.Conn) *lane {
	l := newLane(c, cc)
	c.wg.Go(l.run)
	return l
}

// pick returns the lane for a message of a size.
func (c *Conn) pick(size int) *lane {
	if size > largeBytes {
		return c.large
	}
	best, calls := least(*c.small.Load())
	if calls < full {
		return best
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	small := *c.small.Load()
	if best, calls = least(small); calls < full || c.ended {
		return best
	}
	best = c.start(c.ccs[len(small)%c.opts.Connections])
	small = append(slices.Clone(small), best)
	c.small.Store(&small)
	return best
}

// least returns the first lane that has few calls, else the one that has the fewest.
func least(lanes []*lane) (best *lane, calls int64) {
	for _, l := range lanes {
		n := l.calls.Load()
		if n < spill {
			return l, n
		}
		if best == nil || n < calls {
			best, calls = l, n
		}
	}
	return best, calls
}

// Send makes the message durable. See edda.Client.Send.
func (c *Conn) Send(ctx context.Context, m *edda.Message) (*edda.Ack, error) {
	r, err := c.do(ctx, m, reqSend)
	if err != nil {
		return nil, err
	}
	if r.kind != resAck {
		return nil, unexpected(opOf(m))
	}
	return readAck(opOf(m), r.bytes)
}

// Call sends the message and returns the reply. See edda.Client.Call.
func (c *Conn) Call(ctx context.Context, m *edda.Message) (*edda.Reply, error) {
	r, err := c.do(ctx, m, reqCall)
	if err != nil {
		return nil, err
	}
	if r.kind != resReply {
		return nil, unexpected(opOf(m))
	}
	return readResponse(opOf(m), r.bytes, r.shared)
}

func opOf(m *edda.Message) string { return "call " + m.To.String() }

// Wait returns the reply to a request, or the error it ended with. See
// edda.Client.Wait.
func (c *Conn) Wait(ctx context.Context, namespace string, id edda.ID) (*edda.Reply, error) {
	op := "wait for " + id.String()
	b, err := c.ask(ctx, op, service+"Wait", id, requestOf(namespace, id))
	if err != nil {
		return nil, err
	}
	return readResponse(op, b, false)
}

// Request returns what is known of a request. See edda.Client.Request.
func (c *Conn) Request(ctx context.Context, namespace string, id edda.ID) (*edda.Request, error) {
	op := "look up request " + id.String()
	b, err := c.ask(ctx, op, service+"Get", id, requestOf(namespace, id))
	if err != nil {
		return nil, err
	}
	return readRequest(op, b)
}

// Cancel ends a request at once. See edda.Client.Cancel.
func (c *Conn) Cancel(ctx context.Context, namespace string, id edda.ID) (*edda.Request, error) {
	op := "cancel request " + id.String()
	b, err := c.ask(ctx, op, service+"Cancel", id, requestOf(namespace, id))
	if err != nil {
		return nil, err
	}
	return readRequest(op, b)
}

// service is the name of the service that clients call.
const service = "/edda.v1.EddaService/"

// ask makes one call that may be repeated without harm, and repeats it when the
// connection breaks, until there is none for ConnectTimeout.
func (c *Conn) ask(ctx context.Context, op, method string, id edda.ID, req []byte) ([]byte, error) {
	ctx, stop := c.within(ctx)
	defer stop()
	var r retry
	for {
		if c.base.GetState() == connectivity.Ready {
			r = retry{}
		}
		var answer []byte
		err := c.base.Invoke(ctx, method, req, &answer)
		if err == nil {
			c.found()
			return answer, nil
		}
		if e := c.final(ctx, op, id, err); e != nil {
			return nil, e
		}
		if e := r.again(ctx, c, c.base, err); e != nil {
			return nil, &edda.Error{Op: op, Reason: edda.Unavailable, RequestID: id, RetryAfter: time.Second, Err: rpcconn.Why(err)}
		}
	}
}

// lost logs why there is no connection, unless the log has it.
func (c *Conn) lost(why error) {
	text := why.Error()
	c.toldMu.Lock()
	known := c.told == text
	c.told = text
	c.toldMu.Unlock()
	level := slog.LevelWarn
	if known {
		level = slog.LevelDebug
	}
	c.log.Log(c.ctx, level, "no connection to the node", "url", c.url, "why", why)
}

// found notes that there is a connection.
func (c *Conn) found() {
	c.toldMu.Lock()
	defer c.toldMu.Unlock()
	c.told = ""
}

// within returns a context that ends with ctx and with the connection.
func (c *Conn) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// errClosed: the connection was closed by its owner.
var errClosed = errors.New("the connection is closed")

// final returns the error that ends a call, nil when the connection broke and it may
// be tried again.
func (c *Conn) final(ctx context.Context, op string, id edda.ID, err error) error {
	if e, ok := rpcconn.FromStatus(op, err); ok {
		return e
	}
	if ctx.Err() == nil {
		return nil
	}
	if c.ctx.Err() != nil {
		return &edda.Error{Op: op, Reason: edda.Unavailable, RequestID: id, Err: errClosed}
	}
	return &edda.Error{Op: op, Reason: edda.Timeout, RequestID: id, Err: errWaitOver}
}

// errWaitOver: the caller waits no longer.
var errWaitOver = errors.New("the wait was over")

// retry spaces out the tries of one call.
type retry struct {
	since time.Time // of the first that failed, with no connection since
	delay time.Duration
}

const (
	firstDelay = 20 * time.Millisecond
	lastDelay  = 500 * time.Millisecond
)

// errGivenUp: there was no connection for too long.
var errGivenUp = errors.New("no connection for too long")

// again waits for the time of the next try, after one that failed because of why. The
// error says that there is none.
func (r *retry) again(ctx context.Context, c *Conn, cc *rpcconn.Conn, why error) error {
	c.lost(rpcconn.Why(why))
	now := time.Now()
	if r.since.IsZero() {
		r.since, r.delay = now, firstDelay
	}
	if now.Sub(r.since) >= c.opts.ConnectTimeout {
		return errGivenUp
	}
	t := time.NewTimer(min(r.delay, r.since.Add(c.opts.ConnectTimeout).Sub(now)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done(): // the next try says so
	}
	r.delay = min(2*r.delay, lastDelay)
	cc.ResetConnectBackoff()
	return nil
}
