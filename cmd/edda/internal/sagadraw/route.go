package sagadraw

import (
	"cmp"
	"slices"
)

// wire is a net with its place in the gap between two layers: from each parent's port
// down to one row, along that, and down to each child's middle.
type wire struct {
	// ports and ends are the columns where it leaves parents and reaches children.
	ports, ends []int
	from, to    int
	// row counts from the top of the gap; -1 for a line straight down.
	row int
}

func (w *wire) straight() bool { return w.from == w.to }

// gap is what is between two layers.
type gap struct {
	wires []wire
	rows  int
}

// route finds ports and rows for all nets. It reports false in the rare case that two
// lines would have to lie upon each other.
func (l *layout) route() ([]gap, bool) {
	gaps := make([]gap, len(l.layers))
	for i, nets := range l.nets {
		ports := l.ports(i, nets)
		wires := make([]wire, len(nets))
		for j, n := range nets {
			w := &wires[j]
			for _, p := range n.parents {
				w.ports = append(w.ports, ports[[2]int{p, j}])
			}
			for _, c := range n.children {
				w.ends = append(w.ends, l.vertices[c].middle())
			}
			all := slices.Concat(w.ports, w.ends)
			w.from, w.to, w.row = slices.Min(all), slices.Max(all), -1
		}
		rows, ok := assignRows(wires)
		if !ok {
			return nil, false
		}
		gaps[i] = gap{wires, max(1, rows)}
	}
	return gaps, true
}

// ports chooses the column where each net leaves each of its parents. Several nets of
// one parent leave it in the order of their children.
func (l *layout) ports(layer int, nets []net) map[[2]int]int {
	ports := map[[2]int]int{}
	for _, p := range l.layers[layer] {
		var own []int
		for j := range nets {
			if slices.Contains(nets[j].parents, p) {
				own = append(own, j)
			}
		}
		slices.SortStableFunc(own, func(a, b int) int {
			return cmp.Compare(l.meanMiddle(nets[a].children), l.meanMiddle(nets[b].children))
		})
		v := &l.vertices[p]
		even := func(k int) int { return v.x + (k+1)*v.w/(len(own)+1) }
		last := v.x
		for k, j := range own {
			port, next := even(k), even(k+1)
			if k == len(own)-1 {
				next = v.x + v.w - 1
			}
			if n := nets[j]; len(n.parents) == 1 && len(n.children) == 1 && !v.passes() {
				// Straight down, if that leaves room for the ports beside it.
				if m := l.vertices[n.children[0]].middle(); m > last+1 && m < next-1 {
					port = m
				}
			}
			ports[[2]int{p, j}] = port
			last = port
		}
	}
	return ports
}

func (l *layout) meanMiddle(vertices []int) float64 {
	sum := 0
	for _, v := range vertices {
		sum += l.vertices[v].middle()
	}
	return float64(sum) / float64(len(vertices))
}

// assignRows gives each wire a row, so that few cross and none lie upon each other:
// where one leaves a parent in the column in which another one reaches a child, it has
// to be above.
func assignRows(wires []wire) (rows int, ok bool) {
	left := make([]int, 0, len(wires))
	for i := range wires {
		if !wires[i].straight() {
			left = append(left, i)
		}
	}
	var placed []int
	for len(left) > 0 {
		best, least := -1, 0
		for k, i := range left {
			cost, free := 0, true
			for _, j := range left {
				if i != j {
					free = free && !sharesColumn(wires[j].ports, wires[i].ends)
					cost += cross(&wires[i], &wires[j]) - cross(&wires[j], &wires[i])
				}
			}
			if free && (best < 0 || cost < least) {
				best, least = k, cost
			}
		}
		if best < 0 {
			return 0, false
		}
		i := left[best]
		left = slices.Delete(left, best, best+1)
		w := &wires[i]
		w.row = 0
		for _, j := range placed {
			if wires[j].from <= w.to+1 && w.from <= wires[j].to+1 || sharesColumn(wires[j].ports, w.ends) {
				w.row = max(w.row, wires[j].row+1)
			}
		}
		placed = append(placed, i)
		rows = max(rows, w.row+1)
	}
	return rows, true
}

func sharesColumn(a, b []int) bool {
	return slices.ContainsFunc(a, func(x int) bool { return slices.Contains(b, x) })
}

// cross counts the crossings of two wires of which a is above.
func cross(a, b *wire) int {
	n := 0
	for _, x := range b.ports {
		if a.from <= x && x <= a.to {
			n++
		}
	}
	for _, x := range a.ends {
		if b.from <= x && x <= b.to {
			n++
		}
	}
	return n
}

// draw puts everything in its place.
func (l *layout) draw(c *canvas, gaps []gap) {
	y := 0
	for i, layer := range l.layers {
		h := l.height(i)
		for _, v := range layer {
			v := &l.vertices[v]
			if v.passes() {
				drawDown(c, v.x, y, y+h)
				continue
			}
			drawBox(c, v.x, y, v.w, v.lines)
		}
		l.drawArrows(c, layer, y)
		y += h
		if i+1 < len(l.layers) {
			l.drawPorts(c, i, gaps[i], y)
			gaps[i].draw(c, y)
			y += gaps[i].rows
		}
	}
}

// drawArrows lets arrows end on the boxes of a layer.
func (l *layout) drawArrows(c *canvas, layer []int, y int) {
	for _, v := range layer {
		if len(l.up[v]) > 0 && !l.vertices[v].passes() {
			c.set(l.vertices[v].middle(), y, '▼', plainText)
		}
	}
}

// drawPorts lets lines leave the boxes of a layer, whose bottoms may be at different
// heights, down to where the gap begins.
func (l *layout) drawPorts(c *canvas, layer int, g gap, below int) {
	for i, n := range l.nets[layer] {
		for k, p := range n.parents {
			v := &l.vertices[p]
			if v.passes() {
				continue
			}
			bottom := below - l.height(layer) + len(v.lines) + 1
			c.set(g.wires[i].ports[k], bottom, '┬', v.lines[0].style)
			drawDown(c, g.wires[i].ports[k], bottom+1, below)
		}
	}
}

// joints are what a line looks like by where it goes on: 1 up, 2 down, 4 left, 8 right.
var joints = [16]rune{
	' ', '│', '│', '│', '─', '╯', '╮', '┤', '─', '╰', '╭', '├', '─', '┴', '┬', '┼',
}

// draw draws the wires of a gap that begins at y. Where two cross, the one that goes
// down is on top.
func (g gap) draw(c *canvas, y int) {
	for _, w := range g.wires {
		if w.straight() {
			continue
		}
		for x := w.from; x <= w.to; x++ {
			ways := 0
			for bit, goes := range []bool{slices.Contains(w.ports, x), slices.Contains(w.ends, x), x > w.from, x < w.to} {
				if goes {
					ways |= 1 << bit
				}
			}
			c.set(x, y+w.row, joints[ways], dim)
		}
	}
	for _, w := range g.wires {
		if w.straight() {
			drawDown(c, w.from, y, y+g.rows)
			continue
		}
		for _, x := range w.ports {
			drawDown(c, x, y, y+w.row)
		}
		for _, x := range w.ends {
			drawDown(c, x, y+w.row+1, y+g.rows)
		}
	}
}

// drawDown draws a line down from one row to before another.
func drawDown(c *canvas, x, from, to int) {
	for y := from; y < to; y++ {
		c.set(x, y, '│', dim)
	}
}
