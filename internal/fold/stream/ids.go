package stream

import (
	"encoding/binary"
	"fmt"

	"github.com/edda-io/edda/internal/store"
)

// Place is where a message is.
type Place struct {
	// Shard is the index of its shard.
	Shard  uint32
	Offset uint64
	// Position is that of the record which appended it.
	Position uint64
}

// idKey is an id that a producer gave a message.
type idKey struct {
	stream uint64
	id     string
}

// remembered is what is known of an id.
type remembered struct {
	Place
	until int64 // when it is forgotten
	was   int64 // until of the row that the table has of the id, zero: none
}

// idOverhead is about what an id takes in memory beside its bytes.
const idOverhead = 128

// Find returns where the message is to which its producer gave the id. It is false when
// there was none, or the id is forgotten. The message may be trimmed.
func (m *Machine) Find(s *Stream, id string) (Place, bool, error) {
	p, found, _, err := m.known(s, []byte(id))
	return p, found, err
}

// known is Find. When the table has a row of the id that is forgotten, was is until when
// it counted.
func (m *Machine) known(s *Stream, id []byte) (p Place, found bool, was int64, err error) {
	r, ok := m.ids[idKey{s.Serial, string(id)}]
	if !ok && s.ids {
		if r, ok, err = m.idRow(s, id); err != nil {
			return Place{}, false, 0, err
		}
		r.was = r.until
	}
	if !ok || r.until <= m.env.Time {
		return Place{}, false, r.was, nil
	}
	return r.Place, true, 0, nil
}

func (m *Machine) idRow(s *Stream, id []byte) (remembered, bool, error) {
	m.key = append(binary.BigEndian.AppendUint64(append(m.key[:0], rowID), s.Serial), id...)
	v, found, err := m.env.Table.Get(m.key)
	if err != nil || !found {
		return remembered{}, false, err
	}
	if len(v) != 28 {
		return remembered{}, false, fmt.Errorf("row of the id %q has %d bytes, want 28", id, len(v))
	}
	return remembered{
		Place: Place{
			Shard: binary.BigEndian.Uint32(v), Offset: binary.BigEndian.Uint64(v[4:]), Position: binary.BigEndian.Uint64(v[12:]),
		},
		until: int64(binary.BigEndian.Uint64(v[20:])),
	}, true, nil
}

// remember notes where the message with the id is.
func (m *Machine) remember(s *Stream, id []byte, p Place, was int64) {
	before := len(m.ids)
	m.ids[idKey{s.Serial, string(id)}] = remembered{Place: p, until: m.env.Time + int64(s.Spec.Dedupe), was: was}
	if len(m.ids) > before {
		m.bytes += len(id) + idOverhead
	}
}

// minExpire is how many forgotten ids one checkpoint removes at most, unless it adds
// more than half as many.
const minExpire = 5000

// expireIDs removes the rows of ids that are forgotten.
func (m *Machine) expireIDs(b *store.Batch) error {
	room := max(minExpire, 2*len(m.ids))
	for p, err := range m.env.Table.Scan([]byte{rowForget}, forgetRow(m.env.Time+1, 0, nil)) {
		if err != nil {
			return err
		}
		if len(p.Key) < 17 {
			return fmt.Errorf("row of a forgotten id has a key of %d bytes, want 17 or more", len(p.Key))
		}
		b.Delete(p.Key)
		b.Delete(idRow(binary.BigEndian.Uint64(p.Key[9:]), p.Key[17:]))
		if room--; room == 0 {
			break
		}
	}
	return nil
}

// writeIDs writes the ids given since the last checkpoint.
func (m *Machine) writeIDs(b *store.Batch) {
	var key, value []byte
	for k, r := range m.ids {
		s := m.bySerial[k.stream]
		if s == nil {
			continue // it was removed
		}
		if !s.ids {
			s.ids = true
			m.touch(s)
		}
		id := []byte(k.id)
		if r.was != 0 {
			b.Delete(forgetRow(r.was, k.stream, id))
		}
		value = binary.BigEndian.AppendUint32(value[:0], r.Shard)
		value = binary.BigEndian.AppendUint64(value, r.Offset)
		value = binary.BigEndian.AppendUint64(value, r.Position)
		value = binary.BigEndian.AppendUint64(value, uint64(r.until))
		key = append(binary.BigEndian.AppendUint64(append(key[:0], rowID), k.stream), k.id...)
		b.Set(key, value)
		key = binary.BigEndian.AppendUint64(append(key[:0], rowForget), uint64(r.until))
		key = append(binary.BigEndian.AppendUint64(key, k.stream), k.id...)
		b.Set(key, nil)
	}
}
