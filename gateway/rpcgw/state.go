package rpcgw

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

const (
	// stateBytes is how much state comes with a dispatch; beyond it is asked for.
	stateBytes = 64 << 10
	// pageBytes is about how much state one answer has. One value may be larger.
	pageBytes = 256 << 10
)

// appendState appends the State of a key, whole or its first 64 KiB. A balanced
// service has none.
func appendState(ctx context.Context, b []byte, state edda.StateReader) ([]byte, error) {
	if state == nil {
		return b, nil
	}
	for e, err := range state.List(ctx, "") {
		if err != nil {
			return b, err
		}
		size := sizeOf(len(e.Name)) + sizeOf(len(e.Value))
		if len(b)+size > stateBytes {
			return wire.AppendUint(b, fieldPartial, 1), nil
		}
		if !utf8.ValidString(e.Name) {
			return b, fmt.Errorf("the name %q is not UTF-8, which workers elsewhere cannot be given", e.Name)
		}
		b = wire.AppendLen(b, fieldEntries, size)
		b = append(wire.AppendLen(b, fieldName, len(e.Name)), e.Name...)
		b = append(wire.AppendLen(b, fieldValue, len(e.Value)), e.Value...)
	}
	return b, nil
}

// stateGet answers a question about an attempt's state.
func (s *session) stateGet(q *eddav1.StateGet) {
	v := &eddav1.StateValue{QueryId: q.GetQueryId()}
	s.mu.Lock()
	h := s.attempts[q.GetAttemptId()]
	s.mu.Unlock()
	switch {
	case h == nil:
		v.Error = errorOf(errNotMine(q.GetAttemptId()))
	case h.Dispatch().State == nil:
		v.Error = errorOf(&edda.Error{Reason: edda.WrongKind, Err: fmt.Errorf("a balanced service keeps no state: it has no keys")})
	default:
		if err := readState(h.Context(), h.Dispatch().State, q, v); err != nil {
			v.Entries, v.More, v.Error = nil, false, errorOf(err)
		}
	}
	s.answer(&eddav1.NodeFrame{Frame: &eddav1.NodeFrame_StateValue{StateValue: v}})
}

func readState(ctx context.Context, state edda.StateReader, q *eddav1.StateGet, v *eddav1.StateValue) error {
	if !q.GetList() {
		value, ok, err := state.Get(ctx, q.GetName())
		if ok {
			v.Entries = []*eddav1.StateEntry{{Name: q.GetName(), Value: value}}
		}
		return err
	}
	size := 0
	for e, err := range state.List(ctx, q.GetName()) {
		switch {
		case err != nil:
			return err
		case e.Name <= q.GetAfter():
			continue
		case size > pageBytes:
			v.More = true
			return nil
		}
		size += len(e.Name) + len(e.Value)
		v.Entries = append(v.Entries, &eddav1.StateEntry{Name: printable(e.Name), Value: e.Value})
	}
	return nil
}

// valid returns the message with all its texts in UTF-8, which is all that protobuf
// takes: the same one, or a copy. Names and keys always are.
func valid(m *edda.Message) *edda.Message {
	ok := true
	for _, s := range [...]string{m.Source, m.ContentType, m.Schema, m.CorrelationID, m.TraceParent, m.TraceState, m.IdempotencyKey, string(m.Principal)} {
		ok = ok && utf8.ValidString(s)
	}
	for _, h := range m.Headers {
		ok = ok && utf8.ValidString(h.Name) && utf8.ValidString(h.Value)
	}
	if ok {
		return m
	}
	fixed := *m
	for _, s := range [...]*string{&fixed.Source, &fixed.ContentType, &fixed.Schema, &fixed.CorrelationID, &fixed.TraceParent, &fixed.TraceState, &fixed.IdempotencyKey} {
		*s = printable(*s)
	}
	fixed.Principal = edda.Principal(printable(string(m.Principal)))
	fixed.Headers = nil
	for _, h := range m.Headers {
		fixed.Headers = append(fixed.Headers, edda.Header{Name: printable(h.Name), Value: printable(h.Value)})
	}
	return &fixed
}
