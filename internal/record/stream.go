package record

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// StreamAppended is messages for one shard of a stream, all or none. Decoded, its
// slices alias the record.
type StreamAppended struct {
	Namespace string
	Stream    string
	Shard     string // never empty
	// Expect is what must hold of the shard: zero is nothing, 1 that it has no message,
	// n+2 that its last one has the offset n.
	Expect uint64
	// Messages are encoded as edda.StreamMessage.Envelope says.
	Messages [][]byte
	// Producer is who has numbered the messages, empty when nobody has; then there are no
	// Numbers, else one for each message, rising from above zero.
	Producer string
	Numbers  []uint64
	Origin   Origin
	// Starts are the messages for which a worker's slot is reserved in a group.
	Starts []GroupStart

	raw []byte // the body it was read from, as one of Completed.Appends
}

// GroupStart is a slot reserved for one message in one group.
type GroupStart struct {
	Group uint64 // its serial number
	Index uint32 // of the message in its record
}

// AppendTo appends the whole record.
func (a *StreamAppended) AppendTo(b []byte) []byte {
	return a.AppendBody(appendHeader(b, TypeStreamAppended, versionWith(a.Producer != "")))
}

// AppendBody appends the record without its header, as it goes to another partition.
func (a *StreamAppended) AppendBody(b []byte) []byte {
	if a.raw != nil {
		return append(b, a.raw...)
	}
	b = wire.AppendString(b, 1, a.Namespace)
	b = wire.AppendString(b, 2, a.Stream)
	if a.Shard != edda.DefaultShard {
		b = wire.AppendString(b, 3, a.Shard)
	}
	b = wire.AppendUint(b, 4, a.Expect)
	b = appendNumbers(b, a.Producer, a.Numbers)
	b = appendEach(b, 5, a.Messages)
	b = appendOrigin(b, a.Origin)
	return AppendGroupStarts(b, a.Starts)
}

// appendNumbers appends who has numbered messages, and how: the first number, then how
// much greater each of the others is than the one before it.
func appendNumbers(b []byte, producer string, numbers []uint64) []byte {
	if producer == "" {
		return b
	}
	b, mark := wire.Begin(wire.AppendString(b, 9, producer), 10)
	last := uint64(0)
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n-last)
		last = n
	}
	wire.End(b, mark)
	return b
}

// readNumbers reads the numbers into the room that it is given.
func readNumbers(numbers []uint64, b []byte) ([]uint64, error) {
	last := uint64(0)
	for len(b) > 0 {
		more, n := binary.Uvarint(b)
		if n <= 0 || more == 0 || last+more < last {
			return numbers, wire.ErrMalformed
		}
		last += more
		numbers, b = append(numbers, last), b[n:]
	}
	return numbers, nil
}

// hasProducer reports whether the body of a stream-appended record names one.
func hasProducer(body []byte) bool {
	r := wire.NewReader(body)
	for f := (wire.Field{}); r.Next(&f); {
		if f.Num == 9 {
			return true
		}
	}
	return false
}

// AppendGroupStarts names the reserved slots in a stream-appended record that was
// encoded without any.
func AppendGroupStarts(rec []byte, starts []GroupStart) []byte {
	if len(starts) == 0 {
		return rec
	}
	b, mark := wire.Begin(rec, 8)
	for _, s := range starts {
		b = binary.AppendUvarint(binary.AppendUvarint(b, s.Group), uint64(s.Index))
	}
	wire.End(b, mark)
	return b
}

// Decode reads the body of a record. The slices of the one that was read before are used
// again, and its names where they are the same.
func (a *StreamAppended) Decode(body []byte) error {
	last := *a
	clear(a.Messages)
	*a = StreamAppended{Messages: a.Messages[:0], Numbers: a.Numbers[:0]}
	r := wire.NewReader(body)
	var f wire.Field
	var err error
	for err == nil && r.Next(&f) {
		switch f.Num {
		case 1:
			a.Namespace = same(last.Namespace, f.Bytes)
		case 2:
			a.Stream = same(last.Stream, f.Bytes)
		case 3:
			a.Shard = same(last.Shard, f.Bytes)
		case 4:
			a.Expect = f.Uint
		case 5:
			a.Messages = append(a.Messages, f.Bytes)
		case 6, 7:
			err = readOrigin(&a.Origin, &f)
		case 8:
			a.Starts, err = readGroupStarts(f.Bytes)
		case 9:
			a.Producer = same(last.Producer, f.Bytes)
		case 10:
			a.Numbers, err = readNumbers(a.Numbers[:0], f.Bytes)
		}
	}
	if err = ended(TypeStreamAppended, &r, &f, err); err != nil {
		return err
	}
	a.Namespace, a.Shard = cmp.Or(a.Namespace, edda.DefaultNamespace), cmp.Or(a.Shard, edda.DefaultShard)
	if a.Stream == "" || len(a.Messages) == 0 {
		return fmt.Errorf("%s record without a stream or a message", TypeStreamAppended)
	}
	if want := len(a.Messages); a.Producer == "" && len(a.Numbers) > 0 || a.Producer != "" && len(a.Numbers) != want {
		return fmt.Errorf("%s record with %d numbers of the producer %q for %d messages", TypeStreamAppended, len(a.Numbers), a.Producer, want)
	}
	return nil
}

// same returns b as a string: the last one, if they are the same, because names that
// come often come in a row.
func same(last string, b []byte) string {
	if last == string(b) {
		return last
	}
	return string(b)
}

func readGroupStarts(b []byte) (starts []GroupStart, err error) {
	for len(b) > 0 {
		group, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, wire.ErrMalformed
		}
		index, k := binary.Uvarint(b[n:])
		if k <= 0 || index > math.MaxUint32 {
			return nil, wire.ErrMalformed
		}
		starts, b = append(starts, GroupStart{Group: group, Index: uint32(index)}), b[n+k:]
	}
	return starts, nil
}

// StreamSet creates a stream, or changes one.
type StreamSet struct{ edda.StreamSpec }

// AppendTo appends the whole record.
func (s *StreamSet) AppendTo(b []byte) []byte { return s.AppendFields(AppendHeader(b, TypeStreamSet)) }

// AppendFields appends the record without its header.
func (s *StreamSet) AppendFields(b []byte) []byte {
	b = wire.AppendString(b, 1, s.Namespace)
	b = wire.AppendString(b, 2, s.Name)
	for _, shard := range s.Shards {
		b = wire.AppendString(b, 3, shard)
	}
	b = wire.AppendUint(b, 4, uint64(s.Retention.Age))
	b = wire.AppendUint(b, 5, s.Retention.Count)
	b = wire.AppendUint(b, 6, s.Retention.Bytes)
	return wire.AppendUint(b, 7, uint64(s.Dedupe))
}

// Decode reads the body of a record.
func (s *StreamSet) Decode(body []byte) error {
	*s = StreamSet{}
	err := fields(TypeStreamSet, body, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			s.Namespace = string(f.Bytes)
		case 2:
			s.Name = string(f.Bytes)
		case 3:
			s.Shards = append(s.Shards, string(f.Bytes))
		case 4:
			s.Retention.Age = time.Duration(f.Uint)
		case 5:
			s.Retention.Count = f.Uint
		case 6:
			s.Retention.Bytes = f.Uint
		case 7:
			s.Dedupe = time.Duration(f.Uint)
		}
		return nil
	})
	s.Namespace = cmp.Or(s.Namespace, edda.DefaultNamespace)
	if err == nil && s.Name == "" {
		return fmt.Errorf("%s record without a name", TypeStreamSet)
	}
	return err
}

// StreamRemoved removes a stream.
type StreamRemoved struct {
	Namespace string
	Name      string
}

// AppendTo appends the whole record.
func (s *StreamRemoved) AppendTo(b []byte) []byte {
	b = wire.AppendString(AppendHeader(b, TypeStreamRemoved), 1, s.Namespace)
	return wire.AppendString(b, 2, s.Name)
}

// Decode reads the body of a record.
func (s *StreamRemoved) Decode(body []byte) error {
	*s = StreamRemoved{}
	return fields(TypeStreamRemoved, body, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			s.Namespace = string(f.Bytes)
		case 2:
			s.Name = string(f.Bytes)
		}
		return nil
	})
}

// StreamTrimmed removes the first messages of a stream.
type StreamTrimmed struct {
	Namespace string
	Name      string
	// Shard is empty for all.
	Shard string
	// Offset and Time, in Unix nanoseconds, are what the messages come before; zero for
	// none.
	Offset uint64
	Time   int64
}

// AppendTo appends the whole record.
func (s *StreamTrimmed) AppendTo(b []byte) []byte {
	b = wire.AppendString(AppendHeader(b, TypeStreamTrimmed), 1, s.Namespace)
	b = wire.AppendString(b, 2, s.Name)
	b = wire.AppendString(b, 3, s.Shard)
	b = wire.AppendUint(b, 4, s.Offset)
	return wire.AppendFixed(b, 5, uint64(s.Time))
}

// Decode reads the body of a record.
func (s *StreamTrimmed) Decode(body []byte) error {
	*s = StreamTrimmed{}
	return fields(TypeStreamTrimmed, body, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			s.Namespace = string(f.Bytes)
		case 2:
			s.Name = string(f.Bytes)
		case 3:
			s.Shard = string(f.Bytes)
		case 4:
			s.Offset = f.Uint
		case 5:
			s.Time = int64(f.Uint)
		}
		return nil
	})
}
