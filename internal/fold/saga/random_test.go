package saga

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
)

// remote reports whether the requests of a key are made in another partition.
func remote(key string) bool {
	return fold.Home(edda.Address{Namespace: edda.DefaultNamespace, Name: "svc", Key: key}.Hash(), testPartitions) != testHome
}

// randomSteps returns steps without circles, some of which are sagas.
func randomSteps(r *rand.Rand, prefix string, known []string, depth int) []edda.StepSpec {
	var text []string
	n := 1 + r.IntN(5)
	for i := range n {
		one := fmt.Sprintf("%s%d", prefix, i)
		known = append(known, one)
		switch r.IntN(8) {
		case 0, 1:
			one += fmt.Sprintf("/key%d", r.IntN(4))
		case 2:
			one += "@"
		}
		if r.IntN(3) == 0 {
			one += "!"
		}
		var after []string
		for _, other := range known[:len(known)-1] {
			if r.IntN(3) == 0 {
				after = append(after, other)
			}
		}
		if len(after) > 0 {
			one += ":" + strings.Join(after, ",")
		}
		text = append(text, one)
	}
	out := steps(strings.Join(text, " "))
	for i := range out {
		if depth > 0 && r.IntN(5) == 0 {
			inner := &edda.SagaSpec{Steps: randomSteps(r, "i", nil, depth-1)}
			if r.IntN(2) == 0 {
				inner.OnFailure = edda.CancelSteps
			}
			out[i] = edda.StepSpec{ID: out[i].ID, After: out[i].After, Saga: inner}
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// run is one random saga, and what is known of it.
type run struct {
	*world
	r     *rand.Rand
	model *model
	added int
	ended map[string]*record.StepEnded // the last end of each request, to be repeated
}

// TestAgainstModel plays random things with random sagas, and compares them with the
// model after each.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		spec := &edda.SagaSpec{Start: true, Steps: randomSteps(r, "s", nil, 2)}
		if r.IntN(2) == 0 {
			spec.OnFailure = edda.CancelSteps
		}
		w := &run{world: newWorld(t), r: r, ended: map[string]*record.StepEnded{}}
		if r.IntN(3) == 0 {
			w.room = 1 + r.IntN(2)
		}
		w.create(spec)
		w.model = newModel("t", spec, remote)
		w.model.state = edda.SagaRunning
		w.compareModel(seed, "create")
		for range 40 {
			w.compareModel(seed, w.play())
		}
	}
}

// compareModel compares once all steps have started for which there was no room.
func (w *run) compareModel(seed uint64, after string) {
	w.tb.Helper()
	for w.room < 1000 {
		refs := w.m().Unadvanced()
		if len(refs) == 0 {
			break
		}
		w.changed(record.TypeSagaAdvanced, refs[0].ID)
	}
	w.model.settle()
	got := w.states("t")
	for _, s := range w.models(nil, w.model)[1:] {
		if s.state != edda.SagaCreated {
			got += "\n" + s.id + " " + w.states(s.id)
		}
	}
	if want := sortLines(w.model.text()); sortLines(got) != want {
		w.tb.Fatalf("seed %d, after %s: saga is\n%s\nwant\n%s", seed, after, sortLines(got), want)
	}
	if got, want := w.running(), w.model.running(); got != want {
		w.tb.Fatalf("seed %d, after %s: %q runs, want %q\n%s", seed, after, got, want, w.model.text())
	}
}

func sortLines(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (w *run) models(all []*model, m *model) []*model {
	all = append(all, m)
	for _, s := range m.steps {
		if s.child != nil {
			all = w.models(all, s.child)
		}
	}
	return all
}

// play does one thing to the saga and to the model, and says which.
func (w *run) play() string {
	w.tb.Helper()
	var there []*model
	for _, m := range w.models(nil, w.model) {
		if m.state != edda.SagaCreated {
			there = append(there, m)
		}
	}
	m := there[w.r.IntN(len(there))]
	s := m.steps[w.r.IntN(len(m.steps))]
	switch n := w.r.IntN(20); {
	case n < 12:
		return w.playEnd()
	case n < 14:
		return w.playFinish(m, s)
	case n < 17:
		return w.playCompensation(m, s)
	case n == 17:
		return w.playAdd(m)
	case n == 18:
		return w.playLate()
	case w.r.IntN(3) == 0:
		return w.playCancel(m)
	}
	return "nothing"
}

// playEnd ends a request.
func (w *run) playEnd() string {
	w.tb.Helper()
	open := strings.Fields(w.model.running())
	if len(open) == 0 {
		return "nothing"
	}
	name := open[w.r.IntN(len(open))]
	m, s := w.lookup(name)
	undo := strings.HasPrefix(name, "-")
	kind := w.r.IntN(10)
	w.end(name, func(e *record.StepEnded) {
		switch {
		case kind == 0:
			e.State = edda.StateDead
		case kind == 1 && s.asked:
			e.State = edda.StateCancelled
		case kind == 2:
			e.Pending = true
		case kind == 3:
			e.Reply = encodeReply(&edda.Reply{Status: 500})
		}
		w.ended[name] = e
	})
	bad := kind == 0 || kind == 1 && s.asked || kind == 3
	switch {
	case undo && (bad || kind == 2):
		s.comp = edda.CompensationFailed
	case undo:
		s.state, s.comp = edda.StepCompensated, edda.CompensationSucceeded
	case bad && kind == 1:
		m.stepFails(s, edda.StepCancelled)
	case bad:
		m.stepFails(s, edda.StepFailed)
	case kind == 2 && s.asked:
		m.stepFails(s, edda.StepCancelled)
	case kind == 2:
		s.pending = true
	default:
		s.state = edda.StepSucceeded
	}
	return fmt.Sprintf("end %s as %d", name, kind)
}

// lookup finds what a request is for.
func (w *run) lookup(name string) (*model, *modelStep) {
	saga, step, _ := strings.Cut(strings.TrimPrefix(name, "-"), ".")
	for _, m := range w.models(nil, w.model) {
		if m.id == saga {
			return m, m.step(step)
		}
	}
	return nil, nil
}

// playFinish finishes a step by call.
func (w *run) playFinish(m *model, s *modelStep) string {
	w.tb.Helper()
	good := w.r.IntN(3) > 0
	result := ""
	if good {
		result = "1"
	}
	remoteRuns := s.remote && s.state == edda.StepRunning && !s.pending
	w.finishStep(m.id, s.id, result)
	if s.state != edda.StepRunning || s.child != nil {
		return "finish in vain " + s.id
	}
	if remoteRuns {
		w.forget(m.id + "." + s.id)
	}
	s.pending = false
	if good {
		s.state = edda.StepSucceeded
	} else {
		m.stepFails(s, edda.StepFailed)
	}
	return "finish " + s.id
}

// forget takes away the request of a step elsewhere, which has been cancelled.
func (w *run) forget(name string) {
	id := w.asked(name).msg.ID
	for _, s := range w.sides {
		delete(s.req.open, id)
	}
}

func (w *run) playCompensation(m *model, s *modelStep) string {
	w.tb.Helper()
	a := []edda.CompensationAction{edda.RetryCompensation, edda.SkipCompensation, edda.ResolveCompensation}[w.r.IntN(3)]
	w.compensation(m.id, s.id, a)
	if s.comp != edda.CompensationFailed {
		return "act in vain " + s.id
	}
	switch a {
	case edda.RetryCompensation:
		s.comp = edda.CompensationRunning
	case edda.SkipCompensation:
		s.state, s.comp = edda.StepNotCompensated, edda.CompensationSkipped
	default:
		s.state, s.comp = edda.StepCompensated, edda.CompensationResolved
	}
	if m.state == edda.SagaCompensationFailed {
		m.state = edda.SagaCompensating
	}
	return fmt.Sprintf("%s %s", a, s.id)
}

// playAdd adds steps that depend on any.
func (w *run) playAdd(m *model) string {
	w.tb.Helper()
	var known []string
	for _, s := range m.steps {
		known = append(known, s.id)
	}
	w.added++
	more := randomSteps(w.r, fmt.Sprintf("n%d-", w.added), known, 1)
	w.add(m.id, more...)
	if m.state == edda.SagaRunning {
		m.add(more, remote)
	}
	return "add to " + m.id
}

// playLate repeats the end of a request.
func (w *run) playLate() string {
	w.tb.Helper()
	var names []string
	open := strings.Fields(w.model.running())
	for name := range w.ended {
		if !slices.Contains(open, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	slices.Sort(names)
	name := names[w.r.IntN(len(names))]
	e := *w.ended[name]
	e.Starts = nil
	if said := w.do(e.AppendTo(nil)); said != "" {
		w.tb.Errorf("the end of %s, repeated, brings about %s", name, said)
	}
	return "repeat " + name
}

func (w *run) playCancel(m *model) string {
	w.tb.Helper()
	reason := []edda.Reason{edda.Cancelled, edda.DeadlineExceeded}[w.r.IntN(2)]
	w.cancel(m.id, reason)
	if m.state == edda.SagaRunning || m.state == edda.SagaCompensating && reason == edda.DeadlineExceeded {
		m.cancel()
	}
	return fmt.Sprintf("cancel %s: %s", m.id, reason)
}
