package saga

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/btree"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
)

// Requests makes and cancels the requests of steps in this partition. The request
// machine is one.
type Requests interface {
	// AdmitStep makes a request in the record being applied. It is false, and nothing
	// happens, when the record has room for no more.
	AdmitStep(a *record.Accepted, msg *edda.Message, start bool) (room bool, err error)
	// CancelStep ends a request if it has not ended, without telling the saga machine.
	CancelStep(id edda.ID) error
}

// Streams appends messages. The machine of streams is one.
type Streams interface {
	// Send appends messages: in the record being applied when the stream lives in this
	// partition, else through the outbox.
	Send(a *record.StreamAppended) error
}

// Machine is the state of the sagas of one partition.
type Machine struct {
	env      *fold.Env
	outbox   *outbox.Machine
	requests Requests
	streams  Streams

	sagas      map[Ref]*Saga // those in memory
	dirty      []*Saga       // changed since the last checkpoint
	gone       map[Ref]bool  // roots whose rows of the last checkpoint count no more
	deadlines  *btree.BTreeG[deadline]
	unadvanced map[Ref]bool
	open       counts // in the table

	queue     []*Saga // those with something to go on with in this record
	advancing *Saga   // what a saga-advanced record is for
	payload   int     // bytes that this record has put into requests
	grown     int     // see Grown
	slots     slots
	effects   []Effect
	taken     int // as many effects were handed out last

	head record.StepHead // room to read into
	last texts
}

// deadline is one that matters.
type deadline struct {
	at   int64
	saga Ref
}

func (d deadline) less(other deadline) bool {
	return cmp.Or(cmp.Compare(d.at, other.at), d.saga.compare(other.saga)) < 0
}

// slots are reserved for steps of one saga by the record that is applied.
type slots struct {
	saga  Ref
	steps []uint32
	used  []bool
}

// texts are those of the last saga: sagas that come in a row share them.
type texts struct{ namespace, name, principal string }

// New returns a machine without sagas.
func New(env *fold.Env, box *outbox.Machine, requests Requests) *Machine {
	return &Machine{
		env: env, outbox: box, requests: requests, sagas: map[Ref]*Saga{}, gone: map[Ref]bool{},
		deadlines: btree.NewG(32, deadline.less), unadvanced: map[Ref]bool{}, open: counts{},
	}
}

// SetStreams says where steps that are messages go. It is called once, before the first
// record.
func (m *Machine) SetStreams(s Streams) { m.streams = s }

// Types are the record types the machine owns.
func (m *Machine) Types() []record.Type {
	return []record.Type{
		record.TypeSagaCreated, record.TypeSagaStarted, record.TypeSagaStepsAdded, record.TypeStepEnded, record.TypeStepFinished,
		record.TypeSagaCancelled, record.TypeCompensationChanged, record.TypeSagaAdvanced, record.TypeSagaRemoved,
	}
}

// Effects returns what the records since the last call brought about. The slice is
// valid until the next record is applied.
func (m *Machine) Effects() []Effect {
	e := m.effects
	if len(e) < m.taken {
		clear(e[len(e):m.taken]) // so that they hold on to nothing
	}
	m.taken = len(e)
	m.effects = e[:0]
	return e
}

// Grown returns about how many bytes have come into memory since the last call that
// stood in no record: sagas read from the table, and what steps were sent. A checkpoint
// lets go of them.
func (m *Machine) Grown() int {
	n := m.grown
	m.grown = 0
	return n
}

func (m *Machine) effect(k EffectKind, s *Saga) {
	m.effects = append(m.effects, Effect{Kind: k, Saga: s})
}

// answer is effect for a record that names a step.
func (m *Machine) answer(k EffectKind, s *Saga, step int) {
	m.effects = append(m.effects, Effect{Kind: k, Saga: s, Step: step})
}

func (m *Machine) refuse(s *Saga, r *refusal) {
	m.effects = append(m.effects, Effect{Kind: Refused, Saga: s, Reason: r.reason, Detail: r.detail})
}

// refusal is why a record changes nothing.
type refusal struct {
	reason edda.Reason
	detail string
}

// Apply changes the state by one record.
func (m *Machine) Apply(r record.Record) error {
	var err error
	switch r.Type {
	case record.TypeSagaCreated:
		err = m.applyCreated(r.Body)
	case record.TypeSagaStarted, record.TypeSagaAdvanced, record.TypeSagaRemoved:
		err = m.applyChanged(r)
	case record.TypeSagaStepsAdded:
		err = m.applyStepsAdded(r.Body)
	case record.TypeStepEnded:
		return m.applyStepEnded(r.Body)
	case record.TypeStepFinished:
		err = m.applyStepFinished(r.Body)
	case record.TypeSagaCancelled:
		err = m.applyCancelled(r.Body)
	case record.TypeCompensationChanged:
		err = m.applyCompensationChanged(r.Body)
	default:
		return fmt.Errorf("%s record is not the saga machine's", r.Type)
	}
	return m.finish(err)
}

// finish goes on with the sagas that the record has changed, and gives back the
// slots that were not needed.
func (m *Machine) finish(err error) error {
	for at := 0; err == nil && at < len(m.queue); at++ {
		s := m.queue[at]
		s.queued = false
		err = m.advance(s)
	}
	clear(m.queue)
	m.queue = m.queue[:0]
	m.advancing, m.payload = nil, 0
	for i, index := range m.slots.steps {
		if !m.slots.used[i] {
			m.answer(Spare, m.sagas[m.slots.saga], int(index))
		}
	}
	m.slots.saga, m.slots.steps = Ref{}, nil
	return err
}

// goOn has the saga advanced before the record's application ends.
func (m *Machine) goOn(s *Saga) {
	if !s.queued {
		s.queued = true
		m.queue = append(m.queue, s)
	}
}

// reserve notes for which steps of a saga the record has slots.
func (m *Machine) reserve(saga Ref, steps []uint32) {
	m.slots.saga, m.slots.steps = saga, steps
	m.slots.used = append(m.slots.used[:0], make([]bool, len(steps))...)
}

// slot returns the place of the slot that is reserved for a step, or for its
// compensation, -1 without one. Which of the two it is for need not be said: no step
// both starts and is undone before the record that ends it.
func (m *Machine) slot(s *Saga, i int) int {
	if len(m.slots.steps) == 0 || m.slots.saga != s.Ref() {
		return -1
	}
	at := slices.Index(m.slots.steps, uint32(i))
	if at < 0 || m.slots.used[at] {
		return -1
	}
	return at
}

// touch marks a saga as changed since the last checkpoint.
func (m *Machine) touch(s *Saga) {
	s.touched = true
	if !s.dirty {
		s.dirty = true
		m.dirty = append(m.dirty, s)
	}
}

// touchStep marks a step as changed since the last checkpoint.
func (m *Machine) touchStep(s *Saga, i int) *step {
	m.touch(s)
	st := &s.steps[i]
	st.flags |= dirtyStep
	return st
}

// arm and disarm say whether the deadline of a saga matters.
func (m *Machine) arm(s *Saga) {
	if s.Deadline == 0 {
		return
	}
	s.armed = true
	m.deadlines.ReplaceOrInsert(deadline{s.Deadline, s.Ref()})
	m.effect(Arm, s)
}

func (m *Machine) disarm(s *Saga) {
	if s.armed {
		s.armed = false
		m.deadlines.Delete(deadline{s.Deadline, s.Ref()})
	}
}

var _ fold.Machine = (*Machine)(nil)
