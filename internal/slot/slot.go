// Package slot decides which worker runs a request, and when. A slot is the right to run
// one handler of a service on one worker: it is taken before a request is started and
// given back when the handler has returned. When none is free the request waits with
// whoever has it, who stands in the line of a pool; the next slot of the pool goes to the
// head of the line.
//
// It is a machine without goroutines, clock or I/O: what it decides it returns, and whoever
// gets a Grant hands it on. All types are safe for concurrent use where they do not say
// otherwise; no method blocks for longer than another one runs.
//
// No slot is lost or given twice, whatever order hosts come, go and change in, and nobody
// waits in line while a slot of the pool is free, provided that each grant reaches its
// waiter and that those whom Regroup names choose again.
package slot

import (
	"slices"
	"sync"

	"github.com/edda-io/edda/internal/rendezvous"
)

// Pools are the slots of one service on all its hosts. Regroup makes them; before that
// there is nothing to be acquired. T is what a host is to the caller.
type Pools[T any] struct {
	mu       sync.Mutex    // guards what follows, and what hosts and pools say is; nothing is locked under it
	releases []*release[T] // what a request may be given, the newest version first; at least one
	paused   bool
	closed   bool
}

// Host is a service on a worker. Init makes one.
type Host[T any] struct {
	// Of is what the host is to the caller.
	Of T

	pools   *Pools[T]
	version string
	hash    uint64 // of the worker's id

	// guarded by pools.mu
	slots     int
	busy      int
	abandoned int      // busy no more for us, but the handler has not returned
	pool      *pool[T] // nil: it is given nothing
	own       *pool[T] // its own, of an ordered service
}

// pool is slots of which a waiting request may have any: those of all hosts of a
// balanced service or of a group, of one host of an ordered service. Guarded by pools.mu.
type pool[T any] struct {
	pools *Pools[T]
	hosts []*Host[T]
	line  []Waiter
	turn  uint64 // rises when hosts are grouped anew: who was in line chooses again
}

// Waiter is somebody who stands in lines, by a number that is the caller's own.
type Waiter uint64

// Queue is a pool's line until its hosts are grouped anew. Queues can be compared.
type Queue[T any] struct {
	pool *pool[T]
	turn uint64
}

// Grant is a slot for the head of a line. Host is nil where there is none.
type Grant[T any] struct {
	To    Waiter
	Queue Queue[T]
	Host  *Host[T]
}

// Load is what is known of a host's slots.
type Load struct {
	Slots     int // how many there are
	Busy      int // how many are taken
	Lingering int // how many handlers have given theirs back and not returned
}

// Init makes the host one of a service, which is given nothing before Regroup names it.
// Hash is that of the worker's id: it decides which keys of an ordered service the host
// gets. It is called once, before anything else.
func (h *Host[T]) Init(p *Pools[T], of T, version string, hash uint64, slots int) {
	*h = Host[T]{Of: of, pools: p, version: version, hash: hash, slots: slots}
	h.own = &pool[T]{pools: p, hosts: []*Host[T]{h}}
}

// Move makes the host one of another service. Nobody else may know of the host yet.
func (h *Host[T]) Move(to *Pools[T]) { h.pools, h.own.pools = to, to }

// Acquire takes a slot for a request that lives at the address hash: of the version that
// it was tried with before, while somebody has it, else of the newest. It returns nil when
// none is free or somebody is in line before.
func (p *Pools[T]) Acquire(hash uint64, version string) *Host[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(p.choose(hash, version))
}

// AcquireOrJoin is Acquire, and puts the waiter in the line that it returns when there is
// no slot.
func (p *Pools[T]) AcquireOrJoin(hash uint64, version string, w Waiter) (*Host[T], Queue[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pl := p.choose(hash, version)
	h := p.take(pl)
	if h == nil {
		pl.line = append(pl.line, w)
	}
	return h, Queue[T]{pl, pl.turn}
}

// AcquireAny takes up to most slots of a service that is not ordered, if nobody is in line
// before.
func (p *Pools[T]) AcquireAny(most int) (hosts []*Host[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pl := p.releases[0].pools[0]
	for range most {
		h := p.take(pl)
		if h == nil {
			break
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// LeaveLine gives up places of the waiter in a line, the last ones.
func (p *Pools[T]) LeaveLine(q Queue[T], w Waiter, places int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.pool.turn != q.turn {
		return
	}
	line := q.pool.line
	first := len(line)
	for _, other := range slices.Backward(line) {
		if other == w && places > 0 {
			places--
			continue
		}
		first--
		line[first] = other
	}
	q.pool.line = line[first:]
}

// Over reports whether the queue is one of these pools', whose hosts were grouped anew
// since somebody joined it.
func (p *Pools[T]) Over(q Queue[T]) bool {
	if q.pool.pools != p {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return q.pool.turn != q.turn
}

// Keep reports whether a slot of the host that is free again may go to the next
// request of the same key without an injustice to others.
func (h *Host[T]) Keep(hash uint64) bool {
	p := h.pools
	p.mu.Lock()
	defer p.mu.Unlock()
	return h.pool != nil && h.pool == p.choose(hash, "") && len(h.pool.line) == 0 && !p.paused && !p.closed && h.busy <= h.slots
}

// Release gives a slot back, to the head of the line if there is one.
func (h *Host[T]) Release() Grant[T] {
	p := h.pools
	p.mu.Lock()
	h.busy--
	g := p.next(h.pool)
	p.mu.Unlock()
	return g
}

// Abandon is Release for a handler that was given up and has not returned. At most as many
// as the host has slots may linger like that; it is false for one more, whose slot stays
// taken until it is released.
func (h *Host[T]) Abandon() (g Grant[T], ok bool) {
	p := h.pools
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.abandoned >= h.slots {
		return Grant[T]{}, false
	}
	h.abandoned++
	h.busy--
	return p.next(h.pool), true
}

// Returned notes that an abandoned handler has returned after all.
func (h *Host[T]) Returned() {
	h.pools.mu.Lock()
	h.abandoned--
	h.pools.mu.Unlock()
}

// Resize changes how many slots the host has. What that sets free Next gives out.
func (h *Host[T]) Resize(slots int) {
	h.pools.mu.Lock()
	h.slots = slots
	h.pools.mu.Unlock()
}

// Load returns what is known of the host's slots.
func (h *Host[T]) Load() Load {
	h.pools.mu.Lock()
	defer h.pools.mu.Unlock()
	return Load{Slots: h.slots, Busy: h.busy, Lingering: h.abandoned}
}

// Next takes a free slot for the head of a line, of any pool. Whoever has set slots free by
// anything but Release and Abandon calls it until there is no grant.
func (p *Pools[T]) Next() Grant[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.releases {
		for _, pl := range r.pools {
			if g := p.next(pl); g.Host != nil {
				return g
			}
		}
	}
	return Grant[T]{}
}

// SetPaused has nothing be given out while the service is paused.
func (p *Pools[T]) SetPaused(paused bool) {
	p.mu.Lock()
	p.paused = paused
	p.mu.Unlock()
}

// Close has nothing be given out any more.
func (p *Pools[T]) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
}

// choose returns the pool for a request. The caller holds mu.
func (p *Pools[T]) choose(hash uint64, version string) *pool[T] {
	rel := p.releases[0]
	if version != "" && version != rel.version {
		for _, r := range p.releases[1:] {
			if r.version == version {
				rel = r
			}
		}
	}
	best := rel.pools[0]
	if len(rel.pools) == 1 {
		return best
	}
	var top uint64
	for i, pl := range rel.pools {
		if score := rendezvous.ScoreHashed(pl.hosts[0].hash, hash); i == 0 || score > top {
			best, top = pl, score
		}
	}
	return best
}

// take takes a slot of the pool. The caller holds mu.
func (p *Pools[T]) take(pl *pool[T]) *Host[T] {
	if p.paused || p.closed || len(pl.line) > 0 {
		return nil
	}
	h := pl.free()
	if h != nil {
		h.busy++
	}
	return h
}

// next takes a free slot of the pool for the head of its line; there is no grant when
// there is no slot or no line. The caller holds mu.
func (p *Pools[T]) next(pl *pool[T]) Grant[T] {
	if pl == nil || len(pl.line) == 0 || p.paused || p.closed {
		return Grant[T]{}
	}
	h := pl.free()
	if h == nil {
		return Grant[T]{}
	}
	w := pl.line[0]
	pl.line = pl.line[1:]
	h.busy++
	return Grant[T]{To: w, Queue: Queue[T]{pl, pl.turn}, Host: h}
}

// free returns the host of the pool that has the fewest handlers running, of those
// that have a slot free; nil when none has.
func (pl *pool[T]) free() *Host[T] {
	var least *Host[T]
	for _, h := range pl.hosts {
		if h.busy < h.slots && (least == nil || h.busy < least.busy) {
			least = h
		}
	}
	return least
}
