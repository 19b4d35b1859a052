package sagadraw

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edda-io/edda"
)

// What GitHub draws has at most 500 arrows and 50,000 characters; larger sagas are
// folded.
const (
	mostArrows  = 400
	mostMermaid = 150
	mostLabel   = 80
)

// Mermaid draws a saga as a Mermaid flowchart. Whole says that every step is in it;
// Options.All sees to that, whatever a page may then do with it.
func Mermaid(s *edda.Saga, o Options) (text string, whole bool) {
	g := newGraph(s)
	m := &mermaid{used: map[string][]string{}}
	m.b.WriteString("flowchart TD\n")
	whole = o.All || len(g.steps) <= mostMermaid && g.edges() <= mostArrows
	if whole {
		m.steps(g, o)
	} else {
		m.folds(g)
	}
	m.classes()
	return m.b.String(), whole
}

// mermaid writes a flowchart. Ids of its nodes are numbers behind a letter; what
// others wrote is in labels alone.
type mermaid struct {
	b strings.Builder
	// used holds the nodes of each class.
	used map[string][]string
}

func (m *mermaid) steps(g *graph, o Options) {
	for i := range g.steps {
		t := &g.steps[i]
		state := seen(t)
		lines := []string{lookOf(state).mark + " " + plain(t.ID), what(t), stateAndTime(t, o), problem(t.Error)}
		m.node(fmt.Sprintf("s%d", i), `["`, `"]`, class(state), lines)
	}
	for i := range g.steps {
		for _, p := range g.after[i] {
			fmt.Fprintf(&m.b, "  s%d --> s%d\n", p, i)
		}
	}
	for i := range g.steps {
		t := &g.steps[i]
		text, _ := undo(g.saga, t, o.Now)
		if text == "" {
			continue
		}
		lines := []string{text, problem(t.Compensation.Error)}
		m.node(fmt.Sprintf("c%d", i), `(["`, `"])`, undoClass(t.Compensation.State), lines)
		fmt.Fprintf(&m.b, "  s%d -. undo .-> c%d\n", i, i)
	}
}

func (m *mermaid) folds(g *graph) {
	for i, f := range g.folds() {
		lines := []string{f.title(), f.size()}
		for _, s := range f.states() {
			lines = append(lines, fmt.Sprintf("%s %s %s", lookOf(s).mark, number(f.counts[s]), stateWord(s)))
		}
		for _, k := range f.named[:min(len(f.named), mostNamed)] {
			t := &g.steps[k]
			lines = append(lines, lookOf(seen(t)).mark+" "+plain(t.ID))
		}
		m.node(fmt.Sprintf("l%d", i), `["`, `"]`, class(f.states()[0]), lines)
		if i > 0 {
			fmt.Fprintf(&m.b, "  l%d --> l%d\n", i-1, i)
		}
	}
}

func (m *mermaid) node(id, left, right, class string, lines []string) {
	var label []string
	for _, l := range lines {
		if l != "" {
			label = append(label, escape(clip(l, mostLabel)))
		}
	}
	fmt.Fprintf(&m.b, "  %s%s%s%s\n", id, left, strings.Join(label, "<br/>"), right)
	m.used[class] = append(m.used[class], id)
}

// escaper writes what means something to Mermaid, or to the page around it, as the
// character that it is.
var escaper = strings.NewReplacer(
	"#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "&", "#amp;", "`", "#96;", `\`, "#92;", "*", "#42;", "_", "#95;", "$", "#36;",
)

func escape(s string) string { return escaper.Replace(s) }

// The classes and their colours, which can be read on a page in light or dark.
var mermaidClasses = []struct{ name, style string }{
	{"done", "fill:#dafbe1,stroke:#1a7f37,color:#0b3d1a"},
	{"failed", "fill:#ffebe9,stroke:#cf222e,color:#6e0f17"},
	{"running", "fill:#ddf4ff,stroke:#0969da,color:#0a3069"},
	{"undone", "fill:#fff8c5,stroke:#9a6700,color:#4d3200"},
	{"idle", "fill:#f6f8fa,stroke:#8c959f,color:#424a53"},
}

func class(s edda.StepState) string {
	switch s {
	case edda.StepSucceeded:
		return "done"
	case edda.StepFailed, stuck:
		return "failed"
	case edda.StepReady, edda.StepRunning, pending:
		return "running"
	case edda.StepCompensating, edda.StepCompensated, edda.StepNotCompensated:
		return "undone"
	default:
		return "idle"
	}
}

func undoClass(s edda.CompensationState) string {
	switch s {
	case edda.CompensationFailed:
		return "failed"
	case edda.CompensationRunning:
		return "running"
	case edda.CompensationWaiting:
		return "idle"
	default:
		return "undone"
	}
}

func (m *mermaid) classes() {
	for _, c := range mermaidClasses {
		if nodes := m.used[c.name]; len(nodes) > 0 {
			fmt.Fprintf(&m.b, "  classDef %s %s\n", c.name, c.style)
			for part := range slices.Chunk(nodes, 50) {
				fmt.Fprintf(&m.b, "  class %s %s\n", strings.Join(part, ","), c.name)
			}
		}
	}
}
