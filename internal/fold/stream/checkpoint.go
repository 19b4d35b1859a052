package stream

import (
	"encoding/binary"
	"fmt"

	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/store"
)

// manyRows are deleted as a range.
const manyRows = 16

// Checkpoint adds what changed to b. What is gone goes first: another stream may have
// its name by now, and an id may have been given again.
func (m *Machine) Checkpoint(b *store.Batch) error {
	if err := m.expireIDs(b); err != nil {
		return err
	}
	for _, s := range m.removed {
		s.deleteRows(b)
	}
	m.removals.checkpoint(b)
	m.writeIDs(b) // which may touch streams
	m.writeNumbers(b)
	for _, s := range m.dirty {
		if !s.removed {
			b.Set(streamRow(s.Ref()), s.row())
		}
	}
	for _, sh := range m.shards {
		if !sh.stream.removed {
			sh.write(b, m.rowBytes, &m.parts)
		}
	}
	return nil
}

// deleteRows deletes all rows of a stream, but for those in which ids are forgotten.
func (s *Stream) deleteRows(b *store.Batch) {
	b.Delete(streamRow(s.Ref()))
	b.DeleteRange(shardRow(s.Serial, 0), shardRow(s.Serial+1, 0))
	b.DeleteRange(messageRow(s.Serial, 0, 0), messageRow(s.Serial+1, 0, 0))
	if s.ids {
		b.DeleteRange(idRow(s.Serial, nil), idRow(s.Serial+1, nil))
	}
	if s.producers > 0 {
		b.DeleteRange(numberRow(s.Serial, 0, ""), numberRow(s.Serial+1, 0, ""))
	}
}

// write writes what changed of the shard. The messages themselves are lent to b. Of the
// rows, those whose last message is gone go. A row has at most so many bytes of messages,
// or one message.
func (sh *Shard) write(b *store.Batch, most int, parts *[][]byte) {
	s := sh.stream
	from, to := sh.storedFirst, min(sh.First, sh.storedEnd)
	if from+manyRows < to {
		b.DeleteRange(messageRow(s.Serial, sh.Index, from), messageRow(s.Serial, sh.Index, to))
	} else {
		for ; from < to; from++ {
			b.Delete(messageRow(s.Serial, sh.Index, from))
		}
	}
	sh.appendRows(b, most, parts)
	b.Set(shardRow(s.Serial, sh.Index), sh.row())
}

// Committed lets go of what the table now has.
func (m *Machine) Committed() {
	for _, s := range m.dirty {
		s.dirty, s.stored = false, true
	}
	for _, sh := range m.shards {
		sh.usual = min(len(sh.recent), maxUsual)
		sh.recent, sh.recentBytes, sh.dirty = nil, 0, false
		sh.storedFirst, sh.storedEnd = sh.First, sh.End
		sh.stream.storedAt = sh.stream.lastAt
	}
	for _, sh := range m.heads {
		sh.head = nil
	}
	m.dirty, m.shards, m.removed, m.heads, m.bytes = nil, nil, nil, nil, 0
	m.removals.dirty = false
	if len(m.ids) > 0 {
		m.ids = map[idKey]remembered{}
	}
	if len(m.numbers) > 0 {
		m.numbers = map[numberKey]Last{}
	}
}

// Load reads the streams and their shards from the table.
func (m *Machine) Load() error {
	if err := m.removals.load(m.env.Table); err != nil {
		return err
	}
	for p, err := range m.env.Table.Scan([]byte{rowStream}, fold.RowEnd(rowStream)) {
		if err != nil {
			return err
		}
		s, err := readStream(p.Key[1:], p.Value)
		if err != nil {
			return err
		}
		if m.bySerial[s.Serial] != nil {
			return fmt.Errorf("streams %q and %q have the same serial number %d", m.bySerial[s.Serial].Spec.Name, s.Spec.Name, s.Serial)
		}
		m.index(s)
	}
	for p, err := range m.env.Table.Scan([]byte{rowShard}, fold.RowEnd(rowShard)) {
		if err != nil {
			return err
		}
		if err := m.loadShard(p); err != nil {
			return err
		}
	}
	for _, s := range m.bySerial {
		s.arrange()
		s.storedAt = s.lastAt
	}
	return nil
}

func (m *Machine) loadShard(p store.Pair) error {
	if len(p.Key) != 13 {
		return fmt.Errorf("row of a shard has a key of %d bytes, want 13", len(p.Key))
	}
	serial, index := binary.BigEndian.Uint64(p.Key[1:]), binary.BigEndian.Uint32(p.Key[9:])
	s := m.bySerial[serial]
	if s == nil || uint64(index) != uint64(len(s.shards)) {
		return fmt.Errorf("row of shard %d of stream number %d, which lacks a row or an earlier shard", index, serial)
	}
	sh, err := readShard(p.Value)
	if err != nil {
		return fmt.Errorf("row of shard %d of stream %q: %w", index, s.Spec.Name, err)
	}
	s.add(sh)
	m.arm(sh)
	return nil
}
