package client

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// Listen subscribes to a channel, or to all shards of a stream, and yields what comes, from
// s.From on, until ctx ends or the reader wants no more. The first batch comes at once, and may
// be empty: from then on nothing is missed, also while the connection is broken, because it
// goes on after the last message by itself. Batches have at most some 1 MiB of messages, one
// message aside. To go on later, listen with the From of the last message.
//
// It ends without an error when no pattern of an ephemeral subscription is left, which the
// batch before says (Over). Else the last pair is the error that ended it: Timeout when ctx
// has, Draining when the node stops, NoChannel or NoStream when what it listens to is deleted,
// what edda.ChannelBackend.Subscribe refuses with. The Principal is that of the credentials;
// Notify and Presence do not count.
func (c *Conn) Listen(ctx context.Context, s edda.Subscribe) iter.Seq2[edda.LiveBatch, error] {
	return func(yield func(edda.LiveBatch, error) bool) {
		op := "subscribe to " + cmp.Or(s.Channel, s.Stream)
		if err := s.Validate(); err != nil {
			yield(edda.LiveBatch{}, err)
			return
		}
		ctx, stop := c.within(ctx)
		defer stop()
		l := listener{Subscribe: s.WithDefaults(), first: true}
		l.Patterns = slices.Clone(s.Patterns)
		for {
			err := c.listen(ctx, op, &l, func(b edda.LiveBatch) bool { return yield(b, nil) })
			if err == nil {
				return
			}
			if e := c.final(ctx, op, edda.ID{}, err); e != nil {
				yield(edda.LiveBatch{}, e)
				return
			}
			if e := l.tries.again(ctx, c, c.base, err); e != nil {
				yield(edda.LiveBatch{}, &edda.Error{Op: op, Reason: edda.Unavailable, RetryAfter: time.Second, Err: rpcconn.Why(err)})
				return
			}
		}
	}
}

// listener is what somebody still wants to hear, and from where.
type listener struct {
	edda.Subscribe

	first bool  // nothing was yielded yet
	tries retry // to connect, since something came last
}

// listen subscribes once, and notes in l how to go on. It returns nil when the reader wants no
// more, or there is no more.
func (c *Conn) listen(ctx context.Context, op string, l *listener, yield func(edda.LiveBatch) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.base.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, channelService+"Subscribe")
	if err != nil {
		return err
	}
	if err := stream.SendMsg(subscribeRequest(&l.Subscribe)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		var b []byte
		if err := stream.RecvMsg(&b); err != nil {
			return err
		}
		c.found()
		l.tries = retry{}
		batch, from, err := readLive(op, l.Namespace, b)
		if err != nil {
			return err
		}
		says := l.first || len(batch.Messages) > 0 || batch.Gap || batch.Over || len(batch.Spent) > 0
		l.From, l.first = cmp.Or(from, l.From), false
		l.Patterns = slices.DeleteFunc(l.Patterns, func(p string) bool { return slices.Contains(batch.Spent, p) })
		if says && !yield(batch) || batch.Over {
			return nil
		}
	}
}

// subscribeRequest is a SubscribeRequest, which is valid.
func subscribeRequest(s *edda.Subscribe) []byte {
	b := wire.AppendString(nil, 1, s.Namespace)
	b = wire.AppendString(b, 2, s.Stream)
	b = wire.AppendString(b, 3, s.Channel)
	for _, p := range s.Patterns {
		b = wire.AppendString(b, 4, rpcconn.Text(p))
	}
	b = wire.AppendString(b, 5, string(s.From))
	if s.Ephemeral {
		b = wire.AppendUint(b, 6, 1)
	}
	return b
}

// readLive reads messages as they came, whose payloads alias b, and the resume point after
// them.
func readLive(op, namespace string, b []byte) (batch edda.LiveBatch, from edda.From, err error) {
	var all messages
	err = eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			m := &edda.LiveMessage{Namespace: namespace}
			batch.Messages = append(batch.Messages, m)
			return all.readLive(op, f.Bytes, m)
		case 2:
			from = edda.From(f.Bytes)
		case 3:
			batch.Gap = f.Uint != 0
		case 4:
			batch.Spent = append(batch.Spent, string(f.Bytes))
		case 5:
			batch.Over = f.Uint != 0
		}
		return nil
	})
	return batch, from, err
}

func (all *messages) readLive(op string, b []byte, m *edda.LiveMessage) error {
	stream := ""
	err := eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			return all.read(op, f.Bytes, &m.Message)
		case 2:
			stream = string(f.Bytes)
		case 3:
			m.From = edda.From(f.Bytes)
		}
		return nil
	})
	m.Message.Stream = stream
	return err
}
