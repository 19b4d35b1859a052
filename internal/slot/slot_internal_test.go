package slot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edda-io/edda/internal/rendezvous"
)

// worker is what a host is to the test.
type worker struct {
	Host[*worker]
	id    string
	takes bool
}

// account is pools without a node: the test plays the waiters and keeps the account of
// who has a slot.
type account struct {
	pools   Pools[*worker]
	ordered bool
	workers []*worker
	held    []*worker
	waiting [4]int
	ids     int
}

func (a *account) attach(r *rand.Rand) {
	a.ids++
	w := &worker{id: fmt.Sprintf("w%d", a.ids), takes: true}
	w.Init(&a.pools, w, fmt.Sprint(r.IntN(3)), rendezvous.Hash(w.id), 1+r.IntN(3))
	a.workers = append(a.workers, w)
}

// regroup does what a node does, and has those in line choose again.
func (a *account) regroup(r *rand.Rand) {
	hosts := make([]*Host[*worker], len(a.workers))
	for i, w := range a.workers {
		hosts[i] = &w.Host
	}
	for _, w := range a.pools.Regroup(a.ordered, hosts, func(w *worker) bool { return w.takes }) {
		n := a.waiting[w]
		a.waiting[w] = 0
		for range n {
			a.want(r, w)
		}
	}
}

func (a *account) want(r *rand.Rand, w Waiter) {
	if h, _ := a.pools.AcquireOrJoin(r.Uint64(), fmt.Sprint(r.IntN(4)), w); h != nil {
		a.held = append(a.held, h.Of)
		return
	}
	a.waiting[w]++
}

// granted takes a grant. One of a pool that was replaced is given back, as a partition
// does that has nothing waiting for it.
func (a *account) granted(g Grant[*worker]) {
	for g.Host != nil {
		if a.waiting[g.To] > 0 && !a.pools.Over(g.Queue) {
			a.waiting[g.To]--
			a.held = append(a.held, g.Host.Of)
			return
		}
		g = g.Host.Release()
	}
}

func (a *account) pump() {
	for g := a.pools.Next(); g.Host != nil; g = a.pools.Next() {
		a.granted(g)
	}
}

// check finds what must never be.
func (a *account) check(t *testing.T, step string) {
	t.Helper()
	busy := map[*worker]int{}
	for _, w := range a.held {
		busy[w]++
	}
	for _, w := range a.workers {
		if l := w.Load(); l.Busy != busy[w] {
			t.Fatalf("%s: host %s counts %d slots taken, %d are", step, w.id, l.Busy, busy[w])
		}
	}
	var lines [4]int
	for _, rel := range a.pools.releases {
		for _, pl := range rel.pools {
			for _, w := range pl.line {
				lines[w]++
			}
			if len(pl.line) > 0 && pl.free() != nil && !a.pools.paused {
				t.Fatalf("%s: a slot is free and somebody waits for it", step)
			}
		}
	}
	if lines != a.waiting {
		t.Fatalf("%s: there are the places %v in line, want %v", step, lines, a.waiting)
	}
}

// However hosts come, go and change, no slot is lost or given twice, and nobody
// waits for a slot that is free.
func TestSlotsAreNeitherLostNorDoubled(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		a := &account{ordered: seed%2 == 0}
		a.regroup(r)
		for i := range 300 {
			switch k := r.IntN(12); {
			case k == 0 && len(a.workers) < 6:
				a.attach(r)
				a.regroup(r)
			case k == 1 && len(a.workers) > 0: // its slots are given back later
				i := r.IntN(len(a.workers))
				a.workers[i].takes = false
				a.regroup(r)
				a.workers = slices.Delete(a.workers, i, i+1)
				a.regroup(r)
			case k == 2 && len(a.workers) > 0:
				w := a.workers[r.IntN(len(a.workers))]
				w.takes = !w.takes
				a.regroup(r)
			case k == 3 && len(a.workers) > 0:
				a.workers[r.IntN(len(a.workers))].Resize(r.IntN(4))
				a.pump()
			case k == 4:
				a.pools.SetPaused(!a.pools.paused)
				a.pump()
			case k < 8:
				a.want(r, Waiter(r.IntN(len(a.waiting))))
			case len(a.held) > 0:
				i := r.IntN(len(a.held))
				w := a.held[i]
				a.held = slices.Delete(a.held, i, i+1)
				a.granted(w.Release())
			}
			a.check(t, fmt.Sprintf("seed %d, step %d", seed, i))
		}
	}
}

func TestVersionsCompare(t *testing.T) {
	rising := []string{"", "0.9", "1.0-rc1", "1.0-rc2", "1.0", "1.0.1", "1.2", "1.9", "1.10", "2", "2024-01-05", "2024-11-05", "v1"}
	for i, a := range rising {
		for j, b := range rising {
			got := CompareVersions(a, b)
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compare %q with %q: %d", a, b, got)
			}
		}
	}
}
