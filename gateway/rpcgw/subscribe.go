package rpcgw

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

const (
	// takeMessages is how many messages a subscription is given at a time, and liveBytes about
	// how many bytes of them are sent at once, one message aside.
	takeMessages = 256
	liveBytes    = 1 << 20
	// placeEvery is how often a caller is told of the resume point when that has moved on past
	// messages which are not for it.
	placeEvery = 15 * time.Second
)

// Subscribe returns messages as they come. What a caller does not take is nowhere but in the
// streams: the next messages are read once those before are on their way.
func (g *Gateway) Subscribe(r *eddav1.SubscribeRequest, stream eddav1.ChannelService_SubscribeServer) error {
	grant := grantOf(stream.Context())
	if err := mayListen(grant, r); err != nil {
		return err
	}
	ctx, leave := g.staying(stream.Context())
	defer leave()
	rang := make(chan struct{}, 1)
	sub, err := g.channels.Subscribe(ctx, &edda.Subscribe{
		Namespace: r.GetNamespace(), Stream: r.GetStream(), Channel: r.GetChannel(), Patterns: r.GetPatterns(),
		Ephemeral: r.GetEphemeral(), From: edda.From(r.GetFrom()), Principal: grant.Principal,
		Notify: func() {
			select {
			case rang <- struct{}{}:
			default: // it is told already
			}
		},
	})
	if err != nil {
		return err
	}
	defer sub.Close()
	l := &listener{sub: sub, rang: rang, send: stream.Send}
	err = l.listen(ctx)
	if why, ok := errors.AsType[*edda.Error](context.Cause(ctx)); ok {
		return why
	}
	return err
}

// mayListen returns an error unless the caller may subscribe to the channel, or read the
// stream. Who names both is told so by the backend, if it may hear either.
func mayListen(grant *auth.Grant, r *eddav1.SubscribeRequest) error {
	if r.GetChannel() != "" {
		return grant.CheckSubscribe(r.GetNamespace(), r.GetChannel())
	}
	return grant.CheckRead(r.GetNamespace(), r.GetStream())
}

// listener is who gets the messages of a subscription.
type listener struct {
	sub  edda.Subscription
	rang <-chan struct{}
	send func(*eddav1.LiveMessages) error
	// at is the resume point that it was told last, and gap says that it was told of one.
	at  edda.From
	gap bool
}

// listen sends messages until there are no more, or nobody takes them.
func (l *listener) listen(ctx context.Context) error {
	if err := l.tell(new(edda.LiveBatch), true); err != nil {
		return err
	}
	place := time.NewTimer(placeEvery)
	defer place.Stop()
	for {
		batch, err := l.sub.Take(ctx, takeMessages)
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if err := l.tell(&batch, false); err != nil || batch.Over {
			return err
		}
		if len(batch.Messages) > 0 {
			continue
		}
		select {
		case <-l.rang:
		case <-ctx.Done():
		case <-place.C:
			if err := l.tell(new(edda.LiveBatch), l.sub.From() != l.at); err != nil {
				return err
			}
			place.Reset(placeEvery)
		}
	}
}

// tell sends a batch, in pieces if it is large. One that has nothing to say is sent when it
// is due all the same.
func (l *listener) tell(batch *edda.LiveBatch, due bool) error {
	out := new(eddav1.LiveMessages)
	if batch.Gap || !l.gap && l.sub.Gap() {
		l.gap, out.Gap, due = true, true, true
	}
	left := room(liveBytes)
	for _, m := range batch.Messages {
		v := liveView(m)
		if !left.fits(v) && len(out.GetMessages()) > 0 {
			if err := l.send(out); err != nil {
				return err
			}
			out, left = new(eddav1.LiveMessages), liveBytes
			left.fits(v)
		}
		out.Messages, out.From = append(out.Messages, v), v.GetFrom()
	}
	out.Spent, out.Over = batch.Spent, batch.Over
	if len(out.GetMessages()) == 0 {
		if !due && !batch.Over && len(batch.Spent) == 0 {
			return nil
		}
		out.From = string(l.sub.From())
	}
	l.at = edda.From(out.GetFrom())
	return l.send(out)
}

// liveView writes a message that subscribers get.
func liveView(m *edda.LiveMessage) *eddav1.LiveMessage {
	return &eddav1.LiveMessage{Message: messageView(&m.Message), Stream: m.Message.Stream, From: string(m.From)}
}
