package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	groupfold "github.com/edda-io/edda/internal/fold/group"
	"github.com/edda-io/edda/internal/record"
)

var _ edda.GroupBackend = (*Node)(nil)

// groupChange is a record about a group on its way in, and whoever waits for what
// becomes of it.
type groupChange struct {
	op   string
	seen func(p *partition, e *groupfold.Effect) // called in the partition's goroutine, not for a refusal
	err  error
	done chan error // gets one
}

// see notes an effect of the record.
func (c *groupChange) see(p *partition, e *groupfold.Effect) {
	if e.Kind == groupfold.Refused {
		c.err = &edda.Error{Op: c.op, Reason: e.Reason, Err: errors.New(e.Detail)}
		return
	}
	c.seen(p, e)
}

// groupHome returns the partition of a stream's groups.
func (n *Node) groupHome(namespace, stream string) *partition {
	return n.homeOf(edda.StreamHash(namespace, stream))
}

// changeGroup appends a record about a group, and returns once it is durable and applied.
func (n *Node) changeGroup(ctx context.Context, p *partition, op string, rec []byte, seen func(*partition, *groupfold.Effect)) error {
	c := &groupChange{op: op, seen: seen, done: make(chan error, 1)}
	if !p.in.do(func() { p.propose(rec, proposal{group: c}) }) {
		return n.notRunning(op)
	}
	return n.wait(ctx, op, c.done)
}

// SetGroup creates a group, and its stream, or changes one that there is. See
// edda.GroupBackend.
func (n *Node) SetGroup(ctx context.Context, g edda.GroupSpec) (gr *edda.Group, created bool, err error) {
	if err := g.Validate(); err != nil {
		return nil, false, err
	}
	set := record.GroupSet{GroupSpec: g.WithDefaults()}
	err = n.changeGroup(ctx, n.groupHome(g.Namespace, g.Stream), "set group "+g.Service(), set.AppendTo(nil), func(p *partition, e *groupfold.Effect) {
		if e.Kind == groupfold.Set {
			gr, created = p.groupView(e.Group), e.Created
		}
	})
	if err != nil {
		return nil, false, err
	}
	return gr, created, nil
}

// DeleteGroup removes a group. See edda.GroupBackend. Workers that host its service stay
// attached, and are its members again when it is created anew.
func (n *Node) DeleteGroup(ctx context.Context, g edda.GroupRef) error {
	if err := g.Validate(); err != nil {
		return err
	}
	g = g.WithDefaults()
	rec := changed(g)
	return n.changeGroup(ctx, n.groupHome(g.Namespace, g.Stream), "delete group "+g.String(), rec.AppendTo(nil, record.TypeGroupRemoved),
		func(*partition, *groupfold.Effect) {})
}

func changed(g edda.GroupRef) record.GroupChanged {
	return record.GroupChanged{Namespace: g.Namespace, Stream: g.Stream, Group: g.Group}
}

// ResetGroup sets the cursor of a shard, of all when it is empty. See edda.GroupBackend.
func (n *Node) ResetGroup(ctx context.Context, g edda.GroupRef, shard string, to edda.From) (*edda.Group, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	if shard != "" {
		if err := edda.CheckName("shard", shard); err != nil {
			return nil, err
		}
	}
	if _, err := to.Parse(); err != nil {
		return nil, err
	}
	g = g.WithDefaults()
	rec := record.GroupReset{GroupChanged: changed(g), Shard: shard, To: to}
	var view *edda.Group
	err := n.changeGroup(ctx, n.groupHome(g.Namespace, g.Stream), "reset group "+g.String(), rec.AppendTo(nil), func(p *partition, e *groupfold.Effect) {
		if e.Kind == groupfold.Reset {
			view = p.groupView(e.Group)
		}
	})
	if err != nil {
		return nil, err
	}
	return view, nil
}

// Group returns what is known of a group. See edda.GroupBackend.
func (n *Node) Group(ctx context.Context, g edda.GroupRef) (*edda.Group, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	g = g.WithDefaults()
	op := "look up group " + g.String()
	p := n.groupHome(g.Namespace, g.Stream)
	var view *edda.Group
	var failed error
	err := n.inPartition(ctx, p, op, func() {
		if gr := p.groups.Group(g.Namespace, g.Stream, g.Group); gr != nil {
			view = p.groupView(gr)
		} else {
			failed = p.noGroup(op, g)
		}
	})
	return view, cmp.Or(err, failed)
}

// noGroup is why there is no such group.
func (p *partition) noGroup(op string, g edda.GroupRef) error {
	if p.streams.Stream(g.Namespace, g.Stream) == nil {
		return errNoStream(op, g.Namespace, g.Stream)
	}
	return errNoGroup(op, g.Stream+"/"+g.Group)
}

func errNoGroup(op, consumer string) *edda.Error {
	return &edda.Error{Op: op, Reason: edda.NoGroup, Err: fmt.Errorf("there is no group %s", consumer)}
}

// Groups returns all groups of a stream. See edda.GroupBackend.
func (n *Node) Groups(ctx context.Context, namespace, stream string) ([]edda.Group, error) {
	namespace, err := checkStream(namespace, stream)
	if err != nil {
		return nil, err
	}
	op := "list groups of stream " + stream
	p := n.groupHome(namespace, stream)
	var views []edda.Group
	var failed error
	err = n.inPartition(ctx, p, op, func() {
		s, err := p.findStream(op, namespace, stream)
		if failed = err; err != nil {
			return
		}
		pending := p.pending()
		for _, g := range p.groups.Of(s) {
			views = append(views, *viewGroup(g, pending[g.Serial]))
		}
	})
	return views, cmp.Or(err, failed)
}

// pending returns how many messages of each group are with members.
func (p *partition) pending() map[uint64]int {
	n := map[uint64]int{}
	for r := range p.requests.All() {
		if r.Delivery != nil && r.Fence != 0 && !r.Delivery.Retried {
			n[r.Delivery.Group]++
		}
	}
	return n
}

// groupView shows a group as callers see it.
func (p *partition) groupView(g *groupfold.Group) *edda.Group {
	return viewGroup(g, p.pending()[g.Serial])
}

func viewGroup(g *groupfold.Group, pending int) *edda.Group {
	return &edda.Group{
		GroupSpec: g.Spec, CreatedAt: timeOf(g.CreatedAt), Cursor: g.Cursor(), Lag: g.Lag(), Pending: pending,
		Members: consumerOf(g).membership(),
	}
}

// consumerOf returns the service of a group.
func consumerOf(g *groupfold.Group) *service { return g.Aux.(*service) }

// membership returns the members of the group whose consumer it is, by name.
func (s *service) membership() []edda.Member {
	s.readers.mu.Lock()
	defer s.readers.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]edda.Member, 0, len(s.hosts))
	for _, h := range s.hosts {
		info := edda.Member{Name: h.w.spec.ID, Leases: h.slot.Load().Busy, LastSeen: h.w.seen()}
		if m, ok := h.w.runner.(*member); ok {
			info.Name, info.Leases = m.name, m.holds+len(m.arrived)
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b edda.Member) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// consumer returns the service of a group that there is.
func (n *Node) consumer(ctx context.Context, op string, g edda.GroupRef) (*service, error) {
	if n.draining.Load() {
		return nil, n.notRunning(op)
	}
	if svc := n.known(g.Namespace, g.Stream+"/"+g.Group); svc != nil && svc.view().registered {
		return svc, nil
	}
	p := n.groupHome(g.Namespace, g.Stream)
	var failed error
	err := n.inPartition(ctx, p, op, func() { failed = p.noGroup(op, g) })
	return nil, cmp.Or(err, failed)
}
