package request

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// Steps is told of the ends of the requests that are steps of sagas in this
// partition, within the application of the record that ended them and after
// everything else that the record does. Starts are the indexes of steps for which
// that record's proposer has reserved slots. It may call AdmitStep and CancelStep.
type Steps interface {
	StepEnded(e *record.StepEnded, starts []uint32) error
}

// SetSteps sets who is told. It is called once, before the first record.
func (m *Machine) SetSteps(s Steps) { m.steps = s }

// toldEnd is a request that has ended and was a step, with what its record says
// beside, or a message of a group.
type toldEnd struct {
	req     *Request
	pending bool
	added   [][]byte
	starts  []uint32
}

// AdmitStep makes a request of a step in the record that is being applied. Start says
// that a worker's slot is reserved for it, which the request uses or spares like
// that of record.FlagStart. Without a msg it is decoded from a.Message; without
// a.Message it is encoded once a checkpoint needs it. The machine keeps both. It is
// false, and nothing happens, when the record has made as many requests as it can;
// then a slot that was reserved is the caller's to give back. A.Refused is not
// looked at.
func (m *Machine) AdmitStep(a *record.Accepted, msg *edda.Message, start bool) (room bool, err error) {
	return m.admitMade(a, msg, start)
}

// admitMade takes in a request that stands in no record.
func (m *Machine) admitMade(a *record.Accepted, msg *edda.Message, start bool) (room bool, err error) {
	n := m.lastNumber() + 1
	if n >= 1<<seqBits {
		return false, nil
	}
	req, err := m.make(a, hint{msg: msg}, m.env.Position<<seqBits|n)
	if err != nil {
		return false, err
	}
	m.takeNumbers(n)
	m.admit(req, record.Failure{}, start)
	return true, nil
}

// lastNumber returns the highest number that a request of the record being applied
// has; zero is that of the record's own.
func (m *Machine) lastNumber() uint64 {
	if m.numbersAt != m.env.Position {
		return 0
	}
	return m.numbers
}

// takeNumbers says that the record being applied has used the numbers up to n.
func (m *Machine) takeNumbers(n uint64) { m.numbersAt, m.numbers = m.env.Position, n }

// CancelStep ends the request of a step as cancelled if it is in this partition and
// has not ended, without a word to Steps. An attempt of it that runs is fenced.
func (m *Machine) CancelStep(id edda.ID) error {
	if req := m.openStep(id); req != nil {
		m.cancelStep(req)
		m.told = m.told[:len(m.told)-1]
	}
	return nil
}

// openStep returns the request of a step that has not ended, or nil.
func (m *Machine) openStep(id edda.ID) *Request {
	if req := m.byID[id]; req != nil && req.Step != nil && !req.State.Ended() {
		return req
	}
	return nil
}

func (m *Machine) cancelStep(req *Request) {
	m.fenceRunning(req)
	f := record.Failure{Reason: edda.Cancelled, Message: "its saga was cancelled, or undone"}
	m.startOrWait(m.end(req, edda.StateCancelled, f, 0), false)
}

func (m *Machine) applyStepCancelled(rec record.Record, start bool) error {
	var c record.StepCancelled
	if err := c.Decode(rec.Body); err != nil {
		return err
	}
	m.spare(start)
	if c.Origin.Number != 0 && !m.outbox.Receive(c.Origin) {
		return nil
	}
	if req := m.openStep(c.ID); req != nil {
		m.cancelStep(req)
	}
	return nil
}

// tell tells of the steps that have ended, where their sagas are, and of the messages
// of groups.
func (m *Machine) tell() error {
	for _, t := range m.told {
		if t.req.Delivery != nil {
			if err := m.groups.DeliveryEnded(t.req); err != nil {
				return err
			}
			continue
		}
		e := t.req.stepEnded()
		e.Pending, e.Added = t.pending, t.added
		if to := m.env.Home(e.Step.Hash); to != m.env.Partition {
			m.outbox.Push(to, record.TypeStepEnded, e.AppendBody(nil))
		} else if err := m.steps.StepEnded(e, t.starts); err != nil {
			return err
		}
	}
	clear(m.told)
	m.told = m.told[:0]
	return nil
}

// Foresee returns what a completed record will tell a step's saga, here or in another
// partition, if it is the next one that is applied; nil when it tells none anything, or
// sends anything else to anybody.
func (m *Machine) Foresee(c *record.Completed) (*record.StepEnded, error) {
	req := m.open[c.Seq]
	if req == nil || req.Fence != c.Fence || c.Fence == 0 || req.Step == nil || len(c.Sends) > 0 || len(c.Appends) > 0 {
		return nil, nil
	}
	ended := Request{ID: req.ID, To: req.To, Step: req.Step, Attempts: req.Attempts, Failure: c.Failure}
	var reply bool
	if ended.State, reply = req.completes(c); reply {
		if _, err := record.ReadReply(c.Reply); err != nil {
			return nil, err
		}
		ended.Reply = c.Reply
	}
	e := ended.stepEnded()
	e.Pending, e.Added = c.Pending, c.Added
	return e, nil
}

// stepEnded says what became of a step's request.
func (r *Request) stepEnded() *record.StepEnded {
	e := &record.StepEnded{
		Namespace: r.To.Namespace, Step: *r.Step, State: r.State, Reply: r.Reply, Failure: r.Failure, Attempts: r.Attempts, ID: r.ID,
	}
	e.Step.AttemptTimeout, e.Step.Retry = 0, edda.RetryPolicy{}
	return e
}
