// Package channel is the Go API of channels: live topics, which services, streams and
// publishers feed, and which anybody may subscribe to.
//
// What is published is on disk before [Publish] returns, and subscribers get it then and
// not before. Each subscription gets each message once, in order of the offsets in each
// shard, however many of its patterns match; what it missed it gets later, as long as that
// is kept, because each message says where to go on from: edda.LiveMessage.From.
//
// Handlers publish with edda.Context.Publish, as part of their outcome. Browsers do, and
// subscribe, over WebSocket (docs/live.md). Who wants more of a subscription than its
// messages, such as to change its patterns, who else listens, or whether something was
// missed, uses the backend itself: edda.ChannelBackend.
//
// Everything is safe for concurrent use.
package channel

import (
	"context"
	"iter"

	"github.com/edda-io/edda"
)

// takes is how many messages are taken at a time.
const takes = 256

// Publish publishes messages to a channel of the default namespace, all or none, and returns
// once they are durable. A message with an ID is published once, however often that is
// repeated while the channel remembers it; one without is given one. To another namespace,
// or as a principal: b.Append with a Channel.
//
// It returns an *edda.Error: NoChannel where there is none, Timeout and OutcomeUnknown when
// the messages may have been published all the same.
func Publish(ctx context.Context, b edda.StreamBackend, channel string, messages ...edda.StreamMessage) (*edda.AppendAck, error) {
	return b.Append(ctx, &edda.Append{Channel: channel, Messages: messages})
}

// Subscribe yields the messages of a channel, or of all shards of a stream, that match s,
// as they come. Each time it is ranged over it subscribes anew, at s.From. The messages are
// shared by all who get them: nobody changes them.
//
// It waits for what comes, so it ends when the loop breaks; without an error when no pattern
// of an ephemeral subscription is left; else with an error as the last pair: that of ctx when
// it ends, what b.Subscribe refuses with, NoChannel or NoStream when what it listens to is
// deleted, Unavailable when the node stops. To go on where it was, subscribe again with the
// From of the last message.
//
// While the loop's body runs nothing is kept for it: whoever is slow reads later, from disk
// if need be, and holds up nobody.
func Subscribe(ctx context.Context, b edda.ChannelBackend, s edda.Subscribe) iter.Seq2[*edda.LiveMessage, error] {
	return func(yield func(*edda.LiveMessage, error) bool) {
		more := make(chan struct{}, 1)
		told, own := s.Notify, s
		own.Notify = func() {
			select {
			case more <- struct{}{}:
			default: // it has a signal
			}
			if told != nil {
				told()
			}
		}
		sub, err := b.Subscribe(ctx, &own)
		if err != nil {
			yield(nil, ofContext(ctx, err))
			return
		}
		defer sub.Close()
		for {
			batch, err := sub.Take(ctx, takes)
			if err != nil {
				yield(nil, ofContext(ctx, err))
				return
			}
			for _, m := range batch.Messages {
				if !yield(m, nil) {
					return
				}
			}
			if batch.Over {
				return
			}
			if len(batch.Messages) > 0 {
				continue
			}
			select {
			case <-more:
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			}
		}
	}
}

// ofContext is the error of ctx where that has ended, so that all that it ends does so in
// the same way.
func ofContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
