package saga

import (
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
)

func (m *Machine) applyCreated(body []byte) error {
	var c record.SagaCreated
	if err := c.Decode(body); err != nil {
		return err
	}
	ref := Ref{c.Namespace, c.ID}
	m.reserve(ref, c.Starts)
	known, err := m.load(ref)
	if err != nil {
		return err
	}
	if known != nil && known.expired(m.env.Time) {
		m.remove(known)
		known = nil
	}
	if known != nil {
		m.join(known, &c)
		return nil
	}
	s := m.newSaga(ref, c.Name)
	s.OnFailure, s.Deadline, s.keep = c.OnFailure, c.Deadline, c.Keep
	s.Principal, s.Correlation = edda.Principal(same(&m.last.principal, string(c.Principal))), c.Correlation
	s.TraceParent, s.TraceState = c.TraceParent, c.TraceState
	s.idempotency, s.fingerprint = c.IdempotencyKey, string(c.Fingerprint)
	s.secret = [secretBytes]byte(c.Secret)
	r, err := m.addSteps(s, c.Steps)
	if err != nil {
		return err
	}
	if r != nil {
		m.refuse(nil, r)
		return nil
	}
	m.admit(s)
	if c.Start {
		m.start(s)
	}
	return nil
}

// join answers a request for a saga whose id is taken.
func (m *Machine) join(known *Saga, c *record.SagaCreated) {
	switch {
	case c.IdempotencyKey == "" || known.idempotency != c.IdempotencyKey || known.Principal != c.Principal:
		m.refuse(known, &refusal{edda.Exists, fmt.Sprintf("there is a saga %q already", c.ID)})
	case known.fingerprint != string(c.Fingerprint):
		m.refuse(known, &refusal{edda.IdempotencyMismatch, "the idempotency key was used for another saga"})
	default:
		m.effect(Joined, known)
	}
}

func (m *Machine) newSaga(ref Ref, name string) *Saga {
	ref.Namespace = same(&m.last.namespace, ref.Namespace)
	return &Saga{
		Namespace: ref.Namespace, ID: ref.ID, Name: same(&m.last.name, name), State: edda.SagaCreated, CreatedAt: m.env.Time,
		hash: Hash(ref.Namespace, ref.ID),
	}
}

// same returns the last text when it is the same, because texts that come often come
// in a row.
func same(last *string, s string) string {
	if *last != s {
		*last = s
	}
	return *last
}

// admit takes in a new saga.
func (m *Machine) admit(s *Saga) {
	m.env.RowsVersion = max(m.env.RowsVersion, fold.RowsOfSagas)
	m.sagas[s.Ref()] = s
	m.touch(s)
	m.effect(Created, s)
	m.arm(s)
}

// addSteps adds encoded steps to a saga, all or none.
func (m *Machine) addSteps(s *Saga, encoded [][]byte) (*refusal, error) {
	base := len(s.steps)
	if len(encoded) == 0 {
		return &refusal{edda.BadSchema, "there are no steps"}, nil
	}
	if base+len(encoded) > edda.MaxSagaSteps {
		return &refusal{edda.TooLarge, fmt.Sprintf("the saga would have %d steps, at most %d are allowed", base+len(encoded), edda.MaxSagaSteps)}, nil
	}
	more := 0
	for _, spec := range encoded {
		more += len(spec)
	}
	if r := s.noRoomFor(more, "the saga's steps"); r != nil {
		return r, nil
	}
	s.steps = slices.Grow(s.steps, len(encoded))
	r, err := m.readSteps(s, encoded)
	if err == nil && r == nil {
		r, err = m.findDependencies(s, base)
	}
	if err == nil && r == nil {
		r = s.checkOrder(base)
	}
	if err != nil || r != nil {
		for i := base; i < len(s.steps); i++ {
			if at, ok := s.index[s.steps[i].id]; ok && int(at) == i {
				delete(s.index, s.steps[i].id)
			}
		}
		clear(s.steps[base:])
		s.steps = s.steps[:base]
		return r, err
	}
	s.link(base)
	s.count, s.held = len(s.steps), s.held+more
	for i := base; i < len(s.steps); i++ {
		if m.touchStep(s, i).waits == 0 && s.State == edda.SagaRunning {
			s.makeReady(i)
		}
	}
	return nil, nil
}

// noRoomFor returns why a saga holds no more of what there is, if so.
func (s *Saga) noRoomFor(more int, of string) *refusal {
	if s.held+more <= edda.MaxSagaHeldBytes {
		return nil
	}
	return &refusal{edda.TooLarge, fmt.Sprintf("with %s the saga would hold %d bytes, at most %d are allowed", of, s.held+more, edda.MaxSagaHeldBytes)}
}

// readSteps appends the steps, with those dependencies that are named by place.
func (m *Machine) readSteps(s *Saga, encoded [][]byte) (*refusal, error) {
	base := len(s.steps)
	if base+len(encoded) > fewSteps && s.index == nil {
		s.makeIndex(base + len(encoded))
	}
	var all []uint32 // dependencies
	h := &m.head
	for n, spec := range encoded {
		if err := h.Decode(spec); err != nil {
			return nil, fmt.Errorf("step %d of saga %q: %w", base+n, s.ID, err)
		}
		if _, taken := s.lookup(h.ID); taken || len(h.ID) == 0 {
			return &refusal{edda.Exists, fmt.Sprintf("step %q is there already", h.ID)}, nil
		}
		st := step{id: string(h.ID), spec: spec, base: uint32(base), state: stepWaiting, flags: flagsOf(h)}
		from := len(all)
		for _, p := range h.Places {
			if int(p) >= len(encoded) {
				return &refusal{edda.BadSchema, fmt.Sprintf("step %q depends on the step at place %d, which there is not", h.ID, p)}, nil
			}
			all = append(all, uint32(base)+p)
		}
		st.deps = all[from:len(all):len(all)]
		if s.index != nil {
			s.index[st.id] = uint32(len(s.steps))
		}
		s.steps = append(s.steps, st)
	}
	return nil, nil
}

func flagsOf(h *record.StepHead) (f flags) {
	if h.Compensated {
		f |= compensated
	}
	if h.Saga != nil {
		f |= isSaga
	}
	if h.Queue {
		f |= isQueue
	}
	if len(h.After) > 0 {
		f |= byID
	}
	return f
}

// findDependencies finds the dependencies that are named by id.
func (m *Machine) findDependencies(s *Saga, base int) (*refusal, error) {
	for i := base; i < len(s.steps); i++ {
		st := &s.steps[i]
		if !st.is(byID) {
			continue
		}
		if err := m.head.Decode(st.spec); err != nil {
			return nil, err
		}
		st.deps = make([]uint32, len(m.head.After))
		for n, id := range m.head.After {
			at, ok := s.lookup(id)
			if !ok {
				return &refusal{edda.BadSchema, fmt.Sprintf("step %q depends on %q, which is not a step of the saga", st.id, id)}, nil
			}
			st.deps[n] = at
		}
	}
	return nil, nil
}

// checkOrder checks that no new step waits for itself. Those that were there before
// depend on none of them.
func (s *Saga) checkOrder(base int) *refusal {
	forward := false
	for i := base; i < len(s.steps) && !forward; i++ {
		forward = slices.ContainsFunc(s.steps[i].deps, func(d uint32) bool { return int(d) >= i })
	}
	if !forward {
		return nil
	}
	waits := make([]int, len(s.steps)-base)
	next := make([][]int, len(waits))
	var free []int
	for i := range waits {
		for _, d := range s.steps[base+i].deps {
			if int(d) >= base {
				waits[i]++
				next[int(d)-base] = append(next[int(d)-base], i)
			}
		}
		if waits[i] == 0 {
			free = append(free, i)
		}
	}
	for at := 0; at < len(free); at++ {
		for _, i := range next[free[at]] {
			if waits[i]--; waits[i] == 0 {
				free = append(free, i)
			}
		}
	}
	if len(free) == len(waits) {
		return nil
	}
	i := slices.IndexFunc(waits, func(n int) bool { return n > 0 })
	return &refusal{edda.Cycle, fmt.Sprintf("step %q, or one that it depends on, waits for itself", s.steps[base+i].id)}
}

// link tells the steps that others depend on of those from base on, and counts what
// these wait for.
func (s *Saga) link(base int) {
	counts := make([]uint32, len(s.steps)-base)
	total := 0
	for i := base; i < len(s.steps); i++ {
		for _, d := range s.steps[i].deps {
			if int(d) >= base {
				counts[int(d)-base]++
				total++
			}
		}
	}
	room := make([]uint32, 0, total)
	for i, n := range counts {
		if n > 0 {
			s.steps[base+i].next = room[len(room) : len(room) : len(room)+int(n)]
			room = room[:len(room)+int(n)]
		}
	}
	for i := base; i < len(s.steps); i++ {
		st := &s.steps[i]
		for _, d := range st.deps {
			dep := &s.steps[d]
			dep.next = append(dep.next, uint32(i))
			if !dep.hasSucceeded() {
				st.waits++
			}
		}
	}
}

// fewSteps are searched faster than a map of them is made.
const fewSteps = 8

func (s *Saga) makeIndex(size int) {
	s.index = make(map[string]uint32, size)
	for i := range s.steps {
		s.index[s.steps[i].id] = uint32(i)
	}
}

// lookup finds a step by its id.
func (s *Saga) lookup(id []byte) (uint32, bool) {
	if s.index == nil && len(s.steps) > fewSteps {
		s.makeIndex(len(s.steps))
	}
	if s.index != nil {
		at, ok := s.index[string(id)]
		return at, ok
	}
	for i := range s.steps {
		if s.steps[i].id == string(id) {
			return uint32(i), true
		}
	}
	return 0, false
}

// StepIndex finds a step by its id.
func (s *Saga) StepIndex(id string) (int, bool) {
	at, ok := s.lookup([]byte(id))
	return int(at), ok
}
