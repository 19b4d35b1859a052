package edda

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Admit makes an outcome that came from another process what Service.Invoke would
// have returned: it checks it by the same rules, puts the changes in order, and
// fills in what the sends have from the message that was handled. It changes out,
// which belongs to the dispatch from then on. An error about what breaks a rule is
// the outcome then, and nothing else in it counts: a final one about the reply or the size of all, as from
// Service.Invoke; else that of a handler whose change or send was refused.
func (d *Dispatch) Admit(out *Outcome) {
	if out.Err == nil {
		out.Err = d.admit(out)
	}
}

func (d *Dispatch) admit(out *Outcome) error {
	if out.Reply == nil {
		out.Reply = &Reply{}
	}
	if err := checkStatus(out.Reply); err != nil {
		return err
	}
	if d.State == nil && len(out.Set)+len(out.Delete) > 0 {
		return badOutcome(errBalanced)
	}
	size := out.Reply.BinarySize()
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
	if n := len(out.Sends); n > MaxSends {
		return badOutcome(fmt.Errorf("%d messages are sent, at most %d are allowed", n, MaxSends))
	}
	for _, m := range out.Sends {
		if err := d.complete(m); err != nil {
			return badOutcome(err)
		}
		size += m.BinarySize()
	}
	slices.Sort(out.Delete)
	slices.SortStableFunc(out.Set, func(a, b StateEntry) int { return cmp.Compare(a.Name, b.Name) })
	return checkOutcomeSize(size)
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
