package httpgw

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/jsonbody"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/cloudevents"
	"github.com/edda-io/edda/internal/specjson"
	"github.com/edda-io/edda/internal/streamjson"
	"go.opentelemetry.io/otel/attribute"
)

// Media types of bodies that are messages, not the payload of one.
const (
	batchMedia      = "application/vnd.edda.batch+json"
	eventMedia      = cloudevents.MediaType
	eventBatchMedia = cloudevents.BatchMediaType
)

// appendMessages appends the message that the request is, or those that are in its body,
// and answers with where they are.
func (g *Gateway) appendMessages(x *exchange) error {
	a := &edda.Append{Namespace: x.namespace, Stream: x.args[0], Principal: x.grant.Principal}
	many, err := g.readMessages(x, a, attribute.String("edda.stream", a.Stream))
	if err != nil {
		return err
	}
	if len(a.Messages) == 0 { // a batch of no CloudEvents is one
		x.document(http.StatusOK, []byte(`{"items":[]}`))
		return nil
	}
	if err := x.mayAppend(a); err != nil {
		return err
	}
	ack, err := g.streams.Append(x.r.Context(), a)
	if err != nil {
		return err
	}
	x.appended(ack, many)
	return nil
}

// readMessages puts into the append what the request says, and its messages; where is for
// the span. Many says that they came as an array.
func (g *Gateway) readMessages(x *exchange, a *edda.Append, where attribute.KeyValue) (many bool, err error) {
	said, err := reqhead.Append(x.r.Header, a)
	if err != nil {
		return false, err
	}
	parent, state := g.trace(x, attribute.String("edda.namespace", x.namespace), where)
	if parent != "" {
		said.TraceParent, said.TraceState = parent, state
	}
	body, err := httpio.Body(x.w, x.r, g.opts.MaxBody)
	if err != nil {
		return false, err
	}
	return x.messages(a, said, body)
}

// messages puts the messages of the body into the append. What the headers say holds for
// those that do not say it themselves. Many says that they came as an array.
func (x *exchange) messages(a *edda.Append, said *edda.StreamMessage, body []byte) (many bool, err error) {
	contentType := x.r.Header.Get("Content-Type")
	mode, err := cloudevents.ModeOf(contentType)
	if err != nil {
		return false, err
	}
	var one edda.StreamMessage
	switch {
	case mode == cloudevents.Batch:
		many = true
		a.Messages, err = cloudevents.Events(body)
	case isBatch(contentType):
		many = true
		if a.Messages, err = specjson.Messages(x.namespace, body); err == nil {
			err = checkBatch(a.Messages)
		}
	case mode == cloudevents.Structured:
		one, err = cloudevents.Event(body)
	case cloudevents.IsBinary(x.r.Header):
		one, err = cloudevents.Binary(x.r.Header, body)
	default:
		said.ContentType, said.Payload = contentType, body
		a.Messages = []edda.StreamMessage{*said}
		return false, httpio.CheckText("Content-Type", contentType)
	}
	if err != nil {
		return many, err
	}
	if !many {
		if err := sameEvent(said, &one); err != nil {
			return false, err
		}
		one.Number = said.Number
		a.Messages = []edda.StreamMessage{one}
	} else if err := notOfMany(said); err != nil {
		return true, err
	}
	for i := range a.Messages {
		complete(&a.Messages[i], said)
	}
	return many, nil
}

func isBatch(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(t), batchMedia)
}

// notOfMany refuses headers that only one message can have.
func notOfMany(said *edda.StreamMessage) error {
	switch {
	case said.ID != "":
		return refuse(edda.BadValue, "Edda-Id is one message's: in an array each has its own id")
	case said.Number != 0:
		return refuse(edda.BadValue, "Edda-Number is one message's: in an array each has its own number")
	}
	return nil
}

// sameEvent refuses headers that name the event otherwise than it does itself.
func sameEvent(said, event *edda.StreamMessage) error {
	switch {
	case said.ID != "" && said.ID != event.ID:
		return refuse(edda.BadValue, "Edda-Id is not the event's id")
	case said.Type != "" && said.Type != event.Type:
		return refuse(edda.BadValue, "Edda-Type is not the event's type")
	}
	return nil
}

// complete adds to a message what the headers say and it does not.
func complete(m, said *edda.StreamMessage) {
	set := func(into *string, v string) {
		if *into == "" {
			*into = v
		}
	}
	set(&m.Type, said.Type)
	set(&m.Key, said.Key)
	set(&m.Source, said.Source)
	set(&m.CorrelationID, said.CorrelationID)
	m.Principal = said.Principal
	if m.ReplyTo == (edda.Address{}) {
		m.ReplyTo = said.ReplyTo
	}
	if m.Time.IsZero() {
		m.Time = said.Time
	}
	if m.TraceParent == "" {
		m.TraceParent, m.TraceState = said.TraceParent, said.TraceState
	}
	own := len(m.Headers)
	for _, h := range said.Headers {
		if !hasHeader(m.Headers[:own], h.Name) {
			m.Headers = append(m.Headers, h)
		}
	}
}

func hasHeader(hs edda.Headers, name string) bool {
	for _, h := range hs {
		if strings.EqualFold(h.Name, name) {
			return true
		}
	}
	return false
}

// checkBatch refuses a batch of nothing, and a trace context that nobody could go on
// with.
func checkBatch(messages []edda.StreamMessage) error {
	if len(messages) == 0 {
		return refuse(edda.BadValue, "the array has no messages, must have at least one")
	}
	for i := range messages {
		if p := messages[i].TraceParent; p != "" && !httpio.ValidTraceParent(p) {
			return jsonbody.Bad("["+strconv.Itoa(i)+"].traceparent", "a W3C trace context")
		}
	}
	return nil
}

// mayAppend checks that the principal may append to where replies are to go, too.
func (x *exchange) mayAppend(a *edda.Append) error {
	var last edda.Address
	for i := range a.Messages {
		to := a.Messages[i].ReplyTo
		if to == last {
			continue
		}
		if to != (edda.Address{}) {
			if err := x.grant.CheckAppend(to.Namespace, to.Name); err != nil {
				return err
			}
		}
		last = to
	}
	return nil
}

// appended answers with where the messages are.
func (x *exchange) appended(ack *edda.AppendAck, many bool) {
	replayed, last := true, &ack.Items[len(ack.Items)-1]
	for i := range ack.Items {
		if it := &ack.Items[i]; !it.Replayed {
			replayed, last = false, it // their offsets rise
		}
	}
	h := x.w.Header()
	if !last.Unknown {
		h["Etag"] = []string{httpio.OffsetTag(last.Offset)}
	}
	h["Edda-Position"] = []string{ack.Position}
	h["Edda-Durability"] = []string{string(ack.Durability)}
	status := http.StatusCreated
	if replayed {
		status = http.StatusOK
		h["Idempotency-Replayed"] = httpio.Yes
	}
	if !many {
		item := ack.Items[0]
		item.Replayed = false // the answer is the first one's
		x.document(status, streamjson.AppendLast(streamjson.AppendAppended(make([]byte, 0, 128), &item, ack.Position), &ack.Last))
		return
	}
	b := append(make([]byte, 0, 128*len(ack.Items)), `{"items":[`...)
	for i := range ack.Items {
		if i > 0 {
			b = append(b, ',')
		}
		at := ack.Position
		if ack.Items[i].Replayed && !replayed {
			at = "" // it is in an earlier record, and not known here
		}
		b = streamjson.AppendAppended(b, &ack.Items[i], at)
	}
	x.document(status, streamjson.AppendLast(append(b, ']', '}'), &ack.Last))
}
