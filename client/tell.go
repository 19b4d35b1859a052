package client

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
)

// tell makes one call that changes something. It is made again when the connection
// broke before it was sent, and with again also when that happened afterwards:
// repeated says that an earlier one may have come through.
func (c *Conn) tell(ctx context.Context, op, method string, req []byte, again bool) (answer []byte, repeated bool, err error) {
	if len(req) > rpcconn.MaxSendBytes {
		return nil, false, &edda.Error{Op: op, Reason: edda.TooLarge,
			Err: fmt.Errorf("it has %d bytes, at most %d are sent over the network", len(req), rpcconn.MaxSendBytes)}
	}
	ctx, stop := c.within(ctx)
	defer stop()
	var r retry
	for {
		if c.base.GetState() == connectivity.Ready {
			r = retry{}
		}
		answer, sent, err := c.once(ctx, method, req)
		if err == nil {
			c.found()
			return answer, repeated, nil
		}
		if e, ok := rpcconn.FromStatus(op, err); ok {
			if repeated && atTheDoor(e.Reason) {
				return nil, repeated, unknownTo(op, e)
			}
			return nil, repeated, e
		}
		repeated = repeated || sent
		why := rpcconn.Why(err)
		switch {
		case c.ctx.Err() != nil:
			why = errClosed
		case ctx.Err() != nil:
			why = errWaitOver
		case repeated && !again:
		case r.again(ctx, c, c.base, err) == nil:
			continue
		}
		if repeated {
			return nil, repeated, unknownTo(op, why)
		}
		return nil, repeated, &edda.Error{Op: op, Reason: edda.Unavailable, RetryAfter: time.Second, Err: fmt.Errorf("not sent: %w", why)}
	}
}

// unknownTo is the error of a call of which nobody knows whether it was done.
func unknownTo(op string, why error) error {
	return &edda.Error{Op: op, Reason: edda.OutcomeUnknown, RetryAfter: time.Second, Err: fmt.Errorf("the node's answer did not come: %w", why)}
}

// once makes one call. Of one that fails it says whether it may have come through.
func (c *Conn) once(ctx context.Context, method string, req []byte) (answer []byte, sent bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.base.NewStream(ctx, &grpc.StreamDesc{}, method)
	if err != nil {
		return nil, false, err
	}
	if err := stream.SendMsg(req); err != nil {
		return nil, true, err
	}
	err = stream.RecvMsg(&answer)
	return answer, true, err
}
