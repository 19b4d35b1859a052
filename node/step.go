package node

import (
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
)

// retryOf is the policy by which a request is retried: its step's before that of its
// service.
func retryOf(r *request.Request, v *view) edda.RetryPolicy {
	if s := r.Step; s != nil && s.Retry != (edda.RetryPolicy{}) {
		return s.Retry
	}
	return v.retry
}

// attemptTimeoutOf is how long an attempt at a request may take.
func attemptTimeoutOf(r *request.Request, v *view) time.Duration {
	if s := r.Step; s != nil && s.AttemptTimeout > 0 {
		return s.AttemptTimeout
	}
	return v.attemptTimeout
}

// refuseStep ends the request of a step that its service would refuse, and reports
// whether it does. One that nobody there looks at is looked at whole; the rest is
// checked when its attempt begins. While the service is not registered an attempt
// goes by: it has failed after Limits.NoServiceWait unless somebody registers it.
func (p *partition) refuseStep(r *request.Request, l *live) bool {
	v := l.svc.view()
	if !v.registered {
		if !v.hosted && l.absent == 0 {
			l.absent = p.now() + int64(p.n.opts.Limits.NoServiceWait)
			p.armDeadline(l)
		}
		return false
	}
	err := checkKind(r.To, r.Method, v)
	if err == nil && !v.hosted {
		msg, broken := r.Load(p.table)
		if broken != nil {
			return false // its attempt will meet that too, and say so
		}
		err = checkSchema(msg, v)
	}
	if err == nil {
		return false
	}
	p.proposeEnded(r, refusal(err), nil)
	return true
}

// refusal is why a service takes no request like this one.
func refusal(err *edda.Error) record.Failure {
	return record.Failure{Reason: err.Reason, Message: clipText(err.Err.Error())}
}

// absentStill ends the attempt at a step whose service was not registered, if it is
// not registered still.
func (p *partition) absentStill(r *request.Request, l *live) {
	l.absent = 0
	if v := l.svc.view(); v.registered || v.hosted || !r.Ready(p.now()) {
		p.wantSlot(r)
		p.armDeadline(l)
		return
	}
	msg := edda.Message{To: r.To}
	p.attemptFailed(r, record.Failure{Reason: edda.NoService, Message: errNoService(&msg).Error()}, 0, time.Now(), nil)
}

// refused reports whether the service would refuse the message of a step, which is
// the end of its request then. Other messages were checked before they were accepted.
func (a *Attempt) refused() bool {
	if a.step == nil {
		return false
	}
	v := a.svc.view()
	err := checkKind(a.msg.To, a.msg.Type, v)
	if err == nil {
		err = checkSchema(a.msg, v)
	}
	if err == nil {
		return false
	}
	a.failure = refusal(err)
	c := record.Completed{Seq: a.seq, Fence: a.fence, Failure: a.failure}
	a.rec = c.AppendTo(nil)
	return true
}

// stepRef says of which saga the attempt's message is a step; nil when it is none.
func (a *Attempt) stepRef() *edda.StepRef {
	if a.step == nil {
		return nil
	}
	return &edda.StepRef{SagaID: a.step.Saga, Undo: a.step.Undo}
}

// AttemptTimeout is how long the attempt may take where its worker cannot know: that of
// a step which has its own, or of a group, which may have been set otherwise than its
// consumer says. Zero means that of the service.
func (a *Attempt) AttemptTimeout() time.Duration {
	switch {
	case a.delivery != nil:
		return a.limit
	case a.step != nil:
		return a.step.AttemptTimeout
	default:
		return 0
	}
}
