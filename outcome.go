package edda

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Admit makes an outcome that came from another process what Service.Invoke would
// have returned: it checks it by the same rules, puts the changes in order, and
// fills in what the sends have from the message that was handled. It changes out,
// which belongs to the dispatch from then on. An error about what breaks a rule is
// the outcome then, and nothing else in it counts: a final one about the reply or the size of all, as from
// Service.Invoke; else that of a handler whose change, send or added step was refused, or that left pending
// what is no step.
func (d *Dispatch) Admit(out *Outcome) {
	if out.Err == nil {
		out.Err = d.admit(out)
	}
}

func (d *Dispatch) admit(out *Outcome) error {
	if err := d.checkResult(out, 0); err != nil {
		return err
	}
	if d.State == nil && len(out.Set)+len(out.Delete) > 0 {
		return badOutcome(errBalanced)
	}
	size := 0
	if !out.Pending {
		size = out.Reply.BinarySize()
	}
	for _, e := range out.Set {
		if err := checkChange(e.Name, e.Value); err != nil {
			return badOutcome(err)
		}
		size += len(e.Name) + len(e.Value)
	}
	for _, name := range out.Delete {
		if err := checkChange(name, nil); err != nil {
			return badOutcome(err)
		}
		size += len(name)
	}
	if n := len(out.Sends) + len(out.Appends); n > MaxSends {
		return badOutcome(fmt.Errorf("%d messages are sent or appended, at most %d are allowed", n, MaxSends))
	}
	for _, m := range out.Sends {
		if err := d.complete(m); err != nil {
			return badOutcome(err)
		}
		size += m.BinarySize()
	}
	for _, a := range out.Appends {
		if err := d.completeAppend(a); err != nil {
			return badOutcome(err)
		}
		size += a.binarySize()
	}
	if len(out.Steps) > 0 {
		n, err := d.checkSteps(out.Steps)
		if err != nil {
			return badOutcome(err)
		}
		size += n
	}
	slices.Sort(out.Delete)
	slices.SortStableFunc(out.Set, func(a, b StateEntry) int { return cmp.Compare(a.Name, b.Name) })
	return checkOutcomeSize(size)
}

// checkResult checks what a handler returned, where the rest of its outcome has the
// given size. It makes a reply where there is none, and lets none be where the step
// is pending.
func (d *Dispatch) checkResult(out *Outcome, size int) error {
	if out.Pending {
		out.Reply = nil
		switch {
		case d.Step == nil:
			return badOutcome(errors.New("the request was left pending: only a step of a saga may be"))
		case d.Step.Undo:
			return badOutcome(errors.New("a compensation was left pending: it ends with its handler"))
		}
		return checkOutcomeSize(size)
	}
	if out.Reply == nil {
		out.Reply = &Reply{}
	}
	return cmp.Or(checkStatus(out.Reply), checkOutcomeSize(size+out.Reply.BinarySize()))
}

// checkSteps checks steps that a handler adds to its saga, and returns their size.
func (d *Dispatch) checkSteps(steps []StepSpec) (size int, err error) {
	switch {
	case d.Step == nil:
		return 0, errors.New("add steps: the request is no step of a saga")
	case d.Step.Undo:
		return 0, errors.New("add steps: a compensation adds none, its saga is being undone")
	}
	if err := checkStepCount(len(steps)); err != nil {
		return 0, err
	}
	for i := range steps {
		if err := steps[i].Validate(); err != nil {
			return 0, err
		}
		size += steps[i].size()
	}
	return size, nil
}

func checkStepCount(n int) error {
	if n > MaxSagaSteps {
		return fmt.Errorf("add %d steps, at most %d are allowed", n, MaxSagaSteps)
	}
	return nil
}

// size is about what the step takes when it is kept, and not less.
func (s *StepSpec) size() int {
	const tag = 6 // a tag and a length
	n := 5*tag + len(s.ID) + taskSize(&s.Task)
	for _, id := range s.After {
		n += tag + len(id)
	}
	if s.Compensate != nil {
		n += taskSize(s.Compensate)
	}
	if q := s.Queue; q != nil {
		n += 5*tag + len(q.Stream) + len(q.Shard) + len(q.Success) + len(q.Failure)
	}
	if s.Saga != nil {
		n += 8*tag + len(s.Saga.Name)
		for i := range s.Saga.Steps {
			n += tag + s.Saga.Steps[i].size()
		}
	}
	return n
}

func taskSize(t *Task) int {
	const tag = 6
	n := 12*tag + len(t.Service) + len(t.Key) + len(t.Method)
	for _, a := range t.Args {
		n += tag + len(a)
	}
	return n
}

// complete checks a message that the handler sends, and fills in what it has from
// the one that is handled.
func (d *Dispatch) complete(m *Message) error {
	if err := m.To.Validate(); err != nil {
		return err
	}
	if err := CheckName("method", m.Type); err != nil {
		return err
	}
	parent := d.Message
	m.To.Namespace = cmp.Or(m.To.Namespace, parent.To.Namespace)
	m.Principal = parent.Principal
	m.CausationID = parent.ID
	m.CorrelationID = cmp.Or(m.CorrelationID, parent.Correlation())
	m.TraceParent = cmp.Or(m.TraceParent, parent.TraceParent)
	m.TraceState = cmp.Or(m.TraceState, parent.TraceState)
	m.Chain, m.Time = nil, time.Time{} // nobody waits, and the node says when
	return nil
}

// completeAppend is complete for messages that the handler appends to a stream. It
// changes them in place.
func (d *Dispatch) completeAppend(a *Append) error {
	if a.IfLast != nil || a.IfEmpty {
		return badOf("append", BadValue, "IfLast and IfEmpty are for producers: what a handler appends is part of its outcome, which nothing may refuse any more")
	}
	if err := a.Validate(); err != nil {
		return err
	}
	parent := d.Message
	a.Namespace = cmp.Or(a.Namespace, parent.To.Namespace)
	a.Principal = parent.Principal
	correlation := "" // made of the id when it is asked for first
	for i := range a.Messages {
		m := &a.Messages[i]
		if m.CorrelationID == "" {
			correlation = cmp.Or(correlation, parent.Correlation())
			m.CorrelationID = correlation
		}
		m.Principal, m.CausationID = parent.Principal, parent.ID
		m.TraceParent = cmp.Or(m.TraceParent, parent.TraceParent)
		m.TraceState = cmp.Or(m.TraceState, parent.TraceState)
	}
	return nil
}

// checkChange checks a change of a key's state; a nil value is a deletion.
func checkChange(name string, value []byte) error {
	if name == "" || len(name) > MaxStateNameBytes {
		return fmt.Errorf("state name of %d bytes, must be 1 to %d", len(name), MaxStateNameBytes)
	}
	if len(value) > MaxStateValueBytes {
		return fmt.Errorf("state value of %d bytes, at most %d are allowed", len(value), MaxStateValueBytes)
	}
	return nil
}

func checkStatus(r *Reply) error {
	if st := r.EffectiveStatus(); st < 200 || st > 599 {
		return Final("BAD_REPLY", "reply has status %d, must be 200 to 599", st)
	}
	return nil
}

func checkOutcomeSize(n int) error {
	if n > MaxOutcomeBytes {
		return Final(string(TooLarge), "outcome of %d bytes, at most %d are allowed", n, MaxOutcomeBytes)
	}
	return nil
}

func badOutcome(err error) error {
	return &HandlerError{Reason: "BAD_OUTCOME", Message: err.Error()}
}
