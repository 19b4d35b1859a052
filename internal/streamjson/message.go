package streamjson

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// AppendMessage appends a message that was read in a namespace, as one line without
// line breaks.
func AppendMessage(b []byte, namespace string, m *edda.StreamMessage) []byte {
	b = append(b, `{"shard":`...)
	b = jsondata.AppendString(b, m.Shard)
	b = append(b, `,"offset":`...)
	b = strconv.AppendUint(b, m.Offset, 10)
	b = appendText(b, "id", m.ID)
	b = appendText(b, "type", m.Type)
	b = appendText(b, "principal", string(m.Principal))
	return append(appendContent(b, namespace, m), '}')
}

// AppendDelivery appends a message that a member of a group has been given.
func AppendDelivery(b []byte, namespace string, d *edda.Delivery) []byte {
	b = AppendMessage(b, namespace, &d.StreamMessage)
	b = appendText(b[:len(b)-1], "lease", d.Lease)
	b = append(b, `,"attempt":`...)
	b = strconv.AppendInt(b, int64(d.Attempt), 10)
	return append(b, '}')
}

// AppendBatch appends messages that are to be appended to a stream of a namespace, as
// an array. What the node alone says of a message, where it is and whose, is left out.
func AppendBatch(b []byte, namespace string, messages []edda.StreamMessage) []byte {
	b = append(b, '[')
	for i := range messages {
		if i > 0 {
			b = append(b, ',')
		}
		m := &messages[i]
		b = append(b, `{"type":`...)
		b = jsondata.AppendString(b, cmp.Or(m.Type, edda.DefaultMessageType))
		b = appendText(b, "id", m.ID)
		if m.Number != 0 {
			b = strconv.AppendUint(append(b, `,"number":`...), m.Number, 10)
		}
		b = append(appendContent(b, namespace, m), '}')
	}
	return append(b, ']')
}

// appendContent appends the members that are the producer's to say.
func appendContent(b []byte, namespace string, m *edda.StreamMessage) []byte {
	b = appendText(b, "key", m.Key)
	b = appendText(b, "source", m.Source)
	if m.ReplyTo != (edda.Address{}) {
		b = appendText(b, "replyTo", ReplyTo(namespace, m.ReplyTo))
	}
	if len(m.Headers) > 0 {
		b = appendValue(append(b, `,"headers":`...), jsondata.Headers(m.Headers))
	}
	b = appendText(b, "contentType", m.ContentType)
	b = appendText(b, "correlationId", m.CorrelationID)
	if !m.CausationID.IsZero() {
		b = appendText(b, "causationId", m.CausationID.String())
	}
	b = appendText(b, "traceparent", m.TraceParent)
	b = appendText(b, "tracestate", m.TraceState)
	if !m.Time.IsZero() {
		b = append(b, `,"time":"`...)
		b = append(m.Time.UTC().AppendFormat(b, time.RFC3339Nano), '"')
	}
	return appendData(b, jsondata.Encode(m.ContentType, m.Payload))
}

func appendText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return jsondata.AppendString(b, value)
}

func appendValue(b []byte, h jsondata.Headers) []byte {
	v, err := h.MarshalJSON()
	if err != nil {
		return append(b, '{', '}') // it knows no error
	}
	return append(b, v...)
}

func appendData(b []byte, d jsondata.Data) []byte {
	switch {
	case d.Base64 != nil:
		b = append(b, `,"dataBase64":"`...)
		return append(base64.StdEncoding.AppendEncode(b, d.Base64), '"')
	case d.Value == nil:
		return b
	}
	b = append(b, `,"data":`...)
	if !bytes.ContainsAny(d.Value, "\r\n") {
		return append(b, d.Value...)
	}
	// Line breaks in JSON stand only where white space does not count.
	buf := bytes.NewBuffer(b)
	if json.Compact(buf, d.Value) != nil {
		return append(b, "null"...) // it is JSON
	}
	return buf.Bytes()
}

// Item is a message as it is read.
type Item struct {
	Shard         string           `json:"shard"`
	Offset        uint64           `json:"offset"`
	ID            string           `json:"id"`
	Type          string           `json:"type"`
	Principal     edda.Principal   `json:"principal"`
	Key           string           `json:"key"`
	Source        string           `json:"source"`
	ReplyTo       string           `json:"replyTo"`
	Headers       jsondata.Headers `json:"headers"`
	ContentType   string           `json:"contentType"`
	CorrelationID string           `json:"correlationId"`
	CausationID   edda.ID          `json:"causationId"`
	TraceParent   string           `json:"traceparent"`
	TraceState    string           `json:"tracestate"`
	Time          time.Time        `json:"time"`
	jsondata.Data
	Lease   string `json:"lease"`
	Attempt int    `json:"attempt"`
}

// Message returns the message of a namespace that the item stands for.
func (i *Item) Message(namespace string) (edda.StreamMessage, error) {
	m := edda.StreamMessage{
		ID: i.ID, Shard: i.Shard, Offset: i.Offset, Type: i.Type, Key: i.Key, Source: i.Source, Principal: i.Principal,
		Headers: edda.Headers(i.Headers), ContentType: i.ContentType, CorrelationID: i.CorrelationID, CausationID: i.CausationID,
		TraceParent: i.TraceParent, TraceState: i.TraceState, Time: i.Time,
	}
	var err error
	if i.ReplyTo != "" {
		if m.ReplyTo, err = ParseReplyTo(namespace, i.ReplyTo); err != nil {
			return m, err
		}
	}
	m.Payload, err = i.Decode(i.ContentType)
	return m, err
}

// Delivery returns the message with its lease.
func (i *Item) Delivery(namespace string) (edda.Delivery, error) {
	m, err := i.Message(namespace)
	return edda.Delivery{StreamMessage: m, Lease: i.Lease, Attempt: i.Attempt}, err
}

// Page is what was read of a shard.
type Page struct {
	Items            []Item
	First, Next, End uint64
}

// EndEvent is the name of the event that says, in a problem document, why there are no
// more messages in a stream of events. Other events are named like their messages.
const EndEvent = "edda.error"
