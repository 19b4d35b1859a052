package rpcgw

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// Defaults of Tail. A page that waits to be read is memory.
const (
	tailLimit = 1000
	tailBytes = 1 << 20
	// tailWait is how long one read of a tail waits. It only has to be long.
	tailWait = time.Hour
)

// Tail returns messages as they come.
func (g *Gateway) Tail(r *eddav1.TailRequest, stream eddav1.StreamService_TailServer) error {
	if err := grantOf(stream.Context()).CheckRead(r.GetNamespace(), r.GetStream()); err != nil {
		return err
	}
	ctx, leave := g.staying(stream.Context())
	defer leave()
	read := edda.Read{
		Namespace: r.GetNamespace(), Stream: r.GetStream(), Shard: r.GetShard(), From: edda.From(r.GetFrom()),
		Limit: int(cmp.Or(r.GetLimit(), tailLimit)), Bytes: int(cmp.Or(r.GetBytes(), tailBytes)),
	}
	for first := true; ; first = false {
		page, err := g.streams.ReadStream(ctx, read)
		if why, ok := errors.AsType[*edda.Error](context.Cause(ctx)); ok {
			return why
		}
		if err != nil {
			return err
		}
		if first || len(page.Messages) > 0 {
			if err := stream.Send(pageView(page)); err != nil {
				return err
			}
		}
		read.From, read.Wait = edda.FromOffset(page.Next), tailWait
	}
}

// staying returns the context of a call that lasts for as long as its caller stays. Its
// cause is an *edda.Error when the gateway stops, or the credentials end.
func (g *Gateway) staying(ctx context.Context) (context.Context, func()) {
	at := grantOf(ctx).Expires
	ctx, end := context.WithCancelCause(ctx)
	release := func() {}
	if !at.IsZero() {
		t := time.AfterFunc(time.Until(at), func() { end(errExpired) })
		release = func() { t.Stop() }
	}
	g.routines.Go(func() {
		select {
		case <-g.stop:
			end(errStopping)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		release()
		end(nil)
	}
}

// errExpired is why what somebody began on the strength of credentials ends.
var errExpired = &edda.Error{Reason: edda.NoCredentials, Err: errors.New("the credentials have expired")}
