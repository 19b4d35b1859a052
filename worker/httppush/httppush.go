// Package httppush runs the attempts of a service whose handlers are behind a
// plain HTTP endpoint: it posts each one, signed, and makes the answer the
// attempt's outcome. It is a worker of the node that has no code of its own.
//
// A Runner is safe for concurrent use. Each attempt has a goroutine, which the
// runner waits for. Delivery is as for every worker: at least once, and what the
// answer asks for is kept exactly once. An endpoint that cannot be connected to
// costs no attempt: the attempt is handed back, and the endpoint is out of service
// until it can be reached, and is healthy, again. What was sent to it and not
// answered has been an attempt.
//
// Redirects are not followed, proxies of the environment are not used, and
// nothing is ever repeated behind the node's back.
package httppush

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// DefaultMaxReply is the largest body of an answer, in bytes.
const DefaultMaxReply = 4 << 20

// Options say how a Runner works. The zero value works.
type Options struct {
	// MaxReply is the largest body of an answer in bytes. Zero means
	// DefaultMaxReply. The JSON of an envelope may be half as large again, and 64 KiB
	// more, because of what the payload grows by in it.
	MaxReply int64
	// TLS is how https endpoints are connected to; the system's roots when nil. It is
	// copied.
	TLS *tls.Config
	// Logger hears when an endpoint goes out of service and comes back; nobody does
	// when it is nil.
	Logger *slog.Logger
}

// Runner runs the attempts of one service behind an endpoint. It is a
// node.Endpoint.
type Runner struct {
	opts Options
	log  *slog.Logger

	target  atomic.Pointer[target]
	changed chan struct{} // has one element when target was replaced
	// lost takes attempts that did not reach the endpoint, until stopped is closed.
	lost    chan *try
	stopped chan struct{}
	alive   chan struct{} // has one element when the endpoint has answered
	beaten  atomic.Int64  // when that was said last, in Unix nanoseconds

	mu    sync.Mutex // guards ended; tries grows only under it
	ended bool       // nothing begins any more
	tries sync.WaitGroup
}

// attempt is what the runner uses of a *node.Attempt.
type attempt interface {
	Dispatch() *edda.Dispatch
	Context() context.Context
	Taken()
	Done(out *edda.Outcome) error
	HandBack()
}

// worker is what the runner uses of a *node.Worker.
type worker interface {
	SetReady(ready bool)
	Beat()
}

var _ node.Endpoint = (*Runner)(nil)

// New returns a runner for the endpoint. It does not connect. The error names the
// field of the specification, or the option, that makes no sense.
func New(spec edda.EndpointSpec, opts Options) (*Runner, error) {
	if opts.MaxReply < 0 {
		return nil, &edda.Error{
			Op: "check options", Reason: edda.BadValue, Err: fmt.Errorf("option MaxReply is %d, must be positive", opts.MaxReply),
		}
	}
	opts.MaxReply = cmp.Or(opts.MaxReply, DefaultMaxReply)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Runner{
		opts: opts, log: opts.Logger,
		changed: make(chan struct{}, 1), lost: make(chan *try), stopped: make(chan struct{}), alive: make(chan struct{}, 1),
	}
	t, err := newTarget(spec, &r.opts)
	if err != nil {
		return nil, err
	}
	r.target.Store(t)
	return r, nil
}

// Change takes another specification of the same service. Attempts that have
// begun end as they began; later ones go by the new one.
func (r *Runner) Change(spec edda.EndpointSpec) error {
	t, err := newTarget(spec, &r.opts)
	if err != nil {
		return err
	}
	old := r.target.Swap(t)
	old.transport.CloseIdleConnections()
	select {
	case r.changed <- struct{}{}:
	default: // it will look anyway
	}
	return nil
}

// Start posts an attempt. When Serve has ended it is handed back.
func (r *Runner) Start(a *node.Attempt) { r.start(a) }

func (r *Runner) start(a attempt) {
	r.mu.Lock()
	ended := r.ended
	if !ended {
		r.tries.Go(func() { r.run(a) })
	}
	r.mu.Unlock()
	if ended {
		a.HandBack()
	}
}

// Fenced does nothing: the context of the attempt has ended, and with it the
// request to the endpoint.
func (r *Runner) Fenced(*node.Attempt, error) {}

// Members does nothing: an endpoint does not ask which keys are its own.
func (r *Runner) Members(edda.Address, []string) {}

// Drain does nothing: attempts end by themselves.
func (r *Runner) Drain(string, bool) {}

func (r *Runner) run(a attempt) {
	y := &try{attempt: a, t: r.target.Load()}
	out := y.invoke()
	if y.unreached != nil {
		select {
		case r.lost <- y:
		case <-r.stopped:
			a.HandBack()
		}
		return
	}
	if y.answered {
		r.beat()
	}
	_ = a.Done(&out) // an error says that nobody wants the outcome any more
}

// beatEvery is how often an endpoint that answers is noted as alive, at most.
const beatEvery = time.Second

// beat notes that the endpoint has answered.
func (r *Runner) beat() {
	now, last := time.Now().UnixNano(), r.beaten.Load()
	if now-last < int64(beatEvery) || !r.beaten.CompareAndSwap(last, now) {
		return
	}
	select {
	case r.alive <- struct{}{}:
	default:
	}
}

// Serve watches the endpoint and tells the worker whether it is in service, until
// ctx ends. It returns once the last attempt has ended. It must be called once.
func (r *Runner) Serve(ctx context.Context, w *node.Worker) { r.serve(ctx, w) }

func (r *Runner) serve(ctx context.Context, w worker) {
	r.watch(ctx, w)
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	close(r.stopped)
	r.tries.Wait()
	r.target.Load().transport.CloseIdleConnections()
}
