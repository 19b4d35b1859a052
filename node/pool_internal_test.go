package node

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/rendezvous"
)

// slots is a service without a node: the test plays the partitions and keeps the
// account of who has a slot.
type slots struct {
	svc     *service
	parts   []*partition
	held    []*host
	waiting map[*partition]int
	ids     int
}

func newSlots(kind edda.Kind) *slots {
	s := &slots{svc: newService(edda.Address{Namespace: "default", Name: "s"}), waiting: map[*partition]int{}}
	s.svc.set = record.ServiceSet{Kind: kind}
	for range 4 {
		s.parts = append(s.parts, &partition{in: newInbox()})
	}
	return s
}

func (s *slots) attach(r *rand.Rand) {
	s.ids++
	id := fmt.Sprintf("w%d", s.ids)
	w := &Worker{spec: WorkerSpec{ID: id}}
	w.takes.Store(true)
	h := &host{svc: s.svc, w: w, version: fmt.Sprint(r.IntN(3)), hash: rendezvous.Hash(id), slots: 1 + r.IntN(3)}
	h.own = &pool{svc: s.svc, hosts: []*host{h}}
	s.svc.hosts = append(s.svc.hosts, h)
}

// regroup does what a node does, and has those in line choose again.
func (s *slots) regroup(r *rand.Rand) {
	for _, p := range s.svc.regroup() {
		n := s.waiting[p]
		s.waiting[p] = 0
		for range n {
			s.want(r, p)
		}
	}
}

func (s *slots) want(r *rand.Rand, p *partition) {
	if h, _ := s.svc.acquireOrJoin(r.Uint64(), fmt.Sprint(r.IntN(4)), p); h != nil {
		s.held = append(s.held, h)
		return
	}
	s.waiting[p]++
}

// collect takes the grants that came in. One of a pool that was replaced is given
// back, as a partition does that has nothing waiting for it.
func (s *slots) collect() {
	for again := true; again; {
		again = false
		for _, p := range s.parts {
			var m mail
			p.in.take(&m)
			for _, g := range m.grants {
				again = true
				if s.waiting[p] > 0 && !s.svc.over(g.queue) {
					s.waiting[p]--
					s.held = append(s.held, g.host)
				} else {
					g.host.release()
				}
			}
		}
	}
}

// check finds what must never be.
func (s *slots) check(t *testing.T, step string) {
	t.Helper()
	busy := map[*host]int{}
	for _, h := range s.held {
		busy[h]++
	}
	for _, h := range s.svc.hosts {
		if h.busy != busy[h] {
			t.Fatalf("%s: host %s counts %d slots taken, %d are", step, h.w.spec.ID, h.busy, busy[h])
		}
	}
	lines := map[*partition]int{}
	for _, rel := range s.svc.releases {
		for _, pl := range rel.pools {
			for _, p := range pl.line {
				lines[p]++
			}
			if len(pl.line) > 0 && pl.free() != nil && !s.svc.paused {
				t.Fatalf("%s: a slot is free and a partition waits for it", step)
			}
		}
	}
	for _, p := range s.parts {
		if lines[p] != s.waiting[p] {
			t.Fatalf("%s: a partition has %d places in line for %d requests", step, lines[p], s.waiting[p])
		}
	}
}

// However hosts come, go and change, no slot is lost or given twice, and nobody
// waits for a slot that is free.
func TestSlotsAreNeitherLostNorDoubled(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newSlots([]edda.Kind{edda.Ordered, edda.Balanced}[seed%2])
		s.regroup(r)
		for i := range 300 {
			step := fmt.Sprintf("seed %d, step %d", seed, i)
			switch k := r.IntN(12); {
			case k == 0 && len(s.svc.hosts) < 6:
				s.attach(r)
				s.regroup(r)
			case k == 1 && len(s.svc.hosts) > 0: // its slots are given back later
				i := r.IntN(len(s.svc.hosts))
				s.svc.hosts[i].w.takes.Store(false)
				s.svc.hosts = append(s.svc.hosts[:i:i], s.svc.hosts[i+1:]...)
				s.regroup(r)
			case k == 2 && len(s.svc.hosts) > 0:
				w := s.svc.hosts[r.IntN(len(s.svc.hosts))].w
				w.takes.Store(!w.takes.Load())
				s.regroup(r)
			case k == 3 && len(s.svc.hosts) > 0:
				s.svc.hosts[r.IntN(len(s.svc.hosts))].resize(r.IntN(4))
			case k == 4:
				s.svc.update(true, s.svc.set, !s.svc.paused)
			case k < 8:
				s.want(r, s.parts[r.IntN(len(s.parts))])
			case len(s.held) > 0:
				i := r.IntN(len(s.held))
				h := s.held[i]
				s.held = append(s.held[:i], s.held[i+1:]...)
				h.release()
			}
			s.collect()
			s.check(t, step)
		}
	}
}

func TestVersionsCompare(t *testing.T) {
	rising := []string{"", "0.9", "1.0-rc1", "1.0-rc2", "1.0", "1.0.1", "1.2", "1.9", "1.10", "2", "2024-01-05", "2024-11-05", "v1"}
	for i, a := range rising {
		for j, b := range rising {
			got := compareVersions(a, b)
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compare %q with %q: %d", a, b, got)
			}
		}
	}
}
