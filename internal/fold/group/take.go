package group

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
)

// slots are those that the record being applied has reserved: for the messages of one
// append, which begin with the offset first.
type slots struct {
	first  uint64
	starts []record.GroupStart
	some   map[record.GroupStart]bool // starts, when there are many
}

// fewStarts are looked through one by one.
const fewStarts = 16

func (s *slots) set(first uint64, starts []record.GroupStart) {
	s.first, s.starts, s.some = first, starts, nil
	if len(starts) > fewStarts {
		s.some = make(map[record.GroupStart]bool, len(starts))
		for _, st := range starts {
			s.some[st] = true
		}
	}
}

// reserved reports whether a slot is reserved for a message in a group.
func (s *slots) reserved(g *Group, offset uint64) bool {
	if len(s.starts) == 0 {
		return false
	}
	start := record.GroupStart{Group: g.Serial, Index: uint32(offset - s.first)}
	if s.some != nil {
		return s.some[start]
	}
	return slices.Contains(s.starts, start)
}

// Appended takes new messages of a shard into the groups that are caught up. Those for
// which window or record have no room are behind from then on.
func (m *Machine) Appended(s *stream.Stream, sh *stream.Shard, first uint64, n int, starts []record.GroupStart) error {
	f := m.feeds[s.Serial]
	if f == nil {
		return nil
	}
	if len(f.groups[0].cursors) <= int(sh.Index) {
		m.beginAll(f, sh)
	}
	f.reach(sh.Index)
	takers := m.takers[:0]
	for _, c := range f.caught[sh.Index] {
		if c.next < first+uint64(n) {
			takers = append(takers, c)
		}
	}
	takers = slices.DeleteFunc(takers, func(c *cursor) bool {
		waits := c.group.behind.Len() > 0 // what came before in other shards has its turn first
		if waits {
			m.fallBehind(c)
		}
		return waits
	})
	m.takers = takers
	m.slots.set(first, starts)
	err := m.takeNew(s, sh, first, takers)
	m.slots.set(0, nil)
	clear(m.takers)
	return err
}

// beginAll makes the cursors of all groups in a shard that has just come to be.
func (m *Machine) beginAll(f *feed, sh *stream.Shard) {
	f.reach(sh.Index)
	for _, g := range f.groups {
		c := m.begin(g, sh, g.base)
		f.caught[sh.Index] = append(f.caught[sh.Index], c) // they come by name
	}
}

// readEntries and readBytes are what is read of a shard at a time.
const (
	readEntries = 256
	readBytes   = 1 << 20
)

// takeNew has cursors that are caught up take in what is new.
func (m *Machine) takeNew(s *stream.Stream, sh *stream.Shard, first uint64, takers []*cursor) error {
	if len(takers) == 0 {
		return nil
	}
	v := m.streams.View(s, sh)
	for offset := max(first, v.First); offset < v.End && len(takers) > 0; offset++ {
		e, ok := v.Recent(offset)
		if !ok {
			return fmt.Errorf("new message %d of shard %s of stream %s is not in memory", offset, sh.Name, s.Spec.Name)
		}
		var err error
		if takers, err = m.offer(&e, takers); err != nil {
			return err
		}
	}
	return nil
}

// offer has cursors take in a new message. It returns those that are caught up still.
func (m *Machine) offer(e *stream.Entry, takers []*cursor) ([]*cursor, error) {
	msg := new(edda.Message)
	if err := msg.UnmarshalBinary(e.Message); err != nil {
		return takers, err
	}
	for i := 0; i < len(takers); {
		c := takers[i]
		if e.Offset < c.next {
			i++
			continue
		}
		own := msg
		if i < len(takers)-1 {
			own = new(*msg)
		}
		took, err := m.take(c, e, own, m.slots.reserved(c.group, e.Offset))
		switch {
		case err != nil:
			return takers, err
		case took == taken:
			i++
			continue
		case took == noRoom:
			m.leaveOver(c.group)
		}
		m.fallBehind(c)
		takers = slices.Delete(takers, i, i+1)
	}
	return takers, nil
}

// fallBehind says that a cursor which was caught up is not any more.
func (m *Machine) fallBehind(c *cursor) {
	f := m.feeds[c.group.Stream.Serial]
	if at, found := f.findCaught(c); found {
		f.caught[c.index] = slices.Delete(f.caught[c.index], at, at+1)
	}
	c.behind = true
	c.group.behind.ReplaceOrInsert(c)
}

// taking says what became of a message that was to be taken in.
type taking uint8

const (
	taken  taking = iota
	noRoom        // in the record
	full          // is the window
)

// take makes a request of a message, which is the group's to change.
func (m *Machine) take(c *cursor, e *stream.Entry, msg *edda.Message, start bool) (taking, error) {
	g := c.group
	id := msg.IdempotencyKey
	if id == "" {
		id = msg.ID.String()
	}
	msg.CorrelationID = cmp.Or(msg.CorrelationID, id)
	msg.To = edda.Address{Namespace: g.Spec.Namespace, Name: g.service, Key: msg.To.Key}
	msg.ID = g.requestID(c, e.Offset)
	if msg.Time.IsZero() {
		msg.Time = time.Unix(0, e.Time).UTC()
	}
	size := msg.BinarySize()
	if !g.fits(size) {
		return full, nil
	}
	m.accepted = record.Accepted{
		Hash: g.hash, Kind: edda.Balanced,
		Delivery: &record.Delivery{Stream: g.Stream.Serial, Group: g.Serial, Shard: c.shard.Name, Offset: e.Offset, ID: id},
	}
	if msg.To.Key != "" {
		m.accepted.Kind = edda.Ordered
	}
	room, err := m.requests.AdmitDelivery(&m.accepted, msg, start)
	m.accepted = record.Accepted{}
	if err != nil || !room {
		return noRoom, err
	}
	g.hold(msg.ID, held{c, e.Offset, size})
	m.move(c, e.Offset+1)
	return taken, nil
}

// goOn takes in more of what a group is behind, if it is time.
func (m *Machine) goOn(g *Group) error {
	if g.behind.Len() > 0 && (g.filling || g.halfFree()) {
		return m.fill(g)
	}
	return nil
}

// fill takes in what a group is behind until its window is full. Its shards take turns.
func (m *Machine) fill(g *Group) error {
	for g.behind.Len() > 0 && g.fits(1) {
		took, err := m.takeTurn(g.nextTurn())
		if err != nil {
			return err
		}
		if took == noRoom {
			m.leaveOver(g)
			return nil
		}
		if took == full {
			break
		}
	}
	if g.filling {
		g.filling = false
		m.touch(g)
	}
	return nil
}

// nextTurn returns the cursor whose turn it is.
func (g *Group) nextTurn() (c *cursor) {
	g.behind.AscendGreaterOrEqual(&cursor{index: g.turn}, func(at *cursor) bool {
		c = at
		return false
	})
	if c == nil {
		c, _ = g.behind.Min()
	}
	return c
}

// takeTurn takes in messages of one shard: its part of the window.
func (m *Machine) takeTurn(c *cursor) (taking, error) {
	g := c.group
	v := m.streams.View(g.Stream, c.shard)
	for turn := max(g.window.turn, (g.window.open-len(g.open))/g.behind.Len()); turn > 0 && c.next < v.End; {
		entries, next, err := v.Read(m.env.Table, c.next, min(turn, readEntries), min(g.window.bytes-g.bytes, readBytes))
		if err != nil {
			return noRoom, err
		}
		for i := range entries {
			if took, err := m.takeOld(c, &entries[i]); err != nil || took != taken {
				return took, err
			}
			turn--
		}
		m.move(c, next) // nothing more is kept before it
	}
	if c.next >= v.End {
		m.delist(c)
		m.enlist(c)
	}
	return taken, nil
}

// takeOld takes in a message that the group is behind with.
func (m *Machine) takeOld(c *cursor, e *stream.Entry) (taking, error) {
	msg := new(edda.Message)
	if err := msg.UnmarshalBinary(e.Message); err != nil {
		return noRoom, err
	}
	took, err := m.take(c, e, msg, false)
	if err == nil && took == taken {
		m.grown += len(e.Message)
		m.touch(c.group)
		c.group.turn = c.index + 1
	}
	return took, err
}

// leaveOver keeps what a group is to take in for another record.
func (m *Machine) leaveOver(g *Group) {
	if !g.filling || m.advancing == g {
		m.effect(Advance, g)
	}
	m.advancing = nil
	if !g.filling {
		g.filling = true
		m.touch(g)
	}
}

func (m *Machine) applyAdvanced(body []byte) error {
	var c record.GroupChanged
	if err := c.Decode(body); err != nil {
		return err
	}
	g := m.find(&c)
	if g == nil || !g.filling {
		return nil
	}
	m.advancing = g
	err := m.fill(g)
	m.advancing = nil
	return err
}
