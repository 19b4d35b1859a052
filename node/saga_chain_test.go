package node_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/node"
)

// apart gives a saga an id, and each of its steps that has a key another one, so that
// all of them live in partitions of their own. It returns that of the saga, and those of
// the steps: the saga's where a step has no key.
func apart(n *node.Node, sp *edda.SagaSpec) (home uint64, parts map[string]uint64) {
	sp.ID = "chain"
	home = node.HomeOf(n, sagafold.Hash(edda.DefaultNamespace, sp.ID))
	taken, parts := []uint64{home}, map[string]uint64{}
	for i := range sp.Steps {
		s := &sp.Steps[i]
		parts[s.ID] = home
		for k := 0; s.Key != "" && slices.Contains(taken, parts[s.ID]); k++ {
			s.Key = fmt.Sprint("k", k)
			parts[s.ID] = node.HomeOf(n, edda.Address{Name: s.Service, Key: s.Key}.Hash())
		}
		taken = append(taken, parts[s.ID])
	}
	return home, parts
}

// gates hold up steps until theirs is opened.
type gates map[string]chan struct{}

func gatesOf(sp *edda.SagaSpec) gates {
	g := gates{}
	for i := range sp.Steps {
		g[sp.Steps[i].ID] = make(chan struct{})
	}
	return g
}

// hold is a handler that waits at the step's gate, and writes down that it has begun.
func (g gates) hold(j *journal) stepFunc {
	return func(ctx *edda.Context, in *edda.StepInput) (any, error) {
		j.addf("%s%s", in.StepID, in.Dependencies)
		return gated(g[in.StepID], func(*edda.Context, *edda.StepInput) (any, error) { return in.StepID, nil })(ctx, in)
	}
}

// wantInFlight fails the test unless these are all batches that the engine has not
// answered, by partition.
func wantInFlight(t *testing.T, n *node.Node, want map[uint64]int) {
	t.Helper()
	synctest.Wait()
	for part := range uint64(8) {
		if got := node.InFlight(t, n, part); got != want[part] {
			t.Errorf("%d batches of partition %d are in flight, want %d", got, part, want[part])
		}
	}
}

// slowly has the disk wait while do runs, looks at what is in flight then, and lets go.
func (d *slowDisk) slowly(t *testing.T, n *node.Node, want map[uint64]int, do ...func()) {
	t.Helper()
	wantInFlight(t, n, nil)
	d.gate = make(chan struct{})
	d.slow = true
	for _, f := range do {
		f()
		synctest.Wait()
	}
	wantInFlight(t, n, want)
	d.slow = false
	close(d.gate)
	synctest.Wait()
}

// chained are sagas whose steps end as given, each time those of one flush.
var chained = []struct {
	name  string
	spec  *edda.SagaSpec
	ends  []string
	began string
}{
	{
		"a chain", sagaOf("", ask("a", "shelf/x", "", ""), ask("b", "shelf/x", "", "a"), ask("c", "shelf/x", "", "b")),
		[]string{"a", "b", "c"}, `a[] b["a"] c["b"]`,
	},
	{
		"after one here", sagaOf("", ask("a", "tool", "", ""), ask("b", "shelf/x", "", "a"), ask("c", "tool", "", "b")),
		[]string{"a", "b", "c"}, `a[] b["a"] c["b"]`,
	},
	{
		"several at once", sagaOf("", ask("a", "shelf/x", "", ""), ask("b", "shelf/x", "", "a"), ask("c", "shelf/x", "", "a"), ask("d", "tool", "", "a")),
		[]string{"a", "b"}, `a[] b["a"] c["a"] d["a"]`,
	},
	{
		"the last of two", sagaOf("", ask("a", "shelf/x", "", ""), ask("b", "shelf/x", "", ""), ask("c", "shelf/x", "", "a b")),
		[]string{"a b", "c"}, `a[] b[] c["a" "b"]`,
	},
	{
		"the last of three", sagaOf("", ask("a", "tool", "", ""), ask("b", "shelf/x", "", ""), ask("d", "tool", "", ""), ask("c", "shelf/x", "", "a b d")),
		[]string{"a d b", "c"}, `a[] b[] c["a" "b" "d"] d[]`,
	},
}

// The end of a step and the request of the next are in one flush, wherever the two and
// their saga live, and nothing begins before it.
func TestSagaNextStepSharesTheFlush(t *testing.T) {
	for _, c := range chained {
		bubble(t, c.name, func(t *testing.T) {
			var j journal
			d, g := newSlowDisk(), gatesOf(c.spec)
			n := start(t, d.options(), shelf("shelf", g.hold(&j)), tool("tool", g.hold(&j)))
			home, parts := apart(n, c.spec)
			create(t, n, c.spec)
			ended := map[string]bool{}
			for _, ids := range c.ends {
				synctest.Wait()
				began, do := j.all(), []func(){}
				for id := range strings.FieldsSeq(ids) {
					ended[id] = true
					do = append(do, func() { close(g[id]) })
				}
				do = append(do, func() {
					if got := j.all(); !slices.Equal(got, began) {
						t.Errorf("before the flush %q have begun, and %q before that", got, began)
					}
				})
				d.slowly(t, n, touched(c.spec, home, parts, strings.Fields(ids), ended), do...)
			}
			for id := range g {
				if !ended[id] {
					close(g[id])
				}
			}
			endsAs(t, n, c.spec.ID, edda.SagaSucceeded)
			began := j.all()
			slices.Sort(began)
			if got := strings.Join(began, " "); got != c.began {
				t.Errorf("%s have begun, want %s", got, c.began)
			}
			noSlotIsLost(t, n, "shelf", "tool")
		})
	}
}

// touched is how many batches of each partition there are when the steps end: of
// those of the steps, of the saga's for each of them, and of those of the steps that start.
func touched(sp *edda.SagaSpec, home uint64, parts map[string]uint64, ids []string, ended map[string]bool) map[uint64]int {
	all := map[uint64]int{home: len(ids)}
	for _, id := range ids {
		if parts[id] != home {
			all[parts[id]]++
		}
	}
	for i := range sp.Steps {
		s := &sp.Steps[i]
		waits := slices.ContainsFunc(s.After, func(id string) bool { return !ended[id] })
		starts := !waits && slices.ContainsFunc(s.After, func(id string) bool { return slices.Contains(ids, id) })
		if starts && parts[s.ID] != home {
			all[parts[s.ID]]++
		}
	}
	return all
}

// A record that does not become durable takes with it what follows from it, and leaves
// what was before.
func TestSagaNextStepFallsWithTheEnd(t *testing.T) {
	for name, lost := range map[string]struct {
		part  string // whose append fails; "" for the saga's
		ended bool   // the outcome is in the log
	}{"with the outcome": {"a", false}, "with the end": {"", true}} {
		bubble(t, name, func(t *testing.T) {
			sp := sagaOf("", ask("a", "shelf/x", "", ""), ask("b", "shelf/x", "", "a"))
			g := gatesOf(sp)
			n := open(t, node.Options{Partitions: 8}, shelf("shelf", g.hold(&journal{})))
			home, parts := apart(n, sp)
			create(t, n, sp)
			synctest.Wait()
			part := home
			if lost.part != "" {
				part = parts[lost.part]
			}
			log := fails(t, n, part, func() { close(g["a"]) })
			if got := inLog(t, log, parts["a"], record.TypeCompleted); got != lost.ended {
				t.Errorf("the outcome is in the log: %t, want %t", got, lost.ended)
			}
			if inLog(t, log, home, record.TypeStepEnded) || inLog(t, log, parts["b"], record.TypeAccepted) {
				t.Error("the end of the step, or the request of the next, is in the log")
			}
		})
	}
}
