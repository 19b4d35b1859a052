// Package tracedraw draws what events brought about, as a tree of text. It does no I/O, and
// its functions are safe for concurrent use.
package tracedraw

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cqrs"
)

// marks are the marks of what eventual handlers have made of an event.
var marks = map[string]string{"done": "✓", "pending": "·", "waiting": "↻", "dead": "✗", "stopped": "✗"}

// Text draws a trace: each event with the command that it comes from and the handlers that ran,
// and below it what it brought about. Now is what the times of next attempts are counted
// from.
func Text(t *cqrs.Trace, now time.Time) string {
	d := &drawing{now: now}
	for i, root := range t.Roots {
		if i > 0 {
			d.b.WriteByte('\n')
		}
		d.began = root.Event.CreatedAt
		d.node(root, nil, "", "")
	}
	return d.b.String()
}

type drawing struct {
	b     strings.Builder
	now   time.Time
	began time.Time // of the root
}

// node draws an event. First stands before its first line, and rest before the others.
func (d *drawing) node(n, parent *cqrs.TraceNode, first, rest string) {
	d.b.WriteString(first + d.head(n, parent) + "\n")
	below := rest + "  "
	if len(n.Children) > 0 {
		below = rest + "│ "
	}
	for _, line := range d.facts(n, parent) {
		d.b.WriteString(below + line + "\n")
	}
	for i, child := range n.Children {
		if i < len(n.Children)-1 {
			d.node(child, n, rest+"├─ ", rest+"│  ")
		} else {
			d.node(child, n, rest+"└─ ", rest+"   ")
		}
	}
}

// head says what happened, to what and when.
func (d *drawing) head(n, parent *cqrs.TraceNode) string {
	e := n.Event
	what := human.Plain(e.CorrelationType) + " → " + human.Plain(e.Type)
	if derived(n, parent) {
		what = human.Plain(e.Type) + " (derived)"
	}
	what += "  " + human.Plain(aggregate(e)) + fmt.Sprintf(" v%d", e.Version)
	if parent == nil {
		what += "  " + e.CreatedAt.UTC().Format(time.RFC3339Nano)
	} else {
		what += "  +" + human.Duration(max(e.CreatedAt.Sub(d.began), 0))
	}
	if n.Asked {
		what += "  ◄"
	}
	return what
}

// derived reports whether a dispatcher made the event of its parent: then it has no command of its own.
func derived(n, parent *cqrs.TraceNode) bool {
	return parent != nil && n.Event.CommandID == parent.Event.CommandID
}

func aggregate(e *cqrs.Event) string {
	name := e.Object + "/" + e.Key
	if n := len(e.Items); n > 1 {
		name += fmt.Sprintf(" and %d more", n-1)
	}
	return name
}

// facts are what is said below the head.
func (d *drawing) facts(n, parent *cqrs.TraceNode) []string {
	e := n.Event
	lines := []string{"event   " + e.ID.String()}
	if !derived(n, parent) {
		for _, c := range []struct {
			what  string
			names []string
		}{{"before  ", e.Before}, {"calls   ", e.Saga}, {"after   ", e.After}} {
			lines = d.add(lines, c.what, c.names)
		}
	}
	lines = d.add(lines, "strong  ", e.Chain)
	var later []string
	for _, h := range n.Eventual {
		later = append(later, d.later(h))
	}
	if len(later) > 0 {
		lines = append(lines, "later   "+strings.Join(later, "  "))
	}
	return lines
}

func (d *drawing) add(lines []string, what string, names []string) []string {
	if len(names) == 0 {
		return lines
	}
	return append(lines, what+human.Plain(strings.Join(names, ", ")))
}

// later says what has become of the event with an eventual handler.
func (d *drawing) later(h cqrs.Handled) string {
	_, name, _ := strings.Cut(h.Handler, "/")
	text := cmp.Or(marks[h.State], "?") + " " + human.Plain(name)
	var more []string
	switch h.State {
	case "done", "pending":
		return text
	case "waiting":
		more = append(more, "waits")
		if h.Attempts > 0 {
			more = append(more, fmt.Sprintf("failed %s", times(h.Attempts)))
		}
		if wait := h.NextAt.Sub(d.now); wait > 0 {
			more = append(more, "again in "+human.Duration(wait))
		}
	default:
		more = append(more, h.State, "failed "+times(h.Attempts))
	}
	if h.Error != "" {
		more = append(more, human.Plain(h.Error))
	}
	return text + " (" + strings.Join(more, ", ") + ")"
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
