package stream

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/edda-io/edda"
)

// Mode says what becomes of what a consumer's handlers return.
type Mode string

// The modes of a consumer.
const (
	// Bidirectional: it is appended to the message's reply-to, or else to Consumer.To, as a
	// message with the same id and the type TypeReply; an empty one when the handler
	// returns nothing. Without either it is dropped. The default.
	Bidirectional Mode = "bidirectional"
	// OneWay: it is dropped.
	OneWay Mode = "one-way"
	// Route: it is appended to Consumer.To with the id, key, headers and reply-to of the
	// message it was made of, so that the last consumer of a chain can reply. A handler
	// that returns nothing routes nothing on.
	Route Mode = "route"
)

// Unknown says what becomes of messages whose type has no handler.
type Unknown string

// The choices for unknown types. None of them stops the consumer.
const (
	// Skip: they are acknowledged, and nothing else happens. The default.
	Skip Unknown = "skip"
	// DeadLetter: they are dead letters of the service STREAM/GROUP, with the reason
	// FAILED, and whoever waits for a reply gets an error.
	DeadLetter Unknown = "dead-letter"
	// ErrorReply: they are acknowledged, and an error goes to where the reply would go.
	ErrorReply Unknown = "error-reply"
)

// Consumer is a member of a consumer group that has a handler for each type of message.
// Make one with NewConsumer, set the fields that should not have their default, and
// host what Service returns; from then on the fields must not change. Handlers may be
// added, replaced and removed at any time, also while messages come.
//
// A handler is one as of a service, with everything that goes with it: one message of a
// key at a time, state of the key, retries by the group's policy, dead letters. What it
// returns, what it appends and sends, its changes of state and the acknowledgement of the
// message are kept together, or not at all.
type Consumer struct {
	// Group is the group, which is created, with its stream, where there is none when the
	// service is hosted. Of one that there is, the fields that are not zero are changed,
	// but for From.
	Group edda.GroupSpec
	// Concurrency is how many handlers run at a time. Zero means edda.DefaultConcurrency.
	Concurrency int
	// Mode is Bidirectional when empty.
	Mode Mode
	// To is where replies go whose message has no reply-to, or what a Route goes to: a
	// stream, and as its Key a shard of it. Errors go to the message's own reply-to alone,
	// unless they are of ErrorReply.
	To edda.Address
	// RouteType is the type of messages that a Route appends; they keep their type when
	// it is empty.
	RouteType string
	// Unknown is Skip when empty.
	Unknown Unknown

	mu       sync.RWMutex // guards what follows
	handlers map[string]edda.HandlerFunc
}

// NewConsumer returns a consumer of a group of a stream, without handlers. The group
// begins with the messages to come, unless Consumer.Group.From says otherwise; where it
// is there already, it goes on.
func NewConsumer(stream, group string) *Consumer {
	return &Consumer{Group: edda.GroupSpec{Stream: stream, Name: group}, handlers: map[string]edda.HandlerFunc{}}
}

// On sets the handler of a type, in place of one that there was. It is safe for
// concurrent use; handlers that run are not affected. A nil handler panics.
//
// A nil reply without an error is an empty reply. The status of a reply that has one is its
// header HeaderStatus.
func (c *Consumer) On(messageType string, h edda.HandlerFunc) {
	if h == nil {
		panic("stream: the handler of type " + messageType + " is nil")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers[messageType] = h
}

// Off removes the handler of a type, and reports whether there was one. It is safe for
// concurrent use.
func (c *Consumer) Off(messageType string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, there := c.handlers[messageType]
	delete(c.handlers, messageType)
	return there
}

// Types returns the types that have handlers, in order.
func (c *Consumer) Types() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Sorted(maps.Keys(c.handlers))
}

func (c *Consumer) handler(messageType string) edda.HandlerFunc {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.handlers[messageType]
}

// Handle is [Consumer.On] with a typed handler. In and Out are encoded as JSON. An empty
// payload is the zero value of In; one that is no In fails for good, with reason SCHEMA.
// Of type None, In takes no notice of the payload, and Out is an empty reply. As with
// edda.Handle, []byte is the payload as it is, and Out *edda.Reply the reply itself.
func Handle[In, Out any](c *Consumer, messageType string, fn func(ctx *edda.Context, in In) (Out, error)) {
	c.On(messageType, handler(fn))
}

// handler makes a handler of a typed one. The root has the rules for payloads.
func handler[In, Out any](fn func(*edda.Context, In) (Out, error)) edda.HandlerFunc {
	typed := edda.NewBalanced("typed")
	edda.Handle(typed, "typed", fn)
	h := typed.Method("typed").Handler
	_, noIn := any(*new(In)).(None)
	_, noOut := any(*new(Out)).(None)
	return func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if noIn && len(m.Payload) > 0 {
			without := *m
			without.Payload = nil
			m = &without
		}
		r, err := h(ctx, m)
		if noOut && err == nil {
			return nil, nil
		}
		return r, err
	}
}

// Service returns the consumer as a service, to be hosted by a node or a worker like any
// other. The error says which field makes no sense: BadName or BadValue.
func (c *Consumer) Service() (*edda.Service, error) {
	e := &ends{
		name: c.Group.Service(), mode: cmp.Or(c.Mode, Bidirectional), to: c.To, routeType: c.RouteType,
		unknown: cmp.Or(c.Unknown, Skip), handler: c.handler,
	}
	if err := e.validate(); err != nil {
		return nil, err
	}
	return service(c.Group, c.Concurrency, e.handle)
}

// service returns a service that consumes a group.
func service(g edda.GroupSpec, concurrency int, h edda.HandlerFunc) (*edda.Service, error) {
	s := edda.NewConsumer(g.Stream, g.Name)
	s.Namespace, s.Concurrency, *s.Group = g.Namespace, concurrency, g
	s.HandleAny(h)
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// ends is what a consumer does with a message from beginning to end, as its fields said
// when it was asked for its service.
type ends struct {
	name      string
	mode      Mode
	to        edda.Address
	routeType string
	unknown   Unknown
	handler   func(messageType string) edda.HandlerFunc
}

func (e *ends) validate() error {
	bad := func(format string, args ...any) error {
		return &edda.Error{Op: "check consumer " + e.name, Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
	}
	switch e.mode {
	case Bidirectional:
	case OneWay:
		if e.to != (edda.Address{}) {
			return bad("field To is %s, but a one-way consumer replies to nobody", e.to)
		}
	case Route:
		if e.to.Name == "" {
			return bad("field To is empty; a consumer that routes needs a stream to route to")
		}
	default:
		return bad("Mode %q is none of %s, %s, %s", e.mode, Bidirectional, OneWay, Route)
	}
	if e.routeType != "" && e.mode != Route {
		return bad("field RouteType is %q, but the consumer routes nothing", e.routeType)
	}
	switch e.unknown {
	case Skip, DeadLetter, ErrorReply:
	default:
		return bad("Unknown %q is none of %s, %s, %s", e.unknown, Skip, DeadLetter, ErrorReply)
	}
	return checkTo(e.to)
}

// checkTo checks a stream, and its shard, that is appended to; the zero address is none.
func checkTo(to edda.Address) error {
	if to == (edda.Address{}) {
		return nil
	}
	a := edda.Append{Namespace: to.Namespace, Stream: to.Name, Shard: to.Key, Messages: make([]edda.StreamMessage, 1)}
	return a.Validate()
}

// handle handles a message of any type.
func (e *ends) handle(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
	h := e.handler(m.Type)
	if h == nil {
		return nil, e.noHandler(ctx, m)
	}
	r, err := h(ctx, m)
	if err != nil {
		return nil, err
	}
	switch {
	case e.mode == Bidirectional:
		return nil, e.reply(ctx, m, TypeReply, r)
	case e.mode == Route && r != nil:
		return nil, e.route(ctx, m, r)
	}
	return nil, nil
}

func (e *ends) noHandler(ctx *edda.Context, m *edda.Message) error {
	why := fmt.Sprintf("%s has no handler for messages of the type %s", e.name, m.Type)
	switch e.unknown {
	case DeadLetter:
		return edda.Final(string(edda.NoMethod), "%s", why)
	case ErrorReply:
		b, err := json.Marshal(failure{Reason: string(edda.NoMethod), Message: why})
		if err != nil {
			return err
		}
		return e.reply(ctx, m, TypeError, &edda.Reply{ContentType: contentTypeJSON, Payload: b})
	default:
		return nil
	}
}

// reply answers a message, if there is anywhere to answer to.
func (e *ends) reply(ctx *edda.Context, m *edda.Message, messageType string, r *edda.Reply) error {
	to := m.ReplyTo
	var step edda.Headers // of a saga, which is to be finished by the reply
	switch {
	case to.Name != "":
		step = edda.StepHeaders(m.Headers)
		to.Namespace = cmp.Or(to.Namespace, edda.DefaultNamespace)
	case e.mode == Route || e.to.Name == "":
		return nil
	default:
		to = e.to
	}
	if r == nil {
		r = &edda.Reply{}
	}
	headers := append(slices.Clip(r.Headers), step...)
	if r.Status != 0 {
		headers = append(headers, edda.Header{Name: HeaderStatus, Value: strconv.Itoa(r.Status)})
	}
	return appendTo(ctx, to, edda.StreamMessage{
		ID: messageID(ctx), Type: messageType, Key: m.To.Key, Source: m.Source,
		Headers: headers, ContentType: r.ContentType, Payload: r.Payload,
	})
}

// route passes on what a handler made of a message.
func (e *ends) route(ctx *edda.Context, m *edda.Message, r *edda.Reply) error {
	headers := slices.Clone(m.Headers)
	for _, h := range r.Headers {
		headers.Set(h.Name, h.Value)
	}
	return appendTo(ctx, e.to, edda.StreamMessage{
		ID: messageID(ctx), Type: cmp.Or(e.routeType, m.Type), Key: m.To.Key, Source: m.Source, ReplyTo: m.ReplyTo,
		Headers: headers, ContentType: r.ContentType, Payload: r.Payload,
	})
}

// appendTo appends a message with the handler's outcome. What is refused, because it is
// too large above all, no other attempt will mend.
func appendTo(ctx *edda.Context, to edda.Address, m edda.StreamMessage) error {
	err := ctx.Append(&edda.Append{Namespace: to.Namespace, Stream: to.Name, Shard: to.Key, Messages: []edda.StreamMessage{m}})
	if err == nil {
		return nil
	}
	reason := edda.TooLarge
	if e, ok := errors.AsType[*edda.Error](err); ok {
		reason = e.Reason
	}
	return edda.Final(string(reason), "append to %s: %v", to, err)
}

// messageID returns the id of the message that is handled, which its answers have too.
func messageID(ctx *edda.Context) string {
	if d := ctx.Delivery(); d != nil {
		return d.ID
	}
	return ctx.RequestID().String()
}

// Received returns the message that a consumer's handler has, as it stands in the
// stream, and whether it is one of a stream. The caller must not change what it refers to.
func Received(ctx *edda.Context) (*edda.StreamMessage, bool) {
	d := ctx.Delivery()
	if d == nil {
		return nil, false
	}
	m := &edda.StreamMessage{Stream: d.Stream, Shard: d.Shard, Offset: d.Offset}
	m.Set(ctx.Message())
	m.ID = d.ID
	return m, true
}
