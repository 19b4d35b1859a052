package node

import (
	"cmp"
	"context"
	"errors"

	"github.com/edda-io/edda"
	channelfold "github.com/edda-io/edda/internal/fold/channel"
	"github.com/edda-io/edda/internal/guard"
	hub "github.com/edda-io/edda/internal/live"
	"github.com/edda-io/edda/pattern"
)

var _ edda.ChannelBackend = (*Node)(nil)

// newHub returns the hub of the node, which has its streams and its interceptors.
func (n *Node) newHub() *hub.Hub {
	return hub.New(liveStreams{n}, hub.Options{
		Publish: n.opts.OnPublish, Joined: n.presenceHook("OnJoin", n.opts.OnJoin), Left: n.presenceHook("OnLeave", n.opts.OnLeave),
		Logger: n.log,
	})
}

// presenceHook keeps a panic of f from whoever subscribes or closes.
func (n *Node) presenceHook(what string, f func(namespace, channel string, p edda.Presence)) func(string, string, edda.Presence) {
	if f == nil {
		return nil
	}
	return func(namespace, channel string, p edda.Presence) {
		if err := guard.Call(what, func() error { f(namespace, channel, p); return nil }); err != nil {
			n.log.Warn(what+" did not work", "channel", channel, "namespace", namespace, "error", err)
		}
	}
}

// Subscribe begins to listen. See edda.ChannelBackend.
func (n *Node) Subscribe(ctx context.Context, s *edda.Subscribe) (edda.Subscription, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	own := s.WithDefaults()
	op := "subscribe to " + cmp.Or(own.Channel, own.Stream)
	if n.draining.Load() {
		return nil, n.notRunning(op)
	}
	if n.opts.OnSubscribe != nil {
		if err := n.onSubscribe(ctx, op, &own); err != nil {
			return nil, err
		}
	}
	t, err := n.topic(ctx, op, &own)
	if err != nil {
		return nil, err
	}
	sub, err := n.hub.Subscribe(ctx, t, &own)
	if err != nil {
		return nil, err
	}
	if err := n.stillSo(ctx, op, &own, &t); err != nil {
		sub.Close()
		return nil, err
	}
	if n.opts.Metrics == nil {
		return sub, nil
	}
	return n.metrics.Live.Counted(sub), nil
}

// onSubscribe runs the interceptor in the caller's goroutine, and checks what it has made
// of the subscription.
func (n *Node) onSubscribe(ctx context.Context, op string, s *edda.Subscribe) error {
	ctx, cancel := context.WithTimeout(ctx, n.opts.InterceptorTimeout)
	defer cancel()
	err := guard.Call("OnSubscribe", func() error { return n.opts.OnSubscribe(ctx, s) })
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.Validate()
	}
	if err == nil {
		*s = s.WithDefaults()
		return nil
	}
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return e
	}
	return &edda.Error{Op: op, Reason: edda.NotAllowed, Err: err}
}

// topic looks up what is subscribed to.
func (n *Node) topic(ctx context.Context, op string, s *edda.Subscribe) (t hub.Topic, err error) {
	var failed error
	if s.Channel != "" {
		p := n.channelHome(s.Namespace, s.Channel)
		err = n.inPartition(ctx, p, op, func() {
			if c := p.channels.Channel(s.Namespace, s.Channel); c != nil {
				t = channelTopic(c)
			} else {
				failed = errNoChannel(op, s.Namespace, s.Channel)
			}
		})
	} else {
		p := n.streamHome(s.Namespace, s.Stream)
		t = hub.Topic{Namespace: s.Namespace, Name: s.Stream, Sources: []hub.Source{{Namespace: s.Namespace, Stream: s.Stream}}}
		err = n.inPartition(ctx, p, op, func() { _, failed = p.findStream(op, s.Namespace, s.Stream) })
	}
	return t, cmp.Or(err, failed)
}

// stillSo looks again once the hub knows of a subscription: what became of the channel, or
// the stream, before that it may have missed.
func (n *Node) stillSo(ctx context.Context, op string, s *edda.Subscribe, was *hub.Topic) error {
	t, err := n.topic(ctx, op, s)
	switch reason := edda.ReasonOf(err); {
	case err == nil && t.Version == was.Version:
		return nil
	case err == nil:
		return n.hub.Set(ctx, t)
	case reason == edda.NoChannel || reason == edda.NoStream:
		n.hub.Remove(was.Namespace, was.Name, was.Channel, err)
	}
	return err
}

// channelTopic is a channel as the hub sees it: the streams that feed it, and what is
// published to it.
func channelTopic(c *channelfold.Channel) hub.Topic {
	spec := &c.Spec
	t := hub.Topic{Namespace: spec.Namespace, Name: spec.Name, Channel: true, Version: c.SetAt, Sources: make([]hub.Source, 0, len(spec.From)+1)}
	t.Sources = append(t.Sources, hub.Source{Namespace: spec.Namespace, Stream: edda.ChannelStream(spec.Name), Own: true})
	for i := range spec.From {
		t.Sources = append(t.Sources, hub.Source{Namespace: spec.Namespace, Stream: spec.From[i].Stream, Patterns: parsed(spec.From[i].Patterns)})
	}
	return t
}

// parsed returns patterns that were checked before they were stored. One that a release
// after this one has allowed matches nothing.
func parsed(texts []string) (all []*pattern.Pattern) {
	for _, text := range texts {
		p, err := pattern.Parse(text)
		if err != nil {
			p = &pattern.Pattern{}
		}
		all = append(all, p)
	}
	return all
}

// History returns messages of a channel that are kept. See edda.ChannelBackend.
func (n *Node) History(ctx context.Context, namespace, channel string, from edda.From, limit int) ([]*edda.LiveMessage, edda.From, error) {
	op := "read the history of channel " + channel
	s := edda.Subscribe{Namespace: namespace, Channel: channel, From: cmp.Or(from, edda.FromStart)}
	err := s.Validate()
	if err == nil && channel == "" {
		err = &edda.Error{Op: op, Reason: edda.BadName, Err: errors.New("the channel is empty")}
	}
	if err == nil {
		limit, _, err = parsePage(op, Page{Limit: limit})
	}
	if err != nil {
		return nil, "", err
	}
	s = s.WithDefaults()
	t, err := n.topic(ctx, op, &s)
	if err != nil {
		return nil, "", err
	}
	return n.hub.History(ctx, t, s.From, limit)
}

// Presence returns who has subscribed to a channel. See edda.ChannelBackend.
func (n *Node) Presence(ctx context.Context, namespace, channel string) ([]edda.Presence, error) {
	namespace, err := checkChannel(namespace, channel)
	if err != nil {
		return nil, err
	}
	if _, err := n.lookUpChannel(ctx, "see who listens to channel "+channel, namespace, channel); err != nil {
		return nil, err
	}
	return n.hub.Presence(namespace, channel), nil
}

// topicNotSet logs that the hub has not heard of a change of a channel.
func (n *Node) topicNotSet(t hub.Topic, err error) {
	if !n.draining.Load() {
		n.log.Warn("those who listen to a channel do not hear of its change", "channel", t.Name, "namespace", t.Namespace, "error", err)
	}
}
