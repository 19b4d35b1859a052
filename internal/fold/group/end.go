package group

import (
	"cmp"
	"encoding/json"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
)

// errorType is the type of the message that tells whoever waits for a reply that there
// will be none.
const errorType = "error"

// DeliveryEnded says that a message is done with, and takes in more when it is time.
// When it has died whoever waits for a reply is told, once: a letter that is retried
// and dies again has nothing to add.
func (m *Machine) DeliveryEnded(r *request.Request) error {
	if g := m.groups[r.Delivery.Group]; g != nil {
		if h, ok := g.open[r.ID]; ok {
			g.release(r.ID, h)
			if err := m.goOn(g); err != nil {
				return err
			}
		}
	}
	if r.State != edda.StateDead || r.Delivery.Retried {
		return nil
	}
	msg, err := r.Load(m.env.Table)
	if err != nil {
		return err
	}
	if msg.ReplyTo.Name == "" {
		return nil
	}
	return m.replyError(r, msg)
}

// replyError appends an error to the stream that a message's reply is to go to. It has
// the message's id, as a reply would.
func (m *Machine) replyError(r *request.Request, msg *edda.Message) error {
	payload, err := json.Marshal(struct {
		Reason  edda.Reason `json:"reason"`
		Message string      `json:"message"`
	}{cmp.Or(r.Failure.Reason, edda.Dead), r.Failure.Message})
	if err != nil {
		return err
	}
	reply := edda.StreamMessage{
		ID: r.Delivery.ID, Type: errorType, Key: msg.To.Key, Source: msg.To.Name, Principal: r.Principal,
		ContentType: "application/json", Payload: payload, Headers: edda.StepHeaders(msg.Headers),
		CorrelationID: msg.CorrelationID, CausationID: r.ID, TraceParent: msg.TraceParent, TraceState: msg.TraceState,
	}
	envelope := reply.Envelope()
	encoded, err := envelope.AppendBinary(make([]byte, 0, envelope.BinarySize()))
	if err != nil {
		return err
	}
	return m.streams.Send(&record.StreamAppended{
		Namespace: cmp.Or(msg.ReplyTo.Namespace, edda.DefaultNamespace), Stream: msg.ReplyTo.Name,
		Shard: cmp.Or(msg.ReplyTo.Key, edda.DefaultShard), Messages: [][]byte{encoded},
	})
}
