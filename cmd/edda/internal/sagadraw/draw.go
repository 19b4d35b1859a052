// Package sagadraw draws a saga: as text for a terminal, and as a Mermaid
// flowchart.
//
// A saga of a few steps is drawn as boxes with arrows between them. One that is
// too wide for that is a list, level by level: the steps of a level depend only on
// steps of levels above it. One of many steps is folded to its levels with counts,
// beside the steps that somebody would look for. The functions are pure, and safe
// for concurrent use.
package sagadraw

import (
	"time"

	"github.com/edda-io/edda"
)

// Options say how a saga is drawn.
type Options struct {
	// Width is how many columns there are; 100 when zero. Lists may be wider.
	Width int
	// Colour says that escape sequences for colours are understood. States are told
	// apart without them too.
	Colour bool
	// All draws every step, however many there are.
	All bool
	// Now is what the time of running steps counts to.
	Now time.Time
}

const (
	defaultWidth = 100
	// mostBoxes and mostLines are how many steps are drawn as boxes, and listed. Boxes with
	// more dependencies than mostEdges would be lost among lines.
	mostBoxes = 40
	mostEdges = 120
	mostLines = 60
)

// Text draws a saga for a terminal. Whole says that every step is in it; Options.All
// sees to that.
func Text(s *edda.Saga, o Options) (text string, whole bool) {
	if o.Width <= 0 {
		o.Width = defaultWidth
	}
	g := newGraph(s)
	if len(g.steps) <= mostBoxes && g.edges() <= mostEdges {
		if c := drawBoxes(g, o); c != nil {
			return c.render(o.Colour), true
		}
	}
	if o.All || len(g.steps) <= mostLines {
		return drawList(g, o), true
	}
	return drawFolded(g, o), false
}
