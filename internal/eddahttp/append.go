package eddahttp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/httpheader"
	"github.com/edda-io/edda/internal/streamjson"
)

// batchType is the media type of messages to append, as the HTTP surface describes them.
const batchType = "application/vnd.edda.batch+json"

// Append makes messages durable, all or none. Principal does not count: it comes from
// the client's credentials.
func (c *Client) Append(ctx context.Context, a *edda.Append) (*edda.AppendAck, error) {
	op := "append to stream " + a.Stream
	x := exchange{op: op, method: http.MethodPost, path: c.Path("streams", a.Stream), header: placeHeader(a), unsure: true}
	alone := c.messages(&x, a.Messages)
	res, err := c.do(ctx, x)
	if err != nil {
		return nil, err
	}
	if res.status < 200 || res.status > 299 {
		return nil, c.refusal(op, res)
	}
	ack := &edda.AppendAck{Position: res.header.Get("Edda-Position"), Durability: edda.Durability(res.header.Get("Edda-Durability"))}
	var doc struct {
		streamjson.Appended
		Items []streamjson.Appended `json:"items"`
		Last  streamjson.Numbered   `json:"last"`
	}
	if err := c.decode(op, res, &doc); err != nil {
		return nil, err
	}
	if alone {
		doc.Items = []streamjson.Appended{doc.Appended}
		doc.Items[0].Replayed = res.header.Get("Idempotency-Replayed") == "true"
	}
	if len(doc.Items) != len(a.Messages) {
		return nil, fmt.Errorf("%s: %s: %w", op, c.base, errNoItems)
	}
	for i := range doc.Items {
		ack.Items = append(ack.Items, doc.Items[i].Result())
	}
	ack.Last = edda.Numbered(doc.Last)
	return ack, nil
}

// messages puts messages into an exchange; alone says that it is one, with what is said
// of it in headers.
func (c *Client) messages(x *exchange, ms []edda.StreamMessage) (alone bool) {
	if len(ms) == 1 && fitsHeader(&ms[0]) {
		c.messageHeader(x.header, &ms[0])
		x.payload = ms[0].Payload
		return true
	}
	x.header.Set("Content-Type", batchType)
	x.payload = streamjson.AppendBatch(nil, c.namespace, ms)
	return false
}

// placeHeader says where messages are to be, and what must hold there.
func placeHeader(a *edda.Append) http.Header {
	h := http.Header{}
	if a.Shard != "" {
		h.Set("Edda-Shard", a.Shard)
	}
	if a.Producer != "" {
		h.Set("Edda-Producer", url.PathEscape(a.Producer))
	}
	if a.IfLast != nil {
		h.Set("If-Match", strconv.Quote(strconv.FormatUint(*a.IfLast, 10)))
	}
	if a.IfEmpty {
		h.Set("If-None-Match", "*")
	}
	return h
}

// messageHeader puts all that is said of a message beside its payload.
func (c *Client) messageHeader(h http.Header, m *edda.StreamMessage) {
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	set("Edda-Type", m.Type)
	set("Edda-Key", url.PathEscape(m.Key))
	set("Edda-Id", m.ID)
	if m.Number != 0 {
		set("Edda-Number", strconv.FormatUint(m.Number, 10))
	}
	set("Edda-Source", m.Source)
	set("Content-Type", m.ContentType)
	set("Edda-Correlation-Id", m.CorrelationID)
	set("Traceparent", m.TraceParent)
	set("Tracestate", m.TraceState)
	if m.ReplyTo != (edda.Address{}) {
		set("Edda-Reply-To", streamjson.ReplyTo(c.namespace, m.ReplyTo))
	}
	if !m.Time.IsZero() {
		set("Edda-Time", m.Time.UTC().Format(time.RFC3339Nano))
	}
	for _, e := range m.Headers {
		h.Add("Edda-Header-"+e.Name, e.Value)
	}
}

// fitsHeader reports whether all that is said of a message can stand in headers as it
// is; else it is sent as a batch of one.
func fitsHeader(m *edda.StreamMessage) bool {
	for _, v := range [...]string{m.Type, m.ID, m.Source, m.ContentType, m.CorrelationID, m.TraceParent, m.TraceState} {
		if !plain(v) {
			return false
		}
	}
	for i, e := range m.Headers {
		// Names of headers are written in one way only, and those that stand twice are joined.
		if !httpheader.IsToken(e.Name) || http.CanonicalHeaderKey(e.Name) != e.Name || !plain(e.Value) || m.Headers[:i].Get(e.Name) != "" {
			return false
		}
	}
	return m.CausationID.IsZero() && !isMessages(m.ContentType)
}

// isMessages reports whether a body of the content type would be taken for messages, not
// for the payload of one.
func isMessages(contentType string) bool {
	t := strings.ToLower(contentType)
	return strings.HasPrefix(t, "application/cloudevents") || strings.HasPrefix(t, batchType)
}

// plain reports whether a header can hold the value: ASCII with no space at either end.
func plain(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return strings.TrimSpace(v) == v
}
