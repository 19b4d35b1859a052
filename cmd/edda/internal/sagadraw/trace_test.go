package sagadraw

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edda-io/edda"
)

// Whoever follows the lines of a drawing upwards from a box finds exactly the steps
// that it depends on.
func TestLinesSayWhatDependsOnWhat(t *testing.T) {
	undrawn := 0
	const sagas = 3000
	for seed := range uint64(sagas) {
		g := newGraph(randomSaga(rand.New(rand.NewPCG(seed, 0))))
		l := newLayout(g, func(step int) []line { return boxLines(g, step, Options{}, 10) })
		gaps, ok := l.route()
		if !ok {
			undrawn++
			continue
		}
		c := &canvas{}
		l.draw(c, gaps)
		tr := newTracer(l, gaps, c)
		for i := range g.steps {
			want := slices.Sorted(slices.Values(g.after[i]))
			if got := tr.parents(i); !slices.Equal(got, want) {
				t.Fatalf("seed %d: the lines say that %d comes after %v, want %v:\n%s", seed, i, got, want, c.render(false))
			}
		}
	}
	if undrawn > sagas/50 {
		t.Errorf("%d of %d sagas were not drawn as boxes, want few", undrawn, sagas)
	}
}

func randomSaga(r *rand.Rand) *edda.Saga {
	s := &edda.Saga{State: edda.SagaRunning}
	dense := r.Float64() * 0.6
	for i := range 2 + r.IntN(12) {
		step := edda.Step{ID: fmt.Sprint(i), Service: "s", Method: "m", State: edda.StepSucceeded}
		if r.IntN(3) == 0 {
			step.State = edda.StepRunning // boxes of different heights
		}
		for j := range i {
			if r.Float64() < dense {
				step.After = append(step.After, fmt.Sprint(j))
			}
		}
		s.Steps = append(s.Steps, step)
	}
	return s
}

// tracer reads a drawing as a person would.
type tracer struct {
	l    *layout
	c    *canvas
	tops []int // of the layers
	seen map[[3]int]bool
	got  []int
}

func newTracer(l *layout, gaps []gap, c *canvas) *tracer {
	tr := &tracer{l: l, c: c}
	y := 0
	for i := range l.layers {
		tr.tops = append(tr.tops, y)
		y += l.height(i)
		if i+1 < len(l.layers) {
			y += gaps[i].rows
		}
	}
	return tr
}

func (tr *tracer) parents(step int) []int {
	tr.seen, tr.got = map[[3]int]bool{}, nil
	for i, layer := range tr.l.layers {
		if slices.Contains(layer, step) && tr.at(tr.l.vertices[step].middle(), tr.tops[i]) == '▼' {
			tr.walk(tr.l.vertices[step].middle(), tr.tops[i]-1, 0, -1)
		}
	}
	slices.Sort(tr.got)
	return slices.Compact(tr.got)
}

func (tr *tracer) at(x, y int) rune {
	if y < 0 || y >= len(tr.c.rows) || x < 0 || x >= len(tr.c.rows[y]) {
		return ' '
	}
	return tr.c.rows[y][x].r
}

func (tr *tracer) walk(x, y, dx, dy int) {
	here := [3]int{x, y, dx}
	if tr.seen[here] {
		return
	}
	tr.seen[here] = true
	if p, ok := tr.boxEndingAt(x, y); ok {
		tr.got = append(tr.got, p)
		return
	}
	r := tr.at(x, y)
	if r == '│' || r == '─' && dx != 0 {
		tr.walk(x+dx, y+dy, dx, dy)
		return
	}
	ways := slices.Index(joints[:], r)
	if ways < 0 {
		return
	}
	if ways&1 != 0 {
		tr.walk(x, y-1, 0, -1)
	}
	if ways&4 != 0 && dx <= 0 {
		tr.walk(x-1, y, -1, 0)
	}
	if ways&8 != 0 && dx >= 0 {
		tr.walk(x+1, y, 1, 0)
	}
}

// boxEndingAt returns the step whose box a line leaves there.
func (tr *tracer) boxEndingAt(x, y int) (int, bool) {
	for i, layer := range tr.l.layers {
		for _, v := range layer {
			b := &tr.l.vertices[v]
			if !b.passes() && y == tr.tops[i]+len(b.lines)+1 && x > b.x && x < b.x+b.w-1 && tr.at(x, y) == '┬' {
				return b.step, true
			}
		}
	}
	return 0, false
}
