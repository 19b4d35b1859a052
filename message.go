package edda

import (
	"strings"
	"time"
)

// Principal names who sent a message. It comes from an authentication step,
// never from the message's body.
type Principal string

// Anonymous is the principal where no credentials are configured.
const Anonymous Principal = "anonymous"

// Message is the one envelope: every request, stream message, command and event
// is one. A message belongs to whoever made it until it is handed to a client or
// a node; from then on nobody changes it, its slices included.
type Message struct {
	// ID is assigned on acceptance when it is zero, and stays the same however
	// often the message is delivered. A caller who sends the same id to the same
	// address again joins the first request.
	ID ID
	// Type is the method of a request, the type of a stream message or event.
	Type string
	// To is where the message goes.
	To Address
	// ReplyTo is the stream that replies go to, for messages on streams.
	ReplyTo Address
	// Source names the process or device that the message comes from.
	Source string
	// Principal is who sent it; Anonymous when empty.
	Principal Principal
	// Headers travel with the message to its handler.
	Headers Headers
	// ContentType is the media type of Payload.
	ContentType string
	// Schema names the schema that Payload was checked against.
	Schema string
	// Payload is opaque. Nil and empty are the same.
	Payload []byte
	// Frames are further frames of a payload that has several.
	Frames [][]byte
	// CorrelationID names the whole story that the message is part of; its own id
	// when empty.
	CorrelationID string
	// CausationID is the id of the message whose handling sent this one.
	CausationID ID
	// TraceParent and TraceState are the W3C trace context.
	TraceParent string
	TraceState  string
	// IdempotencyKey makes a repeated request join the first one, or get its
	// stored outcome, for 24 hours from its completion. Its scope is namespace,
	// principal, service and key. At most 255 bytes.
	IdempotencyKey string
	// Deadline is when the message is not worth handling any more; never when
	// zero.
	Deadline time.Time
	// Due is when the message may be handled first; at once when zero or past.
	Due time.Time
	// Time is when the message was accepted. The node sets it.
	Time time.Time
	// Chain holds the addresses of the keys that the callers of this message hold
	// while they wait for it. A call to one of them would never end, and is
	// refused with Cycle.
	Chain []Address

	// unknown holds fields of a later release, so that rewriting keeps them.
	unknown []byte
}

// MaxIdempotencyKeyBytes is the longest idempotency key.
const MaxIdempotencyKeyBytes = 255

// Correlation returns CorrelationID, or the message's own id when that is empty.
func (m *Message) Correlation() string {
	if m.CorrelationID != "" {
		return m.CorrelationID
	}
	return m.ID.String()
}

// Header is one header.
type Header struct {
	Name  string
	Value string
}

// Headers are headers in the order they were given. A name may stand more than
// once. Names compare without regard to case.
type Headers []Header

// Get returns the first value of the name, or "".
func (h Headers) Get(name string) string {
	for _, e := range h {
		if strings.EqualFold(e.Name, name) {
			return e.Value
		}
	}
	return ""
}

// Set replaces every value of the name by one, at the end.
func (h *Headers) Set(name, value string) {
	kept := (*h)[:0]
	for _, e := range *h {
		if !strings.EqualFold(e.Name, name) {
			kept = append(kept, e)
		}
	}
	*h = append(kept, Header{Name: name, Value: value})
}

// Add adds a value.
func (h *Headers) Add(name, value string) { *h = append(*h, Header{Name: name, Value: value}) }

// Reply is what a handler returns, whatever its status says.
type Reply struct {
	// Status is an HTTP status. Zero means 200, or 204 when Payload is empty.
	Status int
	// Headers go to the caller.
	Headers Headers
	// ContentType is the media type of Payload.
	ContentType string
	// Payload is opaque. The caller owns it.
	Payload []byte

	// RequestID is the request this answers. The node sets it, as all below.
	RequestID ID
	// Position is where the request is in the log.
	Position string
	// Attempts is how often a handler was started.
	Attempts int
	// Replayed says that this is the stored reply to an earlier request with the
	// same idempotency key.
	Replayed bool

	unknown []byte
}

// EffectiveStatus returns Status, or what zero stands for.
func (r *Reply) EffectiveStatus() int {
	switch {
	case r.Status != 0:
		return r.Status
	case len(r.Payload) == 0:
		return 204
	default:
		return 200
	}
}

// BinarySize is an upper bound of what AppendBinary appends.
func (r *Reply) BinarySize() int {
	n := 16 + len(r.Payload) + len(r.ContentType) + len(r.unknown)
	for _, h := range r.Headers {
		n += 18 + len(h.Name) + len(h.Value)
	}
	return n
}

// TextReply returns a reply of plain text.
func TextReply(status int, text string) *Reply {
	return &Reply{Status: status, ContentType: "text/plain; charset=utf-8", Payload: []byte(text)}
}
