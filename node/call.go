package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/lazyctx"
	"github.com/edda-io/edda/internal/record"
)

// call is a request from outside on its way in, and whoever waits for what
// becomes of it.
type call struct {
	msg         *edda.Message
	rec         []byte
	svc         *service
	kind        edda.Kind
	addr        string // the address in its flat form
	hash        uint64
	fingerprint string
	// waits: the caller wants the outcome, not just the acknowledgement.
	waits bool
	// consumes: once the caller has the outcome nobody else needs it.
	consumes bool

	// onEnd, when not nil, sees the ended request in its partition's goroutine, and
	// onAccept that it is durable.
	onEnd    func(*request.Request)
	onAccept func(*place)

	span *acceptSpan // nil when nobody traces

	stage atomic.Int32 // of the stages
	place place        // valid from stageAccepted on
	res   *result      // valid when done was signaled; nil: acknowledged
	err   *edda.Error  // likewise
	told  atomic.Bool
	done  chan struct{} // gets one signal
}

// The stages of a call, as its goroutine and the partition's see them.
const (
	stageProposed int32 = iota
	stageAccepted
	stageClaimed // the outcome is on its way to the caller, who has to stay for it
	stageGone    // the caller has left
)

// place is where a request is, and since when.
type place struct {
	id           edda.ID
	part         engine.Partition
	pos          uint64
	at           int64
	joined, done bool
}

// result is what became of a request.
type result struct {
	place
	attempts int
	state    edda.State
	failure  record.Failure
	reply    []byte // encoded
	gone     bool   // the reply's body is not kept any more
	shared   bool   // somebody else may get the reply too
	key      string
}

func newCall(waits bool) *call { return &call{waits: waits, done: make(chan struct{}, 1)} }

// bells are channels whose one signal was taken, of calls above all, for others who wait
// at the same node.
type bells struct{ pool sync.Pool }

func (b *bells) newCall(waits bool) *call { return &call{waits: waits, done: b.take()} }

// take returns a channel for one signal.
func (b *bells) take() chan struct{} {
	if done, ok := b.pool.Get().(chan struct{}); ok {
		return done
	}
	return make(chan struct{}, 1)
}

// put takes back a channel whose signal was taken, and that nobody else has.
func (b *bells) put(done chan struct{}) { b.pool.Put(done) }

// heard takes the channel back from a call whose signal was taken, and returns what
// the call was refused with.
func (b *bells) heard(c *call) error {
	b.put(c.done)
	return c.error()
}

// accepted notes that the request is durable, and wakes a caller who wants no
// more than that.
func (c *call) accepted(at place) {
	c.place = at
	if c.span != nil {
		c.span.durable = time.Now()
	}
	c.stage.CompareAndSwap(stageProposed, stageAccepted)
	if c.onAccept != nil {
		c.onAccept(&c.place)
	}
	if !c.waits {
		c.signal()
	}
}

// finish hands over the outcome.
func (c *call) finish(r *result) {
	if c.waits {
		c.res = r
		c.signal()
	}
}

// refuse hands over an error.
func (c *call) refuse(err *edda.Error) {
	c.err = err
	c.signal()
}

// signal wakes the caller. The first acknowledgement, outcome or error counts: by the
// second the channel may be another call's.
func (c *call) signal() {
	if !c.told.Swap(true) {
		c.done <- struct{}{}
	}
}

func (c *call) gone() bool { return c.stage.Load() == stageGone }

// claim has the caller stay until the outcome is there. It is false when the
// caller has left already.
func (c *call) claim() bool {
	return c.stage.CompareAndSwap(stageAccepted, stageClaimed) || c.stage.Load() == stageClaimed
}

// leave notes that the caller waits no longer, and reports whether the request
// was accepted. A caller who was claimed cannot leave: nobody would keep the
// outcome for it.
func (c *call) leave() (accepted, left bool) {
	if c.stage.CompareAndSwap(stageProposed, stageGone) {
		return false, true
	}
	return true, c.stage.CompareAndSwap(stageAccepted, stageGone)
}

func (c *call) op() string {
	if c.msg == nil {
		return "wait"
	}
	return "call " + c.msg.To.String()
}

// startsNow reports whether the request may be handled at once.
func (c *call) startsNow() bool {
	return c.msg.Due.IsZero() || !c.msg.Due.After(time.Now())
}

// Send makes the message durable. See edda.Client.Send.
func (n *Node) Send(ctx context.Context, m *edda.Message) (*edda.Ack, error) {
	c := n.bells.newCall(false)
	m.Chain = nil // nobody waits, so no circle can close
	if err := n.ask(ctx, m, c, true); err != nil {
		return nil, err
	}
	return n.ack(&c.place), nil
}

// Call sends the message and waits for the reply. See edda.Client.Call. Beside
// the outcomes of the request the error may be NO_WORKER, KEY_STOPPED or
// SERVICE_PAUSED: the request is stored then, and goes on when it can.
func (n *Node) Call(ctx context.Context, m *edda.Message) (*edda.Reply, error) {
	return n.CallAcked(ctx, m, nil)
}

// CallAcked is Call that calls acked, when it is not nil, once the request is durable, if it
// is ever. It does so from the goroutine of a partition, which acked must not hold up; where
// ctx ends first that may be after CallAcked has returned.
func (n *Node) CallAcked(ctx context.Context, m *edda.Message, acked func(*edda.Ack)) (*edda.Reply, error) {
	c := n.bells.newCall(true)
	if acked != nil {
		c.onAccept = func(at *place) { acked(n.ack(at)) }
	}
	c.consumes = true
	if chained(m) {
		return nil, &edda.Error{Op: c.op(), Reason: edda.Cycle, Key: m.To.Key,
			Err: errors.New("a caller of this handler holds the key and waits; the call would never end")}
	}
	if err := n.ask(ctx, m, c, m.IdempotencyKey != ""); err != nil {
		return nil, err
	}
	return c.outcome()
}

// ask hands a message to its partition, and returns nil once the call has what its
// caller wants, else why not.
func (n *Node) ask(ctx context.Context, m *edda.Message, c *call, keep bool) (err error) {
	if n.tracer != nil {
		ctx = n.traceAccept(ctx, m, c)
		defer func() { c.tracedAccept(err) }()
	}
	if err := n.submit(ctx, m, c, keep); err != nil {
		return err
	}
	var noWorker <-chan time.Time
	if c.waits && !c.svc.view().hosted {
		t := time.NewTimer(n.opts.Limits.NoWorkerWait)
		defer t.Stop()
		noWorker = t.C
	}
	return c.await(ctx, n.homeOf(c.hash), noWorker)
}

// await returns nil once the call, of which p has heard, has what its caller wants,
// else why not.
func (c *call) await(ctx context.Context, p *partition, noWorker <-chan time.Time) error {
	gone, at := lazyctx.Split(ctx)
	var over <-chan time.Time
	if !at.IsZero() {
		t := p.n.clocks.start(time.Until(at))
		defer p.n.clocks.stop(t)
		over = t.C
	}
	reason, why := edda.Timeout, errWaitOver
	for waiting := true; waiting; {
		waiting = false
		select {
		case <-c.done:
			return p.n.bells.heard(c)
		case <-gone:
		case <-over:
		case <-noWorker:
			reason, why = edda.NoWorker, errNoWorker
			noWorker, waiting = nil, c.svc.view().hosted // somebody came meanwhile
		case <-p.halted:
			why = errNodeStopped
		}
	}
	accepted, left := c.leave()
	if !left {
		select {
		case <-c.done:
			return p.n.bells.heard(c)
		case <-p.halted:
		}
	}
	select {
	case <-c.done: // it came at the same time
		return p.n.bells.heard(c)
	default:
	}
	if accepted {
		return storedError(c, c.place, reason, why)
	}
	return &edda.Error{Op: c.op(), Reason: edda.OutcomeUnknown, Key: c.msg.To.Key, RequestID: c.msg.ID, RetryAfter: time.Second,
		Err: fmt.Errorf("%w before the request was durable; repeat it with the same idempotency key", why)}
}

// error returns what the call was refused with, as an error interface.
func (c *call) error() error {
	if c.err != nil {
		return c.err
	}
	return nil
}

// submit checks a message, encodes it, and hands it to its partition.
func (n *Node) submit(ctx context.Context, m *edda.Message, c *call, keep bool) error {
	c.msg = m
	svc, kind, err := n.admit(ctx, m)
	if err != nil {
		return err
	}
	c.svc, c.kind, c.addr = svc, kind, request.FlatAddress(m.To)
	hash := n.route(m, kind, 0)
	c.hash = hash
	given := !m.ID.IsZero()
	if given && n.home(m.ID.Route()) != n.homeOf(hash) {
		return &edda.Error{Op: c.op(), Reason: edda.BadValue, Key: m.To.Key,
			Err: errors.New("the message's id was made for another address; leave it out, or use the one an earlier acknowledgement gave")}
	}
	m.Time = time.Time{}
	if c.startsNow() {
		m.Due = time.Time{} // the past means now
	}
	if !given {
		m.ID = edda.NewID(hash, time.Now())
	}
	a := record.Accepted{Hash: hash, Kind: kind, Keep: keep, GivenID: given}
	if m.IdempotencyKey != "" {
		a.Fingerprint = fingerprint(m)
		c.fingerprint = string(a.Fingerprint)
	}
	c.rec, err = a.AppendMessage(make([]byte, 0, m.BinarySize()+record.AppendedBytes), m)
	if err != nil {
		return errInternal(c.op(), err)
	}
	p := n.homeOf(hash)
	switch ok, closed := p.in.call(c, &n.opts.Limits); {
	case closed:
		return n.notRunning(c.op())
	case !ok:
		n.metrics.Refused.Add(1)
		return errOverloaded(c, "the partition has too many requests waiting to become durable")
	}
	return nil
}

// admit decides whether a message may come in at all. It waits a bounded time
// for a service that is not registered.
func (n *Node) admit(ctx context.Context, m *edda.Message) (*service, edda.Kind, error) {
	if err := complete(m); err != nil {
		return nil, "", err
	}
	if err := n.notDraining(m); err != nil {
		return nil, "", err
	}
	if n.opts.OnAccept != nil {
		if err := n.onAccept(ctx, m); err != nil {
			return nil, "", err
		}
		if err := complete(m); err != nil { // it may have changed the message
			return nil, "", err
		}
	}
	svc, v, err := n.find(ctx, m)
	if err != nil {
		return nil, "", err
	}
	if err := n.checkAgainst(m, v); err != nil {
		return nil, "", err
	}
	if n.bytes.Load() > int64(n.opts.Limits.NodeBytes) {
		n.metrics.Refused.Add(1)
		return nil, "", errOverloaded(&call{msg: m}, "the node has too many unfinished requests in memory")
	}
	return svc, v.kind, nil
}

// complete checks where a message goes, and fills in what may be left out.
func complete(m *edda.Message) error {
	if m.To.Namespace == "" {
		m.To.Namespace = edda.DefaultNamespace
	}
	if m.Principal == "" {
		m.Principal = edda.Anonymous
	}
	return m.To.Validate()
}

// find returns the service, waiting for it to be registered.
func (n *Node) find(ctx context.Context, m *edda.Message) (*service, *view, error) {
	if svc := n.known(m.To.Namespace, m.To.Name); svc != nil {
		if v := svc.view(); v.registered {
			return svc, v, nil
		}
	}
	t := time.NewTimer(n.opts.Limits.NoServiceWait)
	defer t.Stop()
	for {
		changed := n.registryChanged()
		if svc := n.known(m.To.Namespace, m.To.Name); svc != nil {
			if v := svc.view(); v.registered {
				return svc, v, nil
			}
		}
		select {
		case <-changed:
			continue
		case <-t.C:
		case <-ctx.Done():
		case <-n.halted:
			return nil, nil, n.notRunning("call " + m.To.String())
		}
		return nil, nil, &edda.Error{Op: "call " + m.To.String(), Reason: edda.NoService, Key: m.To.Key, RetryAfter: time.Second,
			Err: errNoService(m)}
	}
}

// check says why nobody could take a message, without waiting for anything.
func (n *Node) check(m *edda.Message) *edda.Error {
	svc := n.known(m.To.Namespace, m.To.Name)
	if svc != nil {
		if v := svc.view(); v.registered {
			return n.checkAgainst(m, v)
		}
	}
	return &edda.Error{Op: "send to " + m.To.String(), Reason: edda.NoService, Key: m.To.Key,
		Err: errNoService(m)}
}

// route returns the address hash that a message lives at. A balanced request
// goes by its idempotency key, else to whoever sent it, else anywhere.
func (n *Node) route(m *edda.Message, kind edda.Kind, sender uint64) uint64 {
	switch {
	case kind == edda.Ordered:
		return m.To.Hash()
	case m.IdempotencyKey != "":
		return edda.Address{Namespace: m.To.Namespace, Name: m.To.Name, Key: string(m.Principal) + "\x00" + m.IdempotencyKey}.Hash()
	case !m.ID.IsZero():
		return uint64(m.ID.Route()) << 48
	case sender != 0:
		return sender
	default:
		return n.anywhere()
	}
}

// fingerprint tells requests of one idempotency key apart: method, content type
// and body. It is the first half of a SHA-256.
func fingerprint(m *edda.Message) []byte {
	h := sha256.New()
	for _, s := range [...]string{m.Type, m.ContentType} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	h.Write(m.Payload)
	for _, f := range m.Frames {
		h.Write([]byte(strconv.Itoa(len(f))))
		h.Write(f)
	}
	return h.Sum(nil)[:16]
}

// chained reports whether a caller of the message holds its key.
func chained(m *edda.Message) bool {
	return m.To.Key != "" && slices.ContainsFunc(m.Chain, func(a edda.Address) bool {
		return request.FlatAddress(a) == request.FlatAddress(m.To)
	})
}
