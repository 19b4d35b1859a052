package saga_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

var exploreSeed = flag.Uint64("explore.seed", 0, "take the random walks of this seed alone")

// randomSaga returns a saga of at most so many steps, of all kinds.
func randomSaga(rng *rand.Rand, most int) *edda.SagaSpec {
	s := &edda.SagaSpec{ID: exploreSaga, Start: rng.IntN(8) > 0, OnFailure: edda.WaitForSteps}
	if rng.IntN(2) == 0 {
		s.OnFailure = edda.CancelSteps
	}
	s.Steps = randomSteps(rng, 1+rng.IntN(most), 1)
	return s
}

func randomSteps(rng *rand.Rand, n, depth int) []edda.StepSpec {
	wide := 1 + rng.IntN(n) // how far back a step looks for what it depends on
	steps := make([]edda.StepSpec, n)
	for i := range steps {
		st := &steps[i]
		st.ID = fmt.Sprint("s", i)
		for range min(i, rng.IntN(4)) {
			after := fmt.Sprint("s", max(0, i-1-rng.IntN(wide)))
			if len(st.After) == 0 || st.After[len(st.After)-1] != after {
				st.After = append(st.After, after)
			}
		}
		st.After = distinct(st.After)
		if depth < 3 && rng.IntN(8) == 0 {
			st.Saga = &edda.SagaSpec{OnFailure: edda.WaitForSteps, Steps: randomSteps(rng, 1+rng.IntN(4), depth+1)}
			if rng.IntN(2) == 0 {
				st.Saga.OnFailure = edda.CancelSteps
			}
			continue
		}
		st.Task = randomTask(rng, "do")
		if rng.IntN(8) == 0 {
			st.Service, st.Queue = "", exploreQueue
		}
		if rng.IntN(4) > 0 {
			st.Compensate = new(randomTask(rng, "undo"))
		}
	}
	// What is declared in another order is the same saga.
	if rng.IntN(2) == 0 {
		rng.Shuffle(n, func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	}
	return steps
}

func distinct(ids []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, id := range ids {
		if !seen[id] {
			out = append(out, id)
		}
		seen[id] = true
	}
	return out
}

func randomTask(rng *rand.Rand, method string) edda.Task {
	t := edda.Task{Service: balanced, Method: method, Args: []json.RawMessage{json.RawMessage(fmt.Sprint(rng.IntN(9)))}}
	switch rng.IntN(5) {
	case 0:
		t.Service, t.Key = ordered, hereKey
	case 1:
		t.Service, t.Key = ordered, awayKey
	}
	return t
}

// walk takes actions until none is left, or the choices are at an end: choose returns
// one of so many, -1 to stop, and may look whether an action is bad.
func walk(tb testing.TB, seed uint64, most int, choose func([]action) int) {
	tb.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	left := budget{calls: 1 + rng.IntN(10), pendings: rng.IntN(10), adds: rng.IntN(6), retries: rng.IntN(6), cancels: rng.IntN(3)}
	start(tb, seed, randomSaga(rng, most), left, true, choose)
}

// start is walk with a saga that is known. Nothings says that now and then it is seen
// to that what should change nothing does not.
func start(tb testing.TB, seed uint64, spec *edda.SagaSpec, left budget, nothings bool, choose func([]action) int) {
	tb.Helper()
	rng := rand.New(rand.NewPCG(seed, 4))
	x := &explorer{tb: tb, how: mixed, reserve: rng.IntN(2) == 0}
	p := newPlace(tb, mixed)
	p.rng = rng
	n := &node{left: left}
	n.path = append(n.path, fmt.Sprint("seed ", seed))
	x.create(p, n, spec)
	for {
		actions := x.actions(p, n)
		at := -1
		if len(actions) > 0 {
			at = choose(actions)
		}
		if at < 0 {
			x.remove(p, n)
			return
		}
		n.path = append(n.path, actions[at].name)
		actions[at].do(x, p, n)
		if nothings && rng.IntN(20) == 0 {
			x.nothingsIn(p, n)
		}
	}
}

// remove removes a saga that has ended: nothing of it is left, here or in the table.
func (x *explorer) remove(p *place, n *node) {
	x.tb.Helper()
	if !n.h.last().sagas[exploreSaga].State.Ended() {
		return
	}
	rec := (&record.SagaChanged{Namespace: exploreNamespace, ID: exploreSaga}).AppendTo(nil, record.TypeSagaRemoved)
	p.apply(stamped(rec, exploreTime))
	if left := p.views(); len(left) > 0 {
		x.fail(n, fmt.Errorf("the saga was removed, and %d are left", len(left)))
	}
	p.checkpoint()
	for pair := range p.tree.Scan(nil, nil) {
		if strings.IndexByte("ghjklt", pair.Key[0]) >= 0 {
			x.fail(n, fmt.Errorf("the saga was removed, and the row %q is left", pair.Key))
		}
	}
	if open := p.local(); len(open) > 0 {
		x.fail(n, fmt.Errorf("the saga was removed, and %d requests are open", len(open)))
	}
}

// More steps start, and are undone, than a record has room for.
func TestExploreWide(t *testing.T) {
	if !long() {
		t.Skip("takes a minute; set EDDA_LONG=1")
	}
	for _, how := range []memory{plain, mixed} {
		const wide = 1100
		spec := &edda.SagaSpec{ID: exploreSaga, Start: true, OnFailure: edda.WaitForSteps}
		for i := range wide {
			task := edda.Task{Service: balanced, Method: "do"}
			spec.Steps = append(spec.Steps, edda.StepSpec{ID: fmt.Sprint("s", i), Task: task, Compensate: &task})
		}
		spec.Steps = append(spec.Steps, edda.StepSpec{ID: "last", Task: spec.Steps[0].Task, After: []string{"s7", "s1099"}})
		x := &explorer{tb: t, how: how}
		p := newPlace(t, how)
		p.rng = rand.New(rand.NewPCG(1, 1))
		n := &node{}
		x.create(p, n, spec)
		for turn := 0; n.h.last().sagas[exploreSaga].State != edda.SagaCompensated; turn++ {
			actions := x.actions(p, n)
			at := slices.IndexFunc(actions, func(a action) bool { return strings.HasPrefix(a.name, "advance") })
			if at < 0 || turn%3 == 0 {
				at = slices.IndexFunc(actions, func(a action) bool {
					return strings.HasPrefix(a.name, "s/last fails") || strings.HasSuffix(a.name, "succeeds") && !strings.HasPrefix(a.name, "s/last")
				})
			}
			x.blind = turn > 5 && turn%100 > 0 && len(n.h.last().more) == 0
			actions[at].do(x, p, n)
			n.log = nil
		}
		x.remove(p, n)
	}
}

// Many steps depend on a result that is large.
func TestExploreLarge(t *testing.T) {
	spec := &edda.SagaSpec{ID: exploreSaga, Start: true, OnFailure: edda.WaitForSteps}
	task := edda.Task{Service: balanced, Method: "do"}
	spec.Steps = append(spec.Steps, edda.StepSpec{ID: largeStep, Task: task, Compensate: &task})
	for i := range 24 {
		spec.Steps = append(spec.Steps, edda.StepSpec{ID: fmt.Sprint("s", i), Task: task, After: []string{largeStep}, Compensate: &task})
	}
	seeds := uint64(1)
	if long() {
		seeds = 20
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 3))
		left := budget{calls: 5, pendings: 5, retries: 2}
		start(t, seed, spec, left, false, func(actions []action) int {
			at := rng.IntN(len(actions))
			if actions[at].bad && rng.IntN(20) > 0 {
				at = 0
			}
			return at
		})
	}
}

// Whatever happens to larger sagas, in any order, is right.
func TestExploreRandom(t *testing.T) {
	first, last := uint64(1), uint64(50)
	switch {
	case *exploreSeed != 0:
		first, last = *exploreSeed, *exploreSeed
	case long(): // others each time
		first = uint64(time.Now().UnixNano())
		last = first + 399
	}
	for seed := first; seed <= last; seed++ {
		rng := rand.New(rand.NewPCG(seed, 2))
		calm, steps := rng.IntN(100), 0
		walk(t, seed, 40, func(actions []action) int {
			at := rng.IntN(len(actions))
			if steps++; steps > 1000 {
				return -1
			}
			if actions[at].bad && rng.IntN(100) < calm {
				at = rng.IntN(len(actions))
			}
			return at
		})
	}
}

// The bytes choose what happens.
func FuzzExplore(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, []byte("some choices, whatever they are"))
	}
	f.Fuzz(func(t *testing.T, seed uint64, choices []byte) {
		walk(t, seed, 8, func(actions []action) int {
			if len(choices) == 0 {
				return -1
			}
			c := int(choices[0])
			choices = choices[1:]
			return c % len(actions)
		})
	})
}
