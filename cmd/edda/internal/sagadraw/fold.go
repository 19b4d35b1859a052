package sagadraw

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/edda-io/edda"
)

const (
	// mostFolds is how many lines a folded drawing has for levels, as far as that can be.
	mostFolds = 40
	// mostNamed is how many steps of a level are named.
	mostNamed = 5
)

// fold is a run of levels that are told in one line.
type fold struct {
	// from and to are its first and last level.
	from, to int
	steps    int
	// even is how many steps each level has; 0 when they differ.
	even   int
	counts map[edda.StepState]int
	// named are the steps that somebody would look for.
	named []int
}

// urgency orders the states that are named in a folded drawing, the most urgent first,
// and all states where they are counted.
var urgency = []edda.StepState{
	stuck, edda.StepFailed, pending, edda.StepCompensating, edda.StepRunning, edda.StepCancelled,
	edda.StepSucceeded, edda.StepReady, edda.StepWaiting, edda.StepCompensated, edda.StepNotCompensated, edda.StepSkipped,
}

func rank(s edda.StepState) int {
	if i := slices.Index(urgency, s); i >= 0 {
		return i
	}
	return len(urgency)
}

// named says that a step in the state is to be named.
func named(s edda.StepState) bool { return rank(s) < rank(edda.StepSucceeded) }

// folds puts levels together that are in the same states, and more of them when they
// are still too many.
func (g *graph) folds() []fold {
	var all []fold
	for at, level := range g.levels {
		f := fold{from: at, to: at, steps: len(level), even: len(level), counts: map[edda.StepState]int{}}
		for _, i := range level {
			s := seen(&g.steps[i])
			f.counts[s]++
			if named(s) {
				f.named = append(f.named, i)
			}
		}
		slices.SortStableFunc(f.named, func(a, b int) int {
			return cmp.Compare(rank(seen(&g.steps[a])), rank(seen(&g.steps[b])))
		})
		all = append(all, f)
	}
	all = join(all, sameStates)
	if len(all) > mostFolds {
		all = join(all, func(*fold, *fold) bool { return true })
	}
	return all
}

func sameStates(a, b *fold) bool {
	for s := range a.counts {
		if b.counts[s] == 0 {
			return false
		}
	}
	return len(a.counts) == len(b.counts)
}

// join puts neighbours together without steps to be named.
func join(all []fold, alike func(a, b *fold) bool) []fold {
	var out []fold
	for i := range all {
		f := &all[i]
		if n := len(out); n > 0 && len(f.named)+len(out[n-1].named) == 0 && alike(&out[n-1], f) {
			last := &out[n-1]
			last.to = f.to
			last.steps += f.steps
			if last.even != f.even {
				last.even = 0
			}
			for s, c := range f.counts {
				last.counts[s] += c
			}
			continue
		}
		out = append(out, *f)
	}
	return out
}

// title says which levels a fold has, and size how many steps.
func (f *fold) title() string {
	if f.from == f.to {
		return "level " + number(f.from+1)
	}
	return "levels " + number(f.from+1) + "–" + number(f.to+1)
}

func (f *fold) size() string {
	if levels := f.to - f.from + 1; levels > 1 && f.even > 0 {
		return number(levels) + " × " + number(f.even)
	}
	return plural(f.steps, "step")
}

// states are those that a fold has, in order.
func (f *fold) states() []edda.StepState {
	var states []edda.StepState
	for s := range f.counts {
		states = append(states, s)
	}
	slices.SortFunc(states, func(a, b edda.StepState) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(string(a), string(b)))
	})
	return states
}

// drawFolded draws levels with counts, and names the steps that somebody would look
// for.
func drawFolded(g *graph, o Options) string {
	folds := g.folds()
	title, size := 0, 0
	for i := range folds {
		title, size = max(title, widthOf(folds[i].title())), max(size, widthOf(folds[i].size()))
	}
	var b strings.Builder
	for i := range folds {
		f := &folds[i]
		if i > 0 {
			b.WriteString("  " + dim.paint("▼", o.Colour) + "\n")
		}
		fmt.Fprintf(&b, "%s  %*s", bold.paint(f.title(), o.Colour)+pad("", title-widthOf(f.title())), size, f.size())
		for _, s := range f.states() {
			look := lookOf(s)
			b.WriteString("  " + look.style.paint(fmt.Sprintf("%s %s %s", look.mark, number(f.counts[s]), stateWord(s)), o.Colour))
		}
		b.WriteByte('\n')
		drawNamed(&b, g, f, o)
	}
	return b.String()
}

func drawNamed(b *strings.Builder, g *graph, f *fold, o Options) {
	for _, i := range f.named[:min(len(f.named), mostNamed)] {
		t := &g.steps[i]
		look := lookOf(seen(t))
		text := plain(t.ID) + "  " + what(t) + "  " + stateAndTime(t, o)
		fmt.Fprintf(b, "    %s %s\n", look.style.paint(look.mark, o.Colour), strings.TrimRight(clip(text, mostName+mostTask), " "))
		e := t.Error
		if t.Compensation != nil && t.Compensation.Error != nil {
			e = t.Compensation.Error
		}
		if e != nil {
			fmt.Fprintf(b, "      %s\n", red.paint(clip(problem(e), o.Width-6), o.Colour))
		}
	}
	if more := len(f.named) - mostNamed; more > 0 {
		fmt.Fprintf(b, "    %s\n", dim.paint("and "+number(more)+" more", o.Colour))
	}
}
