package live

import (
	"cmp"
	"context"

	"github.com/edda-io/edda"
)

// DefaultHistory is how many messages History returns where it is not said.
const DefaultHistory = 100

// maxHistory is how many bytes of messages History returns at a time, and one more message.
const maxHistory = 4 << 20

// History returns the messages of a topic from a place on, FromStart when it is empty, in
// the order of the times at which they were stored; at most limit, fewer where they are
// large, none at the end alone; and where to go on.
func (h *Hub) History(ctx context.Context, t Topic, from edda.From, limit int) ([]*edda.LiveMessage, edda.From, error) {
	at, err := parseStart(cmp.Or(from, edda.FromStart))
	if err != nil {
		return nil, "", err
	}
	if err := at.check(&t); err != nil {
		return nil, "", err
	}
	limit = cmp.Or(limit, DefaultHistory)
	c := arrange(&t)
	places, err := at.find(ctx, h.streams, c)
	if err != nil {
		return nil, "", err
	}
	key := topicKey{t.Namespace, t.Name, t.Channel}
	m := newMerge(h.streams, c, places, min(limit*bytesEach, maxChunk))
	var items []*edda.LiveMessage
	w := pointWriter{floor: at.floor(c)}
	for size := 0; len(items) < limit && size < maxHistory; {
		e, i, err := m.next(ctx)
		if err != nil {
			return nil, "", err
		}
		if e == nil {
			break
		}
		msg := h.publish(&key, c, i, e)
		bytes := e.Bytes
		m.pass(e, i)
		if msg != nil {
			size += bytes
			msg.From = w.write(c, m.places)
			items = append(items, msg)
		}
	}
	return items, w.write(c, m.places), nil
}
