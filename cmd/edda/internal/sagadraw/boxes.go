package sagadraw

import (
	"strings"

	"github.com/edda-io/edda"
)

// The room within a box: as much as is good to read, and less where many stand side
// by side.
var boxWidths = []int{38, 28, 22, 17}

// line is a line of a box: text to the left, and maybe some to the right.
type line struct {
	left, right string
	style       style
	// mark says that left begins with a mark, and that only this has the style.
	mark bool
}

// drawBoxes draws steps as boxes with arrows between them; nil when that does not fit
// into the width, or so many lines would cross that a list says more.
func drawBoxes(g *graph, o Options) *canvas {
	for _, most := range boxWidths {
		l := newLayout(g, func(step int) []line { return boxLines(g, step, o, most) })
		if l.width() > o.Width || l.crossings() > len(g.steps) {
			continue
		}
		if gaps, ok := l.route(); ok {
			c := &canvas{}
			l.draw(c, gaps)
			return c
		}
	}
	return nil
}

// boxLines says in at most so many columns what is known of a step.
func boxLines(g *graph, step int, o Options, most int) []line {
	t := &g.steps[step]
	state := seen(t)
	look := lookOf(state)
	lines := []line{titleLine(t, look, most)}
	add := func(s style, text ...string) {
		for _, t := range text {
			lines = append(lines, line{left: clip(t, most), style: s})
		}
	}
	add(plainText, what(t))
	if text := status(t, o.Now); text != "" {
		add(look.style, text)
	}
	add(red, wrap(problem(t.Error), most, 3)...)
	if text, s := undo(g.saga, t, o.Now); text != "" {
		add(s, wrap(text, most, 2)...)
	}
	if c := t.Compensation; c != nil {
		add(red, wrap(problem(c.Error), most, 3)...)
	}
	return lines
}

// titleLine is a step's name with its mark and how long it took.
func titleLine(t *edda.Step, look looks, most int) line {
	time := took(t.StartedAt, t.EndedAt)
	room := most - 2
	if time != "" {
		room -= widthOf(time) + 2
	}
	return line{left: look.mark + " " + clip(plain(t.ID), room), right: time, style: look.style, mark: true}
}

// boxWidth returns the columns of a box with these lines, which are odd so that it has
// a middle.
func boxWidth(lines []line) int {
	w := 9
	for _, l := range lines {
		n := widthOf(l.left)
		if l.right != "" {
			n += 2 + widthOf(l.right)
		}
		w = max(w, n)
	}
	return (w + 4) | 1
}

// drawBox draws a box of some width at a place.
func drawBox(c *canvas, x, y, w int, lines []line) {
	frame := lines[0].style
	c.write(x, y, "╭"+strings.Repeat("─", w-2)+"╮", frame)
	for i, l := range lines {
		at := y + 1 + i
		c.write(x, at, "│", frame)
		drawLine(c, x+2, at, w-4, l)
		c.write(x+w-1, at, "│", frame)
	}
	c.write(x, y+1+len(lines), "╰"+strings.Repeat("─", w-2)+"╯", frame)
}

func drawLine(c *canvas, x, y, w int, l line) {
	if l.right != "" {
		c.write(x+w-widthOf(l.right), y, l.right, dim)
	}
	if !l.mark {
		c.write(x, y, l.left, l.style)
		return
	}
	mark, name, _ := strings.Cut(l.left, " ")
	c.write(x, y, mark, l.style)
	c.write(x+2, y, name, bold)
}
