package rpcgw

import (
	"context"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// SetChannel creates a channel, or changes one.
func (g *Gateway) SetChannel(ctx context.Context, r *eddav1.SetChannelRequest) (*eddav1.SetChannelResponse, error) {
	if err := grantOf(ctx).CheckManage(); err != nil {
		return nil, err
	}
	c, created, err := g.channels.SetChannel(ctx, channelSpecOf(r.GetChannel()))
	if err != nil {
		return nil, err
	}
	return &eddav1.SetChannelResponse{Channel: channelView(c), Created: created}, nil
}

// GetChannel returns what is known of a channel.
func (g *Gateway) GetChannel(ctx context.Context, r *eddav1.ChannelRef) (*eddav1.Channel, error) {
	if err := grantOf(ctx).CheckSeeChannel(r.GetNamespace(), r.GetChannel()); err != nil {
		return nil, err
	}
	c, err := g.channels.Channel(ctx, r.GetNamespace(), r.GetChannel())
	if err != nil {
		return nil, err
	}
	return channelView(c), nil
}

// ListChannels returns a page of the channels that the caller may see.
func (g *Gateway) ListChannels(ctx context.Context, r *eddav1.ListChannelsRequest) (*eddav1.ListChannelsResponse, error) {
	grant := grantOf(ctx)
	views, next, err := listed(int(r.GetLimit()),
		func(limit int) ([]edda.Channel, string, error) {
			return g.channels.Channels(ctx, r.GetNamespace(), limit, r.GetAfter())
		},
		func(c *edda.Channel) bool { return grant.MaySeeChannel(r.GetNamespace(), c.Name) },
		func(c *edda.Channel, left *room) *eddav1.Channel {
			v := channelView(c)
			left.fits(v)
			return v
		})
	if err != nil {
		return nil, err
	}
	return &eddav1.ListChannelsResponse{Channels: views, Next: next}, nil
}

// DeleteChannel removes a channel.
func (g *Gateway) DeleteChannel(ctx context.Context, r *eddav1.ChannelRef) (*eddav1.DeleteChannelResponse, error) {
	if err := grantOf(ctx).CheckManage(); err != nil {
		return nil, err
	}
	if err := g.channels.DeleteChannel(ctx, r.GetNamespace(), r.GetChannel()); err != nil {
		return nil, err
	}
	return new(eddav1.DeleteChannelResponse), nil
}

// channelSpecOf reads a channel to set. The backend checks it.
func channelSpecOf(c *eddav1.ChannelSpec) edda.ChannelSpec {
	h := c.GetHistory()
	spec := edda.ChannelSpec{
		Namespace: c.GetNamespace(), Name: c.GetName(), From: make([]edda.ChannelSource, len(c.GetFrom())),
		History: edda.History{Count: h.GetCount(), Age: time.Duration(h.GetAge())},
	}
	for i, s := range c.GetFrom() {
		spec.From[i] = edda.ChannelSource{Stream: s.GetStream(), Patterns: s.GetPatterns()}
	}
	return spec
}

// channelView writes what is known of a channel, which is bounded.
func channelView(c *edda.Channel) *eddav1.Channel {
	v := &eddav1.Channel{
		Spec: &eddav1.ChannelSpec{
			Namespace: c.Namespace, Name: c.Name, From: make([]*eddav1.ChannelSource, len(c.From)),
			History: &eddav1.History{Count: c.History.Count, Age: int64(c.History.Age)},
		},
		CreatedAt: nanos(c.CreatedAt), Subscribers: uint32(c.Subscribers),
	}
	for i, s := range c.From {
		source := &eddav1.ChannelSource{Stream: s.Stream, Patterns: make([]string, len(s.Patterns))}
		for j, p := range s.Patterns {
			source.Patterns[j] = printable(p)
		}
		v.Spec.From[i] = source
	}
	return v
}
