package node

import (
	"time"

	"github.com/edda-io/edda"
	groupfold "github.com/edda-io/edda/internal/fold/group"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
)

// groupsSet shows the groups that a durable record has set, before the requests that it
// has made of their messages look for somebody to handle them.
func (p *partition) groupsSet(effects []groupfold.Effect) {
	for i := range effects {
		if e := &effects[i]; e.Kind == groupfold.Set {
			p.n.groupSet(e.Group)
		}
	}
}

// groupsApplied does the rest of what a durable record has brought about in groups.
func (p *partition) groupsApplied(effects []groupfold.Effect, c *groupChange) {
	for i := range effects {
		e := &effects[i]
		switch e.Kind {
		case groupfold.Removed:
			p.groupRemoved(e.Group)
		case groupfold.Advance:
			p.advanceGroup(e.Group)
		case groupfold.Set, groupfold.Reset, groupfold.Refused:
			// members have lost what was cancelled; whoever proposed the record is told below
		}
		if c != nil {
			c.see(p, e)
		}
	}
	if c != nil {
		c.done <- c.err
	}
}

// advanceGroup takes in more of what a group is behind than one record had room for.
func (p *partition) advanceGroup(g *groupfold.Group) {
	rec := changed(edda.GroupRef{Namespace: g.Spec.Namespace, Stream: g.Spec.Stream, Group: g.Spec.Name})
	p.propose(rec.AppendTo(nil, record.TypeGroupAdvanced), proposal{})
}

// followGroups shows all groups. The partitions do not run yet.
func (n *Node) followGroups() {
	var all []edda.Address
	for _, p := range n.parts {
		for g := range p.groups.All() {
			all = append(all, serviceAddress(g.Spec.Namespace, g.Spec.Service()))
		}
	}
	n.registry.add(all)
	for _, p := range n.parts {
		for g := range p.groups.All() {
			n.groupSet(g)
		}
	}
}

// groupSet shows a group as the log has it.
func (n *Node) groupSet(g *groupfold.Group) {
	svc := n.service(g.Spec.Namespace, g.Spec.Service())
	g.Aux = svc
	if is, ok := svc.groupSpec(); ok && is == g.Spec {
		return
	}
	n.follow(svc, &g.Spec)
	svc.readers.live(g.Spec.IdleTimeout)
	if g.Spec.Name == queueGroup {
		n.hostQueue(svc)
	}
}

// follow has a consumer be what the log says of its group, nil when that is gone.
func (n *Node) follow(svc *service, g *edda.GroupSpec) {
	n.workers.mu.Lock()
	defer n.workers.mu.Unlock()
	svc.follow(g)
	n.regroup(svc)
}

// dropConsumer forgets a consumer whose group is gone, unless somebody hosts it.
func (n *Node) dropConsumer(svc *service) {
	n.workers.mu.Lock()
	defer n.workers.mu.Unlock()
	if !svc.attached() && !svc.view().registered {
		n.registry.drop(svc)
	}
}

// groupRemoved lets the members of a group go. Letters of it that were retried die again.
func (p *partition) groupRemoved(g *groupfold.Group) {
	svc := consumerOf(g)
	p.n.follow(svc, nil) // first: whoever joins from now on sees that
	for _, m := range svc.readers.all() {
		m.end(errNoGroup("read group "+svc.addr.Name, svc.addr.Name))
		m.w.Detach()
	}
	svc.unhostQueue()
	for r := range p.requests.All() {
		if l := liveOf(r); l != nil && l.svc == svc && !l.closing {
			p.proposeEnded(r, failNoGroup, nil)
		}
	}
	p.n.dropConsumer(svc)
}

// failNoGroup is why a retried letter of a group that is gone dies again.
var failNoGroup = record.Failure{Reason: edda.NoGroup, Message: "the group was deleted"}

// buryOrphan makes a dead letter again of one that was retried though its group is gone.
func (p *partition) buryOrphan(r *request.Request) {
	if p.groups.BySerial(r.Delivery.Group) == nil && !r.State.Ended() {
		p.proposeEnded(r, failNoGroup, nil)
	}
}

// live has the members that read live so long without a word from now on.
func (r *readers) live(idle time.Duration) {
	for _, m := range r.all() {
		m.w.lasts.Store(int64(idle))
		m.w.checkLife()
	}
}

// all returns the members that read.
func (r *readers) all() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*member, 0, len(r.members))
	for _, m := range r.members {
		all = append(all, m)
	}
	return all
}
