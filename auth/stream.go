package auth

import (
	"fmt"

	"github.com/edda-io/edda"
)

// CheckAppend returns NOT_ALLOWED unless the principal may append to the stream. So it
// is for a stream that replies to a message are to go to: whoever names it has others
// append there.
func (g *Grant) CheckAppend(namespace, stream string) error {
	if matches(g.Append, namespace, stream) {
		return nil
	}
	return g.forbid("append to", namespace, stream)
}

// CheckRead returns NOT_ALLOWED unless the principal may read the stream's messages:
// those whom Read names, and who may manage the node.
func (g *Grant) CheckRead(namespace, stream string) error {
	if g.Manage || matches(g.Read, namespace, stream) {
		return nil
	}
	return g.forbid("read", namespace, stream)
}

// CheckConsume returns NOT_ALLOWED unless the principal may be a member of the stream's
// groups. To manage the node is not enough: a member takes messages from the others.
func (g *Grant) CheckConsume(namespace, stream string) error {
	if matches(g.Read, namespace, stream) {
		return nil
	}
	return g.forbid("consume", namespace, stream)
}

// MaySeeStream reports whether the principal may look at what a stream and its groups
// are, because it may append to, read or manage it.
func (g *Grant) MaySeeStream(namespace, stream string) bool {
	return g.Manage || matches(g.Append, namespace, stream) || matches(g.Read, namespace, stream)
}

// CheckSeeStream returns NOT_ALLOWED unless MaySeeStream.
func (g *Grant) CheckSeeStream(namespace, stream string) error {
	if g.MaySeeStream(namespace, stream) {
		return nil
	}
	a := edda.Address{Namespace: namespace, Name: stream}
	return &edda.Error{Reason: edda.NotAllowed, Err: fmt.Errorf("%q may neither append to nor read %s", g.Principal, a)}
}
