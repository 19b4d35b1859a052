package client

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
)

// Tail yields pages of a shard's messages as they come, from r.From on, until ctx ends or
// the reader wants no more. The first page comes at once, and may be empty. It costs less
// than to read again and again with a wait, and goes on by itself after a broken
// connection, with the next message. Limit and Bytes bound a page; zero means 1,000 and 1
// MiB. Wait does not count. The last pair is the error that ended it: Timeout when ctx
// has, else as of ReadStream.
func (c *Conn) Tail(ctx context.Context, r edda.Read) iter.Seq2[*edda.StreamPage, error] {
	return func(yield func(*edda.StreamPage, error) bool) {
		op := "follow stream " + r.Stream
		if err := r.Validate(); err != nil {
			yield(nil, err)
			return
		}
		ctx, stop := c.within(ctx)
		defer stop()
		r.Limit, r.Bytes = cmp.Or(r.Limit, tailLimit), cmp.Or(r.Bytes, tailBytes)
		var tries retry
		for {
			err := c.tail(ctx, op, &r, func(p *edda.StreamPage) bool {
				tries = retry{}
				c.found()
				return yield(p, nil)
			})
			if err == nil {
				return
			}
			if e := c.final(ctx, op, edda.ID{}, err); e != nil {
				yield(nil, e)
				return
			}
			if e := tries.again(ctx, c, c.base, err); e != nil {
				yield(nil, &edda.Error{Op: op, Reason: edda.Unavailable, RetryAfter: time.Second, Err: rpcconn.Why(err)})
				return
			}
		}
	}
}

// What a page of Tail has at most, when nobody says.
const (
	tailLimit = 1000
	tailBytes = 1 << 20
)

// tail follows a shard over one gRPC stream, and notes in r how to go on. It returns nil
// when the reader wants no more.
func (c *Conn) tail(ctx context.Context, op string, r *edda.Read, yield func(*edda.StreamPage) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.base.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, streamService+"Tail")
	if err != nil {
		return err
	}
	if err := stream.SendMsg(readRequestOf(r)); err != nil && !errors.Is(err, io.EOF) {
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
		page, err := readPage(op, b)
		if err != nil {
			return err
		}
		r.From = edda.FromOffset(page.Next)
		if !yield(page) {
			return nil
		}
	}
}
