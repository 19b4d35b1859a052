package stream

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/edda-io/edda"
)

// Types of messages that answer others. Both have the id of the message they answer.
const (
	// TypeReply is the type of what a handler returned.
	TypeReply = "reply"
	// TypeError is the type of an answer that says why there is no reply; its payload is
	// {"reason":"FAILED","message":"NO_FUNDS: the account is empty"}.
	TypeError = "error"
)

// HeaderStatus is the header of a reply that says its status, as of a web request that it
// is the response to.
const HeaderStatus = "Edda-Status"

const contentTypeJSON = "application/json"

// None is the type of a payload that is not there.
type None struct{}

// Decode returns the payload of a message, decoded from JSON. An empty payload is the
// zero value. The error is BadJSON and says which message it was.
func Decode[T any](m *edda.StreamMessage) (T, error) {
	var v T
	if len(m.Payload) == 0 {
		return v, nil
	}
	if err := json.Unmarshal(m.Payload, &v); err != nil {
		return v, &edda.Error{Op: fmt.Sprintf("read message %s (type %s)", m.ID, m.Type), Reason: edda.BadJSON, Err: err}
	}
	return v, nil
}

// failure is the payload of a message of TypeError. The reason is one of Edda's, such as
// FAILED or DEAD, with the handler's own word at the beginning of the message; whoever
// answers without a handler may put a word of its own there.
type failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// ErrorOf returns the error that an answer of TypeError says, and nil for other messages:
// an *edda.Error with the reason, or Failed where that is none of Edda's, around an
// *edda.HandlerError with the handler's own word.
func ErrorOf(m *edda.StreamMessage) error {
	if m.Type != TypeError {
		return nil
	}
	return errorOf("", m)
}

// errorOf returns what a message of TypeError says: an *edda.Error with the reason,
// Failed when that is none of Edda's, around an *edda.HandlerError with the word.
func errorOf(op string, m *edda.StreamMessage) error {
	var f failure
	if err := json.Unmarshal(m.Payload, &f); err != nil {
		f.Message = string(m.Payload) // whatever it is, it is about a failure
	}
	h := &edda.HandlerError{Reason: f.Reason, Message: f.Message, Final: true}
	reason := edda.Reason(f.Reason)
	if reason.Code() == edda.CodeInternal && reason != edda.Internal {
		return &edda.Error{Op: op, Reason: edda.Failed, Err: h}
	}
	h.Reason = ""
	if word, rest, ok := strings.Cut(f.Message, ": "); ok && strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" {
		h.Reason, h.Message = word, rest
	}
	return &edda.Error{Op: op, Reason: reason, Err: h}
}
