package client_test

import (
	"context"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// fakeChannels are the channels of a fakeNode, which answers their calls as those of sagas.
type fakeChannels struct {
	eddav1.UnimplementedChannelServiceServer
	*fakeSagas
	subscribe func(r *eddav1.SubscribeRequest, send func(*eddav1.LiveMessages) error) error
}

func (f *fakeChannels) Subscribe(r *eddav1.SubscribeRequest, s eddav1.ChannelService_SubscribeServer) error {
	return f.subscribe(r, s.Send)
}

func (f *fakeChannels) SetChannel(ctx context.Context, r *eddav1.SetChannelRequest) (*eddav1.SetChannelResponse, error) {
	return answered[*eddav1.SetChannelResponse](ctx, f.fakeSagas, r)
}

func (f *fakeChannels) GetChannel(ctx context.Context, r *eddav1.ChannelRef) (*eddav1.Channel, error) {
	return answered[*eddav1.Channel](ctx, f.fakeSagas, r)
}

func (f *fakeChannels) ListChannels(ctx context.Context, r *eddav1.ListChannelsRequest) (*eddav1.ListChannelsResponse, error) {
	return answered[*eddav1.ListChannelsResponse](ctx, f.fakeSagas, r)
}

func (f *fakeChannels) DeleteChannel(ctx context.Context, r *eddav1.ChannelRef) (*eddav1.DeleteChannelResponse, error) {
	return answered[*eddav1.DeleteChannelResponse](ctx, f.fakeSagas, r)
}

func channelCalls() []streamCall {
	floor := &eddav1.Channel{Spec: &eddav1.ChannelSpec{Name: "floor"}}
	return []streamCall{
		{"set channel", func(ctx context.Context, c *client.Conn) error {
			_, _, err := c.SetChannel(ctx, edda.ChannelSpec{Name: "floor"})
			return err
		}, &eddav1.SetChannelResponse{Channel: floor}, true, false},
		{"get channel", func(ctx context.Context, c *client.Conn) error { _, err := c.Channel(ctx, "", "floor"); return err }, floor, true, true},
		{"list channels", func(ctx context.Context, c *client.Conn) error {
			_, _, err := c.Channels(ctx, "", 0, "")
			return err
		}, &eddav1.ListChannelsResponse{}, true, true},
		{"delete channel", func(ctx context.Context, c *client.Conn) error { return c.DeleteChannel(ctx, "", "floor") }, &eddav1.DeleteChannelResponse{}, false, false},
	}
}
