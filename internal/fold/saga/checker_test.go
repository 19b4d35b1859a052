package saga_test

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/edda-io/edda"
)

// The checker judges a history of sagas as it is seen from outside: what was asked,
// and after each record how the sagas look, which requests were made, which were
// cancelled and which are open. It knows nothing of the machine. Its rules are
// those of the documentation, each read off the views and the whole history.

// wish is what a record asks for.
type wish struct {
	kind wishKind
	saga string
	step string
	// spec is that of wishCreate, steps those of wishAdd, and what the handler adds with
	// wishEnd.
	spec  *edda.SagaSpec
	steps []edda.StepSpec
	// undo and run say which request of the step has ended.
	undo bool
	run  uint64
	end  end
	// reason is that of wishCancel.
	reason edda.Reason
	action edda.CompensationAction
	// wrong says that the steps of wishAdd make no sense.
	wrong bool
}

type wishKind string

const (
	wishCreate  wishKind = "create"
	wishStart   wishKind = "start"
	wishAdd     wishKind = "add"
	wishEnd     wishKind = "end"    // of a step's request
	wishFinish  wishKind = "finish" // by call
	wishCancel  wishKind = "cancel"
	wishPerson  wishKind = "person" // retry, skip, resolve
	wishAdvance wishKind = "advance"
	wishNothing wishKind = "nothing" // that concerns sagas
)

// end is how a request, or a call, ends a step.
type end struct {
	// result is JSON; "" stands for no success.
	result  string
	pending bool
	// reason is why there is no success, status that of the reply; cancelled says that
	// the request was cancelled.
	reason    edda.Reason
	status    int
	cancelled bool
}

func (e end) ok() bool { return e.result != "" }

// name says which request of which step.
type name struct {
	saga, step string
	undo       bool
	run        uint64
}

func (n name) String() string {
	if n.undo {
		return fmt.Sprintf("%s/%s undo %d", n.saga, n.step, n.run)
	}
	return n.saga + "/" + n.step
}

// made is a request, or a message that a step is, that a record has made.
type made struct {
	name
	id     edda.ID
	remote bool
	to     edda.Address
	method string
	input  edda.StepInput
}

// sight is what is seen after a record.
type sight struct {
	sagas map[string]*edda.Saga
	made  []made
	// cancelled are the requests that the record has ended here, or told the other
	// partition to end.
	cancelled []name
	// open are the requests that are open here; away are those that were sent to the
	// other partition and have not come back, doomed those of them that are being
	// told to end.
	open, away, doomed []name
	// answers are applied, unchanged, created, joined, or refused and why; ends are the
	// sagas that were said to have ended.
	answers []string
	ends    []string
	// more are the sagas that ask for another record, because one was full.
	more []string
}

type moment struct {
	wish wish
	sight
}

// history is everything so far. The last moment is judged.
type history []moment

func (h history) last() *moment { return &h[len(h)-1] }

// before returns how a saga was before the last record; nil when there was none.
func (h history) before(id string) *edda.Saga {
	if len(h) < 2 {
		return nil
	}
	return h[len(h)-2].sagas[id]
}

// judge returns what is wrong with the last moment of the history.
func (h history) judge() error {
	for _, rule := range []func(history) error{
		history.ruleAnswer, history.ruleTarget, history.ruleMoves, history.ruleShape, history.ruleShould,
		history.ruleTrigger, history.ruleMade, history.ruleUndoOrder, history.ruleOpen, history.ruleEnds, history.ruleNested,
	} {
		if err := rule(h); err != nil {
			return err
		}
	}
	return nil
}

// find returns a step of a saga; nil when there is none.
func find(s *edda.Saga, step string) *edda.Step {
	if s == nil {
		return nil
	}
	if i := slices.IndexFunc(s.Steps, func(st edda.Step) bool { return st.ID == step }); i >= 0 {
		return &s.Steps[i]
	}
	return nil
}

func settled(st *edda.Step) bool {
	switch st.State {
	case edda.StepSkipped, edda.StepFailed, edda.StepCancelled, edda.StepCompensated, edda.StepNotCompensated:
		return true
	default:
		return false
	}
}

// undone reports whether the saga is being undone, or was.
func undone(s *edda.Saga) bool {
	return s.State == edda.SagaCompensating || s.State == edda.SagaCompensated || s.State == edda.SagaCompensationFailed
}

// applies says whether the last wish should change anything: that depends on how the
// saga and the step were before, and on nothing else. A wish that may or may not is
// unsure.
func (h history) applies() (yes, unsure bool) {
	w := h.last().wish
	s := h.before(w.saga)
	if s == nil {
		return w.kind == wishCreate, false
	}
	st := find(s, w.step)
	switch w.kind {
	case wishStart:
		return s.State == edda.SagaCreated, false
	case wishAdd:
		return !w.wrong && (s.State == edda.SagaCreated || s.State == edda.SagaRunning), false
	case wishCancel:
		// A deadline that passes while steps are waited for ends that: those that run are
		// cancelled, if they were not before.
		waits := s.State == edda.SagaCompensating && w.reason == edda.DeadlineExceeded
		return s.State == edda.SagaCreated || s.State == edda.SagaRunning, waits
	case wishFinish:
		return st != nil && st.State == edda.StepRunning && st.SagaID == "", false
	case wishPerson:
		return st != nil && st.Compensation != nil && st.Compensation.State == edda.CompensationFailed, false
	case wishEnd:
		return st != nil && h.awaited(st), false
	case wishAdvance:
		return slices.Contains(h[len(h)-2].more, w.saga), false
	default:
		return false, false
	}
}

// awaited reports whether the end of the request that the last wish names is the one
// that its step, or its compensation, waits for.
func (h history) awaited(st *edda.Step) bool {
	w := h.last().wish
	if w.undo {
		return st.Compensation != nil && st.Compensation.State == edda.CompensationRunning && w.run == h[:len(h)-1].retries(w.saga, w.step)
	}
	return st.State == edda.StepRunning && !st.Pending && st.SagaID == ""
}

// retries counts how often a person has had a step's compensation run again.
func (h history) retries(saga, step string) (n uint64) {
	for i := range h {
		w := &h[i].wish
		if w.kind != wishPerson || w.action != edda.RetryCompensation || w.saga != saga || w.step != step {
			continue
		}
		if yes, _ := h[:i+1].applies(); yes {
			n++
		}
	}
	return n
}

// ruleAnswer: what applies is answered so; what does not is answered with the truth
// and changes nothing at all.
func (h history) ruleAnswer() error {
	m := h.last()
	yes, unsure := h.applies()
	called := m.wish.kind != wishEnd && m.wish.kind != wishNothing && m.wish.kind != wishAdvance
	switch {
	case unsure:
		return nil
	case yes && called && !slices.Contains(m.answers, "applied") && !slices.Contains(m.answers, "created"):
		return fmt.Errorf("%s of %s/%s applies, answered %q", m.wish.kind, m.wish.saga, m.wish.step, m.answers)
	case yes:
		return nil
	case called && (len(m.answers) != 1 || m.answers[0] == "applied" || m.answers[0] == "created"):
		return fmt.Errorf("%s of %s/%s does not apply, answered %q", m.wish.kind, m.wish.saga, m.wish.step, m.answers)
	case len(h) < 2:
		return nil
	}
	if d := difference(h[len(h)-2].sagas, m.sagas); d != "" {
		return fmt.Errorf("%s of %s/%s came too late, or for nothing, and yet: %s", m.wish.kind, m.wish.saga, m.wish.step, d)
	}
	if len(m.made)+len(m.cancelled)+len(m.ends) > 0 {
		return fmt.Errorf("%s of %s/%s came too late, or for nothing, and yet made %v, cancelled %v, ended %v",
			m.wish.kind, m.wish.saga, m.wish.step, m.made, m.cancelled, m.ends)
	}
	return nil
}

// difference names the first thing in which two views differ.
func difference(a, b map[string]*edda.Saga) string {
	if len(a) != len(b) {
		return fmt.Sprintf("there were %d sagas, now there are %d", len(a), len(b))
	}
	for id, s := range a {
		t := b[id]
		if reflect.DeepEqual(s, t) {
			continue
		}
		if t == nil || len(s.Steps) != len(t.Steps) {
			return "saga " + id + " is another"
		}
		for i := range s.Steps {
			if !reflect.DeepEqual(s.Steps[i], t.Steps[i]) {
				return fmt.Sprintf("step %s/%s was %s", id, s.Steps[i].ID, describe(&s.Steps[i])+", is "+describe(&t.Steps[i]))
			}
		}
		return fmt.Sprintf("saga %s was %s %s, is %s %s", id, s.State, s.Reason, t.State, t.Reason)
	}
	return ""
}

func describe(st *edda.Step) string {
	d := string(st.State)
	if st.Pending {
		d += " pending"
	}
	if st.Result != nil {
		d += " " + string(st.Result)
	}
	if st.Error != nil {
		d += fmt.Sprintf(" %v", *st.Error)
	}
	if c := st.Compensation; c != nil {
		d += fmt.Sprintf(" (undo %s %d)", c.State, c.Attempts)
	}
	return d
}

// ruleTarget: the step that a wish is about is what it made of it.
func (h history) ruleTarget() error {
	m := h.last()
	w := &m.wish
	if yes, _ := h.applies(); !yes {
		return nil
	}
	s := m.sagas[w.saga]
	if s == nil {
		return fmt.Errorf("saga %s is gone", w.saga)
	}
	st := find(s, w.step)
	switch {
	case w.kind == wishAdd:
		was := h.before(w.saga)
		if len(s.Steps) != len(was.Steps)+len(w.steps) {
			return fmt.Errorf("%d steps and %d added are %d", len(was.Steps), len(w.steps), len(s.Steps))
		}
	case w.kind == wishCancel:
		if s.State == edda.SagaCreated || s.State == edda.SagaRunning || s.State == edda.SagaSucceeded {
			return fmt.Errorf("cancelled saga %s is %s", w.saga, s.State)
		}
	case w.kind == wishStart && s.State == edda.SagaCreated:
		return fmt.Errorf("started saga %s is %s", w.saga, s.State)
	case w.kind == wishPerson:
		return w.person(st)
	case w.kind == wishEnd && w.undo:
		return w.undoEnded(st)
	case w.kind == wishEnd || w.kind == wishFinish:
		return h.stepEnded(s, st)
	}
	return nil
}

func (w *wish) person(st *edda.Step) error {
	var ok bool
	c := st.Compensation.State
	switch w.action {
	case edda.RetryCompensation:
		ok = c == edda.CompensationRunning && st.State == edda.StepCompensating
	case edda.SkipCompensation:
		ok = c == edda.CompensationSkipped && st.State == edda.StepNotCompensated
	default:
		ok = c == edda.CompensationResolved && st.State == edda.StepCompensated
	}
	if !ok {
		return fmt.Errorf("%s of the compensation of %s: it is %s", w.action, w.step, describe(st))
	}
	return nil
}

func (w *wish) undoEnded(st *edda.Step) error {
	c := st.Compensation
	switch {
	case w.end.ok() && (c.State != edda.CompensationSucceeded || st.State != edda.StepCompensated):
		return fmt.Errorf("compensation of %s has succeeded, it is %s", w.step, describe(st))
	case !w.end.ok() && (c.State != edda.CompensationFailed || st.State != edda.StepCompensating || c.Error == nil):
		return fmt.Errorf("compensation of %s has failed, it is %s", w.step, describe(st))
	}
	return nil
}

// stepEnded judges a step whose request has ended, or that was finished by call.
func (h history) stepEnded(s *edda.Saga, st *edda.Step) error {
	w := &h.last().wish
	asked := h[:len(h)-1].cancelAsked(name{saga: w.saga, step: w.step})
	switch {
	case w.end.pending && asked:
		if st.State != edda.StepCancelled {
			return fmt.Errorf("step %s was to be cancelled and is left pending, it is %s", w.step, describe(st))
		}
	case w.end.pending:
		if st.State != edda.StepRunning || !st.Pending {
			return fmt.Errorf("step %s is left pending, it is %s", w.step, describe(st))
		}
	case w.end.ok():
		has := st.State == edda.StepSucceeded || undone(s) && (st.State == edda.StepCompensating || st.State == edda.StepNotCompensated)
		if !has || string(st.Result) != w.end.result || st.Error != nil {
			return fmt.Errorf("step %s has succeeded with %s, it is %s", w.step, w.end.result, describe(st))
		}
	case w.end.cancelled && asked:
		if st.State != edda.StepCancelled {
			return fmt.Errorf("step %s was cancelled, it is %s", w.step, describe(st))
		}
	default:
		if st.State != edda.StepFailed || st.Error == nil || st.Error.Reason != w.end.reason || st.Error.Status != w.end.status || st.Result != nil {
			return fmt.Errorf("step %s has failed with %s, status %d, it is %s", w.step, w.end.reason, w.end.status, describe(st))
		}
	}
	return nil
}

// cancelAsked reports whether the request was ever told to end.
func (h history) cancelAsked(n name) bool {
	return slices.ContainsFunc(h, func(m moment) bool { return slices.Contains(m.cancelled, n) })
}
