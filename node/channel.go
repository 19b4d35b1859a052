package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	channelfold "github.com/edda-io/edda/internal/fold/channel"
	"github.com/edda-io/edda/internal/record"
)

// channelHome is the partition that a channel lives in: that of its own stream.
func (n *Node) channelHome(namespace, name string) *partition {
	return n.streamHome(namespace, edda.ChannelStream(name))
}

// channelChange is a record about a channel, and whoever waits for what becomes of it.
type channelChange struct {
	op   string
	seen func(e *channelfold.Effect) // called in the partition's goroutine, not for a refusal
	err  error                       // why it was refused
	done chan error                  // gets one
}

// changeChannel makes a record about a channel durable. When it returns nil seen has
// been called.
func (n *Node) changeChannel(ctx context.Context, p *partition, op string, rec []byte, seen func(*channelfold.Effect)) error {
	c := &channelChange{op: op, seen: seen, done: make(chan error, 1)}
	ok := p.in.do(func() {
		if n.draining.Load() {
			c.done <- n.notRunning(op)
			return
		}
		p.propose(rec, proposal{channel: c})
	})
	if !ok {
		return n.notRunning(op)
	}
	return n.wait(ctx, op, c.done)
}

// channelsApplied does what a durable record has brought about in channels.
func (p *partition) channelsApplied(c *channelChange) {
	effects := p.channels.Effects()
	for i := range effects {
		e := &effects[i]
		switch {
		case e.Created:
			p.n.appended(channelMemory)
		case e.Kind == channelfold.Removed:
			spec := &e.Channel.Spec
			p.n.hub.Remove(spec.Namespace, spec.Name, true, errNoChannel("listen to channel "+spec.Name, spec.Namespace, spec.Name))
		}
		if c != nil {
			c.see(e)
		}
	}
	if c != nil {
		c.done <- c.err
	}
}

// channelMemory is about what a channel takes in memory beside its stream and what
// stands in its record. It counts as if it were in the log, as streamMemory does.
const channelMemory = 512

// see notes an effect of the record.
func (c *channelChange) see(e *channelfold.Effect) {
	if e.Kind == channelfold.Refused {
		c.err = &edda.Error{Op: c.op, Reason: e.Reason, Err: errors.New(e.Detail)}
		return
	}
	c.seen(e)
}

// SetChannel creates a channel, or changes one. See edda.ChannelBackend.
func (n *Node) SetChannel(ctx context.Context, spec edda.ChannelSpec) (ch *edda.Channel, created bool, err error) {
	if err := spec.Validate(); err != nil {
		return nil, false, err
	}
	set := record.ChannelSet{ChannelSpec: spec.WithDefaults()}
	var heard <-chan struct{}
	err = n.changeChannel(ctx, n.channelHome(set.Namespace, set.Name), "set channel "+set.Name, set.AppendTo(nil), func(e *channelfold.Effect) {
		ch, created = channelView(e.Channel), e.Created
		heard = n.topics.Set(channelTopic(e.Channel))
	})
	if err != nil {
		return nil, false, err
	}
	select {
	case <-heard: // those who listen already hear its new streams from here on
	case <-ctx.Done(): // it is set all the same
	}
	n.count(ch)
	return ch, created, nil
}

// DeleteChannel removes a channel. See edda.ChannelBackend.
func (n *Node) DeleteChannel(ctx context.Context, namespace, name string) error {
	namespace, err := checkChannel(namespace, name)
	if err != nil {
		return err
	}
	r := record.ChannelRemoved{Namespace: namespace, Name: name}
	return n.changeChannel(ctx, n.channelHome(namespace, name), "delete channel "+name, r.AppendTo(nil), func(*channelfold.Effect) {})
}

// Channel returns what is known of a channel. See edda.ChannelBackend.
func (n *Node) Channel(ctx context.Context, namespace, name string) (*edda.Channel, error) {
	namespace, err := checkChannel(namespace, name)
	if err != nil {
		return nil, err
	}
	return n.lookUpChannel(ctx, "look up channel "+name, namespace, name)
}

// lookUpChannel is Channel for names that were checked, on behalf of an operation.
func (n *Node) lookUpChannel(ctx context.Context, op, namespace, name string) (*edda.Channel, error) {
	p := n.channelHome(namespace, name)
	var view *edda.Channel
	var failed error
	err := n.inPartition(ctx, p, op, func() {
		if c := p.channels.Channel(namespace, name); c != nil {
			view = channelView(c)
		} else {
			failed = errNoChannel(op, namespace, name)
		}
	})
	if err = cmp.Or(err, failed); err != nil {
		return nil, err
	}
	n.count(view)
	return view, nil
}

func errNoChannel(op, namespace, name string) *edda.Error {
	return &edda.Error{Op: op, Reason: edda.NoChannel, Err: fmt.Errorf("there is no channel %q in the namespace %q", name, namespace)}
}

// checkChannel checks names, and returns the namespace.
func checkChannel(namespace, name string) (string, error) {
	if err := (&edda.ChannelSpec{Namespace: namespace, Name: name}).Validate(); err != nil {
		return "", err
	}
	return cmp.Or(namespace, edda.DefaultNamespace), nil
}

// channelView shows a channel as callers see it, but for who listens.
func channelView(c *channelfold.Channel) *edda.Channel {
	return &edda.Channel{ChannelSpec: c.Spec.Clone(), CreatedAt: timeOf(c.CreatedAt)}
}

// Channels returns a page of channels. See edda.ChannelBackend.
func (n *Node) Channels(ctx context.Context, namespace string, limit int, after string) ([]edda.Channel, string, error) {
	const op = "list channels"
	namespace, limit, err := checkList(op, namespace, limit, after)
	if err != nil {
		return nil, "", err
	}
	var items []edda.Channel
	for _, p := range n.parts {
		if err := n.inPartition(ctx, p, op, func() { items = append(items, p.channelList(namespace, after, limit+1)...) }); err != nil {
			return nil, "", err
		}
	}
	slices.SortFunc(items, func(a, b edda.Channel) int { return cmp.Compare(a.Name, b.Name) })
	next := ""
	if len(items) > limit {
		items, next = items[:limit], items[limit-1].Name
	}
	for i := range items {
		n.count(&items[i])
	}
	return items, next, nil
}

// count says how many subscriptions a channel has, which partitions do not know.
func (n *Node) count(ch *edda.Channel) { ch.Subscribers = n.hub.Subscribers(ch.Namespace, ch.Name) }

// channelList returns some channels after a name.
func (p *partition) channelList(namespace, after string, limit int) (items []edda.Channel) {
	for c := range p.channels.From(namespace, after) {
		if c.Spec.Namespace != namespace || len(items) == limit {
			break
		}
		if c.Spec.Name != after {
			items = append(items, *channelView(c))
		}
	}
	return items
}
