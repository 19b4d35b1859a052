package rpcconn

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/edda-io/edda"
)

// Protocol Buffers takes no text but UTF-8: one header in another encoding would
// have the other side refuse all that was sent with it.

// Text returns s with what is no UTF-8 in it replaced.
func Text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// ValidMessage returns the message with all texts in UTF-8: the same one, or a copy.
// What it is found by cannot be replaced: an address, a method or an idempotency
// key that is no UTF-8 is an *edda.Error.
func ValidMessage(m *edda.Message) (*edda.Message, error) {
	if err := m.To.Validate(); err != nil {
		return nil, err
	}
	if err := edda.CheckName("method", m.Type); err != nil {
		return nil, err
	}
	if !utf8.ValidString(m.IdempotencyKey) {
		return nil, &edda.Error{Op: "call " + m.To.String(), Reason: edda.BadValue, Key: m.To.Key,
			Err: fmt.Errorf("idempotency key %q is not UTF-8", m.IdempotencyKey)}
	}
	ok := validHeaders(m.Headers)
	for _, s := range [...]string{m.Source, m.ContentType, m.Schema, m.CorrelationID, m.TraceParent, m.TraceState, string(m.Principal)} {
		ok = ok && utf8.ValidString(s)
	}
	if ok {
		return m, nil
	}
	fixed := *m
	for _, s := range [...]*string{&fixed.Source, &fixed.ContentType, &fixed.Schema, &fixed.CorrelationID, &fixed.TraceParent, &fixed.TraceState} {
		*s = Text(*s)
	}
	fixed.Principal = edda.Principal(Text(string(m.Principal)))
	fixed.Headers = fixHeaders(m.Headers)
	return &fixed, nil
}

// ValidReply returns the reply with all texts in UTF-8: the same one, or a copy.
func ValidReply(r *edda.Reply) *edda.Reply {
	if utf8.ValidString(r.ContentType) && validHeaders(r.Headers) {
		return r
	}
	fixed := *r
	fixed.ContentType, fixed.Headers = Text(r.ContentType), fixHeaders(r.Headers)
	return &fixed
}

func validHeaders(hs edda.Headers) bool {
	for _, h := range hs {
		if !utf8.ValidString(h.Name) || !utf8.ValidString(h.Value) {
			return false
		}
	}
	return true
}

func fixHeaders(hs edda.Headers) edda.Headers {
	out := make(edda.Headers, len(hs))
	for i, h := range hs {
		out[i] = edda.Header{Name: Text(h.Name), Value: Text(h.Value)}
	}
	return out
}
