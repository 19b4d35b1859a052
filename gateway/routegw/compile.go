package routegw

import (
	"cmp"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/httpheader"
	"github.com/edda-io/edda/internal/inputschema"
	"github.com/edda-io/edda/internal/option"
	"github.com/rs/cors"
)

// compiled is a Route made ready for requests.
type compiled struct {
	Route
	pattern *pattern
	// method is that of the service, or the type of messages.
	method, key, shard source
	replyTo            edda.Address
	schema             *inputschema.Checker // nil: anything
	// headers are those that messages get, by their canonical names; nil: see Route.Headers.
	headers map[string]bool
	cors    *cors.Cors // nil: pages of no other origin
	limiter *limiter   // nil: no bound
	meter   *httpio.Meter
	// ready says that there is a stream for replies.
	ready atomic.Bool
}

// compile checks a route and makes it ready. The error names the field.
func compile(r Route, o *Options, have Backends) (*compiled, error) {
	rt := &compiled{Route: r}
	var err error
	if rt.pattern, err = parsePattern(r.Route); err != nil {
		return nil, err
	}
	rt.Namespace = cmp.Or(r.Namespace, edda.DefaultNamespace)
	if err := edda.CheckName("namespace", rt.Namespace); err != nil {
		return nil, field("Namespace", err)
	}
	switch {
	case (r.Service == "") == (r.Stream == ""):
		return nil, option.Errorf("it must have a %s or a %s, one of the two", option.Name("Service"), option.Name("Stream"))
	case r.Service != "":
		err = rt.toService(have)
	default:
		err = rt.toStream(have)
	}
	if err != nil {
		return nil, err
	}
	if err := rt.from(); err != nil {
		return nil, err
	}
	return rt, rt.limits(o)
}

// field says that an error is about a field; nil for nil.
func field(name option.Name, err error) error {
	if e, ok := errors.AsType[*edda.Error](err); ok && e.Err != nil {
		err = e.Err
	}
	return option.In(name, err)
}

func (rt *compiled) toService(have Backends) (err error) {
	switch {
	case have.Calls == nil:
		return field("Service", errors.New("there is no backend for calls"))
	case rt.Type != "":
		return option.Bad("Type", "is that of messages on streams: a service has a %s", option.Name("Method"))
	case rt.Shard != "":
		return option.Bad("Shard", "is of streams alone")
	case rt.ReplyTo != "":
		return option.Bad("ReplyTo", "is of streams alone")
	case rt.Method == "":
		return option.Bad("Method", "is empty")
	}
	if err := edda.CheckName("service", rt.Service); err != nil {
		return field("Service", err)
	}
	if rt.method, err = parseName("method", rt.Method, rt.pattern.params); err != nil {
		return field("Method", err)
	}
	if rt.method.kind == fromText {
		if err := edda.CheckName("method", rt.Method); err != nil {
			return field("Method", err)
		}
	}
	return nil
}

func (rt *compiled) toStream(have Backends) (err error) {
	switch {
	case have.Streams == nil:
		return field("Stream", errors.New("there is no backend for streams"))
	case rt.Method != "":
		return option.Bad("Method", "is that of a service: messages on streams have a %s", option.Name("Type"))
	}
	if err := edda.CheckName("stream", rt.Stream); err != nil {
		return field("Stream", err)
	}
	rt.Type = cmp.Or(rt.Type, edda.DefaultMessageType)
	if rt.method, err = parseName("type", rt.Type, rt.pattern.params); err != nil {
		return field("Type", err)
	}
	if rt.method.kind == fromText {
		probe := edda.Append{Stream: rt.Stream, Messages: []edda.StreamMessage{{Type: rt.Type}}}
		if err := probe.Validate(); err != nil {
			return field("Type", err)
		}
	}
	if rt.ReplyTo == "" && rt.Async {
		return nil
	}
	rt.replyTo = edda.Address{Namespace: rt.Namespace, Name: cmp.Or(rt.ReplyTo, rt.Stream+edda.RepliesSuffix)}
	if rt.replyTo.Name == rt.Stream {
		return field("ReplyTo", errors.New("replies need a stream of their own"))
	}
	return field("ReplyTo", edda.CheckName("stream", rt.replyTo.Name))
}

// from reads where the values of messages come from.
func (rt *compiled) from() (err error) {
	if rt.key, err = parseSource("key", rt.Key, rt.pattern.params); err != nil {
		return field("Key", err)
	}
	if rt.shard, err = parseSource("shard", rt.Shard, rt.pattern.params); err != nil {
		return field("Shard", err)
	}
	if rt.key.kind == fromText {
		if err := edda.CheckKey(rt.key.name); err != nil {
			return field("Key", err)
		}
	}
	if rt.shard.kind == fromText {
		if err := edda.CheckName("shard", rt.shard.name); err != nil {
			return field("Shard", err)
		}
	}
	for name, src := range map[option.Name]source{"Key": rt.key, "Shard": rt.shard} {
		if rt.Public && (src.kind == fromClaim || src.kind == fromPrincipal) {
			return field(name, errors.New("a public route knows nobody"))
		}
	}
	if rt.Headers == nil {
		return nil
	}
	rt.headers = make(map[string]bool, len(rt.Headers))
	for _, h := range rt.Headers {
		name := textproto.CanonicalMIMEHeaderKey(h)
		if !httpheader.IsToken(h) || httpheader.OfConnection(name) || strings.HasPrefix(name, "Edda-") {
			return field("Headers", fmt.Errorf("%q is no header that a message may get", h))
		}
		rt.headers[name] = true
	}
	return nil
}

// limits checks what bounds a request, and fills in what the options say.
func (rt *compiled) limits(o *Options) (err error) {
	if rt.Async && rt.Wait != 0 {
		return option.Bad("Wait", "is set, and %s too, with which nothing is waited for: leave one out", option.Name("Async"))
	}
	rt.Wait, rt.MaxBody = cmp.Or(rt.Wait, o.Wait), cmp.Or(rt.MaxBody, o.MaxBody)
	rt.Payload = cmp.Or(rt.Payload, Body)
	switch {
	case rt.Wait < 0 || rt.Wait > MaxWait:
		return option.Bad("Wait", "is %v, must be positive and at most %v", rt.Wait, MaxWait)
	case rt.MaxBody < 0:
		return option.Bad("MaxBody", "is %d, must be positive", rt.MaxBody)
	case rt.Payload != Body && rt.Payload != Request:
		return option.Bad("Payload", "is %q, must be %s or %s", rt.Payload, Body, Request)
	}
	if rt.Schema != nil {
		if rt.schema, err = inputschema.Compile(rt.Schema); err != nil {
			return field("Schema", err)
		}
	}
	if rt.CORS != nil {
		if err := rt.CORS.check(o.anonymous()); err != nil {
			return field("CORS", err)
		}
	}
	if rt.CORS = cmp.Or(rt.CORS, o.CORS); rt.CORS != nil {
		rt.cors = newCORS(rt.CORS, rt.pattern.method)
	}
	return field("Rate", rt.rateOf())
}

func (rt *compiled) rateOf() error {
	if rt.Rate == nil {
		return nil
	}
	r := *rt.Rate
	r.Per, r.Burst = cmp.Or(r.Per, time.Second), cmp.Or(r.Burst, r.Limit)
	switch {
	case r.Limit < 1:
		return option.Bad("Limit", "is %d, must be at least 1", r.Limit)
	case r.Per < 0:
		return option.Bad("Per", "is %v, must be positive", r.Per)
	case r.Burst < 0:
		return option.Bad("Burst", "is %d, must be positive", r.Burst)
	}
	rt.Rate, rt.limiter = &r, newLimiter(&r)
	return nil
}
