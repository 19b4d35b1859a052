package record

import (
	"cmp"
	"encoding/binary"
	"math"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// EncodeAppend appends the whole record of an append, whose messages are encoded in
// place and nowhere else. Hash is where the stream lives; ids gets the id of each
// message, those of the producer and those that are made here.
func EncodeAppend(b []byte, a *edda.Append, hash uint64, now time.Time, ids []edda.Appended) []byte {
	s := StreamAppended{Namespace: a.Namespace, Stream: a.Target(), Shard: cmp.Or(a.Shard, edda.DefaultShard), Expect: expect(a)}
	if s.Namespace == edda.DefaultNamespace {
		s.Namespace = "" // which is read as that
	}
	s.Producer, s.Numbers = a.Producer, numbers(a)
	b = s.AppendTo(b)
	for i := range a.Messages {
		var mark int
		b, mark = wire.Begin(b, 5)
		b = appendStreamMessage(b, a, i, hash, now, &ids[i].ID)
		wire.End(b, mark)
	}
	return b
}

// AppendSize is an upper bound of what EncodeAppend appends, as close as is cheap.
func AppendSize(a *edda.Append) int {
	n := AppendedBytes + len(a.Messages)*(len(a.Principal)+4) + len(a.Namespace) + len(a.Stream) + len(a.Channel) + len(a.Shard)
	if a.Producer != "" {
		n += len(a.Producer) + len(a.Messages)*binary.MaxVarintLen64 + 12
	}
	for i := range a.Messages {
		n += a.Messages[i].BinarySize() + 6
	}
	return n
}

// numbers are those of the messages, nil when there is no producer.
func numbers(a *edda.Append) []uint64 {
	if a.Producer == "" {
		return nil
	}
	all := make([]uint64, len(a.Messages))
	for i := range a.Messages {
		all[i] = a.Messages[i].Number
	}
	return all
}

// NewStreamAppended is EncodeAppend for one of Completed.Appends, which is decided when
// its handler has returned: it has no condition.
func NewStreamAppended(a *edda.Append, hash uint64, now time.Time) StreamAppended {
	s := StreamAppended{
		Namespace: cmp.Or(a.Namespace, edda.DefaultNamespace), Stream: a.Target(), Shard: cmp.Or(a.Shard, edda.DefaultShard),
		Producer: a.Producer, Numbers: numbers(a), Messages: make([][]byte, len(a.Messages)),
	}
	b := make([]byte, 0, AppendSize(a))
	for i := range a.Messages {
		at := len(b)
		var id string
		b = appendStreamMessage(b, a, i, hash, now, &id)
		s.Messages[i] = b[at:len(b):len(b)]
	}
	return s
}

// appendStreamMessage appends one message of an append, encoded, and returns its id.
func appendStreamMessage(b []byte, a *edda.Append, i int, hash uint64, now time.Time, id *string) []byte {
	m := &a.Messages[i]
	var made edda.ID
	if *id = m.ID; *id == "" {
		made = edda.NewID(hash, now)
		*id = made.String()
	}
	return m.AppendEnvelope(b, made, a.Principal)
}

// expect is what an append says of its shard, as StreamAppended has it.
func expect(a *edda.Append) uint64 {
	switch {
	case a.IfEmpty:
		return 1
	case a.IfLast == nil:
		return 0
	case *a.IfLast > math.MaxUint64-2:
		return math.MaxUint64 // which no offset is
	default:
		return *a.IfLast + 2
	}
}
