package node

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/edda-io/edda"
	servicefold "github.com/edda-io/edda/internal/fold/service"
	"github.com/edda-io/edda/internal/record"
)

// registry is what the node knows of services: those registered in partition 0 or
// hosted, now or before, consumers of groups, and those that requests name though they
// never were.
type registry struct {
	// all is replaced, never changed, so that calls read it without a lock.
	all atomic.Pointer[map[edda.Address]*service]

	mu        sync.Mutex // held by whoever replaces all; guards what follows; a service's mutex may be locked under it
	strangers map[edda.Address]*stranger
	changed   chan struct{} // closed and replaced at each change
}

// stranger is a service that is known by name alone. Anybody may name services in the
// steps of a saga, so it is forgotten when no request names it any more.
type stranger struct {
	svc      *service
	requests int // that have not ended
}

func (r *registry) init() {
	r.all.Store(&map[edda.Address]*service{})
	r.strangers = map[edda.Address]*stranger{}
	r.changed = make(chan struct{})
}

// named returns the service that a request names, and whether it is a stranger, which
// unnamed has to be told of when the request has ended.
func (n *Node) named(namespace, name string) (s *service, isStranger bool) {
	if s := n.known(namespace, name); s != nil {
		return s, false
	}
	r, a := &n.registry, serviceAddress(namespace, name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := (*r.all.Load())[a]; s != nil {
		return s, false
	}
	st := r.strangers[a]
	if st == nil {
		st = &stranger{svc: newService(a)}
		r.strangers[a] = st
	}
	st.requests++
	return st.svc, true
}

// unnamed forgets a stranger that no request names any more.
func (n *Node) unnamed(s *service) {
	r := &n.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if st := r.strangers[s.addr]; st != nil && st.svc == s { // else it is a stranger no more
		if st.requests--; st.requests == 0 {
			delete(r.strangers, s.addr)
		}
	}
}

// service returns the service that somebody registers or hosts, made when it is
// missing.
func (n *Node) service(namespace, name string) *service {
	if s := n.known(namespace, name); s != nil {
		return s
	}
	r := &n.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.get(serviceAddress(namespace, name))
}

// known returns the service, or nil when nobody has ever registered or hosted it.
func (n *Node) known(namespace, name string) *service {
	return (*n.registry.all.Load())[serviceAddress(namespace, name)]
}

// get returns the service, a stranger no more, made when it is missing. The caller
// holds mu.
func (r *registry) get(a edda.Address) *service {
	all := *r.all.Load()
	s := all[a]
	if s == nil {
		if st := r.strangers[a]; st != nil {
			delete(r.strangers, a)
			s = st.svc // which requests wait for
		} else {
			s = newService(a)
		}
		all = maps.Clone(all)
		all[a] = s
		r.all.Store(&all)
	}
	return s
}

// add makes services that are missing.
func (r *registry) add(addresses []edda.Address) {
	if len(addresses) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := maps.Clone(*r.all.Load())
	for _, a := range addresses {
		if all[a] == nil {
			all[a] = newService(a)
		}
	}
	r.all.Store(&all)
}

// drop forgets a consumer that nobody hosts and whose group is gone. Who names it again
// gets another.
func (r *registry) drop(s *service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := maps.Clone(*r.all.Load())
	if all[s.addr] == s {
		delete(all, s.addr)
		r.all.Store(&all)
	}
}

// registryChanged returns a channel that is closed at the next change.
func (n *Node) registryChanged() <-chan struct{} {
	n.registry.mu.Lock()
	defer n.registry.mu.Unlock()
	return n.registry.changed
}

// each calls f for every service but strangers.
func (r *registry) each(f func(*service)) {
	for _, s := range *r.all.Load() {
		f(s)
	}
}

// registered returns the registered services of a namespace, but for consumers of
// groups, in order.
func (r *registry) registered(namespace string) []*service {
	var all []*service
	r.each(func(s *service) {
		if s.addr.Namespace == namespace && !s.consumer && s.view().registered {
			all = append(all, s)
		}
	})
	slices.SortFunc(all, func(a, b *service) int { return cmp.Compare(a.addr.Name, b.addr.Name) })
	return all
}

// publish shows what partition 0 says, which is nothing of consumers of groups. It
// returns the services that have just been paused.
func (r *registry) publish(all []servicefold.Service) (paused []*service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	still := map[edda.Address]bool{}
	for _, f := range all {
		still[f.Address] = true
		s := r.get(f.Address)
		if s.update(true, f.ServiceSet, f.Paused) {
			paused = append(paused, s)
		}
	}
	for a, s := range *r.all.Load() {
		if !still[a] && !s.consumer {
			s.update(false, record.ServiceSet{}, false)
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return paused
}
