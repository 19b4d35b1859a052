package cqrs

import (
	"context"
	"errors"
	"slices"

	"github.com/edda-io/edda"
)

// channelBackend is a node that keeps channels. *node.Node is one, and *client.Conn a
// connection to one.
type channelBackend interface {
	SetChannel(ctx context.Context, c edda.ChannelSpec) (ch *edda.Channel, created bool, err error)
	Channel(ctx context.Context, namespace, name string) (*edda.Channel, error)
}

// setChannels sees to it that the channels of the broadcasters that this process serves are
// fed by the stream of events. Those that it may not set, or the node does not let anybody
// set from elsewhere, are left to people: events are relayed all the same.
func (a *App) setChannels(ctx context.Context) error {
	var left []string
	var why error
	for _, want := range a.channelSpecs() {
		err := a.setChannel(ctx, want)
		switch edda.ReasonOf(err) {
		case "":
		case edda.NotAllowed, edda.NoRoute:
			left, why = append(left, want.Name), err
		default:
			return err
		}
	}
	if len(left) > 0 {
		a.log.WarnContext(ctx, "the channels of broadcasters are not set: somebody who may manage the node is to set them, fed by the stream",
			"app", a.o.Name, "stream", a.EventStream(), "channels", left, "err", why)
	}
	return nil
}

// setChannel has a channel fed by the stream of events. What else there is to it is left as
// it is.
func (a *App) setChannel(ctx context.Context, want edda.ChannelSpec) error {
	node, ok := a.backend.(channelBackend)
	if !ok {
		return &edda.Error{Op: "set channel " + want.Name, Reason: edda.NoRoute, Err: errors.New("the connection to the node cannot set channels")}
	}
	has, err := node.Channel(ctx, want.Namespace, want.Name)
	switch {
	case edda.ReasonOf(err) == edda.NoChannel:
	case err != nil:
		return err
	default:
		from := want.From[0]
		want.From, want.History = slices.Clone(has.From), has.History
		i := slices.IndexFunc(want.From, func(s edda.ChannelSource) bool { return s.Stream == from.Stream })
		switch {
		case i < 0:
			want.From = append(want.From, from)
		case slices.Equal(want.From[i].Patterns, from.Patterns):
			return nil
		default:
			want.From[i] = from
		}
	}
	_, _, err = node.SetChannel(ctx, want)
	return err
}

// channelSpecs are the channels of the broadcasters that this process serves, each as it is fed
// by the stream of events. A name that several broadcasters have is one channel for all of them.
func (a *App) channelSpecs() []edda.ChannelSpec {
	var specs []edda.ChannelSpec
	for _, name := range a.table.names {
		if !a.serves(name) {
			continue
		}
		b := a.table.broadcasters[name].broadcaster
		for _, c := range b.channels {
			patterns := c.Events
			if len(patterns) == 0 && len(a.table.names) > 1 {
				patterns = b.eventPatterns()
			}
			i := slices.IndexFunc(specs, func(s edda.ChannelSpec) bool { return s.Name == c.Name })
			if i < 0 {
				specs = append(specs, edda.ChannelSpec{
					Namespace: a.o.Namespace, Name: c.Name, From: []edda.ChannelSource{{Stream: a.EventStream(), Patterns: patterns}},
				})
				continue
			}
			from := &specs[i].From[0]
			if len(from.Patterns) > 0 && len(patterns) > 0 {
				from.Patterns = append(slices.Clip(from.Patterns), patterns...)
			} else {
				from.Patterns = nil // all
			}
		}
	}
	for i := range specs {
		from := &specs[i].From[0]
		from.Patterns = slices.Clone(from.Patterns)
		slices.Sort(from.Patterns)
		from.Patterns = slices.Compact(from.Patterns)
	}
	return specs
}

// eventPatterns are those of the events that the broadcaster's commands make.
func (b *Broadcaster) eventPatterns() []string {
	patterns := make([]string, len(b.commands))
	for i := range b.commands {
		patterns[i] = b.commands[i].Event
	}
	return patterns
}

// checkChannels says what is wrong with the channels of broadcasters.
func checkChannels(bs []*Broadcaster) error {
	var errs []error
	for _, b := range bs {
		if b == nil {
			continue
		}
		for _, c := range b.channels {
			spec := edda.ChannelSpec{Name: c.Name, From: []edda.ChannelSource{{Stream: "events", Patterns: c.Events}}}
			if err := spec.Validate(); err != nil {
				errs = append(errs, &edda.Error{Op: "check broadcaster " + b.name, Reason: edda.ReasonOf(err), Err: err})
			}
		}
	}
	return errors.Join(errs...)
}
