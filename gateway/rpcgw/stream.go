package rpcgw

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

const (
	// maxStreamWait is how long a call waits for messages at most.
	maxStreamWait = 10 * time.Minute
	// maxList is how many streams or groups a page has at most, defaultList how many when
	// nobody says.
	maxList     = 1000
	defaultList = 100
)

// waitOf reads how long a call is to wait.
func waitOf(op string, wait int64) (time.Duration, error) {
	d := time.Duration(wait)
	if d < 0 || d > maxStreamWait {
		return 0, &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf("wait is %v, must be 0 to %v", d, maxStreamWait)}
	}
	return d, nil
}

// SetStream creates a stream, or changes one.
func (g *Gateway) SetStream(ctx context.Context, r *eddav1.SetStreamRequest) (*eddav1.SetStreamResponse, error) {
	if err := grantOf(ctx).CheckManage(); err != nil {
		return nil, err
	}
	s, created, err := g.streams.SetStream(ctx, streamSpecOf(r.GetStream()))
	if err != nil {
		return nil, err
	}
	return &eddav1.SetStreamResponse{Stream: streamView(s, "", new(room(maxViewBytes))), Created: created}, nil
}

// GetStream returns what is known of a stream.
func (g *Gateway) GetStream(ctx context.Context, r *eddav1.GetStreamRequest) (*eddav1.Stream, error) {
	if err := grantOf(ctx).CheckSeeStream(r.GetNamespace(), r.GetStream()); err != nil {
		return nil, err
	}
	s, err := g.streams.Stream(ctx, r.GetNamespace(), r.GetStream())
	if err != nil {
		return nil, err
	}
	return streamView(s, r.GetAfterShard(), new(room(maxViewBytes))), nil
}

// ListStreams returns a page of the streams that the caller may see.
func (g *Gateway) ListStreams(ctx context.Context, r *eddav1.ListStreamsRequest) (*eddav1.ListStreamsResponse, error) {
	grant := grantOf(ctx)
	views, next, err := listed(int(r.GetLimit()),
		func(limit int) ([]edda.Stream, string, error) {
			return g.streams.Streams(ctx, r.GetNamespace(), limit, r.GetAfter())
		},
		func(s *edda.Stream) bool { return grant.MaySeeStream(r.GetNamespace(), s.Name) },
		func(s *edda.Stream, left *room) *eddav1.Stream { return streamView(s, "", left) })
	if err != nil {
		return nil, err
	}
	return &eddav1.ListStreamsResponse{Streams: views, Next: next}, nil
}

// DeleteStream removes a stream.
func (g *Gateway) DeleteStream(ctx context.Context, r *eddav1.StreamRef) (*eddav1.DeleteStreamResponse, error) {
	if err := grantOf(ctx).CheckManage(); err != nil {
		return nil, err
	}
	if err := g.streams.DeleteStream(ctx, r.GetNamespace(), r.GetStream()); err != nil {
		return nil, err
	}
	return new(eddav1.DeleteStreamResponse), nil
}

// TrimStream removes messages.
func (g *Gateway) TrimStream(ctx context.Context, r *eddav1.TrimStreamRequest) (*eddav1.Stream, error) {
	if err := grantOf(ctx).CheckManage(); err != nil {
		return nil, err
	}
	s, err := g.streams.TrimStream(ctx, r.GetNamespace(), r.GetStream(), r.GetShard(), edda.From(r.GetBefore()))
	if err != nil {
		return nil, err
	}
	return streamView(s, "", new(room(maxViewBytes))), nil
}

// Append makes messages durable.
func (g *Gateway) Append(ctx context.Context, r *eddav1.AppendRequest) (*eddav1.AppendResponse, error) {
	return g.append(ctx, eddav1.StreamService_Append_FullMethodName, r)
}

// append is Append, under the name of the method that it came by.
func (g *Gateway) append(ctx context.Context, method string, r *eddav1.AppendRequest) (*eddav1.AppendResponse, error) {
	a, err := appendOf(r)
	if err != nil {
		return nil, err
	}
	grant := grantOf(ctx)
	a.Principal = grant.Principal
	if err := mayAppend(grant, a); err != nil {
		return nil, err
	}
	ctx, ended := g.traceAppend(ctx, method, a)
	ack, err := g.streams.Append(ctx, a)
	ended(err)
	if err != nil {
		return nil, err
	}
	return appendedView(ack), nil
}

// mayAppend returns an error unless the caller may append to the stream, or publish to
// the channel, and append to where replies are to go.
func mayAppend(grant *auth.Grant, a *edda.Append) error {
	var err error
	if a.Channel != "" {
		err = grant.CheckPublish(a.Namespace, a.Channel)
	} else {
		err = grant.CheckAppend(a.Namespace, a.Stream)
	}
	if err != nil {
		return err
	}
	var last edda.Address
	for i := range a.Messages {
		to := a.Messages[i].ReplyTo
		if to != last && to != (edda.Address{}) {
			if err := grant.CheckAppend(to.Namespace, to.Name); err != nil {
				return a.MessageError(i, err)
			}
		}
		last = to
	}
	return nil
}

// traceAppend begins the span of an append, which becomes the parent of its message, or
// of those of several that have none.
func (g *Gateway) traceAppend(ctx context.Context, method string, a *edda.Append) (context.Context, func(error)) {
	if g.tracer == nil {
		return ctx, func(error) {}
	}
	where := attribute.String("edda.stream", a.Stream)
	if a.Channel != "" {
		where = attribute.String("edda.channel", a.Channel)
	}
	attributes := []attribute.KeyValue{attribute.String("edda.namespace", a.Namespace), where}
	if len(a.Messages) == 1 {
		m := &a.Messages[0]
		return g.trace(ctx, method, &m.TraceParent, &m.TraceState, attributes...)
	}
	var parent, state string
	ctx, ended := g.trace(ctx, method, &parent, &state, attributes...)
	for i := range a.Messages {
		if m := &a.Messages[i]; m.TraceParent == "" {
			m.TraceParent, m.TraceState = parent, state
		}
	}
	return ctx, ended
}

// ReadStream returns messages that are there, or the first to come.
func (g *Gateway) ReadStream(ctx context.Context, r *eddav1.ReadStreamRequest) (*eddav1.StreamPage, error) {
	if err := grantOf(ctx).CheckRead(r.GetNamespace(), r.GetStream()); err != nil {
		return nil, err
	}
	wait, err := waitOf("read stream "+r.GetStream(), r.GetWait())
	if err != nil {
		return nil, err
	}
	page, err := g.streams.ReadStream(ctx, edda.Read{
		Namespace: r.GetNamespace(), Stream: r.GetStream(), Shard: r.GetShard(), From: edda.From(r.GetFrom()),
		Limit: int(r.GetLimit()), Bytes: int(r.GetBytes()), Wait: wait,
	})
	if err != nil {
		return nil, err
	}
	return pageView(page), nil
}

// AwaitMessage returns the message with an id.
func (g *Gateway) AwaitMessage(ctx context.Context, r *eddav1.AwaitMessageRequest) (*eddav1.StreamMessage, error) {
	if err := grantOf(ctx).CheckRead(r.GetNamespace(), r.GetStream()); err != nil {
		return nil, err
	}
	wait, err := waitOf("await a message of stream "+r.GetStream(), r.GetWait())
	if err != nil {
		return nil, err
	}
	m, err := g.streams.AwaitMessage(ctx, r.GetNamespace(), r.GetStream(), r.GetId(), wait)
	if err != nil {
		return nil, err
	}
	return messageView(m), nil
}

// listed returns a page of what a backend lists, without those that the caller may not see,
// and how to go on after it: as many as there is room for in one message, which there is for
// one.
func listed[T, V any](limit int, list func(limit int) ([]T, string, error), see func(*T) bool, view func(*T, *room) V) ([]V, string, error) {
	for {
		page, next, err := list(limit)
		if err != nil {
			return nil, "", err
		}
		views, read := visible(page, see, view)
		if read == len(page) {
			return views, next, nil
		}
		limit = read // what fits, so that the backend says how to go on after it
	}
}

// visible writes those of a page that the caller may see, as far as there is room. It
// returns how many it has looked at.
func visible[T, V any](page []T, see func(*T) bool, view func(*T, *room) V) (views []V, read int) {
	left := room(maxViewBytes)
	for i := range page {
		if !see(&page[i]) {
			continue
		}
		v := view(&page[i], &left)
		if left < 0 && i > 0 {
			return views, i
		}
		views = append(views, v)
	}
	return views, len(page)
}

// listLimit returns how many a page may have.
func listLimit(op string, limit uint32) (int, error) {
	switch {
	case limit == 0:
		return defaultList, nil
	case limit > maxList:
		return 0, &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf("limit is %d, must be 1 to %d, or 0 for %d", limit, maxList, defaultList)}
	}
	return int(limit), nil
}

// groupsAfter returns the groups after a name, which are in order.
func groupsAfter(all []edda.Group, after string) []edda.Group {
	i := slices.IndexFunc(all, func(g edda.Group) bool { return g.Name > after })
	if i < 0 {
		return nil
	}
	return all[i:]
}
