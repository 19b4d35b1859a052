package node

import (
	"cmp"
	"slices"
	"sync"

	"github.com/edda-io/edda"
	servicefold "github.com/edda-io/edda/internal/fold/service"
	"github.com/edda-io/edda/internal/record"
)

// registry is what the node knows of services: those registered in partition 0,
// and those that requests name though they are not.
type registry struct {
	mu      sync.RWMutex // guards what follows; a service's mutex may be locked under it
	all     map[edda.Address]*service
	changed chan struct{} // closed and replaced at each change
}

// service returns the service, made when nobody has heard of it.
func (n *Node) service(namespace, name string) *service {
	if s := n.known(namespace, name); s != nil {
		return s
	}
	r := &n.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.get(serviceAddress(namespace, name))
}

// known returns the service, or nil when nobody has heard of it.
func (n *Node) known(namespace, name string) *service {
	r := &n.registry
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.all[serviceAddress(namespace, name)]
}

// get is service without the lock.
func (r *registry) get(a edda.Address) *service {
	s := r.all[a]
	if s == nil {
		s = &service{addr: a}
		r.all[a] = s
	}
	return s
}

// registryChanged returns a channel that is closed at the next change.
func (n *Node) registryChanged() <-chan struct{} {
	n.registry.mu.RLock()
	defer n.registry.mu.RUnlock()
	return n.registry.changed
}

// each calls f for every service.
func (r *registry) each(f func(*service)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.all {
		f(s)
	}
}

// registered returns the registered services of a namespace, in order.
func (r *registry) registered(namespace string) []*service {
	var all []*service
	r.each(func(s *service) {
		if s.addr.Namespace == namespace && s.view().registered {
			all = append(all, s)
		}
	})
	slices.SortFunc(all, func(a, b *service) int { return cmp.Compare(a.addr.Name, b.addr.Name) })
	return all
}

// publish shows what partition 0 says. It returns the services that have just
// been paused.
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
	for a, s := range r.all {
		if !still[a] {
			s.update(false, record.ServiceSet{}, false)
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return paused
}
