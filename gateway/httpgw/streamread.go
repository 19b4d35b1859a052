package httpgw

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/cloudevents"
	"github.com/edda-io/edda/internal/streamjson"
)

// tailBytes bounds what a reader of events has of messages in memory at a time.
const tailBytes = 1 << 20

// asksForMessages reports whether a request wants a stream's messages, and not what the
// stream is.
func (x *exchange) asksForMessages(q url.Values) bool {
	for _, name := range [...]string{"shard", "from", "limit", "wait"} {
		if q.Has(name) {
			return true
		}
	}
	accept := x.r.Header["Accept"]
	return reqhead.AcceptsEvents(accept) || reqhead.Accepts(accept, eventBatchMedia)
}

// readStream answers with messages as a page, or as events as they come.
func (g *Gateway) readStream(x *exchange, q url.Values) error {
	if err := x.grant.CheckRead(x.namespace, x.args[0]); err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	r := edda.Read{
		Namespace: x.namespace, Stream: x.args[0], Shard: q.Get("shard"), From: edda.From(q.Get("from")), Limit: p.Limit,
	}
	if q.Has("from") {
		if err := reqhead.Place("from", r.From); err != nil {
			return err
		}
	}
	if r.Wait, err = x.waitOf(q); err != nil {
		return err
	}
	if reqhead.AcceptsEvents(x.r.Header["Accept"]) {
		return g.tailFrom(x, r)
	}
	got, err := g.streams.ReadStream(x.r.Context(), r)
	if err != nil {
		return err
	}
	if reqhead.Accepts(x.r.Header["Accept"], eventBatchMedia) {
		return x.eventBatch(got)
	}
	b := append(make([]byte, 0, 4<<10), `{"items":[`...)
	for i := range got.Messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = streamjson.AppendMessage(b, x.namespace, &got.Messages[i])
	}
	b = appendNumber(b, `],"first":`, got.First)
	b = appendNumber(b, `,"next":`, got.Next)
	x.document(http.StatusOK, append(appendNumber(b, `,"end":`, got.End), '}'))
	return nil
}

func appendNumber(b []byte, before string, n uint64) []byte {
	return strconv.AppendUint(append(b, before...), n, 10)
}

// eventBatch answers with messages as CloudEvents; where they are is in headers, because
// a batch has no room for it.
func (x *exchange) eventBatch(p *edda.StreamPage) error {
	h := x.w.Header()
	for name, n := range map[string]uint64{"Edda-First": p.First, "Edda-Next": p.Next, "Edda-End": p.End} {
		h[name] = []string{strconv.FormatUint(n, 10)}
	}
	x.typed(eventBatchMedia, cloudevents.AppendEvents(nil, x.streamPath(x.args[0]), p.Messages))
	return nil
}

// typed answers 200 with a body of a type.
func (x *exchange) typed(media string, b []byte) {
	h := x.w.Header()
	h["Content-Type"] = []string{media}
	h["Cache-Control"] = httpio.NoStore
	x.write(http.StatusOK, b)
}

// tailFrom resolves where a stream of events begins: after the last one that the reader
// has seen, else where the query says, else at the end.
func (g *Gateway) tailFrom(x *exchange, r edda.Read) error {
	switch last := x.r.Header.Get("Last-Event-ID"); {
	case last != "":
		n, err := strconv.ParseUint(last, 10, 64)
		if err != nil || n+1 == 0 {
			return refuse(edda.BadValue, "Last-Event-ID must be the offset of a message")
		}
		r.From = edda.FromOffset(n + 1)
	case r.From == "":
		r.From = edda.FromEnd
	}
	r.Limit, r.Bytes, r.Wait = reqhead.MaxLimit, tailBytes, 0
	first, err := g.streams.ReadStream(x.r.Context(), r)
	if err != nil {
		return err
	}
	return g.tail(x, r, first)
}

// tail writes an event for each message of a page, and of those that come after it. It
// returns when the reader leaves, or there can be no more. What a reader does not take
// is nowhere but in the stream.
func (g *Gateway) tail(x *exchange, r edda.Read, p *edda.StreamPage) error {
	x.waits = true
	x.w.Header()["Cache-Control"] = httpio.NoStore
	s := stream{x: x}
	defer s.close()
	s.begin(reqhead.EventStream)
	if x.r.Method == http.MethodHead {
		return nil
	}
	ctx, expire := x.whileKnown()
	defer expire()
	beat := time.Now().Add(heartbeat)
	var b []byte
	for {
		b = appendMessages(b[:0], x.namespace, p.Messages)
		if now := time.Now(); !now.Before(beat) {
			b = append(b, ": still here\n\n"...)
			beat = now.Add(heartbeat)
		}
		if s.write(b) != nil {
			return nil // nobody takes it
		}
		r.From, r.Wait = edda.FromOffset(p.Next), max(0, time.Until(beat)) // it may have taken long to write
		var err error
		if p, err = g.streams.ReadStream(ctx, r); err != nil {
			if ctx.Err() != nil && x.r.Context().Err() == nil {
				err = refuse(edda.NoCredentials, errExpired.Error())
			}
			_ = s.write(appendEvent("", streamjson.EndEvent, httpio.AppendProblem(nil, g.problem(x, err)))) // or nobody listens
			return nil
		}
	}
}

// appendMessages appends messages as events.
func appendMessages(b []byte, namespace string, messages []edda.StreamMessage) []byte {
	for i := range messages {
		m := &messages[i]
		b = append(appendNumber(b, "id: ", m.Offset), "\nevent: "...)
		b = append(append(b, eventName(m.Type)...), "\ndata: "...)
		b = append(streamjson.AppendMessage(b, namespace, m), '\n', '\n')
	}
	return b
}

// getMessage answers with the message to which its producer gave the id.
func (g *Gateway) getMessage(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	wait, err := x.waitOf(q)
	if err != nil {
		return err
	}
	m, err := g.streams.AwaitMessage(x.r.Context(), x.namespace, x.args[0], x.args[1], wait)
	if err != nil {
		return err
	}
	if reqhead.Accepts(x.r.Header["Accept"], eventMedia) {
		x.typed(eventMedia, cloudevents.AppendEvent(nil, x.streamPath(x.args[0]), m))
		return nil
	}
	x.document(http.StatusOK, streamjson.AppendMessage(nil, x.namespace, m))
	return nil
}
