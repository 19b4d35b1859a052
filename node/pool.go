package node

import (
	"cmp"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rendezvous"
)

// A slot is the right to run one handler of a service on one worker. It is taken
// before a request is started and given back when the handler has returned. When
// none is free the request waits in its partition, and the partition in the line
// of a pool; the next slot of the pool goes to the head of the line.

// host is a service on a worker.
type host struct {
	svc     *service
	w       *Worker
	version string
	hash    uint64        // of the worker's id
	def     *edda.Service // nil: its handlers run elsewhere

	// guarded by svc.mu
	slots     int
	busy      int
	abandoned int   // busy no more for us, but the handler has not returned
	pool      *pool // nil: it is given nothing
	own       *pool // its own, of an ordered service
}

// pool is slots of which a waiting request may have any: those of all hosts of a
// balanced service or of a group, of one host of an ordered service. Guarded by svc.mu.
type pool struct {
	svc   *service
	hosts []*host
	line  []*partition
	turn  uint64 // rises when hosts are grouped anew: who was in line chooses again
}

// queue is a pool's line until its hosts are grouped anew.
type queue struct {
	pool *pool
	turn uint64
}

// release is the pools of one version of a service.
type release struct {
	version string
	pools   []*pool // at least one, which may be without hosts
	all     *pool   // of all its hosts, of a balanced service
}

func (r *release) hosted() bool { return len(r.pools[0].hosts) > 0 }

// free returns the host of the pool that has the fewest handlers running, of those
// that have a slot free; nil when none has.
func (p *pool) free() *host {
	var least *host
	for _, h := range p.hosts {
		if h.busy < h.slots && (least == nil || h.busy < least.busy) {
			least = h
		}
	}
	return least
}

// choose returns the pool for a request that lives at the address hash: of the
// version that it was tried with before, while somebody has it, else of the newest.
// The caller holds mu.
func (s *service) choose(hash uint64, version string) *pool {
	rel := s.releases[0]
	if version != "" && version != rel.version {
		for _, r := range s.releases[1:] {
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
	for i, p := range rel.pools {
		if score := rendezvous.ScoreHashed(p.hosts[0].hash, hash); i == 0 || score > top {
			best, top = p, score
		}
	}
	return best
}

// acquire takes a slot for a request, if one is free and nobody is in line before.
func (s *service) acquire(hash uint64, version string) *host {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(s.choose(hash, version))
}

// acquireOrJoin is acquire, and puts the partition in the line that it returns when
// there is no slot.
func (s *service) acquireOrJoin(hash uint64, version string, p *partition) (*host, queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pl := s.choose(hash, version)
	h := s.take(pl)
	if h == nil {
		pl.line = append(pl.line, p)
	}
	return h, queue{pl, pl.turn}
}

// leaveLine gives up places of the partition in a line, the last ones.
func (s *service) leaveLine(q queue, p *partition, places int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.pool.turn != q.turn {
		return
	}
	line := q.pool.line
	first := len(line)
	for _, other := range slices.Backward(line) {
		if other == p && places > 0 {
			places--
			continue
		}
		first--
		line[first] = other
	}
	clear(line[:first])
	q.pool.line = line[first:]
}

// take takes a slot of the pool. The caller holds mu.
func (s *service) take(pl *pool) *host {
	if s.paused || s.draining || len(pl.line) > 0 {
		return nil
	}
	h := pl.free()
	if h != nil {
		h.busy++
	}
	return h
}

// keep reports whether a slot of the host that is free again may go to the next
// request of the same key without an injustice to others.
func (h *host) keep(hash uint64) bool {
	s := h.svc
	s.mu.Lock()
	defer s.mu.Unlock()
	return h.pool != nil && h.pool == s.choose(hash, "") && len(h.pool.line) == 0 && !s.paused && !s.draining && h.busy <= h.slots
}

// release gives a slot back, to the head of the line if there is one.
func (h *host) release() {
	s := h.svc
	s.mu.Lock()
	h.busy--
	g := s.next(h.pool)
	s.mu.Unlock()
	g.send()
}

// abandon gives back the slot of a handler that was fenced and has not returned.
// At most as many as the host has slots may linger like that; it is false for one
// more, whose slot stays taken until it returns.
func (h *host) abandon() bool {
	s := h.svc
	s.mu.Lock()
	if h.abandoned >= h.slots {
		s.mu.Unlock()
		return false
	}
	h.abandoned++
	s.mu.Unlock()
	h.release()
	return true
}

// returned notes that an abandoned handler has returned after all.
func (h *host) returned() {
	h.svc.mu.Lock()
	h.abandoned--
	h.svc.mu.Unlock()
}

// resize changes how many slots the host has.
func (h *host) resize(slots int) {
	h.svc.mu.Lock()
	h.slots = slots
	h.svc.mu.Unlock()
	h.svc.pump()
}

// over reports whether the hosts were grouped anew since somebody joined the line.
func (s *service) over(q queue) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return q.pool.turn != q.turn
}

// grant is a slot for the head of a line.
type grant struct {
	p     *partition
	queue queue
	host  *host
}

func (g grant) send() {
	if g.p != nil {
		g.p.in.grant(g)
	}
}

// next takes a free slot of the pool for the head of its line; the zero grant when
// there is no slot or no line. The caller holds mu.
func (s *service) next(pl *pool) grant {
	if pl == nil || len(pl.line) == 0 || s.paused || s.draining {
		return grant{}
	}
	h := pl.free()
	if h == nil {
		return grant{}
	}
	p := pl.line[0]
	pl.line[0] = nil
	pl.line = pl.line[1:]
	h.busy++
	return grant{p: p, queue: queue{pl, pl.turn}, host: h}
}

// pump gives free slots to the partitions in line.
func (s *service) pump() {
	for {
		s.mu.Lock()
		var g grant
		for _, r := range s.releases {
			for _, pl := range r.pools {
				if g.p == nil {
					g = s.next(pl)
				}
			}
		}
		s.mu.Unlock()
		if g.p == nil {
			return
		}
		g.send()
	}
}

// regroup makes the pools anew after hosts came, went, or changed whether they are
// given requests. It returns the partitions that were in line, which have to choose
// again. The caller holds mu.
func (s *service) regroup() (again []*partition) {
	before := s.releases
	for _, r := range before {
		for _, pl := range r.pools {
			pl.turn++
			for _, p := range pl.line {
				if !slices.Contains(again, p) {
					again = append(again, p)
				}
			}
			pl.line = nil
		}
		r.pools = r.pools[:0]
		r.all.hosts = r.all.hosts[:0]
	}
	s.releases = nil
	enough := s.enough()
	for _, h := range s.hosts {
		h.pool = nil
		if enough && h.w.takes.Load() {
			s.place(h, before)
		}
	}
	slices.SortFunc(s.releases, func(a, b *release) int { return compareVersions(b.version, a.version) })
	if len(s.releases) == 0 {
		s.releases = []*release{s.newRelease("")}
		s.releases[0].pools = append(s.releases[0].pools, s.releases[0].all)
	}
	s.show()
	return again
}

func (s *service) newRelease(version string) *release {
	return &release{version: version, all: &pool{svc: s}}
}

// members returns the workers that share the keys of the service, and their ids.
func (s *service) members() (ids []string, hosts []*host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.telling = false
	for _, pl := range s.releases[0].pools {
		for _, h := range pl.hosts {
			ids = append(ids, h.w.spec.ID)
		}
	}
	slices.Sort(ids)
	return ids, slices.Clone(s.hosts)
}

// place puts a host in a pool of its version, which is made when there was none
// before either. The caller holds mu.
func (s *service) place(h *host, before []*release) {
	of := func(r *release) bool { return r.version == h.version }
	i := slices.IndexFunc(s.releases, of)
	if i < 0 {
		i = len(s.releases)
		if was := slices.IndexFunc(before, of); was >= 0 {
			s.releases = append(s.releases, before[was])
		} else {
			s.releases = append(s.releases, s.newRelease(h.version))
		}
	}
	r := s.releases[i]
	if s.set.Kind == edda.Ordered {
		h.pool = h.own
		r.pools = append(r.pools, h.own)
		return
	}
	h.pool = r.all
	r.all.hosts = append(r.all.hosts, h)
	if len(r.pools) == 0 {
		r.pools = append(r.pools, r.all)
	}
}

// compareVersions compares versions as people write them: number by number and
// word by word, so that 1.10 is above 1.9. No version is below any.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a = versionPart(a)
		y, b = versionPart(b)
		if isDigit(x[0]) && isDigit(y[0]) {
			x, y = trimZeros(x), trimZeros(y)
			if c := cmp.Compare(len(x), len(y)); c != 0 {
				return c
			}
		}
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	switch { // of 1.0-rc and 1.0 the second is newer, of 1.0.1 and 1.0 the first
	case a == b:
		return 0
	case a == "" && b[0] != '-', a != "" && a[0] == '-':
		return -1
	default:
		return 1
	}
}

// versionPart cuts off a run of digits, or of anything else.
func versionPart(s string) (part, rest string) {
	i := 1
	for i < len(s) && isDigit(s[i]) == isDigit(s[0]) {
		i++
	}
	return s[:i], s[i:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func trimZeros(s string) string {
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	return s
}
