package saga_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// failed is how a handler fails for good, byCall how a person fails a step.
var (
	failed = end{reason: edda.Failed}
	byCall = end{reason: edda.Failed}
)

// succeeded is how a step, or its compensation, succeeds.
func succeeded(n name) end {
	what := "result of " + n.step
	if n.step == largeStep {
		what += strings.Repeat(" and more of it", largeBytes/15)
	}
	return end{result: fmt.Sprintf("%q", what)}
}

// largeStep has a result of so many bytes.
const largeStep, largeBytes = "large", 4 << 20

// actions are all that may change something in a state.
func (x *explorer) actions(p *place, n *node) []action {
	m := n.h.last()
	var out []action
	for _, r := range p.local() {
		if who := p.names[r.ID]; r.Head() {
			out = append(out, x.ends(n, who, func(x *explorer, p *place, n *node, e end, added []edda.StepSpec) { x.endLocal(p, n, who, e, added) })...)
		}
	}
	out = append(out, x.elsewhere(p, n)...)
	for _, id := range m.more {
		out = append(out, action{name: "advance " + id, do: func(x *explorer, p *place, n *node) { x.change(p, n, wish{kind: wishAdvance, saga: id}) }})
	}
	for _, id := range sorted(m.sagas) {
		out = append(out, x.calls(n, m.sagas[id])...)
	}
	return out
}

// ends are the ways in which a request may end.
func (x *explorer) ends(n *node, who name, do func(*explorer, *place, *node, end, []edda.StepSpec)) []action {
	with := func(what string, e end, spend func(*budget)) action {
		return action{name: who.String() + " " + what, bad: !e.ok() && !e.pending, do: func(x *explorer, p *place, n *node) {
			spend(&n.left)
			do(x, p, n, e, nil)
		}}
	}
	out := []action{
		with("succeeds", succeeded(who), func(*budget) {}),
		with("fails", failed, func(*budget) {}),
	}
	if !who.undo && n.left.pendings > 0 {
		out = append(out, with("is left pending", end{pending: true}, func(b *budget) { b.pendings-- }))
	}
	if !who.undo && n.left.adds > 0 {
		out = append(out, action{name: who.String() + " adds a step", do: func(x *explorer, p *place, n *node) {
			n.left.adds--
			do(x, p, n, succeeded(who), []edda.StepSpec{newStep(n, who.step)})
		}}, action{name: who.String() + " adds itself", bad: true, do: func(x *explorer, p *place, n *node) {
			n.left.adds--
			do(x, p, n, succeeded(who), []edda.StepSpec{{ID: who.step, Task: edda.Task{Service: balanced, Method: "do"}}})
		}})
	}
	return out
}

// newStep is one that is added, and depends on another.
func newStep(n *node, after string) edda.StepSpec {
	return edda.StepSpec{
		ID: fmt.Sprint("new", n.left.adds), Task: edda.Task{Service: balanced, Method: "do"}, After: []string{after},
		Compensate: &edda.Task{Service: balanced, Method: "undo"},
	}
}

// elsewhere is what may happen in the other partition, and come from there.
func (x *explorer) elsewhere(p *place, n *node) []action {
	var out []action
	if n.d.received < len(p.lane()) {
		out = append(out, action{name: "a cancellation arrives", do: func(_ *explorer, p *place, n *node) {
			n.d.take(p)
			n.d.arrivals(p)
			n.h.last().sight = p.resight(&n.d, n.h.last())
		}})
	}
	for i := range n.d.open {
		out = append(out, x.ends(n, n.d.open[i].name, func(x *explorer, p *place, n *node, e end, added []edda.StepSpec) {
			if len(added) > 0 {
				n.left.adds++ // only here
			}
			n.d.finish(i, e)
			n.h.last().sight = p.resight(&n.d, n.h.last())
		})...)
	}
	if n.d.returned < len(n.d.back) {
		out = append(out, action{name: "an end comes back", do: func(x *explorer, p *place, n *node) { x.returnBack(p, n, false) }})
	}
	return out
}

// resight looks again at what is elsewhere.
func (p *place) resight(d *distance, m *moment) sight {
	s := p.sight(d)
	s.made, s.cancelled, s.answers, s.ends = m.made, m.cancelled, m.answers, m.ends
	return s
}

// calls are what people may do to a saga.
func (x *explorer) calls(n *node, s *edda.Saga) []action {
	var out []action
	add := func(what string, do func(x *explorer, p *place, n *node)) {
		out = append(out, action{name: what + " " + s.ID, bad: strings.HasPrefix(what, "undo"), do: do})
	}
	id := s.ID
	if s.State == edda.SagaCreated {
		add("start", func(x *explorer, p *place, n *node) { x.change(p, n, wish{kind: wishStart, saga: id}) })
	}
	if s.State == edda.SagaCompensating && n.left.cancels > 1 && slices.ContainsFunc(s.Steps, func(st edda.Step) bool { return st.State == edda.StepRunning }) {
		add("undo, late,", func(x *explorer, p *place, n *node) {
			x.change(p, n, wish{kind: wishCancel, saga: id, reason: edda.DeadlineExceeded})
		})
	}
	if s.State == edda.SagaCreated || s.State == edda.SagaRunning {
		for i, why := range []edda.Reason{edda.Cancelled, edda.DeadlineExceeded} {
			if i < n.left.cancels {
				add("undo, "+string(why)+",", func(x *explorer, p *place, n *node) { x.change(p, n, wish{kind: wishCancel, saga: id, reason: why}) })
			}
		}
		if n.left.adds > 0 && id == exploreSaga {
			for i := range s.Steps {
				add("add a step after "+s.Steps[i].ID, func(x *explorer, p *place, n *node) {
					n.left.adds--
					x.change(p, n, wish{kind: wishAdd, saga: id, steps: []edda.StepSpec{newStep(n, s.Steps[i].ID)}})
				})
			}
		}
	}
	for i := range s.Steps {
		out = append(out, x.stepCalls(n, id, &s.Steps[i])...)
	}
	return out
}

func (x *explorer) stepCalls(n *node, id string, st *edda.Step) []action {
	var out []action
	add := func(what string, do func(x *explorer, p *place, n *node)) {
		out = append(out, action{name: what + " " + id + "/" + st.ID, bad: strings.Contains(what, "false"), do: do})
	}
	if st.State == edda.StepRunning && st.SagaID == "" && (st.Pending || n.left.calls > 0) {
		for _, e := range []end{succeeded(name{step: st.ID}), byCall} {
			add(fmt.Sprintf("finish, good %t,", e.ok()), func(x *explorer, p *place, n *node) {
				if !st.Pending {
					n.left.calls--
				}
				x.finish(p, n, id, st.ID, e)
			})
		}
	}
	if c := st.Compensation; c != nil && c.State == edda.CompensationFailed {
		for _, a := range []edda.CompensationAction{edda.RetryCompensation, edda.SkipCompensation, edda.ResolveCompensation} {
			if a == edda.RetryCompensation && n.left.retries == 0 {
				continue
			}
			add(string(a), func(x *explorer, p *place, n *node) {
				if a == edda.RetryCompensation {
					n.left.retries--
				}
				x.change(p, n, wish{kind: wishPerson, saga: id, step: st.ID, action: a})
			})
		}
	}
	return out
}

// change applies a record that asks for a change.
func (x *explorer) change(p *place, n *node, w wish) {
	var rec []byte
	switch w.kind {
	case wishStart:
		rec = (&record.SagaChanged{Namespace: exploreNamespace, ID: w.saga}).AppendTo(nil, record.TypeSagaStarted)
	case wishAdvance:
		rec = (&record.SagaChanged{Namespace: exploreNamespace, ID: w.saga}).AppendTo(nil, record.TypeSagaAdvanced)
	case wishCancel:
		rec = (&record.SagaCancelled{Namespace: exploreNamespace, ID: w.saga, Failure: record.Failure{Reason: w.reason}}).AppendTo(nil)
	case wishAdd:
		rec = (&record.SagaStepsAdded{Namespace: exploreNamespace, ID: w.saga, Steps: record.EncodeSteps(w.steps)}).AppendTo(nil)
	case wishPerson:
		rec = (&record.CompensationChanged{Namespace: exploreNamespace, ID: w.saga, Step: w.step, Action: w.action}).AppendTo(nil)
	default:
		x.tb.Fatalf("no record for %s", w.kind)
	}
	x.apply(p, n, w, rec, 0)
}

// nothings does all that must change nothing in a state: what is repeated, comes too
// late, or is about something that is not there.
func (x *explorer) nothings(n *node) { x.nothingsIn(x.replay(n), n.clone()) }

func (x *explorer) nothingsIn(p *place, n *node) {
	n.path = append(n.path, "what must change nothing")
	m := n.h.last()
	id := exploreSaga
	x.create(p, n, n.h[0].wish.spec)
	for _, saga := range []string{id, "unknown"} {
		s := m.sagas[saga]
		if s == nil || s.State != edda.SagaCreated {
			x.change(p, n, wish{kind: wishStart, saga: saga})
		}
		if s == nil || s.State != edda.SagaCreated && s.State != edda.SagaRunning {
			for _, why := range []edda.Reason{edda.Cancelled, edda.DeadlineExceeded} {
				if s == nil || s.State != edda.SagaCompensating || why == edda.Cancelled {
					x.change(p, n, wish{kind: wishCancel, saga: saga, reason: why})
				}
			}
			x.change(p, n, wish{kind: wishAdd, saga: saga, steps: []edda.StepSpec{{ID: "more", Task: edda.Task{Service: balanced, Method: "do"}}}})
		}
		for _, steps := range wrongSteps(n.h[0].wish.spec) {
			x.change(p, n, wish{kind: wishAdd, saga: saga, steps: steps, wrong: true})
		}
		x.finish(p, n, saga, "unknown", end{result: `"late"`})
		x.change(p, n, wish{kind: wishPerson, saga: saga, step: "unknown", action: edda.SkipCompensation})
	}
	for _, s := range m.sagas {
		for i := range s.Steps {
			x.stepNothings(p, n, s.ID, &s.Steps[i])
		}
	}
	if n.d.returned > 0 {
		x.returnBack(p, n, true)
	}
	for i := range n.stale {
		c := n.stale[i]
		x.apply(p, n, wish{kind: wishNothing}, c.AppendTo(nil), 0)
	}
}

// lateEnds tells of requests of a step that have ended, though nobody waits for them:
// none is open, or it is another one.
func (x *explorer) lateEnds(p *place, n *node, id string, st *edda.Step) {
	tell := func(undo bool, run uint64, state edda.State) {
		i := slices.IndexFunc(n.h.last().sagas[id].Steps, func(s edda.Step) bool { return s.ID == st.ID })
		e := end{result: `"late"`}.record(exploreNamespace, record.Step{Saga: id, Index: uint32(i), Undo: undo, Run: run})
		if e.State = state; state != edda.StateSucceeded {
			e.Reply, e.Failure = nil, record.Failure{Reason: edda.Failed, Message: "late"}
		}
		x.apply(p, n, wish{kind: wishEnd, saga: id, step: st.ID, undo: undo, run: run, end: end{result: `"late"`}}, e.AppendTo(nil), 0)
	}
	for _, state := range []edda.State{edda.StateSucceeded, edda.StateFailed} {
		if st.State != edda.StepRunning || st.Pending || st.SagaID != "" {
			tell(false, 0, state)
		}
		if c := st.Compensation; c == nil || c.State != edda.CompensationRunning {
			tell(true, 0, state)
		}
		if run := n.h.retries(id, st.ID); run > 0 {
			tell(true, run-1, state)
		}
	}
}

// wrongSteps are steps that no saga takes: one that is there, one that depends on
// nobody knows what, and two that wait for each other.
func wrongSteps(spec *edda.SagaSpec) [][]edda.StepSpec {
	task := edda.Task{Service: balanced, Method: "do"}
	return [][]edda.StepSpec{
		{{ID: spec.Steps[0].ID, Task: task}},
		{{ID: "more", Task: task}, {ID: "more", Task: task}},
		{{ID: "more", Task: task, After: []string{"unknown"}}},
		{{ID: "more", Task: task, After: []string{"most"}}, {ID: "most", Task: task, After: []string{"more"}}},
	}
}

func (x *explorer) stepNothings(p *place, n *node, id string, st *edda.Step) {
	if st.State != edda.StepRunning && st.SagaID == "" {
		x.finish(p, n, id, st.ID, end{result: `"late"`})
		x.finish(p, n, id, st.ID, byCall)
	}
	x.lateEnds(p, n, id, st)
	if c := st.Compensation; c == nil || c.State != edda.CompensationFailed {
		for _, a := range []edda.CompensationAction{edda.RetryCompensation, edda.SkipCompensation, edda.ResolveCompensation} {
			x.change(p, n, wish{kind: wishPerson, saga: id, step: st.ID, action: a})
		}
	}
}

func sorted(sagas map[string]*edda.Saga) []string {
	ids := make([]string, 0, len(sagas))
	for id := range sagas {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
