package saga

import (
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
)

// maxRehearsed is how many steps a saga has at most of which the ends are foreseen: it is
// copied for that. What they start fits into one record.
const maxRehearsed = 64

// Rehearsal foresees what the ends of a saga's steps send to other partitions, of one
// record after the other that is not applied yet. It has a machine of its own, with a copy of
// the saga.
type Rehearsal struct {
	ref  Ref
	m    *Machine
	env  *fold.Env
	asks *rehearsal
}

// Rehearse returns a rehearsal of a saga, as it is; nil when the end of the step starts
// nothing in another partition, or what it starts cannot be foreseen.
func (m *Machine) Rehearse(ref Ref, step uint32) *Rehearsal {
	s := m.sagas[ref]
	if s == nil || s.State != edda.SagaRunning || s.Nested() ||
		int(step) >= len(s.steps) || len(s.steps) > maxRehearsed || s.held > maxForeseen || !m.leadsAway(s, int(step)) {
		return nil
	}
	for i := range s.steps {
		if s.steps[i].is(isSaga) { // which changes with this one, and is not copied
			return nil
		}
	}
	env := *m.env
	r := &Rehearsal{ref: ref, env: &env, asks: &rehearsal{}}
	r.m = New(r.env, nil, r.asks)
	r.m.SetStreams(r.asks)
	r.m.sagas[ref] = s.double()
	return r
}

// leadsAway reports whether a step that depends on this one asks a service in another
// partition.
func (m *Machine) leadsAway(s *Saga, step int) bool {
	return slices.ContainsFunc(s.steps[step].next, func(n uint32) bool {
		var t record.StepTask
		return s.steps[n].asks(false) && t.Decode(s.steps[n].spec, false) == nil && m.env.Home(s.hashOf(&t.Task)) != m.env.Partition
	})
}

// double returns a copy of a saga that runs. What becomes of the one does not show in
// the other.
func (s *Saga) double() *Saga {
	d := *s
	d.steps, d.ready, d.index = slices.Clone(s.steps), slices.Clone(s.ready), nil
	return &d
}

// StepEnded returns what the next record sends, if it says that a step has ended so and
// is of that time: requests, and nothing else. Here says whether it makes requests in this
// partition too. It is not ok when that is not certain, and then the rehearsal is over.
func (r *Rehearsal) StepEnded(e *record.StepEnded, now int64) (sent []Foreseen, here, ok bool) {
	s := r.m.sagas[r.ref]
	if s.State != edda.SagaRunning || e.Step.Undo || e.State != edda.StateSucceeded || e.Pending || len(e.Added) > 0 ||
		len(e.Reply) > maxForeseen || !s.asked(e) {
		return nil, false, false
	}
	r.env.Time = max(r.env.Time, now)
	r.m.outbox, *r.asks = outbox.New(r.env), rehearsal{}
	if r.m.StepEnded(e, nil) != nil || r.asks.streams {
		return nil, false, false
	}
	for _, to := range r.m.outbox.Touched() {
		entries := r.m.outbox.After(to, 0, maxRehearsed)
		if slices.ContainsFunc(entries, func(e outbox.Entry) bool { return e.Type != record.TypeAccepted }) {
			return nil, false, false
		}
		sent = append(sent, Foreseen{to, entries})
	}
	r.m.Effects()
	return sent, r.asks.requests, true
}
