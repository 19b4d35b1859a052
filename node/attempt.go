package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/keystate"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/lazyctx"
	"github.com/edda-io/edda/internal/record"
)

// Attempt is one handler running, or about to run, for one request. The partition
// starts it and takes its outcome; in between it belongs to whoever runs the
// handler, whose methods are safe for concurrent use.
type Attempt struct {
	p    *partition
	req  *request.Request // to be read in the partition's goroutine alone
	svc  *service
	host *host
	id   uint64 // zero in this process

	seq, fence uint64
	step       *record.Step     // nil unless it is one of a saga
	delivery   *record.Delivery // nil unless it is a message of a stream
	number     int
	hash       uint64
	accepted   int64
	msg        *edda.Message    // nil: in the table
	view       keystate.View    // of an ordered service
	state      edda.StateReader // it is the view; nil: a balanced service
	given      edda.Dispatch    // what a handler in this process gets
	started    time.Time
	limit      time.Duration
	timeout    int64 // when the attempt is fenced, in Unix nanoseconds; of the partition's goroutine
	ctx        lazyctx.Context
	taken      atomic.Bool
	hold       *edda.WorkerHold // nil in this process
	settled    atomic.Bool      // somebody has ended it, or given it up
	lingers    atomic.Int32     // one of the states below
	parts      atomic.Pointer[partLine]
	span       atomic.Pointer[trace.Span] // nil when nobody traces, or not any more

	// what the handler left behind
	rec        []byte // a completed record; nil after an error
	failure    record.Failure
	after      time.Duration // what the handler says of the next attempt's delay
	handedBack bool
	lost       bool // its worker went away
	status     int  // of the reply, if it has one
	ended      time.Time
	// told, when not nil, is called in the partition's goroutine, once, with what has become
	// of the end.
	told func(counted bool, err error)

	// of the partition's goroutine
	over     bool // the attempt was fenced
	released bool // its slot was given back before the handler returned
}

// What becomes of the slot when the outcome of a fenced attempt comes after all.
const (
	lingersNot  int32 = iota
	lingersFree       // it was given back: only the count of those who linger changes
	lingersHeld       // it is given back then
	lingersOver       // it has come
)

// start runs the handler of a request that was dispatched. The slot is the
// attempt's now.
func (p *partition) start(r *request.Request, slot *host) {
	if r.Fence == 0 { // the record that started it has ended it, too
		slot.release()
		return
	}
	l := p.liveFor(r)
	p.waitsNoMore(l)
	l.closing, l.version, l.absent = false, slot.version, 0
	a := &Attempt{
		p: p, req: r, svc: slot.svc, host: slot, seq: r.Seq, fence: r.Fence, step: r.Step, delivery: r.Delivery, number: r.Attempts, hash: r.Hash,
		accepted: r.AcceptedAt, msg: r.Decoded(), started: p.arrived, limit: attemptTimeoutOf(r, slot.svc.view()),
	}
	if r.Kind == edda.Ordered {
		a.view = p.requests.View(r)
		a.state = &a.view
	}
	a.renew(r.Deadline, a.started)
	l.attempt = a
	p.schedule(r)
	slot.w.begin(a)
}

// renew gives the attempt its timeout anew.
func (a *Attempt) renew(deadline int64, from time.Time) {
	a.timeout = from.Add(a.limit).UnixNano()
	at := a.timeout
	if deadline != 0 {
		at = min(at, deadline)
	}
	a.ctx.SetDeadline(at)
}

// run is the goroutine of a handler in this process, which ends what handlers.add
// has counted.
func (a *Attempt) run() {
	returned := false
	defer func() {
		if !returned {
			a.broke(recover())
		}
		a.ended = time.Now()
		a.traced(a.ctx.Err() != nil)
		a.p.in.outcome(a)
		a.p.n.handlers.done()
	}()
	a.taken.Store(true)
	a.invoke()
	returned = true
}

// broke notes that the handler's goroutine ended, or that something of the
// handler's panicked after it had returned, such as its error when asked for its
// text.
func (a *Attempt) broke(panicked any) {
	why := "handler ended its goroutine"
	if panicked != nil {
		why = clipText(fmt.Sprintf("what the handler returned panicked: %v", panicked))
		a.p.n.log.Error("handler panicked", "service", a.msg.To.Name, "key", a.msg.To.Key, "method", a.msg.Type,
			"request", a.msg.ID, "attempt", a.number, "panic", why, "stack", string(debug.Stack()))
	}
	a.rec, a.failure, a.after = nil, record.Failure{Reason: edda.Panicked, Message: why}, 0
}

func (a *Attempt) invoke() {
	if !a.load() || a.refused() {
		return
	}
	a.trace()
	a.given = a.dispatch()
	out := a.host.def.Invoke(a.Context(), &a.given)
	a.readQueues(&out)
	a.keep(&out)
}

// load reads the message when the table has it. It is false when that did not
// work, which is the attempt's failure then.
func (a *Attempt) load() bool {
	if a.msg != nil {
		return true
	}
	msg, err := request.Message(a.p.table, a.seq)
	if err != nil {
		a.failure = record.Failure{Reason: edda.Internal, Message: "read the message: " + err.Error()}
		return false
	}
	if msg.Time.IsZero() { // else whoever made a message of a stream has said when that was
		msg.Time = timeOf(a.accepted)
	}
	a.msg = msg
	return true
}

// keep makes a record of what the handler left behind.
func (a *Attempt) keep(out *edda.Outcome) {
	if out.Err != nil {
		a.failed(out)
		return
	}
	rec, err := a.encode(out)
	if err != nil {
		a.failure = record.Failure{Reason: edda.Internal, Message: err.Error()}
		return
	}
	a.rec = rec
	if out.Reply != nil {
		a.status = out.Reply.Status
	}
}

// failed notes the error that a handler returned.
func (a *Attempt) failed(out *edda.Outcome) {
	a.failure = record.Failure{Reason: edda.Failed, Message: clipText(out.Err.Error())}
	if out.Stack != nil {
		a.failure.Reason = edda.Panicked
		a.p.n.log.Error("handler panicked", "service", a.msg.To.Name, "key", a.msg.To.Key, "method", a.msg.Type,
			"request", a.msg.ID, "attempt", a.number, "panic", out.Err, "stack", string(out.Stack))
		return
	}
	he, ok := errors.AsType[*edda.HandlerError](out.Err)
	if !ok {
		return
	}
	a.after = he.RetryAfter
	if he.Final {
		c := record.Completed{Seq: a.seq, Fence: a.fence, Failure: a.failure}
		a.rec = c.AppendTo(nil)
	}
}

// encode makes the record of an outcome.
func (a *Attempt) encode(out *edda.Outcome) ([]byte, error) {
	c := record.Completed{Seq: a.seq, Fence: a.fence, Pending: out.Pending, Added: record.EncodeSteps(out.Steps)}
	size := record.AppendedBytes
	if !out.Pending {
		size += out.Reply.BinarySize()
	}
	for _, e := range out.Set {
		c.Changes = append(c.Changes, record.Change{Name: e.Name, Value: e.Value})
		size += len(e.Name) + len(e.Value) + 24
	}
	for _, name := range out.Delete {
		c.Changes = append(c.Changes, record.Change{Name: name})
		size += len(name) + 24
	}
	if len(out.Sends) > edda.MaxSends {
		return nil, fmt.Errorf("the handler sent %d messages, at most %d are allowed", len(out.Sends), edda.MaxSends)
	}
	for _, m := range out.Sends {
		s, err := a.send(m)
		if err != nil {
			return nil, err
		}
		c.Sends = append(c.Sends, s)
		size += len(s.Message) + 64
	}
	for _, s := range c.Added {
		size += len(s) + 8
	}
	appends, n := appendsOf(out.Appends)
	c.Appends, size = appends, size+n
	if out.Pending {
		return c.AppendTo(make([]byte, 0, size)), nil
	}
	return c.AppendReply(make([]byte, 0, size), out.Reply)
}

// send prepares a message that the handler sent. One that nobody can take
// becomes a dead letter.
func (a *Attempt) send(m *edda.Message) (record.Accepted, error) {
	s := record.Accepted{Kind: edda.Ordered, Keep: true, GivenID: !m.ID.IsZero()}
	if m.To.Key == "" {
		s.Kind = edda.Balanced
	}
	if err := a.p.n.check(m); err != nil {
		s.Refused = record.Failure{Reason: err.Reason, Message: err.Error()}
	}
	s.Hash = a.p.n.route(m, s.Kind, a.hash)
	if m.ID.IsZero() {
		m.ID = edda.NewID(s.Hash, time.Now())
	}
	if m.IdempotencyKey != "" {
		s.Fingerprint = fingerprint(m)
	}
	b, err := m.AppendBinary(make([]byte, 0, m.BinarySize()))
	s.Message = b
	return s, err
}

// maxSpared is how often a request is given out again at no cost because its worker
// went away before it had taken it. A request that kills its workers before they can
// say that they have begun costs attempts from then on, and dies in the end.
const maxSpared = 2

// outcome takes what a handler left behind, unless the attempt was given up.
func (p *partition) outcome(a *Attempt) {
	a.ctx.Cancel(context.Canceled)
	l := liveOf(a.req)
	if a.lost && !a.taken.Load() && l != nil && l.spared < maxSpared {
		l.spared++
		a.handedBack = true
	}
	if !a.handedBack {
		p.n.metrics.attempt(a)
	}
	if slow := p.n.opts.SlowAttempt; slow > 0 && a.ended.Sub(a.started) > slow {
		a.warnSlow()
	}
	if a.over || l == nil || l.attempt != a || l.closing {
		a.tell(false, nil)
		p.slotBack(a)
		p.n.metrics.late(a.svc)
		p.n.log.Log(context.Background(), slog.LevelDebug, "late outcome refused", "request", a.req.ID, "fence", a.fence)
		return
	}
	if p.n.store.Err() != nil {
		// The node is about to stop. The handler may have met that, and its request
		// must neither die of it nor keep what came of it: the attempt is lost.
		a.tell(false, p.n.notRunning("end attempt"))
		p.slotBack(a)
		return
	}
	// Its end will not be news to whoever ended it, when the record of it is applied.
	a.over = a.handedBack || a.rec == nil || a.delivery != nil && a.failure.Reason != ""
	if a.handedBack {
		p.takeBack(l, a)
		return
	}
	l.closing, l.backs = true, 0
	if a.rec == nil {
		p.slotBack(a)
		p.attemptFailed(a.req, a.failure, a.after, a.ended, a.toldOf())
		return
	}
	if until := p.keepUntil(a.req, l); until != 0 {
		a.rec = record.AppendKeepUntil(a.rec, until)
	}
	pr := proposal{attempt: a, then: a.toldOf()}
	if a.req.HasNext() && a.host.keep(a.hash) {
		pr.slot = a.host
		a.released = true
	} else {
		p.slotBack(a)
	}
	if pr.saga = p.endedHere(a); pr.saga != nil {
		a.rec = record.AppendStarts(a.rec, pr.saga.slots.indexes())
	}
	early, quiet := p.outcomeAhead(a)
	pr.quiet = (a.delivery != nil || quiet) && pr.slot == nil && a.told == nil
	p.proposeAhead(a.rec, pr, early)
}

// warnSlow logs that the handler took long, unless that was just logged of one of its
// service.
func (a *Attempt) warnSlow() {
	more, ok := a.svc.slow.Pass()
	if !ok {
		return
	}
	a.p.n.log.Warn("slow handler", "service", a.req.To.Name, "key", a.req.To.Key, "method", a.req.Method,
		"request", a.req.ID, "attempt", a.number, "took", a.ended.Sub(a.started), "others", more)
}

// slotBack gives back the attempt's slot once its handler has returned.
func (p *partition) slotBack(a *Attempt) {
	if a.released {
		a.host.returned()
		return
	}
	a.released = true
	a.host.release()
}

// attemptFailed proposes what the service's policy says of a failed attempt. Then, when
// not nil, is told what has become of that.
func (p *partition) attemptFailed(r *request.Request, f record.Failure, after time.Duration, at time.Time, then func([]request.Effect, error)) {
	l := p.liveFor(r)
	l.closing = true
	v := l.svc.view()
	rec := record.AttemptFailed{Seq: r.Seq, Fence: r.Fence, Failure: f}
	attempts := r.Attempts
	if r.Fence == 0 {
		attempts++ // that of a step whose service is not registered, which was not dispatched
	}
	delay, again := retryOf(r, v).Next(attempts, p.n.chance())
	switch {
	case f.Reason == edda.WorkerLost:
		delay = 0 // it was no fault of the request's
	case after > 0:
		delay = min(after, maxRetryAfter)
	}
	if again {
		rec.RetryAt = max(1, at.Add(delay).UnixNano()) // zero would mean none
	} else {
		rec.Then = v.onDead
	}
	p.propose(rec.AppendTo(nil), proposal{then: then})
}

// maxRetryAfter bounds the delay that a handler may ask for.
const maxRetryAfter = time.Hour

// fenced ends an attempt whose request has gone on without it.
func (p *partition) fenced(r *request.Request, fence uint64) {
	l := liveOf(r)
	if l == nil {
		return
	}
	l.closing, l.back = false, 0
	a := l.attempt
	l.attempt = nil
	p.schedule(r)
	if a == nil || a.fence != fence || a.over {
		return
	}
	a.over = true
	a.ctx.Cancel(errFenced)
	if !a.host.w.here() {
		a.giveUp()
		return
	}
	if !a.released && a.host.abandon() {
		a.released = true
	}
}

// errFenced is why a handler's context ends before it has returned.
var errFenced = errors.New("the attempt was fenced: it timed out, its request was cancelled, or it was given to somebody else")

// errWorkerLost is why what a worker had is over.
var errWorkerLost = errors.New("the worker was silent, or went away: what it had was given to others")

// schedule sets the request's timer to the next time that matters to it.
func (p *partition) schedule(r *request.Request) {
	l := p.liveFor(r)
	at := r.Deadline
	earlier := func(t int64) {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	switch {
	case l.back != 0:
		earlier(l.back)
	case l.attempt != nil:
		earlier(l.attempt.timeout)
	default:
		earlier(r.Due)
		earlier(l.absent)
	}
	p.timers.set(l, at)
}

// fire does what the time has come for.
func (p *partition) fire() {
	now := p.now()
	for at := p.timers.next(); at != 0 && at <= now; at = p.timers.next() {
		l := p.timers[0]
		p.timers.set(l, 0)
		if l.closing {
			continue // what is on its way sets the timer again
		}
		p.due(l, now)
	}
}

func (p *partition) due(l *live, now int64) {
	r := l.req
	switch {
	case r.Deadline != 0 && r.Deadline <= now:
		p.proposeEnded(r, record.Failure{Reason: edda.DeadlineExceeded, Message: "the request's deadline has passed"}, nil)
	case l.back != 0:
		if l.back <= now {
			p.releaseAttempt(l)
		}
	case l.attempt != nil && l.attempt.timeout <= now:
		l.backs = 0
		limit := l.attempt.limit
		p.attemptFailed(r, record.Failure{Reason: edda.Timeout, Message: fmt.Sprintf("attempt %d took longer than %v", r.Attempts, limit)}, 0, time.Now(), nil)
	case l.absent != 0 && l.absent <= now:
		p.absentStill(r, l)
	case !r.Queued():
		pr := proposal{}
		if r.Kind == edda.Balanced || p.requests.Key(r.To) == nil {
			pr.slot = l.svc.acquire(r.Hash, l.version)
		}
		l.closing = true
		d := record.Due{Seq: r.Seq}
		pr.then = func(_ []request.Effect, err error) {
			if err == nil {
				p.joinedQueue(r)
			}
		}
		p.propose(d.AppendTo(nil), pr)
	case r.Fence == 0:
		p.wantSlot(r)
		p.armDeadline(l)
	}
}

// joinedQueue has a request whose delay is over wait for its turn, if it was not
// started at once.
func (p *partition) joinedQueue(r *request.Request) {
	l := liveOf(r)
	if l == nil || r.Fence != 0 {
		return
	}
	if !r.Ready(p.now()) {
		l.closing = false // else a dispatch is on its way
	}
	p.armDeadline(l)
	p.turnAwayIfStuck(r)
}

// armDeadline leaves the deadline as the only time that matters, beside that of a
// missing service.
func (p *partition) armDeadline(l *live) {
	at := l.req.Deadline
	if l.absent != 0 && (at == 0 || l.absent < at) {
		at = l.absent
	}
	p.timers.set(l, at)
}

// tick sets the partition's time, which never goes back, once for all that is
// done in a round.
func (p *partition) tick() { p.last = max(p.last, time.Now().UnixNano()) }

// now is the partition's time.
func (p *partition) now() int64 { return p.last }

// clipText bounds a handler's own words.
func clipText(s string) string {
	const most = 4096
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
