package routegw

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/streamjson"
	"github.com/edda-io/edda/stream"
	"go.opentelemetry.io/otel/attribute"
)

// keepReplies is how long replies are kept in a stream that a route creates for them.
const keepReplies = time.Hour

// append appends to the route's stream, and answers with the reply, or with where the
// message is.
func (x *exchange) append() error {
	deadline := time.Now().Add(x.route.Wait)
	a, err := x.message()
	if err != nil {
		return err
	}
	if err := x.prepare(); err != nil {
		return err
	}
	m := a.Messages[0] // the backend's from now on
	shard := cmp.Or(a.Shard, edda.DefaultShard)
	ack, err := x.g.streams.Append(x.r.Context(), a)
	if err != nil {
		return err
	}
	at := &ack.Items[0]
	h := x.w.Header()
	v := [...]string{at.ID, ack.Position, string(ack.Durability)}
	h["Edda-Id"], h["Edda-Position"], h["Edda-Durability"] = v[0:1:1], v[1:2:2], v[2:3:3]
	if at.Replayed {
		if at.Shard != shard {
			return errOtherMessage()
		}
		if err := x.same(&m); err != nil {
			return err
		}
		h["Idempotency-Replayed"] = httpio.Yes
	}
	if x.route.Async {
		x.appended(at, ack.Position)
		return nil
	}
	reply, err := x.await(at.ID, deadline)
	if err == nil {
		err = stream.ErrorOf(reply)
	}
	if err != nil {
		return err
	}
	return x.reply(reply)
}

// message makes a message of the request.
func (x *exchange) message() (*edda.Append, error) {
	rt := x.route
	a := &edda.Append{
		Namespace: rt.Namespace, Stream: rt.Stream, Principal: x.grant.Principal, Messages: make([]edda.StreamMessage, 1),
	}
	m := &a.Messages[0]
	var err error
	if m.Type, err = rt.method.value(x); err != nil {
		return nil, err
	}
	if m.Key, err = rt.key.value(x); err != nil {
		return nil, err
	}
	if a.Shard, err = rt.shard.value(x); err != nil {
		return nil, err
	}
	c, err := x.content()
	if err != nil {
		return nil, err
	}
	m.Principal, m.ReplyTo = x.grant.Principal, rt.replyTo
	m.Headers, m.ContentType, m.Payload = c.headers, c.contentType, c.payload
	if c.idempotencyKey != "" {
		m.ID = messageID(x.grant.Principal, c.idempotencyKey)
	}
	m.TraceParent, m.TraceState = x.trace(attribute.String("edda.stream", rt.Stream), attribute.String("edda.type", m.Type))
	return a, nil
}

// messageID returns the id of the message with an idempotency key: one that no other
// principal can name, because who names it gets the reply.
func messageID(p edda.Principal, key string) string {
	sum := sha256.Sum256([]byte(string(p) + "\x00" + key))
	return "key." + base64.RawURLEncoding.EncodeToString(sum[:24])
}

func errOtherMessage() error {
	return refuse(edda.IdempotencyMismatch, "the key was used for another message on the stream")
}

// same refuses a request with an idempotency key that was another message's.
func (x *exchange) same(m *edda.StreamMessage) error {
	first, err := x.g.streams.AwaitMessage(x.r.Context(), x.route.Namespace, x.route.Stream, m.ID, 0)
	switch {
	case edda.ReasonOf(err) == edda.NoMessage: // it is not kept any more
		return nil
	case err != nil:
		return err
	case first.Type != m.Type || first.Key != m.Key || first.ContentType != m.ContentType || !bytes.Equal(first.Payload, m.Payload):
		return errOtherMessage()
	}
	return nil
}

// prepare sees to it, once, that there is a stream for replies, so that it does not come
// to be with the first of them and keep them for ever.
func (x *exchange) prepare() error {
	rt := x.route
	if rt.replyTo.Name == "" || rt.ready.Load() {
		return nil
	}
	ctx := x.r.Context()
	_, err := x.g.streams.Stream(ctx, rt.replyTo.Namespace, rt.replyTo.Name)
	if edda.ReasonOf(err) == edda.NoStream {
		_, _, err = x.g.streams.SetStream(ctx, edda.StreamSpec{
			Namespace: rt.replyTo.Namespace, Name: rt.replyTo.Name, Retention: edda.Retention{Age: keepReplies}, Dedupe: keepReplies,
		})
	}
	if err != nil {
		return err
	}
	rt.ready.Store(true)
	return nil
}

// await returns the message that replies to the one with the id.
func (x *exchange) await(id string, deadline time.Time) (*edda.StreamMessage, error) {
	to := x.route.replyTo
	for {
		wait := max(time.Until(deadline), 0)
		m, err := x.g.streams.AwaitMessage(x.r.Context(), to.Namespace, to.Name, id, wait)
		reason := edda.ReasonOf(err)
		over := !time.Now().Before(deadline)
		switch {
		case err == nil:
			return m, nil
		case reason == edda.NoStream && !over: // somebody has deleted it
			x.route.ready.Store(false)
			if err := x.prepare(); err != nil {
				return nil, err
			}
		case reason == edda.NoMessage && !over:
			return nil, refuse(edda.ReplyExpired, "the reply to message "+id+" is not kept any more")
		case reason == edda.NoMessage, reason == edda.NoStream, reason == edda.Timeout:
			return nil, &edda.Error{
				Reason: edda.Timeout, Err: fmt.Errorf("no reply came to %s within %v; message %s is stored, and goes on", to.Name, x.route.Wait, id),
			}
		default:
			return nil, err
		}
	}
}

// reply answers with a message that replies.
func (x *exchange) reply(m *edda.StreamMessage) error {
	status := http.StatusOK
	if len(m.Payload) == 0 {
		status = http.StatusNoContent
	}
	if s := m.Headers.Get(stream.HeaderStatus); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 200 || n > 599 {
			return refuse(edda.Failed, fmt.Sprintf("the reply to message %s has %s %q, must be 200 to 599", m.ID, stream.HeaderStatus, s))
		}
		status = n
	}
	x.status = status
	httpio.Headers(x.w.Header(), m.Headers, m.ContentType)
	httpio.Write(x.w, x.r, status, m.Payload)
	return nil
}

// appended answers 202 with where the message is. Location is where its reply will be.
func (x *exchange) appended(at *edda.Appended, position string) {
	if to := x.route.replyTo; to.Name != "" {
		x.w.Header()["Location"] = []string{httpio.MessagePath(to.Namespace, to.Name, at.ID)}
	}
	item := *at
	item.Replayed = false // the answer is the first one's
	x.status = http.StatusAccepted
	httpio.Document(x.w, x.r, x.status, streamjson.AppendAppended(make([]byte, 0, 128), &item, position))
}
