package group

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
)

// serialBits are what a record's position is shifted by in the serial number of what it
// makes.
const serialBits = 10

// applySet creates a group, and its stream, or changes one.
func (m *Machine) applySet(body []byte) error {
	var set record.GroupSet
	if err := set.Decode(body); err != nil {
		return err
	}
	spec := set.WithDefaults()
	if g := m.Group(spec.Namespace, spec.Stream, spec.Name); g != nil {
		spec.From = g.Spec.From
		g.Spec = spec
		m.touch(g)
		m.effect(Set, g)
		return nil
	}
	place, err := spec.From.Parse()
	if err != nil {
		m.refuse(&refusal{edda.BadValue, err.Error()})
		return nil
	}
	s := m.streams.Ensure(spec.Namespace, spec.Stream)
	if len(m.Of(s)) >= edda.MaxGroups {
		m.refuse(&refusal{edda.Conflict, fmt.Sprintf("stream %q has %d groups, which is the most", spec.Stream, edda.MaxGroups)})
		return nil
	}
	g := m.newGroup(m.env.Position<<serialBits, spec, s)
	g.CreatedAt = m.env.Time
	m.add(g)
	m.touch(g)
	m.effects = append(m.effects, Effect{Kind: Set, Group: g, Created: true})
	for _, sh := range s.Shards() {
		m.begin(g, sh, 0)
	}
	g.base = place.Offset // a new group may be meant for shards that are still to come
	return m.place(g, nil, place)
}

// add puts a group among those of its stream.
func (m *Machine) add(g *Group) {
	m.groups[g.Serial] = g
	f := m.feeds[g.Stream.Serial]
	if f == nil {
		f = &feed{}
		m.feeds[g.Stream.Serial] = f
	}
	at, _ := f.find(g.Spec.Name)
	f.groups = slices.Insert(f.groups, at, g)
}

// place sets where a group goes on, in one shard or in all, and has it begin. None of
// the cursors is anywhere.
func (m *Machine) place(g *Group, only *stream.Shard, p edda.Place) error {
	for _, c := range g.cursors {
		if only != nil && c.shard != only {
			continue
		}
		next, err := m.offset(c, p)
		if err != nil {
			return err
		}
		m.move(c, next)
		m.enlist(c)
	}
	if g.behind.Len() == 0 {
		return nil
	}
	return m.fill(g)
}

// offset returns the offset that a place is in a shard.
func (m *Machine) offset(c *cursor, p edda.Place) (uint64, error) {
	switch p.Kind {
	case edda.AtStart:
		return c.shard.First, nil
	case edda.AtEnd:
		return c.shard.End, nil
	case edda.AtTime:
		return m.streams.OffsetAt(c.group.Stream, c.shard, p.Time.UnixNano())
	default:
		return max(p.Offset, c.shard.First), nil
	}
}

// applyReset sets a group's cursor. What it has open is cancelled, and the same message
// is another request when it is taken in again. Dead letters, and those that were
// retried, are left alone.
func (m *Machine) applyReset(body []byte) error {
	var r record.GroupReset
	if err := r.Decode(body); err != nil {
		return err
	}
	g := m.find(&r.GroupChanged)
	if g == nil {
		return nil
	}
	place, err := r.To.Parse()
	if err != nil {
		m.refuse(&refusal{edda.BadValue, err.Error()})
		return nil
	}
	var only *stream.Shard
	if r.Shard != "" {
		if only = g.Stream.Shard(r.Shard); only == nil {
			m.refuse(&refusal{edda.NoShard, fmt.Sprintf("stream %q has had no message in a shard %q", g.Spec.Stream, r.Shard)})
			return nil
		}
	}
	if err := m.cancel(g, only); err != nil {
		return err
	}
	for _, c := range g.cursors {
		if only == nil || c.shard == only {
			m.delist(c)
		}
	}
	g.resets++
	g.filling = g.filling && g.behind.Len() > 0
	if only == nil {
		g.base = 0 // a shard that comes to be later has messages that nobody has meant to pass over
	}
	m.touch(g)
	m.effect(Reset, g)
	return m.place(g, only, place)
}

// cancel ends what a group has open, in one shard or in all. It begins with the last
// message, so that none of a key comes to be ready meanwhile.
func (m *Machine) cancel(g *Group, only *stream.Shard) error {
	ids := make([]edda.ID, 0, len(g.open))
	for id, h := range g.open {
		if only == nil || h.cursor.shard == only {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b edda.ID) int {
		x, y := g.open[a], g.open[b]
		return cmp.Or(cmp.Compare(y.cursor.index, x.cursor.index), cmp.Compare(y.offset, x.offset))
	})
	for _, id := range ids {
		g.release(id, g.open[id])
		if err := m.requests.CancelDelivery(id); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) applyRemoved(body []byte) error {
	var c record.GroupChanged
	if err := c.Decode(body); err != nil {
		return err
	}
	g := m.find(&c)
	if g == nil {
		return nil
	}
	for _, c := range g.cursors {
		m.delist(c)
	}
	f := m.feeds[g.Stream.Serial]
	at, _ := f.find(g.Spec.Name)
	f.groups = slices.Delete(f.groups, at, at+1)
	if len(f.groups) == 0 {
		delete(m.feeds, g.Stream.Serial)
	}
	return m.remove(g)
}

// Removed removes the groups of a stream that is about to go.
func (m *Machine) Removed(s *stream.Stream) error {
	f := m.feeds[s.Serial]
	if f == nil {
		return nil
	}
	delete(m.feeds, s.Serial)
	for _, g := range f.groups {
		if err := m.remove(g); err != nil {
			return err
		}
	}
	return nil
}

// remove lets go of a group that its stream does not have any more, and of the state of
// its keys. Its dead letters stay.
func (m *Machine) remove(g *Group) error {
	if err := m.cancel(g, nil); err != nil {
		return err
	}
	m.requests.DropKeys(g.Spec.Namespace, g.service)
	delete(m.groups, g.Serial)
	g.removed = true
	if g.stored {
		m.removed = append(m.removed, g)
	}
	m.effect(Removed, g)
	return nil
}
