package saga_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/edda-io/edda"
)

// shape is a DAG: for each step the places of those it depends on.
type shape [][]int

// shapes returns all DAGs of n steps whose order is that of their places.
func shapes(n int) []shape {
	if n == 0 {
		return []shape{nil}
	}
	var out []shape
	for _, s := range shapes(n - 1) {
		for mask := range 1 << (n - 1) {
			var after []int
			for i := range n - 1 {
				if mask&(1<<i) != 0 {
					after = append(after, i)
				}
			}
			out = append(out, append(append(shape{}, s...), after))
		}
	}
	return out
}

// variant is what a saga is beside its shape.
type variant struct {
	onFailure edda.OnFailure
	undo      int // which steps have compensations, a bit each
	away      int // the step that lives in the other partition, -1 for none
	queue     int // the step that is a message, -1 for none
	created   bool
}

func (s shape) spec(v variant) *edda.SagaSpec {
	spec := &edda.SagaSpec{ID: exploreSaga, Name: "explored", Start: !v.created, OnFailure: v.onFailure}
	for i, after := range s {
		st := edda.StepSpec{ID: string(rune('a' + i)), Task: edda.Task{Service: balanced, Method: "do"}}
		st.Args = []json.RawMessage{json.RawMessage(fmt.Sprint(i))}
		undo := edda.Task{Service: balanced, Method: "undo", Args: st.Args}
		if i == v.away {
			st.Service, st.Key = ordered, awayKey
			undo.Service, undo.Key = ordered, awayKey
		}
		if i == v.queue {
			st.Service, st.Queue = "", exploreQueue
		}
		if v.undo&(1<<i) != 0 {
			st.Compensate = &undo
		}
		// What is declared last is given last, whatever was done first.
		for _, d := range slices.Backward(after) {
			st.After = append(st.After, string(rune('a'+d)))
		}
		spec.Steps = append(spec.Steps, st)
	}
	return spec
}

// exploreQueue is where messages of steps go.
var exploreQueue = &edda.QueueSpec{Stream: "work", Success: "done", Failure: "failed"}

// variants returns those of a shape.
func (s shape) variants() []variant {
	var out []variant
	all := 1<<len(s) - 1
	for _, f := range []edda.OnFailure{edda.WaitForSteps, edda.CancelSteps} {
		for undo := 0; undo <= all; undo++ {
			for away := -1; away < len(s); away++ {
				out = append(out, variant{onFailure: f, undo: undo, away: away, queue: -1})
			}
		}
		for queue := range s {
			out = append(out, variant{onFailure: f, undo: all, away: len(s) - 1 - queue, queue: queue})
		}
		out = append(out, variant{onFailure: f, undo: all, away: -1, queue: -1, created: true})
	}
	return out
}

// budgets are what may happen beside the ends of requests, one kind at a time; all of
// it together is allBudgets.
var (
	budgets    = []budget{{calls: 1}, {pendings: 1}, {adds: 1}, {retries: 1}, {cancels: 2}, {}}
	allBudgets = budget{calls: 1, pendings: 1, retries: 1, cancels: 1}
)

// Every order of what can happen to a saga of few steps is right. By default that is
// each saga of at most two steps, and some larger ones, with one kind of what can
// happen beside at a time. EDDA_LONG=1 explores the small ones with each kind, and every
// other one with all of it, those of three steps, and an eighth of those of four, with
// two kinds each, and some of them with all: of those with more than two steps one
// eighth, chosen at random each time.
func TestExplore(t *testing.T) {
	collectLess(t)
	eighth := chosenEighth(t)
	var all []shape
	for n := 1; n <= 3; n++ {
		all = append(all, shapes(n)...)
	}
	diamond := shape{nil, {0}, {0}, {1, 2}}
	two := shape{nil, nil, {0, 1}, {0, 1}}
	chain := shape{nil, {0}, {1}, {2}}
	all = append(all, diamond, two, chain)
	for at, s := range all {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			s.explore(t, at, eighth)
		})
	}
}

const eighths = 8

var exploreEighth = flag.Int("explore.eighth", -1, "which eighth of the large sagas is explored at full length, 0 to 7; by default it is chosen at random")

// chosenEighth returns what is explored at full length this time.
func chosenEighth(t *testing.T) int {
	t.Helper()
	eighth := *exploreEighth
	if long() && eighth < 0 {
		eighth = rand.IntN(eighths)
		t.Logf("repeat with -explore.eighth=%d", eighth)
	}
	return eighth
}

// eighthOf spreads numbers over the eighths so that each has some of each kind.
func eighthOf(n int) int { return int(uint32(n) * 2654435761 >> 29) }

// collectLess has less garbage collected until the test ends, which takes a third less
// time.
func collectLess(t *testing.T) {
	t.Helper()
	before := debug.SetGCPercent(400)
	t.Cleanup(func() { debug.SetGCPercent(before) })
}

func (s shape) explore(t *testing.T, at, eighth int) {
	t.Helper()
	var total tally
	for i, v := range s.variants() {
		turn, few := i+at, len(s) <= 2
		if !long() {
			if few || turn%17 == 0 {
				total.explore(t, s.spec(v), budgets[turn%len(budgets)], turn)
			}
			continue
		}
		if len(s) > 3 && turn%8 > 0 {
			continue
		}
		for j, b := range budgets {
			if few || (turn+j)%3 == 0 && eighthOf(i*len(budgets)+j) == eighth {
				total.explore(t, s.spec(v), b, turn+j)
			}
		}
		other := few && (turn+eighth)%2 == 0
		if other || !few && turn%32 == 0 && (turn/32+at)%eighths == eighth {
			total.explore(t, s.spec(v), allBudgets, turn)
		}
		if other {
			total.explore(t, s.spec(v), budget{adds: 2, cancels: 1}, turn+1)
		}
	}
	total.log(t)
}

// tally counts what was explored.
type tally struct{ sagas, states, moves, cut int }

// explore explores a saga; turn chooses what makes no difference.
func (c *tally) explore(t *testing.T, spec *edda.SagaSpec, left budget, turn int) {
	t.Helper()
	x := &explorer{tb: t, how: plain + memory(turn%int(memories)), reserve: turn/int(memories)%2 == 0, most: 75}
	if long() {
		x.most = 20_000
	}
	x.explore(spec, left)
	c.sagas, c.states, c.moves = c.sagas+1, c.states+x.nodes, c.moves+x.edges
	if x.nodes >= x.most {
		c.cut++
	}
}

func (c *tally) log(t *testing.T) {
	t.Helper()
	t.Logf("%d sagas, %d states, %d moves; %d not to the end", c.sagas, c.states, c.moves, c.cut)
}

// Sagas that are steps of sagas. EDDA_LONG=1 explores one half of what there is, chosen at
// random each time.
func TestExploreNested(t *testing.T) {
	collectLess(t)
	eighth := chosenEighth(t)
	step := func(id string, after ...string) edda.StepSpec {
		return edda.StepSpec{
			ID: id, Task: edda.Task{Service: balanced, Method: "do"}, After: after,
			Compensate: &edda.Task{Service: balanced, Method: "undo"},
		}
	}
	nested := func(id string, onFailure edda.OnFailure, after []string, steps ...edda.StepSpec) edda.StepSpec {
		return edda.StepSpec{ID: id, After: after, Saga: &edda.SagaSpec{OnFailure: onFailure, Steps: steps}}
	}
	away := step("y", "x")
	away.Service, away.Key = ordered, awayKey
	bare := step("x")
	bare.Compensate = nil
	queue := step("q")
	queue.Service, queue.Queue = "", exploreQueue
	for name, steps := range map[string][]edda.StepSpec{
		"alone":   {nested("n", edda.WaitForSteps, nil, step("x"), step("y", "x"))},
		"first":   {nested("n", edda.WaitForSteps, nil, step("x"), step("y")), step("b", "n")},
		"last":    {step("a"), nested("n", edda.CancelSteps, []string{"a"}, step("x"), away)},
		"beside":  {step("a"), nested("n", edda.WaitForSteps, nil, step("x"), step("y", "x"))},
		"bare":    {nested("n", edda.WaitForSteps, nil, bare), step("b", "n")},
		"deep":    {nested("n", edda.WaitForSteps, nil, nested("m", edda.WaitForSteps, nil, step("x")), step("y", "m")), step("b", "n")},
		"two":     {nested("n", edda.WaitForSteps, nil, step("x")), nested("m", edda.CancelSteps, []string{"n"}, step("x"))},
		"queue":   {nested("n", edda.WaitForSteps, nil, queue, step("x")), step("b", "n")},
		"at once": {nested("n", edda.WaitForSteps, nil, step("x")), nested("m", edda.CancelSteps, nil, step("x"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var total tally
			for i, onFailure := range []edda.OnFailure{edda.WaitForSteps, edda.CancelSteps} {
				spec := &edda.SagaSpec{ID: exploreSaga, Start: true, OnFailure: onFailure, Steps: steps}
				for j, b := range append(slices.Clip(budgets), allBudgets) {
					if long() && (i+j+eighth)%2 == 0 || !long() && j < len(budgets) && (i+j+len(name))%3 == 0 {
						total.explore(t, spec, b, i+j)
					}
				}
			}
			total.log(t)
		})
	}
}
