package node

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// A consumer is the service of a group, called STREAM/GROUP. The group's partition says
// that it is there and what its policies are, partition 0 knows nothing of it. Who hosts
// it is a member of the group. To the pools it is a balanced service: any member gets any
// message, and the order of a key is kept by the fold.

// follow shows what the log says of the group. The caller holds workers.mu, and has the
// service regrouped.
func (s *service) follow(g *edda.GroupSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registered = g != nil
	if g != nil {
		s.setGroup(g)
	}
	s.show()
}

// setGroup has the group's policies be the service's. The caller holds mu.
func (s *service) setGroup(g *edda.GroupSpec) {
	s.group = *g
	s.set = record.ServiceSet{
		Address: s.addr, Kind: edda.Balanced, AttemptTimeout: cmp.Or(g.ProcessingTimeout, edda.DefaultProcessingTimeout), Retry: g.Retry,
	}
}

// enough reports whether as many workers can be given requests as there must be before
// any of them is. The caller holds mu.
func (s *service) enough() bool {
	if s.group.MinMembers < 2 {
		return true
	}
	n := 0
	for _, h := range s.hosts {
		if h.w.takes.Load() {
			n++
		}
	}
	return n >= s.group.MinMembers
}

// full returns how many workers may host the service, and whether as many do.
func (s *service) full() (most int, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most = s.group.MaxMembers
	return most, most > 0 && len(s.hosts) >= most
}

func errGroupFull(op string, s *service, most int) *edda.Error {
	return &edda.Error{Op: op, Reason: edda.GroupFull, RetryAfter: time.Second,
		Err: fmt.Errorf("group %s has %d members, which is as many as it may", s.addr, most)}
}

// ensureGroup creates the group that a service consumes, if there is none, and changes
// what the service says otherwise of one that there is, if the worker may; w is nil for
// services of the node's own process.
func (n *Node) ensureGroup(ctx context.Context, w *WorkerSpec, s *edda.ServiceSpec) error {
	g := *s.Group
	g.Namespace = s.Address().Namespace
	if svc := n.known(g.Namespace, s.Name); svc != nil {
		if is, ok := svc.groupSpec(); ok {
			if g = overridden(is, &g); g == is {
				return nil
			}
			if w != nil && w.KeepGroups {
				n.log.Warn("a worker says otherwise what a group is like, and may not change it", "worker", w.ID,
					"group", s.Name, "namespace", g.Namespace)
				return nil
			}
		}
	}
	_, _, err := n.SetGroup(ctx, g)
	return err
}

// consumerHome returns the partition that a consumer's messages are in.
func (n *Node) consumerHome(a edda.Address) *partition {
	stream, _, _ := strings.Cut(a.Name, "/")
	return n.groupHome(a.Namespace, stream)
}

// deliveryRef says which message the attempt is at; nil when it is none of a stream.
func (a *Attempt) deliveryRef() *edda.DeliveryRef {
	d := a.delivery
	if d == nil {
		return nil
	}
	stream, group, _ := strings.Cut(a.svc.addr.Name, "/")
	return &edda.DeliveryRef{Stream: stream, Group: group, Shard: d.Shard, Offset: d.Offset, ID: d.ID}
}

// groupSpec returns the settings of the group, and whether there is one.
func (s *service) groupSpec() (edda.GroupSpec, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.group, s.consumer && s.registered
}

// overridden returns the settings of a group, but for those that by names otherwise.
func overridden(g edda.GroupSpec, by *edda.GroupSpec) edda.GroupSpec {
	g.MinMembers = cmp.Or(by.MinMembers, g.MinMembers)
	g.MaxMembers = cmp.Or(by.MaxMembers, g.MaxMembers)
	g.ProcessingTimeout = cmp.Or(by.ProcessingTimeout, g.ProcessingTimeout)
	g.IdleTimeout = cmp.Or(by.IdleTimeout, g.IdleTimeout)
	g.Retry = cmp.Or(by.Retry, g.Retry)
	return g
}
