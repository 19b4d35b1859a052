package node

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// ID names the attempt within this process.
func (a *Attempt) ID() uint64 { return a.id }

// Dispatch is what the handler gets. Nobody may change the message.
func (a *Attempt) Dispatch() *edda.Dispatch {
	d := a.dispatch()
	return &d
}

func (a *Attempt) dispatch() edda.Dispatch {
	return edda.Dispatch{Message: a.msg, Attempt: a.number, Fence: a.fence, State: a.state, Renewer: a, Parts: a,
		Step: a.stepRef(), Delivery: a.deliveryRef()}
}

// Context ends when the attempt is over or was given up. Its deadline is when it
// will be.
func (a *Attempt) Context() context.Context {
	if span := a.span.Load(); span != nil {
		return trace.ContextWithSpan(&a.ctx, *span)
	}
	return &a.ctx
}

// Over reports whether the attempt has ended or was given up, so that nothing more
// comes of it.
func (a *Attempt) Over() bool { return a.settled.Load() }

// Taken says that the handler has begun. When its worker goes away an attempt that
// was not taken costs its request nothing, the first two times.
func (a *Attempt) Taken() { a.taken.Store(true) }

// Progress gives the attempt its timeout anew, because the handler gets on.
func (a *Attempt) Progress() {
	p := a.p
	p.in.do(func() {
		if l := liveOf(a.req); l != nil && l.attempt == a && !l.closing && !a.over {
			a.renew(a.req.Deadline, time.Now())
			p.schedule(a.req)
		}
	})
}

// Done ends the attempt with what the handler asks for, if the rules allow it, which
// Dispatch.Admit sees to; the attempt keeps the outcome. The error is an
// *edda.Error, Fenced, when the attempt has ended before or was given up; then
// nothing is kept. Without an error the attempt may still be given up until the
// outcome is durable; Runner.Fenced says so.
func (a *Attempt) Done(out *edda.Outcome) error {
	if !a.settle() {
		a.late()
		return a.fencedError()
	}
	d := edda.Dispatch{Message: a.msg, State: a.state, Step: a.stepRef()} // what the rules depend on
	d.Admit(out)
	if out.Err == nil && len(queuesOf(nil, out.Steps)) > 0 {
		a.p.n.handlers.Go(func() { // the caller may not wait
			a.readQueues(out)
			a.keep(out)
			a.end()
		})
		return nil
	}
	a.keep(out)
	a.end()
	return nil
}

// HandBack ends the attempt as if it had not been: another worker, or this one,
// gets the request again, and it counts as no attempt.
func (a *Attempt) HandBack() {
	if !a.settle() {
		a.late()
		return
	}
	a.handedBack = true
	a.end()
}

func (a *Attempt) fencedError() error {
	return &edda.Error{Op: "end attempt", Reason: edda.Fenced, Key: a.msg.To.Key, RequestID: a.msg.ID, Err: errFenced}
}

// settle makes the caller the one who ends the attempt, and is false when somebody
// else was.
func (a *Attempt) settle() bool { return a.settled.CompareAndSwap(false, true) }

// end hands the attempt back to its partition. Only who settled it may.
func (a *Attempt) end() {
	a.ended = time.Now()
	a.traced(false)
	a.p.in.outcome(a)
	a.leave()
}

// leave takes the attempt off its worker's hands.
func (a *Attempt) leave() {
	a.host.w.forget(a)
	a.p.n.handlers.done()
}

// lose ends the attempt because its worker went away.
func (a *Attempt) lose() {
	if !a.settle() {
		return
	}
	a.ctx.Cancel(errWorkerLost)
	a.failure = record.Failure{Reason: edda.WorkerLost, Message: "worker " + a.host.w.spec.ID + " went away during the attempt"}
	a.lost = true
	a.end()
	a.host.w.runner.Fenced(a, errWorkerLost)
}

// giveUp takes a fenced attempt off a worker elsewhere, whose handler may run on.
// It is called in the partition's goroutine.
func (a *Attempt) giveUp() {
	if !a.settle() {
		if !a.released && a.host.abandon() {
			a.released = true // the outcome is on its way here
		}
		a.host.w.runner.Fenced(a, errFenced)
		return
	}
	a.traced(true)
	a.leave()
	a.host.w.runner.Fenced(a, errFenced) // first, so that a member that does not read is not given another
	slot := lingersHeld
	if a.host.abandon() {
		slot = lingersFree
	}
	if !a.lingers.CompareAndSwap(lingersNot, slot) {
		a.slotOf(slot) // the handler has returned in between
	}
}

// late notes that the handler of an attempt that was given up has returned.
func (a *Attempt) late() {
	a.slotOf(a.lingers.Swap(lingersOver))
}

// slotOf gives back the slot of a handler that has returned late.
func (a *Attempt) slotOf(slot int32) {
	switch slot {
	case lingersFree:
		a.host.returned()
	case lingersHeld:
		a.host.release()
	default:
		return
	}
	a.p.n.metrics.late(a.svc)
}
