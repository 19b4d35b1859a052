package rpcgw

import (
	"cmp"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// take does what a frame of the worker asks for. An error ends the session.
func (s *session) take(f *eddav1.WorkerFrame) error {
	switch f := f.GetFrame().(type) {
	case *eddav1.WorkerFrame_Outcome:
		return s.outcome(f.Outcome)
	case *eddav1.WorkerFrame_Taken:
		for _, id := range f.Taken.GetAttemptIds() {
			if h := s.mine(id); h != nil {
				h.Taken()
			}
		}
	case *eddav1.WorkerFrame_Heartbeat: // everything that is received is a beat
		for _, id := range f.Heartbeat.GetProgress() {
			if h := s.mine(id); h != nil {
				h.Progress()
			}
		}
	case *eddav1.WorkerFrame_StateGet:
		s.stateGet(f.StateGet)
	case *eddav1.WorkerFrame_Credit:
		if f.Credit.GetConcurrency() > edda.MaxConcurrency {
			return &edda.Error{Op: "set concurrency", Reason: edda.BadValue,
				Err: fmt.Errorf("concurrency is %d, must be at most %d", f.Credit.GetConcurrency(), edda.MaxConcurrency)}
		}
		a := edda.Address{Namespace: cmp.Or(f.Credit.GetNamespace(), edda.DefaultNamespace), Name: f.Credit.GetService()}
		return s.worker.SetConcurrency(a, slots(f.Credit.GetConcurrency()))
	case *eddav1.WorkerFrame_Part:
		s.part(f.Part)
	case *eddav1.WorkerFrame_Drain:
		s.worker.Drain()
	case *eddav1.WorkerFrame_Register:
		return badFrame("the worker is registered already; a second Register needs a stream of its own")
	default:
		return badFrame("a frame is empty, or of a kind that this node does not know")
	}
	return nil
}

// mine returns an attempt that the worker has. For any other one it is told so.
func (s *session) mine(id uint64) *held {
	s.mu.Lock()
	h := s.attempts[id]
	if h != nil && !h.sent {
		h = nil // it cannot know of it yet
	}
	s.mu.Unlock()
	if h == nil {
		s.answer(fencedFrame(id, errNotMine(id)))
	}
	return h
}

func errNotMine(id uint64) error {
	return &edda.Error{Reason: edda.NoAttempt, Err: fmt.Errorf("attempt %d is not this worker's: it was never given to it, or the worker has ended it", id)}
}

// answer answers a question, once few enough other answers wait.
func (s *session) answer(f *eddav1.NodeFrame) {
	s.out.room(s.ctx)
	s.out.put(item{frame: f, answer: true})
}

// outcome ends an attempt.
func (s *session) outcome(o *eddav1.Outcome) error {
	h := s.mine(o.GetAttemptId())
	if h == nil {
		return nil
	}
	s.release(h)
	if o.GetHandedBack() {
		h.HandBack()
		return nil
	}
	out, err := outcomeOf(o)
	if err != nil {
		return err
	}
	_ = h.Done(out) // when it comes too late Fenced is called, and tells the worker
	return nil
}

// outcomeOf reads an outcome. The node checks it.
func outcomeOf(o *eddav1.Outcome) (*edda.Outcome, error) {
	switch r := o.GetResult().(type) {
	case *eddav1.Outcome_Reply:
		return kept(o, &edda.Outcome{Reply: replyOf(r.Reply)})
	case *eddav1.Outcome_Pending:
		return kept(o, &edda.Outcome{Pending: true})
	case *eddav1.Outcome_Failure:
		f := r.Failure
		out := &edda.Outcome{Err: &edda.HandlerError{
			Reason: f.GetReason(), Message: f.GetMessage(), Final: f.GetFinal(), RetryAfter: time.Duration(f.GetRetryAfter()),
		}}
		if f.GetPanicked() {
			out.Stack = []byte("in the worker")
		}
		return out, nil
	default:
		return nil, badFrame("the outcome of attempt %d has no result", o.GetAttemptId())
	}
}

// kept reads what is kept with a result that is no failure.
func kept(o *eddav1.Outcome, out *edda.Outcome) (*edda.Outcome, error) {
	out.Delete, out.Steps = o.GetDelete(), stepSpecsOf(o.GetAddSteps())
	for _, e := range o.GetSet() {
		// The node takes nil for a deletion.
		out.Set = append(out.Set, edda.StateEntry{Name: e.GetName(), Value: append([]byte{}, e.GetValue()...)})
	}
	for i, m := range o.GetSends() {
		sent, err := messageOf(m)
		if err != nil {
			return nil, badFrame("attempt %d: sends[%d]: %w", o.GetAttemptId(), i, err)
		}
		out.Sends = append(out.Sends, sent)
	}
	for i, r := range o.GetAppends() {
		a, err := appendOf(r)
		if err != nil {
			return nil, badFrame("attempt %d: appends[%d]: %w", o.GetAttemptId(), i, err)
		}
		out.Appends = append(out.Appends, a)
	}
	return out, nil
}

// part takes a part of a reply.
func (s *session) part(p *eddav1.Part) {
	id := p.GetAttemptId()
	s.mu.Lock()
	h := s.attempts[id]
	s.mu.Unlock()
	var err error
	if h == nil {
		err = errNotMine(id)
	} else {
		err = h.Part(p.GetContentType(), p.GetPayload(), func(number int, err error) { s.out.setStored(id, number, err) })
	}
	if err != nil {
		s.answer(&eddav1.NodeFrame{Frame: &eddav1.NodeFrame_PartStored{PartStored: &eddav1.PartStored{AttemptId: id, Error: errorOf(err)}}})
	}
}
