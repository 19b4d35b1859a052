package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/sagaid"
)

// stepMessage handles a message of a stream on which messages finish steps. One that
// names no step, or that comes late or again, is passed over; one without the right to
// finish its step is a dead letter.
func (n *Node) stepMessage(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
	h := edda.StepHeaders(m.Headers)
	if h == nil {
		return nil, nil
	}
	id, step, key := h[0].Value, h[1].Value, h[2].Value
	ref, err := sagaid.Ref(m.To.Namespace, id)
	if err != nil {
		return nil, nil
	}
	q, err := n.queueOf(ctx, ref, step)
	if err != nil || q == nil {
		return nil, err
	}
	var r edda.StepResult
	switch stream := ctx.Delivery().Stream; {
	case stream == q.Failure, stream == q.Success && m.Type == errorReply:
		r.Error = errorOf(m.Payload)
	case stream == q.Success:
		r = resultOf(m.Payload)
	default:
		return nil, nil
	}
	r.CompletionKey = key
	_, err = n.FinishStep(ctx, ref.Namespace, ref.ID, step, r)
	if edda.ReasonOf(err) == edda.TooLarge {
		r.Result, r.Error = nil, &edda.StepError{Reason: edda.TooLarge, Message: bareText(err)}
		_, err = n.FinishStep(ctx, ref.Namespace, ref.ID, step, r)
	}
	switch edda.ReasonOf(err) {
	case edda.NoSaga, edda.NoStep:
		return nil, nil // it was removed meanwhile
	case edda.NotAllowed:
		return nil, edda.Final(string(edda.NotAllowed), "the completion key is not that of step %s of saga %s", step, id)
	}
	return nil, err
}

// errorReply is the type of the message by which a group, or a consumer, says in place of a
// reply that there will be none.
const errorReply = "error"

// queueOf returns where the message of a step goes; nil when there is no such step, or it
// is no message.
func (n *Node) queueOf(ctx context.Context, ref sagafold.Ref, step string) (q *edda.QueueSpec, err error) {
	const op = "look up step"
	p := n.sagaHome(ref)
	var failed error
	err = n.inPartition(ctx, p, op, func() {
		s, err := p.sagas.Get(ref.Namespace, ref.ID, p.now())
		if err != nil {
			failed = errInternal(op, err)
			return
		}
		if s == nil {
			return
		}
		if i, ok := s.StepIndex(step); ok {
			q = s.Queue(i)
		}
	})
	if err != nil {
		return nil, err
	}
	return q, failed
}

// resultOf is what a message of success says. One that is no JSON fails the step, like the
// reply of a handler.
func resultOf(data []byte) (r edda.StepResult) {
	switch data = bytes.TrimSpace(data); {
	case len(data) == 0:
	case json.Valid(data):
		r.Result = data
	default:
		r.Error = &edda.StepError{Reason: edda.Failed, Message: "the result is not JSON: " + textOf(data)}
	}
	return r
}

// errorOf is what a message of failure says: an object with a message, and perhaps a
// reason, a text as JSON, or the text itself.
func errorOf(data []byte) *edda.StepError {
	e := &edda.StepError{Reason: edda.Failed}
	var v struct {
		Reason  edda.Reason `json:"reason"`
		Message *string     `json:"message"`
	}
	switch data = bytes.TrimSpace(data); {
	case json.Unmarshal(data, &v) == nil && v.Message != nil:
		e.Message = *v.Message
		if edda.CheckName("reason", string(v.Reason)) == nil {
			e.Reason = v.Reason
		}
	case json.Unmarshal(data, &e.Message) == nil:
	default:
		e.Message = textOf(data)
	}
	return e
}

// textOf is what somebody else wrote, if it is text.
func textOf(data []byte) string {
	if !utf8.Valid(data) {
		return fmt.Sprintf("%d bytes that are not text", len(data))
	}
	return clipText(string(data))
}

// bareText is why an error came about, without what was being done.
func bareText(err error) string {
	if e, ok := errors.AsType[*edda.Error](err); ok && e.Err != nil {
		return e.Err.Error()
	}
	return err.Error()
}
