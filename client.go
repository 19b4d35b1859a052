package edda

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"
)

// Backend carries a client's calls to a node. The node is one, in process; so is
// a connection to a node elsewhere. All methods are safe for concurrent use, and
// return *Error. A message belongs to the backend from the call on: it may fill in
// what is missing, so it must not be sent twice. A Client makes a copy for each.
type Backend interface {
	// Send makes the message durable.
	Send(ctx context.Context, m *Message) (*Ack, error)
	// Call is Send, then Wait, in one go. The reply is not kept once it was
	// returned, unless the message has an idempotency key.
	Call(ctx context.Context, m *Message) (*Reply, error)
	// Wait returns the reply to a request, or the *Error it ended with.
	Wait(ctx context.Context, namespace string, id ID) (*Reply, error)
	// Request returns what is known of a request.
	Request(ctx context.Context, namespace string, id ID) (*Request, error)
	// Cancel ends a request at once.
	Cancel(ctx context.Context, namespace string, id ID) (*Request, error)
	// Parts yields the parts of a reply that come after one, then ends with the
	// request's outcome. See Client.Parts.
	Parts(ctx context.Context, namespace string, id ID, after PartID) iter.Seq2[Part, error]
}

// Ack is the acknowledgement of a request: it is stored as durably as
// Durability says, and will be handled.
type Ack struct {
	ID ID `json:"id"`
	// Position is the request's place in the log, opaque.
	Position   string     `json:"position"`
	Durability Durability `json:"durability"`
	AcceptedAt time.Time  `json:"acceptedAt"`
	// Joined says that the request was there before, under the same idempotency key
	// or id; Done that it has ended.
	Joined bool `json:"-"`
	Done   bool `json:"-"`
}

// Client sends requests to services in one namespace. It is immutable and safe
// for concurrent use. Inside a handler, pass the handler's context: what is sent
// is then causally linked to the request being handled. A request made that way
// is an effect outside the handler's outcome; use Context.Send for one inside.
type Client struct {
	backend   Backend
	namespace string
	principal Principal
}

// NewClient returns a client in the default namespace, as Anonymous.
func NewClient(b Backend) *Client { return &Client{backend: b} }

// In returns the same client in another namespace.
func (c *Client) In(namespace string) *Client {
	return &Client{backend: c.backend, namespace: namespace, principal: c.principal}
}

// As returns the same client for another principal. A node in another process
// takes the principal from the connection's credentials instead.
func (c *Client) As(p Principal) *Client {
	return &Client{backend: c.backend, namespace: c.namespace, principal: p}
}

// Send returns once the message is durable. The request is then handled even if
// nobody waits for it, and its reply is kept for 24 hours.
//
// Of the errors, OutcomeUnknown alone says that the request may have been stored.
func (c *Client) Send(ctx context.Context, m *Message) (*Ack, error) {
	return c.backend.Send(ctx, c.prepare(ctx, m))
}

// Call sends the message and returns the reply, whatever its status. When ctx
// ends first the error is Timeout, and the request goes on.
func (c *Client) Call(ctx context.Context, m *Message) (*Reply, error) {
	return c.backend.Call(ctx, c.prepare(ctx, m))
}

// Wait returns the reply to a request that was sent, or the error it ended with:
// Failed, Dead, Cancelled or DeadlineExceeded. When ctx ends first the error is
// Timeout.
func (c *Client) Wait(ctx context.Context, id ID) (*Reply, error) {
	return c.backend.Wait(ctx, c.namespace, id)
}

// Request returns what is known of a request; NoRequest when nothing is, or not
// any more.
func (c *Client) Request(ctx context.Context, id ID) (*Request, error) {
	return c.backend.Request(ctx, c.namespace, id)
}

// Cancel ends a request at once: it is not started any more, and a handler that
// is running is fenced. A request that has ended stays as it is.
func (c *Client) Cancel(ctx context.Context, id ID) (*Request, error) {
	return c.backend.Cancel(ctx, c.namespace, id)
}

// prepare copies the message and fills in what comes from the client and from
// the handler that it is used in.
func (c *Client) prepare(ctx context.Context, m *Message) *Message {
	sent := *m
	sent.To.Namespace = cmp.Or(sent.To.Namespace, c.namespace, DefaultNamespace)
	sent.Principal = cmp.Or(sent.Principal, c.principal, Anonymous)
	h, inHandler := FromContext(ctx)
	if !inHandler {
		return &sent
	}
	parent := h.d.Message
	sent.CausationID = parent.ID
	sent.CorrelationID = cmp.Or(sent.CorrelationID, parent.Correlation())
	sent.TraceParent = cmp.Or(sent.TraceParent, parent.TraceParent)
	sent.TraceState = cmp.Or(sent.TraceState, parent.TraceState)
	sent.Chain = append([]Address(nil), parent.Chain...)
	if parent.To.Key != "" {
		sent.Chain = append(sent.Chain, parent.To)
	}
	return &sent
}

// StatusError is what the function Call returns for a reply whose status is 400
// or above.
type StatusError struct{ Reply *Reply }

// Error returns the status and the beginning of the reply.
func (e *StatusError) Error() string {
	return fmt.Sprintf("reply has status %d: %s", e.Reply.Status, clip(string(e.Reply.Payload)))
}

// Call sends in as JSON to a method of an address ("users/42", or "echo") and
// decodes the reply into Out. A reply of status 400 or above is a *StatusError.
func Call[Out any](ctx context.Context, c *Client, to, method string, in any) (Out, error) {
	var out Out
	a, err := ParseAddress(to)
	if err != nil {
		return out, err
	}
	b, err := json.Marshal(in)
	if err != nil {
		return out, &Error{Op: "call " + to, Reason: BadJSON, Err: err}
	}
	r, err := c.Call(ctx, &Message{To: a, Type: method, ContentType: "application/json", Payload: b})
	if err != nil {
		return out, err
	}
	if r.EffectiveStatus() >= 400 {
		return out, &StatusError{Reply: r}
	}
	if len(r.Payload) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(r.Payload, &out); err != nil {
		return out, &Error{Op: "call " + to, Reason: BadJSON, RequestID: r.RequestID, Err: fmt.Errorf("reply: %w", err)}
	}
	return out, nil
}
