package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// The numbers of fields in PartsResponse of edda.proto.
const (
	evPart = 1
	evEnd  = 2
)

// Parts yields the parts of a reply as they come. See edda.Client.Parts. After a
// broken connection it goes on by itself, after the last part that was read.
func (c *Conn) Parts(ctx context.Context, namespace string, id edda.ID, after edda.PartID) iter.Seq2[edda.Part, error] {
	return func(yield func(edda.Part, error) bool) {
		op := "read the parts of " + id.String()
		ctx, stop := c.within(ctx)
		defer stop()
		var r retry
		for {
			more, err := c.readParts(ctx, namespace, id, &after, func(p edda.Part) bool {
				r = retry{}
				return yield(p, nil)
			})
			if !more {
				return
			}
			if e := c.final(ctx, op, id, err); e != nil {
				yield(edda.Part{}, e)
				return
			}
			if e := r.again(ctx, c, c.base, err); e != nil {
				yield(edda.Part{}, &edda.Error{Op: op, Reason: edda.Unavailable, RequestID: id, RetryAfter: time.Second, Err: rpcconn.Why(err)})
				return
			}
		}
	}
}

// readParts reads parts from one stream, until it ends or the reader wants no more.
// More says that it ended too early, and err why.
func (c *Conn) readParts(ctx context.Context, namespace string, id edda.ID, after *edda.PartID, yield func(edda.Part) bool) (more bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.base.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, service+"Parts")
	if err != nil {
		return true, err
	}
	if err := stream.SendMsg(wire.AppendString(requestOf(namespace, id), 3, after.String())); err != nil && !errors.Is(err, io.EOF) {
		return true, err
	}
	if err := stream.CloseSend(); err != nil {
		return true, err
	}
	for {
		var b []byte
		if err := stream.RecvMsg(&b); err != nil {
			return true, err
		}
		part, end, err := readEvent(b)
		if err != nil {
			return true, &edda.Error{Reason: edda.Internal, Err: err}
		}
		if end || part != nil && !yield(*part) {
			return false, nil
		}
		if part != nil {
			*after = part.ID()
		}
	}
}

// readEvent reads a part, or the end; neither when it is of a later release.
func readEvent(b []byte) (part *edda.Part, end bool, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case evPart:
			if part, err = readPart(f.Bytes); err != nil {
				return nil, false, err
			}
		case evEnd:
			end = true
		}
	}
	return part, end, r.Err()
}

func readPart(b []byte) (*edda.Part, error) {
	p := new(edda.Part)
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			id, err := edda.ParsePartID(string(f.Bytes))
			if err != nil {
				return nil, err
			}
			p.Attempt, p.Number = id.Attempt, id.Number
		case 3:
			p.Reset = f.Uint != 0
		case 4:
			p.ContentType = string(f.Bytes)
		case 5:
			p.Payload = f.Bytes
		}
	}
	return p, r.Err()
}
