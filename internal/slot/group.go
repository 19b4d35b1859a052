package slot

import "slices"

// release is the pools of one version of a service.
type release[T any] struct {
	version string
	pools   []*pool[T] // at least one, which may be without hosts
	all     *pool[T]   // of all its hosts, of a service that is not ordered
}

// Regroup makes the pools anew after hosts came, went, or changed whether they are given
// requests: hosts are all that there are, and given says which are. Of an ordered service
// each host is a pool of its own, because its keys are its own, else all of one version are
// one. It returns those who were in line, who have to choose again.
func (p *Pools[T]) Regroup(ordered bool, hosts []*Host[T], given func(T) bool) (again []Waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.releases
	for _, r := range before {
		for _, pl := range r.pools {
			pl.turn++
			for _, w := range pl.line {
				if !slices.Contains(again, w) {
					again = append(again, w)
				}
			}
			pl.line = nil
		}
		r.pools = r.pools[:0]
		r.all.hosts = r.all.hosts[:0]
	}
	p.releases = nil
	for _, h := range hosts {
		h.pool = nil
		if given(h.Of) {
			p.place(h, ordered, before)
		}
	}
	slices.SortFunc(p.releases, func(a, b *release[T]) int { return CompareVersions(b.version, a.version) })
	if len(p.releases) == 0 {
		r := p.newRelease("")
		r.pools = append(r.pools, r.all)
		p.releases = append(p.releases, r)
	}
	return again
}

func (p *Pools[T]) newRelease(version string) *release[T] {
	return &release[T]{version: version, all: &pool[T]{pools: p}}
}

// place puts a host in a pool of its version, which is made when there was none
// before either. The caller holds mu.
func (p *Pools[T]) place(h *Host[T], ordered bool, before []*release[T]) {
	of := func(r *release[T]) bool { return r.version == h.version }
	i := slices.IndexFunc(p.releases, of)
	if i < 0 {
		i = len(p.releases)
		if was := slices.IndexFunc(before, of); was >= 0 {
			p.releases = append(p.releases, before[was])
		} else {
			p.releases = append(p.releases, p.newRelease(h.version))
		}
	}
	r := p.releases[i]
	if ordered {
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

// Hosted reports whether some host is given requests.
func (p *Pools[T]) Hosted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.releases[0].pools[0].hosts) > 0
}

// Newest returns the hosts that new requests are given to.
func (p *Pools[T]) Newest() (hosts []T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pl := range p.releases[0].pools {
		for _, h := range pl.hosts {
			hosts = append(hosts, h.Of)
		}
	}
	return hosts
}

// Versions returns the versions that requests are given to, the newest first; hosts
// without a version are not counted.
func (p *Pools[T]) Versions() (versions []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.releases {
		if r.version != "" {
			versions = append(versions, r.version)
		}
	}
	return versions
}

// Waiting is how many places there are in the lines.
func (p *Pools[T]) Waiting() (places int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.releases {
		for _, pl := range r.pools {
			places += len(pl.line)
		}
	}
	return places
}
