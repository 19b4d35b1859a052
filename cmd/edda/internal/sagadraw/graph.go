package sagadraw

import (
	"slices"

	"github.com/edda-io/edda"
)

// graph is a saga by numbers: a step's is its place in Saga.Steps.
type graph struct {
	saga  *edda.Saga
	steps []edda.Step
	// after holds the steps that each depends on, in the order in which it names them;
	// before those that depend on it.
	after, before [][]int
	// level is how many steps are on the longest way to each; levels holds the steps of
	// each.
	level  []int
	levels [][]int
}

func newGraph(s *edda.Saga) *graph {
	g := &graph{
		saga: s, steps: s.Steps,
		after: make([][]int, len(s.Steps)), before: make([][]int, len(s.Steps)), level: make([]int, len(s.Steps)),
	}
	index := make(map[string]int, len(s.Steps))
	for i := range s.Steps {
		index[s.Steps[i].ID] = i
	}
	last := make([]int, len(s.Steps)) // the step, counted from 1, that named each last
	for i := range s.Steps {
		last[i] = i + 1
		for _, id := range s.Steps[i].After {
			if j, ok := index[id]; ok && last[j] != i+1 {
				last[j] = i + 1
				g.after[i] = append(g.after[i], j)
				g.before[j] = append(g.before[j], i)
			}
		}
	}
	g.findLevels()
	return g
}

// findLevels goes through the steps in topological order.
func (g *graph) findLevels() {
	missing := make([]int, len(g.steps))
	var ready []int
	for i := range g.steps {
		if missing[i] = len(g.after[i]); missing[i] == 0 {
			ready = append(ready, i)
		}
	}
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		for _, j := range g.before[i] {
			g.level[j] = max(g.level[j], g.level[i]+1)
			if missing[j]--; missing[j] == 0 {
				ready = append(ready, j)
			}
		}
	}
	g.forgetCircles()
	for i, l := range g.level {
		for len(g.levels) <= l {
			g.levels = append(g.levels, nil)
		}
		g.levels[l] = append(g.levels[l], i)
	}
}

// forgetCircles leaves out dependencies that go round in a circle, which no node lets
// in: what is left points down.
func (g *graph) forgetCircles() {
	for i := range g.steps {
		g.after[i] = slices.DeleteFunc(g.after[i], func(j int) bool { return g.level[j] >= g.level[i] })
		g.before[i] = slices.DeleteFunc(g.before[i], func(j int) bool { return g.level[j] <= g.level[i] })
	}
}

// edges counts the dependencies.
func (g *graph) edges() int {
	n := 0
	for _, a := range g.after {
		n += len(a)
	}
	return n
}
