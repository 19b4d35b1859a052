package stream

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/wire"
)

// The rows of this package.
const (
	rowStream  = 'u' // namespace, 0, name: a stream
	rowShard   = 'U' // stream, shard index: a shard
	rowMessage = 'v' // stream, shard index, offset of the last message: messages, see chunk
	rowID      = 'w' // stream, id: shard index, offset, position, forgotten at
	rowForget  = 'W' // forgotten at, stream, id

	rowNumber = 'n' // stream, shard index, producer: its last number

	rowRemovals = 'V' // when streams were removed, see removals
)

// The fields of a stream's row.
const (
	uSerial = iota + 1
	uShard  // repeated
	uAge
	uCount
	uBytes
	uDedupe
	uCreatedAt
	uIDs
	uEarlierUntil
	uProducers
)

// The fields of a shard's row.
const (
	sName = iota + 1
	sFirst
	sEnd
	sBytes
	sTotal
	sFirstAt
	sLastAt
	sGoneAt
)

func streamRow(r Ref) []byte {
	return append(append(fold.Row(rowStream, []byte(r.Namespace)), 0), r.Name...)
}

func shardRow(serial uint64, index uint32) []byte {
	return binary.BigEndian.AppendUint32(fold.RowNumber(rowShard, serial), index)
}

func messageRow(serial uint64, index uint32, offset uint64) []byte {
	b := append(make([]byte, 0, 21), rowMessage)
	b = binary.BigEndian.AppendUint64(b, serial)
	b = binary.BigEndian.AppendUint32(b, index)
	return binary.BigEndian.AppendUint64(b, offset)
}

func idRow(serial uint64, id []byte) []byte { return append(fold.RowNumber(rowID, serial), id...) }

func forgetRow(at int64, serial uint64, id []byte) []byte {
	return append(binary.BigEndian.AppendUint64(fold.RowNumber(rowForget, uint64(at)), serial), id...)
}

// row encodes the stream without its shards.
func (s *Stream) row() []byte {
	b := wire.AppendUint(nil, uSerial, s.Serial)
	for _, name := range s.Spec.Shards {
		b = wire.AppendString(b, uShard, name)
	}
	b = wire.AppendUint(b, uAge, uint64(s.Spec.Retention.Age))
	b = wire.AppendUint(b, uCount, s.Spec.Retention.Count)
	b = wire.AppendUint(b, uBytes, s.Spec.Retention.Bytes)
	b = wire.AppendUint(b, uDedupe, uint64(s.Spec.Dedupe))
	b = wire.AppendFixed(b, uCreatedAt, uint64(s.CreatedAt))
	if s.ids {
		b = wire.AppendUint(b, uIDs, 1)
	}
	if s.earlierUntil != 0 {
		b = wire.AppendFixed(b, uEarlierUntil, uint64(s.earlierUntil))
	}
	b = wire.AppendUint(b, uProducers, s.producers)
	return append(b, s.unknown...)
}

// readStream decodes the row of a stream, whose key follows the row's letter.
func readStream(key, row []byte) (*Stream, error) {
	namespace, name, ok := strings.Cut(string(key), "\x00")
	if !ok || name == "" {
		return nil, fmt.Errorf("row of a stream has the key %q, want a namespace, a zero byte and a name", key)
	}
	s := &Stream{stored: true}
	spec := edda.StreamSpec{Namespace: namespace, Name: name}
	r := wire.NewReader(row)
	for f := (wire.Field{}); r.Next(&f); {
		switch f.Num {
		case uSerial:
			s.Serial = f.Uint
		case uShard:
			spec.Shards = append(spec.Shards, string(f.Bytes))
		case uAge:
			spec.Retention.Age = time.Duration(f.Uint)
		case uCount:
			spec.Retention.Count = f.Uint
		case uBytes:
			spec.Retention.Bytes = f.Uint
		case uDedupe:
			spec.Dedupe = time.Duration(f.Uint)
		case uCreatedAt:
			s.CreatedAt = int64(f.Uint)
		case uIDs:
			s.ids = f.Uint != 0
		case uEarlierUntil:
			s.earlierUntil = int64(f.Uint)
		case uProducers:
			s.producers = f.Uint
		default:
			s.unknown = append(s.unknown, f.Raw...)
		}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("row of stream %q: %w", name, err)
	}
	if s.Serial == 0 {
		return nil, fmt.Errorf("row of stream %q has no serial number", name)
	}
	s.setSpec(spec)
	return s, nil
}

// row encodes the shard.
func (sh *Shard) row() []byte {
	b := wire.AppendString(make([]byte, 0, 64), sName, sh.Name)
	b = wire.AppendUint(b, sFirst, sh.First)
	b = wire.AppendUint(b, sEnd, sh.End)
	b = wire.AppendUint(b, sBytes, sh.Bytes)
	b = wire.AppendUint(b, sTotal, sh.total)
	b = wire.AppendFixed(b, sFirstAt, uint64(sh.firstAt))
	b = wire.AppendFixed(b, sLastAt, uint64(sh.LastAt))
	if sh.First > 0 {
		b = wire.AppendFixed(b, sGoneAt, uint64(sh.goneAt))
	}
	return append(b, sh.unknown...)
}

func readShard(row []byte) (*Shard, error) {
	sh := &Shard{}
	r := wire.NewReader(row)
	for f := (wire.Field{}); r.Next(&f); {
		switch f.Num {
		case sName:
			sh.Name = string(f.Bytes)
		case sFirst:
			sh.First = f.Uint
		case sEnd:
			sh.End = f.Uint
		case sBytes:
			sh.Bytes = f.Uint
		case sTotal:
			sh.total = f.Uint
		case sFirstAt:
			sh.firstAt = int64(f.Uint)
		case sLastAt:
			sh.LastAt = int64(f.Uint)
		case sGoneAt:
			sh.goneAt = int64(f.Uint)
		default:
			sh.unknown = append(sh.unknown, f.Raw...)
		}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	if sh.Name == "" || sh.First > sh.End || sh.Bytes > sh.total {
		return nil, fmt.Errorf("shard %q has the messages from %d to %d, %d bytes of %d", sh.Name, sh.First, sh.End, sh.Bytes, sh.total)
	}
	if sh.First > 0 && sh.goneAt == 0 {
		// A release before this one wrote it: it cannot have been later.
		if sh.goneAt = sh.firstAt; sh.First == sh.End {
			sh.goneAt = sh.LastAt
		}
	}
	sh.storedFirst, sh.storedEnd = sh.First, sh.End
	return sh, nil
}
