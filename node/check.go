package node

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// refuseCall is why a call is refused.
func refuseCall(to edda.Address, reason edda.Reason, format string, args ...any) *edda.Error {
	return &edda.Error{Op: "call " + to.String(), Reason: reason, Key: to.Key, Err: fmt.Errorf(format, args...)}
}

// checkKind decides whether a registered service has such a method, and a key exactly
// if it should.
func checkKind(to edda.Address, method string, v *view) *edda.Error {
	switch {
	case v.kind == edda.Ordered && to.Key == "":
		return refuseCall(to, edda.WrongKind, "service %s is ordered: a call names a key", to.Name)
	case v.kind == edda.Balanced && to.Key != "":
		return refuseCall(to, edda.WrongKind, "service %s is balanced: a call names no key", to.Name)
	case !v.knows(method):
		return refuseCall(to, edda.NoMethod, "service %s has no method %s, only %s", to.Name, method, strings.Join(v.methods, ", "))
	}
	return nil
}

// checkAgainst decides whether a message fits a registered service.
func (n *Node) checkAgainst(m *edda.Message, v *view) *edda.Error {
	bad := func(reason edda.Reason, format string, args ...any) *edda.Error {
		return refuseCall(m.To, reason, format, args...)
	}
	if err := edda.CheckName("method", m.Type); err != nil {
		return bad(edda.BadName, "%w", err)
	}
	if err := checkKind(m.To, m.Type, v); err != nil {
		return err
	}
	switch {
	case len(m.IdempotencyKey) > edda.MaxIdempotencyKeyBytes:
		return bad(edda.BadValue, "idempotency key has %d bytes, at most %d are allowed", len(m.IdempotencyKey), edda.MaxIdempotencyKeyBytes)
	case !m.Deadline.IsZero() && !m.Deadline.After(time.Now()):
		return bad(edda.DeadlineExceeded, "the deadline %s has passed already", m.Deadline.UTC().Format(time.RFC3339Nano))
	}
	if m.Due.After(lastTime) || m.Deadline.After(lastTime) {
		return bad(edda.BadValue, "due time and deadline must be before %s", lastTime.Format(time.RFC3339))
	}
	if payload, headers := sizes(m); payload > n.opts.Limits.PayloadBytes {
		return bad(edda.TooLarge, "the payload has %d bytes, at most %d are allowed", payload, n.opts.Limits.PayloadBytes)
	} else if headers > maxHeaderBytes {
		return bad(edda.TooLarge, "the headers have %d bytes, at most %d are allowed", headers, maxHeaderBytes)
	}
	return checkSchema(m, v)
}

// checkSchema decides whether a message's payload is what its method takes.
func checkSchema(m *edda.Message, v *view) *edda.Error {
	if v.schemas == nil {
		return nil
	}
	err := v.schemas.Check(m.Type, m.ContentType, m.Payload)
	if err == nil {
		return nil
	}
	e := refuseCall(m.To, edda.BadSchema, "%w", err)
	if own, ok := errors.AsType[*edda.Error](err); ok {
		e.Reason = own.Reason
	}
	return e
}

// lastTime is the last time that fits Unix nanoseconds, in which the log keeps
// times.
var lastTime = time.Unix(0, math.MaxInt64).UTC()

// maxHeaderBytes bounds the headers of one message.
const maxHeaderBytes = 64 << 10

// sizes returns the bytes of a message's payload and of its headers.
func sizes(m *edda.Message) (payload, headers int) {
	payload = len(m.Payload)
	for _, f := range m.Frames {
		payload += len(f)
	}
	for _, h := range m.Headers {
		headers += len(h.Name) + len(h.Value)
	}
	return payload, headers
}
