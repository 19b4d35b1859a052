package stream

import (
	"encoding/binary"
	"fmt"

	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// Last is the last message that a shard has, or had, of a producer that numbers them.
// It is kept as long as the stream lives, whatever becomes of the message.
type Last struct {
	// Number is zero when there is none.
	Number uint64
	// Offset is where the message is, and Position the record that appended it.
	Offset   uint64
	Position uint64
	// ID is what it is called.
	ID string
}

// numberKey is a producer in a shard.
type numberKey struct {
	stream   uint64
	shard    uint32
	producer string
}

// numberOverhead is about what a last number takes in memory beside its texts.
const numberOverhead = 128

// The fields of a row of a last number.
const (
	nNumber = iota + 1
	nOffset
	nPosition
	nID
)

func numberRow(serial uint64, index uint32, producer string) []byte {
	return append(binary.BigEndian.AppendUint32(fold.RowNumber(rowNumber, serial), index), producer...)
}

// place is where the message is, in its shard.
func (l *Last) place(sh *Shard) Place {
	return Place{Shard: sh.Index, Offset: l.Offset, Position: l.Position}
}

// last returns the last message of a producer; without stream, shard or producer there is
// none.
func (m *Machine) last(s *Stream, sh *Shard, producer string) (Last, error) {
	if s == nil || sh == nil || producer == "" {
		return Last{}, nil
	}
	if l, ok := m.numbers[numberKey{s.Serial, sh.Index, producer}]; ok {
		return l, nil
	}
	if s.producers == 0 {
		return Last{}, nil
	}
	m.key = binary.BigEndian.AppendUint64(append(m.key[:0], rowNumber), s.Serial)
	m.key = append(binary.BigEndian.AppendUint32(m.key, sh.Index), producer...)
	v, found, err := m.env.Table.Get(m.key)
	if err != nil || !found {
		return Last{}, err
	}
	return readLast(v)
}

// row encodes a last number.
func (l *Last) row() []byte {
	b := wire.AppendUint(make([]byte, 0, 64), nNumber, l.Number)
	b = wire.AppendUint(b, nOffset, l.Offset)
	b = wire.AppendUint(b, nPosition, l.Position)
	return wire.AppendString(b, nID, l.ID)
}

func readLast(row []byte) (l Last, err error) {
	r := wire.NewReader(row)
	for f := (wire.Field{}); r.Next(&f); {
		switch f.Num {
		case nNumber:
			l.Number = f.Uint
		case nOffset:
			l.Offset = f.Uint
		case nPosition:
			l.Position = f.Uint
		case nID:
			l.ID = string(f.Bytes)
		}
	}
	if err = r.Err(); err == nil && l.Number == 0 {
		err = fmt.Errorf("it has no number")
	}
	if err != nil {
		return Last{}, fmt.Errorf("row of a producer's last number: %w", err)
	}
	return l, nil
}

// number notes that message i of an append is the shard's last one, and the last of its
// producer: before, that was last, which becomes the new one.
func (m *Machine) number(sh *Shard, a *record.StreamAppended, i int, last *Last) error {
	var names record.MessageNames
	if err := names.Read(a.Messages[i]); err != nil {
		return err
	}
	s := sh.stream
	if last.Number == 0 {
		s.producers++
		m.touch(s)
		m.env.RowsVersion = max(m.env.RowsVersion, fold.RowsOfProducers)
	}
	*last = Last{Number: a.Numbers[i], Offset: sh.End - 1, Position: m.env.Position, ID: names.ID()}
	key := numberKey{s.Serial, sh.Index, a.Producer}
	if before, ok := m.numbers[key]; ok {
		m.bytes -= len(before.ID)
	} else {
		m.bytes += len(key.producer) + numberOverhead
	}
	m.numbers[key] = *last
	m.bytes += len(last.ID)
	return nil
}

// writeNumbers writes the numbers raised since the last checkpoint.
func (m *Machine) writeNumbers(b *store.Batch) {
	for k, l := range m.numbers {
		if m.bySerial[k.stream] != nil { // else it was removed
			b.Set(numberRow(k.stream, k.shard, k.producer), l.row())
		}
	}
}
