package client_test

import (
	"context"

	"google.golang.org/protobuf/proto"

	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// fakeStreams are the streams and groups of a fakeNode, which answers their calls as
// those of sagas.
type fakeStreams struct {
	eddav1.UnimplementedStreamServiceServer
	*fakeSagas
	tail func(r *eddav1.TailRequest, send func(*eddav1.StreamPage) error) error
}

func (f *fakeStreams) SetStream(ctx context.Context, r *eddav1.SetStreamRequest) (*eddav1.SetStreamResponse, error) {
	return answered[*eddav1.SetStreamResponse](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) GetStream(ctx context.Context, r *eddav1.GetStreamRequest) (*eddav1.Stream, error) {
	return answered[*eddav1.Stream](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) ListStreams(ctx context.Context, r *eddav1.ListStreamsRequest) (*eddav1.ListStreamsResponse, error) {
	return answered[*eddav1.ListStreamsResponse](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) DeleteStream(ctx context.Context, r *eddav1.StreamRef) (*eddav1.DeleteStreamResponse, error) {
	return answered[*eddav1.DeleteStreamResponse](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) TrimStream(ctx context.Context, r *eddav1.TrimStreamRequest) (*eddav1.Stream, error) {
	return answered[*eddav1.Stream](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) ReadStream(ctx context.Context, r *eddav1.ReadStreamRequest) (*eddav1.StreamPage, error) {
	return answered[*eddav1.StreamPage](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) AwaitMessage(ctx context.Context, r *eddav1.AwaitMessageRequest) (*eddav1.StreamMessage, error) {
	return answered[*eddav1.StreamMessage](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) Tail(r *eddav1.TailRequest, s eddav1.StreamService_TailServer) error {
	return f.tail(r, s.Send)
}

func (f *fakeStreams) SetGroup(ctx context.Context, r *eddav1.SetGroupRequest) (*eddav1.SetGroupResponse, error) {
	return answered[*eddav1.SetGroupResponse](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) GetGroup(ctx context.Context, r *eddav1.GetGroupRequest) (*eddav1.Group, error) {
	return answered[*eddav1.Group](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) ListGroups(ctx context.Context, r *eddav1.ListGroupsRequest) (*eddav1.ListGroupsResponse, error) {
	return answered[*eddav1.ListGroupsResponse](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) DeleteGroup(ctx context.Context, r *eddav1.GroupRef) (*eddav1.DeleteGroupResponse, error) {
	return answered[*eddav1.DeleteGroupResponse](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) ResetGroup(ctx context.Context, r *eddav1.ResetGroupRequest) (*eddav1.Group, error) {
	return answered[*eddav1.Group](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) ReadGroup(ctx context.Context, r *eddav1.ReadGroupRequest) (*eddav1.Deliveries, error) {
	return answered[*eddav1.Deliveries](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) Ack(ctx context.Context, r *eddav1.SettleRequest) (*eddav1.Settled, error) {
	return answered[*eddav1.Settled](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) Reject(ctx context.Context, r *eddav1.SettleRequest) (*eddav1.Settled, error) {
	return answered[*eddav1.Settled](ctx, f.fakeSagas, r)
}

func (f *fakeStreams) Extend(ctx context.Context, r *eddav1.SettleRequest) (*eddav1.Settled, error) {
	return answered[*eddav1.Settled](ctx, f.fakeSagas, r)
}

// always answers every request with m.
func always(m proto.Message) func(context.Context, proto.Message, int) (proto.Message, error) {
	return func(context.Context, proto.Message, int) (proto.Message, error) { return m, nil }
}
