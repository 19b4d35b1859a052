package client

import (
	"cmp"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// maxList is how many of anything a page has at most.
const maxList = 1000

// checkLimit refuses what cannot be sent; the node refuses the rest.
func checkLimit(op string, limit int) error {
	if limit < 0 || limit > maxList {
		return &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf("limit is %d, must be 1 to 1000", limit)}
	}
	return nil
}

// streamRef names a stream, as the beginning of every message about one.
func streamRef(namespace, stream string) []byte {
	return wire.AppendString(wire.AppendString(nil, 1, namespace), 2, stream)
}

// readRequestOf is the beginning of ReadStreamRequest, and all of TailRequest.
func readRequestOf(r *edda.Read) []byte {
	b := wire.AppendString(streamRef(r.Namespace, r.Stream), 3, r.Shard)
	b = wire.AppendString(b, 4, string(r.From))
	b = wire.AppendUint(b, 5, uint64(r.Limit))
	return wire.AppendUint(b, 6, uint64(r.Bytes))
}

// appendStreamSpec appends a StreamSpec, which is valid, as a field.
func appendStreamSpec(b []byte, field int, s *edda.StreamSpec) []byte {
	b, mark := wire.Begin(b, field)
	b = wire.AppendString(b, 1, s.Namespace)
	b = wire.AppendString(b, 2, s.Name)
	for _, shard := range s.Shards {
		b = wire.AppendString(b, 3, shard)
	}
	if k := s.Retention; k != (edda.Retention{}) {
		var inner int
		b, inner = wire.Begin(b, 4)
		b = wire.AppendUint(b, 1, uint64(k.Age))
		b = wire.AppendUint(b, 2, k.Count)
		b = wire.AppendUint(b, 3, k.Bytes)
		wire.End(b, inner)
	}
	b = wire.AppendUint(b, 5, uint64(s.Dedupe))
	wire.End(b, mark)
	return b
}

// appendGroupRef appends a GroupRef, which is valid, as the first field.
func appendGroupRef(b []byte, g edda.GroupRef) []byte {
	b, mark := wire.Begin(b, 1)
	b = groupFields(b, g)
	wire.End(b, mark)
	return b
}

func groupFields(b []byte, g edda.GroupRef) []byte {
	b = wire.AppendString(b, 1, g.Namespace)
	b = wire.AppendString(b, 2, g.Stream)
	return wire.AppendString(b, 3, g.Group)
}

func settleRequest(s *edda.Settle) []byte {
	b := appendGroupRef(nil, s.GroupRef)
	for _, l := range s.Leases {
		b = wire.AppendString(b, 2, rpcconn.Text(l))
	}
	b = wire.AppendString(b, 3, rpcconn.Text(s.Error))
	return wire.AppendUint(b, 4, uint64(s.For))
}

// eachField calls do for each field of an answer. Its error is an *edda.Error.
func eachField(op string, b []byte, do func(f *wire.Field) error) error {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		if err := do(&f); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil {
		return malformed(op, err)
	}
	return nil
}

// readSet reads the answer to what creates or changes: what then is, and whether it is
// new.
func readSet(op string, b []byte) (view []byte, created bool, err error) {
	err = eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			view = f.Bytes
		case 2:
			created = f.Uint != 0
		}
		return nil
	})
	return view, created, err
}

// readStream reads a stream. More is its last shard when those after it are missing.
func readStream(op string, b []byte) (s *edda.Stream, more string, err error) {
	s = &edda.Stream{Offsets: map[string]edda.Offsets{}}
	last, isMore := "", false
	err = eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			return readStreamSpec(op, f.Bytes, &s.StreamSpec)
		case 2:
			s.CreatedAt = timeOf(f.Uint)
		case 3:
			var o edda.Offsets
			err := eachField(op, f.Bytes, func(f *wire.Field) error {
				switch f.Num {
				case 1:
					last = string(f.Bytes)
				case 2:
					o.First = f.Uint
				case 3:
					o.End = f.Uint
				case 4:
					o.Bytes = f.Uint
				}
				return nil
			})
			s.Offsets[last] = o
			return err
		case 4:
			s.Groups = append(s.Groups, string(f.Bytes))
		case 5:
			isMore = f.Uint != 0
		}
		return nil
	})
	if isMore {
		more = last
	}
	return s, more, err
}

func readStreamSpec(op string, b []byte, s *edda.StreamSpec) error {
	err := eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			s.Namespace = string(f.Bytes)
		case 2:
			s.Name = string(f.Bytes)
		case 3:
			s.Shards = append(s.Shards, string(f.Bytes))
		case 4:
			return eachField(op, f.Bytes, func(f *wire.Field) error {
				switch f.Num {
				case 1:
					s.Retention.Age = time.Duration(f.Uint)
				case 2:
					s.Retention.Count = f.Uint
				case 3:
					s.Retention.Bytes = f.Uint
				}
				return nil
			})
		case 5:
			s.Dedupe = time.Duration(f.Uint)
		}
		return nil
	})
	s.Namespace = cmp.Or(s.Namespace, edda.DefaultNamespace)
	return err
}

// readPage reads messages, whose payloads alias b.
func readPage(op string, b []byte) (*edda.StreamPage, error) {
	p := new(edda.StreamPage)
	var all messages
	err := eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			p.Messages = append(p.Messages, edda.StreamMessage{})
			return all.read(op, f.Bytes, &p.Messages[len(p.Messages)-1])
		case 2:
			p.First = f.Uint
		case 3:
			p.Next = f.Uint
		case 4:
			p.End = f.Uint
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// messages reads messages that came together.
type messages struct {
	decoder edda.StreamDecoder
	shard   string // of the one before
}

// read reads a message, whose payload aliases b. Where it is stands beside what is the
// message's own.
func (all *messages) read(op string, b []byte, m *edda.StreamMessage) error {
	if err := all.decoder.Decode(b, m); err != nil {
		return malformed(op, err)
	}
	return eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 23:
			if string(f.Bytes) != all.shard {
				all.shard = string(f.Bytes)
			}
			m.Shard = all.shard
		case 24:
			m.Offset = f.Uint
		}
		return nil
	})
}

func readAwaited(op string, b []byte) (*edda.StreamMessage, error) {
	m := new(edda.StreamMessage)
	if err := new(messages).read(op, b, m); err != nil {
		return nil, err
	}
	return m, nil
}
