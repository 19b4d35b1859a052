package node

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold/request"
)

var (
	errKeyStopped    = errors.New("the key is stopped after a dead letter; the request is stored and goes on when the key is resumed")
	errServicePaused = errors.New("the service is paused; the request is stored and goes on when it is resumed")
	errNoWorker      = errors.New("no worker handles the service; the request is stored and goes on when one does")
	errWaitOver      = errors.New("the wait was over")
	errNodeStopped   = errors.New("the node stopped")
)

// appendError is an append that did not end durable.
type appendError struct{ result engine.Result }

func (e *appendError) Error() string {
	return fmt.Sprintf("%s: %v", e.result.Outcome, e.result.Err)
}

func (e *appendError) Unwrap() error { return e.result.Err }

// forCall is what a caller is told whose record was in the batch. Only an
// unknown outcome leaves open whether it was stored.
func (e *appendError) forCall(c *call) *edda.Error {
	out := &edda.Error{Op: "append", Reason: edda.Unavailable, RetryAfter: time.Second, Err: e}
	if e.result.Outcome == engine.Unknown {
		out.Reason = edda.OutcomeUnknown
	}
	if c != nil && c.msg != nil {
		out.Op, out.Key = c.op(), c.msg.To.Key
		if out.Reason == edda.OutcomeUnknown {
			out.RequestID = c.msg.ID
		}
	}
	return out
}

// forSaga is forCall for a change of a saga.
func (e *appendError) forSaga(c *sagaChange) *edda.Error {
	out := e.forCall(nil)
	out.Op = c.op
	return out
}

func errOverloaded(c *call, why string) *edda.Error {
	return &edda.Error{Op: c.op(), Reason: edda.Overloaded, Key: c.msg.To.Key, RetryAfter: time.Second, Err: errors.New(why)}
}

func errKeyOverloaded(c *call) *edda.Error {
	return &edda.Error{Op: c.op(), Reason: edda.KeyOverloaded, Key: c.msg.To.Key, RetryAfter: time.Second,
		Err: errors.New("the key has too many unfinished requests")}
}

func errMismatch(c *call, known *request.Request) *edda.Error {
	return &edda.Error{Op: c.op(), Reason: edda.IdempotencyMismatch, Key: c.msg.To.Key,
		Err: fmt.Errorf("idempotency key %q was used for another request (%s): method, content type or body differ", c.msg.IdempotencyKey, known.ID)}
}

func errInternal(op string, err error) *edda.Error {
	return &edda.Error{Op: op, Reason: edda.Internal, Err: err}
}

// storedError is an error about a request that is stored.
func storedError(c *call, at place, reason edda.Reason, err error) *edda.Error {
	e := &edda.Error{Op: c.op(), Reason: reason, RequestID: at.id, Position: at.position(), RetryAfter: time.Second, Err: err}
	if c.msg != nil {
		e.Key = c.msg.To.Key
	}
	if reason == edda.Timeout {
		e.RetryAfter = 0
	}
	return e
}

func errNoService(m *edda.Message) error {
	return fmt.Errorf("service %q of namespace %q is not registered", m.To.Name, m.To.Namespace)
}

// errorOf is an error about a stored request.
func (p *partition) errorOf(r *request.Request, reason edda.Reason, err error) *edda.Error {
	return &edda.Error{Op: "call " + r.To.String(), Reason: reason, Key: r.To.Key, RequestID: r.ID,
		Position: position(p.id, r.Position()), RetryAfter: time.Second, Err: err}
}

// notRunning says why the node takes nothing.
func (n *Node) notRunning(op string) *edda.Error {
	if err := n.Err(); err != nil {
		return &edda.Error{Op: op, Reason: edda.Unavailable, RetryAfter: time.Second, Err: err}
	}
	return &edda.Error{Op: op, Reason: edda.Draining, RetryAfter: time.Second, Err: errors.New("the node is shutting down")}
}

func (n *Node) notDraining(m *edda.Message) error {
	if !n.draining.Load() {
		return nil
	}
	return n.notRunning("call " + m.To.String())
}

// outcome turns the result of a call into what Call and Wait return.
func (c *call) outcome() (*edda.Reply, error) {
	r := c.res
	if r.state == edda.StateSucceeded && !r.gone {
		return r.decodeReply(c)
	}
	if err := r.failed(c.op()); err != nil {
		return nil, err
	}
	e := r.error(c.op(), "the reply is not kept any more")
	e.Reason = edda.ReplyExpired
	return nil, e
}

// failed is the error that the request ended with; nil when it succeeded.
func (r *result) failed(op string) error {
	e := r.error(op, r.failure.Message)
	switch r.state {
	case edda.StateFailed:
		e.Reason = edda.Failed
		if r.failure.Reason == edda.DeadlineExceeded {
			e.Reason = edda.DeadlineExceeded
		}
	case edda.StateDead:
		e.Reason = edda.Dead
	case edda.StateCancelled:
		e.Reason = edda.Cancelled
	default:
		return nil
	}
	return e
}

// error is an error about how a request ended.
func (r *result) error(op, why string) *edda.Error {
	return &edda.Error{Op: op, Key: r.key, RequestID: r.id, Position: r.position(), Attempts: r.attempts, Replayed: r.joined, Err: errors.New(why)}
}

// decodeReply returns the reply of a request that succeeded.
func (r *result) decodeReply(c *call) (*edda.Reply, error) {
	reply := new(edda.Reply)
	if c.msg != nil {
		reply.ContentType = c.msg.ContentType // most of the time it is the same
	}
	if err := reply.UnmarshalBinary(r.reply); err != nil {
		return nil, errInternal(c.op(), err)
	}
	if r.shared {
		reply.Payload = bytes.Clone(reply.Payload)
	}
	reply.RequestID, reply.Position, reply.Attempts, reply.Replayed = r.id, r.position(), r.attempts, r.joined
	return reply, nil
}
