package sagadraw

import (
	"fmt"
	"strings"

	"github.com/edda-io/edda"
)

// Columns of a list are as wide as what is in them, up to this.
const (
	mostName = 32
	mostTask = 40
	// mostAfter is how many dependencies of a step are listed.
	mostAfter = 3
)

// row is a step in a list, in columns.
type row struct {
	look                    looks
	name, task, state, from string
	// notes are the lines below it.
	notes []line
}

// list is the steps of a graph, level by level.
type list struct {
	g    *graph
	o    Options
	rows []row
	// widths of name, task and state, and of the numbers of levels.
	name, task, state, number int
	b                         strings.Builder
}

// drawList draws each step on a line of its own.
func drawList(g *graph, o Options) string {
	l := &list{g: g, o: o, rows: make([]row, len(g.steps)), number: len(fmt.Sprint(len(g.levels)))}
	for i := range g.steps {
		r := makeRow(g, i, o)
		l.rows[i] = r
		l.name, l.task = max(l.name, widthOf(r.name)), max(l.task, widthOf(r.task))
		l.state = max(l.state, widthOf(r.state))
	}
	for at, level := range g.levels {
		if at > 0 {
			l.arrow()
		}
		for k, i := range level {
			l.step(&l.rows[i], at, k, len(level))
		}
	}
	return l.b.String()
}

func makeRow(g *graph, i int, o Options) row {
	t := &g.steps[i]
	r := row{
		look: lookOf(seen(t)), name: clip(plain(t.ID), mostName), task: clip(what(t), mostTask),
		state: stateAndTime(t, o), from: afterWords(t.After),
	}
	note := func(text string, s style) {
		for _, part := range wrap(text, max(o.Width-8, mostTask), 3) {
			r.notes = append(r.notes, line{left: part, style: s})
		}
	}
	note(problem(t.Error), red)
	note(undo(g.saga, t, o.Now))
	if c := t.Compensation; c != nil {
		note(problem(c.Error), red)
	}
	return r
}

// stateAndTime says in one line where a step stands and how long it took.
func stateAndTime(t *edda.Step, o Options) string {
	return strings.TrimSuffix(strings.TrimPrefix(status(t, o.Now)+", "+took(t.StartedAt, t.EndedAt), ", "), ", ")
}

// afterWords says what a step comes after.
func afterWords(after []string) string {
	if len(after) == 0 {
		return ""
	}
	named := after[:min(len(after), mostAfter)]
	text := "← " + plain(strings.Join(named, ", "))
	if more := len(after) - len(named); more > 0 {
		text += fmt.Sprintf(" and %s more", number(more))
	}
	return text
}

func (l *list) arrow() {
	l.b.WriteString(strings.Repeat(" ", l.number+1) + dim.paint("▼", l.o.Colour) + "\n")
}

// brace says which lines belong together: those of a level run side by side.
func brace(k, n int) (first, below string) {
	switch {
	case n == 1:
		return "─", " "
	case k == 0:
		return "┬", "│"
	case k < n-1:
		return "├", "│"
	default:
		return "╰", " "
	}
}

func (l *list) step(r *row, level, k, n int) {
	number := ""
	if k == 0 {
		number = fmt.Sprint(level + 1)
	}
	first, below := brace(k, n)
	fmt.Fprintf(&l.b, "%*s %s %s %s  %s  ", l.number, number, dim.paint(first, l.o.Colour), r.look.style.paint(r.look.mark, l.o.Colour),
		bold.paint(r.name, l.o.Colour)+pad("", l.name-widthOf(r.name)), pad(r.task, l.task))
	state := r.look.style.paint(r.state, l.o.Colour)
	if r.from != "" {
		state += pad("", l.state-widthOf(r.state)) + "  " + dim.paint(r.from, l.o.Colour)
	}
	l.b.WriteString(strings.TrimRight(state, " ") + "\n")
	for _, note := range r.notes {
		fmt.Fprintf(&l.b, "%*s %s     %s\n", l.number, "", dim.paint(below, l.o.Colour), note.style.paint(note.left, l.o.Colour))
	}
}
