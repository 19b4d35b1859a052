package group

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// The rows of this package. Streams and groups are their serial numbers there.
const (
	rowGroup  = 'y' // stream, name: a group
	rowCursor = 'Y' // stream, group, shard's index (4 bytes): the next offset to take in
)

// The fields of a group's row.
const (
	ySerial = iota + 1
	ySpec
	yCreatedAt
	yResets
	yBase
	yTurn
	yFilling
)

func groupRow(stream uint64, name string) []byte {
	return append(fold.RowNumber(rowGroup, stream), name...)
}

func cursorRows(stream, group uint64) []byte {
	return binary.BigEndian.AppendUint64(fold.RowNumber(rowCursor, stream), group)
}

func (c *cursor) row() []byte {
	return binary.BigEndian.AppendUint32(cursorRows(c.group.Stream.Serial, c.group.Serial), c.index)
}

func (g *Group) row() []byte {
	set := record.GroupSet{GroupSpec: g.Spec}
	b := wire.AppendUint(make([]byte, 0, 256), ySerial, g.Serial)
	b = wire.AppendBytes(b, ySpec, set.AppendFields(nil))
	b = wire.AppendFixed(b, yCreatedAt, uint64(g.CreatedAt))
	b = wire.AppendUint(b, yResets, g.resets)
	b = wire.AppendUint(b, yBase, g.base)
	b = wire.AppendUint(b, yTurn, uint64(g.turn))
	if g.filling {
		b = wire.AppendUint(b, yFilling, 1)
	}
	return append(b, g.unknown...)
}

// Checkpoint adds what changed to b.
func (m *Machine) Checkpoint(b *store.Batch) error {
	for _, g := range m.removed {
		b.Delete(groupRow(g.Stream.Serial, g.Spec.Name))
		from := cursorRows(g.Stream.Serial, g.Serial)
		b.DeleteRange(from, cursorRows(g.Stream.Serial, g.Serial+1))
	}
	for _, g := range m.dirty {
		if !g.removed {
			b.Set(groupRow(g.Stream.Serial, g.Spec.Name), g.row())
		}
	}
	for _, c := range m.moved {
		if !c.group.removed {
			b.Set(c.row(), binary.BigEndian.AppendUint64(nil, c.next))
		}
	}
	return nil
}

// Committed notes what the table now has.
func (m *Machine) Committed() {
	for _, g := range m.dirty {
		g.dirty, g.stored = false, true
	}
	for _, c := range m.moved {
		c.dirty = false
	}
	m.dirty, m.moved, m.removed = nil, nil, nil
}

// Load reads the groups, how far they have come, and what they have open.
func (m *Machine) Load() error {
	for p, err := range m.env.Table.Scan([]byte{rowGroup}, fold.RowEnd(rowGroup)) {
		if err != nil {
			return err
		}
		if err := m.loadGroup(p.Key, slices.Clone(p.Value)); err != nil {
			return err
		}
	}
	for _, g := range m.groups {
		if err := m.loadCursors(g); err != nil {
			return err
		}
	}
	return m.loadOpen()
}

func (m *Machine) loadGroup(key, row []byte) error {
	if len(key) < 10 {
		return fmt.Errorf("group row of %d bytes, want 10 or more", len(key))
	}
	s := m.streams.BySerial(binary.BigEndian.Uint64(key[1:]))
	if s == nil {
		return fmt.Errorf("group row %x belongs to no stream", key)
	}
	var set record.GroupSet
	var serial uint64
	read := Group{}
	r := wire.NewReader(row)
	for f := (wire.Field{}); r.Next(&f); {
		switch f.Num {
		case ySerial:
			serial = f.Uint
		case ySpec:
			if err := set.Decode(f.Bytes); err != nil {
				return fmt.Errorf("group row: %w", err)
			}
		case yCreatedAt:
			read.CreatedAt = int64(f.Uint)
		case yResets:
			read.resets = f.Uint
		case yBase:
			read.base = f.Uint
		case yTurn:
			read.turn = uint32(f.Uint)
		case yFilling:
			read.filling = f.Uint != 0
		default:
			read.unknown = append(read.unknown, f.Raw...)
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("group row: %w", err)
	}
	if serial == 0 || set.Name != string(key[9:]) || m.groups[serial] != nil {
		return fmt.Errorf("group row %x is of the group %q with the number %d", key, set.Name, serial)
	}
	g := m.newGroup(serial, set.GroupSpec, s)
	g.CreatedAt, g.resets, g.base, g.turn, g.filling, g.unknown = read.CreatedAt, read.resets, read.base, read.turn, read.filling, read.unknown
	g.stored = true
	m.add(g)
	return nil
}

// loadCursors reads how far a group has come in the shards of its stream.
func (m *Machine) loadCursors(g *Group) error {
	shards := g.Stream.Shards()
	g.cursors = make([]*cursor, len(shards))
	for i, sh := range shards {
		g.cursors[i] = &cursor{group: g, shard: sh, index: sh.Index, next: g.base}
	}
	for p, err := range m.env.Table.Scan(cursorRows(g.Stream.Serial, g.Serial), cursorRows(g.Stream.Serial, g.Serial+1)) {
		if err != nil {
			return err
		}
		if len(p.Key) != 21 || len(p.Value) != 8 {
			return fmt.Errorf("cursor row of %d and %d bytes, want 21 and 8", len(p.Key), len(p.Value))
		}
		index := binary.BigEndian.Uint32(p.Key[17:])
		if int64(index) >= int64(len(shards)) {
			return fmt.Errorf("cursor row of shard %d, stream %q has %d", index, g.Spec.Stream, len(shards))
		}
		g.cursors[index].next = binary.BigEndian.Uint64(p.Value)
	}
	for _, c := range g.cursors {
		m.enlist(c)
	}
	return nil
}

// loadOpen finds out which messages are open: those that are requests.
func (m *Machine) loadOpen() error {
	for r := range m.requests.All() {
		d := r.Delivery
		if d == nil || d.Retried {
			continue
		}
		g := m.groups[d.Group]
		if g == nil {
			return fmt.Errorf("request %d is a message of the group with the number %d, which there is not", r.Seq, d.Group)
		}
		sh := g.Stream.Shard(d.Shard)
		if sh == nil {
			return fmt.Errorf("request %d is a message of the shard %q, which stream %q does not have", r.Seq, d.Shard, g.Spec.Stream)
		}
		g.hold(r.ID, held{g.cursors[sh.Index], d.Offset, r.Size()})
	}
	return nil
}
