package stream

import (
	"cmp"
	"errors"

	"github.com/edda-io/edda"
)

// Transform makes of a message what is appended in its place; nil is nothing. It may
// change the message, but not the bytes of its payload, and return it. It may be called
// concurrently for messages of different keys. An error is retried as the group says.
type Transform func(ctx *edda.Context, m *edda.StreamMessage) (*edda.StreamMessage, error)

// Pipe appends the messages of a stream to another one, as a transform makes them. It is
// a consumer group: it goes on where it was after any crash, several may share the work,
// and as the message that is appended, the state that the transform changes and the
// acknowledgement are one outcome, each message comes out exactly once.
//
// Messages of one key stay in order; those without a key may overtake each other. A
// message keeps its id, unless the transform changes it; one that has the id of another
// in the stream it is appended to is taken for that, and not appended.
//
// Make one with NewPipe, set the fields that should not have their default, and host
// what Service returns.
type Pipe struct {
	// Group is the group of the stream that is read. Unlike a consumer's, it begins with
	// the first message that is kept, unless From says otherwise.
	Group edda.GroupSpec
	// Concurrency is how many messages are transformed at a time. Zero means
	// edda.DefaultConcurrency.
	Concurrency int
	// To is the stream that is appended to. Its Key is the shard; when that is empty the
	// messages keep theirs, or have the one that the transform sets.
	To edda.Address

	transform Transform
}

// NewPipe returns a pipe from a stream to another one, by a group of the given name. A
// nil transform copies.
func NewPipe(from, group, to string, transform Transform) *Pipe {
	return &Pipe{Group: edda.GroupSpec{Stream: from, Name: group, From: edda.FromStart}, To: edda.Address{Name: to}, transform: transform}
}

// Service returns the pipe as a service, to be hosted by a node or a worker like any
// other. The error says which field makes no sense: BadName or BadValue.
func (p *Pipe) Service() (*edda.Service, error) {
	if p.To.Name == "" {
		return nil, &edda.Error{Op: "check pipe " + p.Group.Service(), Reason: edda.BadValue,
			Err: errors.New("field To is empty; a pipe needs a stream to append to")}
	}
	if err := checkTo(p.To); err != nil {
		return nil, err
	}
	to, transform := p.To, p.transform
	return service(p.Group, p.Concurrency, func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		m, ok := Received(ctx)
		if !ok {
			return nil, edda.Final(string(edda.BadValue), "a pipe takes messages of streams alone")
		}
		shard := m.Shard
		if transform != nil {
			var err error
			if m, err = transform(ctx, m); err != nil || m == nil {
				return nil, err
			}
			shard = cmp.Or(m.Shard, shard)
		}
		return nil, appendTo(ctx, edda.Address{Namespace: to.Namespace, Name: to.Name, Key: cmp.Or(to.Key, shard)}, *m)
	})
}
