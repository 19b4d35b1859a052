package node

import (
	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
)

// sagasApplied does what a durable record has brought about in sagas.
func (p *partition) sagasApplied(s *sagaPart) {
	effects := p.sagas.Effects()
	for i := range effects {
		e := &effects[i]
		switch e.Kind {
		case sagafold.Created:
			p.n.metrics.sagaCreated(e.Saga)
			p.n.appended(sagaMemory)
		case sagafold.Ended:
			p.sagaEnded(e.Saga)
			p.logSaga(e.Saga)
		case sagafold.StepEnded:
			p.stepEnded(e)
			p.logStep(e)
		case sagafold.Advance:
			p.advance(e.Saga.Ref())
		case sagafold.Applied:
			if s != nil && s.starts {
				p.n.metrics.Sagas.Of(e.Saga.Namespace, e.Saga.Name).Started.Inc()
			}
		case sagafold.Joined, sagafold.Refused, sagafold.Unchanged:
			// whoever proposed the record is told below
		case sagafold.Arm, sagafold.Spare:
			// the alarm is set after each round, slots are given back after each record
		}
		if s != nil && s.change != nil && s.change.applied != nil {
			s.change.applied(e)
		}
	}
	if s == nil {
		return
	}
	p.endApplied(s)
	s.slots.release()
	if s.due {
		p.sagasDue--
	}
	if s.change != nil {
		s.change.finish(nil)
	}
}

// sagaMemory is about what a small saga takes in memory until the next checkpoint.
// It counts as if it were in the log, so that many do not take more than that.
const sagaMemory = 1 << 10

// sagaEnded tells whoever waits.
func (p *partition) sagaEnded(s *sagafold.Saga) {
	p.n.metrics.Sagas.Of(s.Namespace, s.Name).Ended[s.State].Inc()
	p.wakeWaiters(s.Ref(), s)
}

// stepEnded counts a step, or a compensation, that has ended.
func (p *partition) stepEnded(e *sagafold.Effect) {
	m := p.n.metrics.Sagas
	if !m.Shown {
		return
	}
	service, method := e.Saga.Asks(e.Step, e.Undone != "")
	if service == "" {
		return // it is a saga itself, or a message
	}
	c := m.Step(e.Saga.Namespace, service, method)
	if e.Undone != "" {
		c.Undone[e.Undone].Inc()
	} else {
		c.Ended[e.StepState].Inc()
	}
}

// advance starts more of the steps that are ready than one record had room for.
func (p *partition) advance(saga sagafold.Ref) {
	a := record.SagaChanged{Namespace: saga.Namespace, ID: saga.ID}
	p.propose(a.AppendTo(nil, record.TypeSagaAdvanced), proposal{})
}

// maxSagasDue is how many sagas are undone at a time because their deadlines have
// passed.
const maxSagasDue = 64

// fireSagas undoes sagas whose deadlines have passed. While records that do so are on
// their way no more are made: the fold does not know yet what they will change.
func (p *partition) fireSagas() {
	if at := p.nextSagaDeadline(); at == 0 || at > p.now() {
		return
	}
	for _, ref := range p.sagas.Due(p.now(), maxSagasDue) {
		p.sagasDue++
		c := record.SagaCancelled{Namespace: ref.Namespace, ID: ref.ID, Failure: record.Failure{
			Reason: edda.DeadlineExceeded, Message: "the saga's deadline has passed",
		}}
		p.propose(c.AppendTo(nil), proposal{saga: &sagaPart{due: true}})
	}
}

// nextSagaDeadline is when fireSagas has something to do; zero when that is not known
// yet, or never.
func (p *partition) nextSagaDeadline() int64 {
	if p.sagasDue > 0 {
		return 0
	}
	return p.sagas.NextDeadline()
}
