package eddahttp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// Call is a call to a service.
type Call struct {
	// To is the service, and for an ordered one the key. Its namespace is the
	// client's.
	To     edda.Address
	Method string
	// Headers reach the handler.
	Headers     edda.Headers
	ContentType string
	Payload     []byte

	IdempotencyKey string
	CorrelationID  string
	// Delay comes before the first attempt.
	Delay time.Duration
	// Deadline is after how long the request is not worth handling any more; never
	// when zero.
	Deadline time.Duration
	// Async asks for an acknowledgement as soon as the request is durable.
	Async bool
	// Wait is how long to listen, in whole seconds, rounded up. Zero is the node's
	// default (30 s), or not at all when Async. With both, the reply comes if it
	// comes in time, and else an acknowledgement.
	Wait time.Duration
}

// Answer is what came back: a reply or an acknowledgement.
type Answer struct {
	// Reply is nil when the request was acknowledged, and Ack when it was replied to.
	Reply *edda.Reply
	Ack   *edda.Ack
	// Durability is how durable the request is.
	Durability edda.Durability
}

// Call sends a call. A handler's reply is no error, whatever its status.
func (c *Client) Call(ctx context.Context, call Call) (*Answer, error) {
	op := "call " + call.To.String() + " " + call.Method
	if err := call.To.Validate(); err != nil {
		return nil, err
	}
	if err := edda.CheckName("method", call.Method); err != nil {
		return nil, err
	}
	res, err := c.do(ctx, exchange{
		op: op, method: http.MethodPost, path: c.CallPath(call.To, call.Method),
		header: call.header(), payload: call.Payload, unsure: true,
	})
	if err != nil {
		return nil, err
	}
	return c.answer(op, res)
}

// CallPath returns the path that a call is posted to.
func (c *Client) CallPath(to edda.Address, method string) string {
	if to.Key == "" {
		return c.Path("call", to.Name, method)
	}
	return c.Path("call", to.Name, to.Key, method)
}

// header returns the headers that say how the call is to be made.
func (c Call) header() http.Header {
	h := http.Header{}
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	set("Content-Type", c.ContentType)
	set("Idempotency-Key", c.IdempotencyKey)
	set("Edda-Correlation-Id", c.CorrelationID)
	set("Prefer", c.prefer())
	if c.Delay > 0 {
		set("Edda-Delay", c.Delay.String())
	}
	if c.Deadline > 0 {
		set("Edda-Deadline", c.Deadline.String())
	}
	for _, e := range c.Headers {
		h.Add("Edda-Header-"+e.Name, e.Value)
	}
	return h
}

func (c Call) prefer() string {
	var p []string
	if c.Async {
		p = append(p, "respond-async")
	}
	if c.Wait > 0 {
		p = append(p, "wait="+strconv.FormatInt(int64((c.Wait+time.Second-1)/time.Second), 10))
	}
	return strings.Join(p, ", ")
}

// answer reads a reply, an acknowledgement or a problem.
func (c *Client) answer(op string, res *response) (*Answer, error) {
	if e := problem(op, res); e != nil {
		return nil, e
	}
	a := &Answer{Durability: edda.Durability(res.header.Get("Edda-Durability"))}
	if res.status == http.StatusAccepted && res.header.Get("Edda-Attempts") == "" {
		a.Ack = &edda.Ack{}
		if err := json.Unmarshal(res.body, a.Ack); err != nil {
			return nil, fmt.Errorf("%s: %s answered 202 with something else than its JSON: %w", op, c.base, err)
		}
		return a, nil
	}
	id, err := edda.ParseID(res.header.Get("Edda-Request-Id"))
	if err != nil {
		return nil, c.refusal(op, res)
	}
	a.Reply = &edda.Reply{
		Status: res.status, Headers: replyHeaders(res.header),
		ContentType: res.header.Get("Content-Type"), Payload: res.body,
		RequestID: id, Position: res.header.Get("Edda-Position"),
		Attempts: number(res.header.Get("Edda-Attempts")),
		Replayed: res.header.Get("Idempotency-Replayed") == "true",
	}
	return a, nil
}

// replyHeaders returns the handler's own headers, without those of the node and
// of HTTP, in no particular order.
func replyHeaders(h http.Header) edda.Headers {
	var out edda.Headers
	for _, name := range slices.Sorted(maps.Keys(h)) {
		switch name {
		case "Content-Type", "Content-Length", "Date", "Idempotency-Replayed", "Preference-Applied", "Connection":
			continue
		}
		if strings.HasPrefix(name, "Edda-") {
			continue
		}
		for _, v := range h[name] {
			out.Add(name, v)
		}
	}
	return out
}

// Reply returns a request's reply, or its acknowledgement when there is none
// after the wait. Zero does not wait.
func (c *Client) Reply(ctx context.Context, id edda.ID, wait time.Duration) (*Answer, error) {
	op := "get the reply to request " + id.String()
	res, err := c.do(ctx, exchange{
		op: op, method: http.MethodGet, path: c.Path("requests", id.String(), "reply"), query: waiting(wait),
	})
	if err != nil {
		return nil, err
	}
	return c.answer(op, res)
}

func waiting(wait time.Duration) url.Values {
	if wait <= 0 {
		return nil
	}
	return url.Values{"wait": {wait.String()}}
}
