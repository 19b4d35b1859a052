package sagadraw

import (
	"fmt"
	"math"
	"slices"
)

// apart is how many columns are between boxes.
const apart = 3

// vertex is a box, or where the line of a long edge passes a level.
type vertex struct {
	// step is -1 for a line that passes.
	step  int
	lines []line
	w     int
	// x is the column where it begins.
	x int
}

func (v *vertex) passes() bool { return v.step < 0 }

// middle is the column where an arrow comes in.
func (v *vertex) middle() int { return v.x + v.w/2 }

// net is a set of vertices that all of another set, one level below, depend on: one
// line with branches.
type net struct {
	parents, children []int
}

// layout places the steps of a graph in layers, one for each level, in the manner of
// Sugiyama: long edges get a place in each layer they pass, the order within layers is
// that with few crossings, and boxes stand below the middle of what they depend on.
type layout struct {
	vertices []vertex
	layers   [][]int
	// nets holds for each layer those between it and the next one.
	nets [][]net
	// up and down are each vertex's neighbours in the layer above and below.
	up, down [][]int
}

func newLayout(g *graph, lines func(step int) []line) *layout {
	l := &layout{layers: make([][]int, len(g.levels)), nets: make([][]net, len(g.levels))}
	for i := range g.steps {
		text := lines(i)
		l.add(vertex{step: i, lines: text, w: boxWidth(text)}, g.level[i])
	}
	for _, children := range siblings(g) {
		l.connect(g, children)
	}
	l.up, l.down = make([][]int, len(l.vertices)), make([][]int, len(l.vertices))
	for _, nets := range l.nets {
		for _, n := range nets {
			for _, c := range n.children {
				l.up[c] = append(l.up[c], n.parents...)
			}
			for _, p := range n.parents {
				l.down[p] = append(l.down[p], n.children...)
			}
		}
	}
	l.order()
	l.place()
	return l
}

func (l *layout) add(v vertex, layer int) int {
	l.vertices = append(l.vertices, v)
	l.layers[layer] = append(l.layers[layer], len(l.vertices)-1)
	return len(l.vertices) - 1
}

// siblings groups the steps of each level that depend on the same steps.
func siblings(g *graph) [][]int {
	var groups [][]int
	known := map[string]int{}
	for _, level := range g.levels {
		for _, i := range level {
			if len(g.after[i]) == 0 {
				continue
			}
			name := fmt.Sprint(g.level[i], slices.Sorted(slices.Values(g.after[i])))
			at, ok := known[name]
			if !ok {
				at = len(groups)
				known[name] = at
				groups = append(groups, nil)
			}
			groups[at] = append(groups[at], i)
		}
	}
	return groups
}

// connect draws lines to steps that depend on the same steps, through the layers
// between.
func (l *layout) connect(g *graph, children []int) {
	level := g.level[children[0]]
	var parents []int
	for _, p := range g.after[children[0]] {
		for at := g.level[p] + 1; at < level; at++ {
			passing := l.add(vertex{step: -1, w: 1}, at)
			l.link(at-1, []int{p}, []int{passing})
			p = passing
		}
		parents = append(parents, p)
	}
	slices.Sort(parents)
	l.link(level-1, parents, children)
}

// link adds children to the net of their parents.
func (l *layout) link(layer int, parents, children []int) {
	for i := range l.nets[layer] {
		if n := &l.nets[layer][i]; slices.Equal(n.parents, parents) {
			n.children = append(n.children, children...)
			return
		}
	}
	l.nets[layer] = append(l.nets[layer], net{parents, slices.Clone(children)})
}

// order sorts the vertices of each layer by the mean place of their neighbours, down
// and up in turn, and keeps what has the fewest crossings.
func (l *layout) order() {
	var best [][]int
	fewest := math.MaxInt
	for round := range 8 {
		for i := range l.layers {
			if at := i; round%2 == 0 {
				l.sortLayer(at, at-1, l.up)
			} else {
				at = len(l.layers) - 1 - i
				l.sortLayer(at, at+1, l.down)
			}
		}
		if n := l.crossings(); n < fewest {
			fewest, best = n, cloneAll(l.layers)
		}
	}
	l.layers = best
}

func cloneAll(s [][]int) [][]int {
	c := make([][]int, len(s))
	for i := range s {
		c[i] = slices.Clone(s[i])
	}
	return c
}

func (l *layout) sortLayer(at, beside int, neighbours [][]int) {
	if beside < 0 || beside >= len(l.layers) {
		return
	}
	places := l.places(beside)
	own := l.places(at)
	mean := func(v int) float64 {
		if len(neighbours[v]) == 0 {
			return own[v]
		}
		sum := 0.0
		for _, n := range neighbours[v] {
			sum += places[n]
		}
		return sum / float64(len(neighbours[v]))
	}
	slices.SortStableFunc(l.layers[at], func(a, b int) int {
		switch d := mean(a) - mean(b); {
		case d < 0:
			return -1
		case d > 0:
			return 1
		default:
			return 0
		}
	})
}

// places returns where in its layer each vertex is, from 0 to 1.
func (l *layout) places(layer int) map[int]float64 {
	p := make(map[int]float64, len(l.layers[layer]))
	for i, v := range l.layers[layer] {
		p[v] = (float64(i) + 0.5) / float64(len(l.layers[layer]))
	}
	return p
}

// crossings counts the pairs of edges that cross.
func (l *layout) crossings() int {
	n := 0
	for layer := range len(l.layers) - 1 {
		below := l.places(layer + 1)
		var seen []float64 // of edges from vertices further left
		for _, v := range l.layers[layer] {
			for _, c := range l.down[v] {
				for _, s := range seen {
					if s > below[c] {
						n++
					}
				}
			}
			for _, c := range l.down[v] {
				seen = append(seen, below[c])
			}
		}
	}
	return n
}

// place finds the columns: each vertex as near as can be to the middle of its
// neighbours, those above and those below in turn.
func (l *layout) place() {
	for i := range l.layers {
		x := 0
		for _, v := range l.layers[i] {
			l.vertices[v].x = x
			x += l.vertices[v].w + apart
		}
	}
	for range 12 {
		for _, layer := range slices.Backward(l.layers) {
			l.placeLayer(layer, l.down)
		}
		for i := range l.layers {
			l.placeLayer(l.layers[i], l.up)
		}
		l.moveToLeft()
	}
}

// moveToLeft lets the drawing begin in the first column.
func (l *layout) moveToLeft() {
	least := math.MaxInt
	for i := range l.vertices {
		least = min(least, l.vertices[i].x)
	}
	for i := range l.vertices {
		l.vertices[i].x -= least
	}
}

// placeLayer moves the vertices of a layer towards their neighbours, by the least
// squares that keep them in order and apart.
func (l *layout) placeLayer(layer []int, neighbours [][]int) {
	type block struct {
		sum, weight float64
		n           int
	}
	mean := func(b block) float64 { return b.sum / b.weight }
	var blocks []block
	offset := 0
	for _, v := range layer {
		wish, weight := l.wish(v, neighbours[v])
		blocks = append(blocks, block{(wish - float64(offset)) * weight, weight, 1})
		for k := len(blocks) - 1; k > 0 && mean(blocks[k-1]) > mean(blocks[k]); k-- {
			blocks[k-1].sum += blocks[k].sum
			blocks[k-1].weight += blocks[k].weight
			blocks[k-1].n += blocks[k].n
			blocks = blocks[:k]
		}
		offset += l.vertices[v].w + apart
	}
	offset, at := 0, 0
	for _, b := range blocks {
		x := int(math.Round(mean(b)))
		for range b.n {
			l.vertices[layer[at]].x = x + offset
			offset += l.vertices[layer[at]].w + apart
			at++
		}
	}
}

// wish is the column where a vertex would like to begin, and how much. What is
// connected with nothing is drawn to the left, weakly.
func (l *layout) wish(v int, neighbours []int) (x, weight float64) {
	if len(neighbours) == 0 && len(l.up[v])+len(l.down[v]) == 0 {
		return 0, 0.001
	}
	if len(neighbours) == 0 {
		return float64(l.vertices[v].x), 1
	}
	sum := 0
	for _, n := range neighbours {
		sum += l.vertices[n].middle()
	}
	if weight = 1; l.vertices[v].passes() {
		weight = 8 // a long line that is straight is easier to follow
	}
	return float64(sum)/float64(len(neighbours)) - float64(l.vertices[v].w/2), weight
}

// width returns the columns of the drawing.
func (l *layout) width() int {
	w := 0
	for i := range l.vertices {
		w = max(w, l.vertices[i].x+l.vertices[i].w)
	}
	return w
}

// height returns the lines of a layer.
func (l *layout) height(layer int) int {
	h := 0
	for _, v := range l.layers[layer] {
		if !l.vertices[v].passes() {
			h = max(h, len(l.vertices[v].lines)+2)
		}
	}
	return h
}
