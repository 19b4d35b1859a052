package auth

import (
	"fmt"

	"github.com/edda-io/edda"
)

// CheckPublish returns NOT_ALLOWED unless the principal may publish to the channel. To
// manage the node is not enough, as it is not for appending to a stream.
func (g *Grant) CheckPublish(namespace, channel string) error {
	if matches(g.Publish, namespace, channel) {
		return nil
	}
	return g.forbid("publish to", namespace, channel)
}

// CheckSubscribe returns NOT_ALLOWED unless the principal may hear what the channel
// tells, read its history and see who else listens: those whom Subscribe names, and who
// may manage the node. It need not read the streams that feed the channel: whoever set
// the channel decided what subscribers hear. A subscription to a stream asks for
// CheckRead.
func (g *Grant) CheckSubscribe(namespace, channel string) error {
	if g.Manage || matches(g.Subscribe, namespace, channel) {
		return nil
	}
	return g.forbid("subscribe to", namespace, channel)
}

// MaySeeChannel reports whether the principal may look at what a channel is, because it
// may publish to it, subscribe to it or manage it.
func (g *Grant) MaySeeChannel(namespace, channel string) bool {
	return g.Manage || matches(g.Publish, namespace, channel) || matches(g.Subscribe, namespace, channel)
}

// CheckSeeChannel returns NOT_ALLOWED unless MaySeeChannel.
func (g *Grant) CheckSeeChannel(namespace, channel string) error {
	if g.MaySeeChannel(namespace, channel) {
		return nil
	}
	a := edda.Address{Namespace: namespace, Name: channel}
	return &edda.Error{Reason: edda.NotAllowed, Err: fmt.Errorf("%q may neither publish nor subscribe to %s", g.Principal, a)}
}
