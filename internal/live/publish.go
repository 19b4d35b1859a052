package live

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
)

// publish makes of a stored message what subscribers get, and nil of one that they do not.
// It has no resume point yet. The payload is a copy: the node's own may be a part of
// something much larger, which would stay in memory with it.
func (h *Hub) publish(key *topicKey, c *sources, source int, e *Entry) *edda.LiveMessage {
	if !c.types[source].match(e.Message.Type) {
		return nil
	}
	spec := &c.specs[source]
	m := &edda.LiveMessage{Message: e.Message, Namespace: spec.Namespace}
	m.Message.Payload = bytes.Clone(e.Message.Payload)
	m.Message.Stream = spec.Stream
	if spec.Own {
		m.Message.Stream = ""
	}
	if key.channel && h.o.Publish != nil && !h.passes(key, &m.Message) {
		h.withheld.Add(1)
		return nil
	}
	return m
}

// passes asks the filter of channels, which may change the message, but not where it is.
func (h *Hub) passes(key *topicKey, m *edda.StreamMessage) (ok bool) {
	stream, shard, offset := m.Stream, m.Shard, m.Offset
	m.Headers = slices.Clone(m.Headers)
	defer func() {
		m.Stream, m.Shard, m.Offset = stream, shard, offset
		if r := recover(); r != nil {
			h.publishPanicked(key, m, r)
		}
	}()
	return h.o.Publish(key.namespace, key.name, m)
}

func (h *Hub) publishPanicked(key *topicKey, m *edda.StreamMessage, r any) {
	kept, ok := h.panics.Pass()
	if !ok {
		return
	}
	h.o.Logger.Error("OnPublish panicked: the message is withheld", "namespace", key.namespace, "channel", key.name,
		"stream", m.Stream, "shard", m.Shard, "offset", m.Offset, "panic", fmt.Sprint(r), "more", kept)
}
