package group

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
)

// Requests makes and cancels the requests that messages become. The request machine is
// one.
type Requests interface {
	// AdmitDelivery makes a request in the record being applied. It is false, and nothing
	// happens, when the record has room for no more.
	AdmitDelivery(a *record.Accepted, msg *edda.Message, start bool) (room bool, err error)
	// CancelDelivery ends a request if it has not ended, without telling DeliveryEnded.
	CancelDelivery(id edda.ID) error
	// DropKeys forgets the state of all keys of a service.
	DropKeys(namespace, name string)
	// All yields the requests that have not ended.
	All() iter.Seq[*request.Request]
}

// Streams is what groups read. The machine of the streams is one.
type Streams interface {
	Ensure(namespace, name string) *stream.Stream
	Stream(namespace, name string) *stream.Stream
	BySerial(serial uint64) *stream.Stream
	All() iter.Seq[*stream.Stream]
	View(s *stream.Stream, sh *stream.Shard) stream.View
	OffsetAt(s *stream.Stream, sh *stream.Shard, time int64) (uint64, error)
	// Send appends to a stream wherever it lives.
	Send(a *record.StreamAppended) error
}

// Machine is the state of the groups of one partition. It loads after the machines of
// requests and streams.
type Machine struct {
	env      *fold.Env
	streams  Streams
	requests Requests
	window   window // of each group; tests have smaller ones

	feeds  map[uint64]*feed  // by the stream's serial number
	groups map[uint64]*Group // by theirs

	dirty   []*Group  // changed since the last checkpoint
	moved   []*cursor // since then
	removed []*Group  // since then, of which the table has rows

	advancing *Group // what a group-advanced record is for
	slots     slots
	grown     int // see Grown
	effects   []Effect
	taken     int // as many effects were handed out last

	takers   []*cursor // room for Appended
	accepted record.Accepted
}

// New returns a machine without groups.
func New(env *fold.Env, streams Streams, requests Requests) *Machine {
	return &Machine{
		env: env, streams: streams, requests: requests, window: usualWindow,
		feeds: map[uint64]*feed{}, groups: map[uint64]*Group{},
	}
}

// Types are the record types the machine owns.
func (m *Machine) Types() []record.Type {
	return []record.Type{record.TypeGroupSet, record.TypeGroupRemoved, record.TypeGroupReset, record.TypeGroupAdvanced}
}

// Effects returns what the records since the last call brought about. The slice is
// valid until the next record is applied.
func (m *Machine) Effects() []Effect {
	e := m.effects
	if len(e) < m.taken {
		clear(e[len(e):m.taken]) // so that they hold on to nothing
	}
	m.taken = len(e)
	m.effects = e[:0]
	return e
}

// Grown returns about how many bytes of messages have come into memory since the last
// call that did not just come with a record. A checkpoint lets go of them.
func (m *Machine) Grown() int {
	n := m.grown
	m.grown = 0
	return n
}

// Group returns a group, nil when there is none.
func (m *Machine) Group(namespace, stream, name string) *Group {
	s := m.streams.Stream(namespace, stream)
	if s == nil {
		return nil
	}
	f := m.feeds[s.Serial]
	if f == nil {
		return nil
	}
	at, found := f.find(name)
	if !found {
		return nil
	}
	return f.groups[at]
}

// BySerial returns the group with the number, nil when there is none.
func (m *Machine) BySerial(serial uint64) *Group { return m.groups[serial] }

// Of returns the groups of a stream by name. The slice is the machine's, and valid until
// the next record is applied.
func (m *Machine) Of(s *stream.Stream) []*Group {
	if f := m.feeds[s.Serial]; f != nil {
		return f.groups
	}
	return nil
}

// All yields all groups by namespace, stream and name. No record may be applied
// meanwhile.
func (m *Machine) All() iter.Seq[*Group] {
	return func(yield func(*Group) bool) {
		for s := range m.streams.All() {
			for _, g := range m.Of(s) {
				if !yield(g) {
					return
				}
			}
		}
	}
}

// Apply changes the state by one record.
func (m *Machine) Apply(r record.Record) error {
	switch r.Type {
	case record.TypeGroupSet:
		return m.applySet(r.Body)
	case record.TypeGroupRemoved:
		return m.applyRemoved(r.Body)
	case record.TypeGroupReset:
		return m.applyReset(r.Body)
	case record.TypeGroupAdvanced:
		return m.applyAdvanced(r.Body)
	default:
		return fmt.Errorf("%s record is not the group machine's", r.Type)
	}
}

func (m *Machine) effect(k EffectKind, g *Group) {
	m.effects = append(m.effects, Effect{Kind: k, Group: g})
}

func (m *Machine) refuse(r *refusal) {
	m.effects = append(m.effects, Effect{Kind: Refused, Reason: r.reason, Detail: r.detail})
}

// find returns the group that a record names. Without one the record is refused.
func (m *Machine) find(c *record.GroupChanged) *Group {
	g := m.Group(c.Namespace, c.Stream, c.Group)
	switch {
	case g != nil:
	case m.streams.Stream(c.Namespace, c.Stream) == nil:
		m.refuse(&refusal{edda.NoStream, fmt.Sprintf("there is no stream %q in the namespace %q", c.Stream, c.Namespace)})
	default:
		m.refuse(&refusal{edda.NoGroup, fmt.Sprintf("stream %q has no group %q", c.Stream, c.Group)})
	}
	return g
}

// touch has the group's row written with the next checkpoint.
func (m *Machine) touch(g *Group) {
	if !g.dirty {
		g.dirty = true
		m.dirty = append(m.dirty, g)
	}
}

// move sets the offset that is taken in next.
func (m *Machine) move(c *cursor, next uint64) {
	c.next = next
	if !c.dirty {
		c.dirty = true
		m.moved = append(m.moved, c)
	}
}

// begin makes the cursor of a group in a shard.
func (m *Machine) begin(g *Group, sh *stream.Shard, next uint64) *cursor {
	c := &cursor{group: g, shard: sh, index: sh.Index}
	g.cursors = append(g.cursors, c)
	m.move(c, next)
	return c
}

// enlist puts a cursor where it belongs: it is behind, or caught up.
func (m *Machine) enlist(c *cursor) {
	if c.next < c.shard.End {
		c.behind = true
		c.group.behind.ReplaceOrInsert(c)
		return
	}
	f := m.feeds[c.group.Stream.Serial]
	at, _ := f.findCaught(c)
	f.caught[c.index] = slices.Insert(f.caught[c.index], at, c)
}

// delist takes a cursor out of where it is.
func (m *Machine) delist(c *cursor) {
	if c.behind {
		c.behind = false
		c.group.behind.Delete(c)
		return
	}
	f := m.feeds[c.group.Stream.Serial]
	if at, found := f.findCaught(c); found {
		f.caught[c.index] = slices.Delete(f.caught[c.index], at, at+1)
	}
}

func search[T any](sorted []T, name string, nameOf func(T) string) (at int, found bool) {
	return slices.BinarySearchFunc(sorted, name, func(t T, name string) int { return cmp.Compare(nameOf(t), name) })
}

var (
	_ fold.Machine       = (*Machine)(nil)
	_ stream.Feeds       = (*Machine)(nil)
	_ request.Deliveries = (*Machine)(nil)
	_ Streams            = (*stream.Machine)(nil)
	_ Requests           = (*request.Machine)(nil)
)
