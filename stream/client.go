package stream

import (
	"cmp"
	"context"
	"iter"

	"github.com/edda-io/edda"
)

// Backend keeps streams and their groups. A node is one, in process; so is a
// connection to a node elsewhere.
type Backend interface {
	edda.StreamBackend
	edda.GroupBackend
}

// Client has to do with the streams of one namespace. It is immutable and safe for
// concurrent use. Its errors are *[edda.Error]; of those of a change, OutcomeUnknown
// alone says that it may have been made.
type Client struct {
	backend   Backend
	namespace string
	principal edda.Principal
}

// NewClient returns a client in the default namespace, as edda.Anonymous, of a node in
// this process or of a connection to one elsewhere.
func NewClient(b Backend) *Client {
	return &Client{backend: b, namespace: edda.DefaultNamespace, principal: edda.Anonymous}
}

// In returns the same client in another namespace.
func (c *Client) In(namespace string) *Client {
	other := *c
	other.namespace = cmp.Or(namespace, edda.DefaultNamespace)
	return &other
}

// As returns the same client for another principal, whose the messages are that it
// appends then. A node in another process takes the principal from the connection's
// credentials instead.
func (c *Client) As(p edda.Principal) *Client {
	other := *c
	other.principal = cmp.Or(p, edda.Anonymous)
	return &other
}

// Set creates a stream, or changes one that there is; created says which. Conflict when
// the shards that it is left with lack one that has had messages. The spec's namespace
// is the client's.
func (c *Client) Set(ctx context.Context, s edda.StreamSpec) (st *edda.Stream, created bool, err error) {
	s.Namespace = c.namespace
	return c.backend.SetStream(ctx, s)
}

// Stream returns what is known of a stream; NoStream when there is none.
func (c *Client) Stream(ctx context.Context, name string) (*edda.Stream, error) {
	return c.backend.Stream(ctx, c.namespace, name)
}

// Streams yields the streams in order of their names. An error is the last pair.
func (c *Client) Streams(ctx context.Context) iter.Seq2[edda.Stream, error] {
	return func(yield func(edda.Stream, error) bool) {
		for after := ""; ; {
			page, next, err := c.backend.Streams(ctx, c.namespace, 0, after)
			if err != nil {
				yield(edda.Stream{}, err)
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
			if after = next; after == "" {
				return
			}
		}
	}
}

// Delete removes a stream with its messages and groups. Whoever reads it gets NoStream.
func (c *Client) Delete(ctx context.Context, name string) error {
	return c.backend.DeleteStream(ctx, c.namespace, name)
}

// Trim removes the messages of a shard before an offset or a time. Without a shard a
// time counts for all of them, an offset for edda.DefaultShard.
func (c *Client) Trim(ctx context.Context, name, shard string, before edda.From) (*edda.Stream, error) {
	return c.backend.TrimStream(ctx, c.namespace, name, shard, before)
}

// Read returns one page of a shard: what is there, or the first message to come within
// Read.Wait. [Client.Reader] reads on by itself. The namespace is the client's.
func (c *Client) Read(ctx context.Context, r edda.Read) (*edda.StreamPage, error) {
	r.Namespace = c.namespace
	p, err := c.backend.ReadStream(ctx, r)
	if err != nil {
		return nil, err
	}
	for i := range p.Messages {
		p.Messages[i].Stream = r.Stream
	}
	return p, nil
}

// SetGroup creates a consumer group, and its stream, or changes one that there is;
// created says which. Whoever hosts a [Consumer] need not call it. The spec's namespace
// is the client's.
func (c *Client) SetGroup(ctx context.Context, g edda.GroupSpec) (gr *edda.Group, created bool, err error) {
	g.Namespace = c.namespace
	return c.backend.SetGroup(ctx, g)
}

// Group returns what is known of a group: its cursor, how far it is behind, who its
// members are.
func (c *Client) Group(ctx context.Context, stream, group string) (*edda.Group, error) {
	return c.backend.Group(ctx, c.ref(stream, group))
}

// Groups returns all groups of a stream in order of their names.
func (c *Client) Groups(ctx context.Context, stream string) ([]edda.Group, error) {
	return c.backend.Groups(ctx, c.namespace, stream)
}

// ResetGroup sets the cursor of a shard, of all when it is empty, and takes from the
// members what they have: what comes from there on is handled, again if need be.
func (c *Client) ResetGroup(ctx context.Context, stream, group, shard string, to edda.From) (*edda.Group, error) {
	return c.backend.ResetGroup(ctx, c.ref(stream, group), shard, to)
}

// DeleteGroup removes a group. Its dead letters stay.
func (c *Client) DeleteGroup(ctx context.Context, stream, group string) error {
	return c.backend.DeleteGroup(ctx, c.ref(stream, group))
}

func (c *Client) ref(stream, group string) edda.GroupRef {
	return edda.GroupRef{Namespace: c.namespace, Stream: stream, Group: group}
}
