package node

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/slot"
)

// deliverySlots are slots reserved for the messages of one append, by group. Those that
// the record does not start are given back when it is applied. Nil is none.
type deliverySlots []groupSlots

// groupSlots are the slots in one group, whatever message each is for: any member may
// have any.
type groupSlots struct {
	group uint64 // its serial number
	hosts []*slot.Host[*host]
}

// maxStarts is how many slots are reserved for one record, which makes about as many
// requests at most.
const maxStarts = 1_000

// reserveDeliveries takes slots for messages that are about to be appended to a shard, in
// the groups that will take them in at once, as far as there are free ones. A message
// that has to wait for its key's turn gets none. S is nil when there is no such stream
// yet. Starts are only until it is called again.
func (p *partition) reserveDeliveries(s *streamfold.Stream, shard string, msgs []edda.StreamMessage) (starts []record.GroupStart, slots deliverySlots) {
	if s == nil {
		return nil, nil
	}
	groups := p.groups.Of(s)
	if len(groups) == 0 {
		return nil, nil
	}
	starts = p.starts[:0] // only until the record is encoded
	sh := s.Shard(shard)
	for _, g := range groups {
		svc := consumerOf(g)
		if !g.Caught(sh) || !svc.idle() {
			continue
		}
		first := p.firstOfKeys(svc.addr, shard, msgs)
		hosts := svc.slots.AcquireAny(min(len(first), maxStarts-len(starts)))
		if len(hosts) == 0 {
			continue
		}
		for _, i := range first[:len(hosts)] {
			starts = append(starts, record.GroupStart{Group: g.Serial, Index: i})
		}
		slots = append(slots, groupSlots{group: g.Serial, hosts: hosts})
	}
	p.starts = starts
	return starts, slots
}

// reserveAppended is reserveDeliveries for an append from another partition.
func (p *partition) reserveAppended(body []byte) ([]record.GroupStart, deliverySlots) {
	var a record.StreamAppended
	if a.Decode(body) != nil {
		return nil, nil // the fold will say what is wrong with it
	}
	s := p.streams.Stream(a.Namespace, a.Stream)
	if s == nil || len(p.groups.Of(s)) == 0 {
		return nil, nil
	}
	msgs := make([]edda.StreamMessage, len(a.Messages))
	var names record.MessageNames
	for i, m := range a.Messages {
		if names.Read(m) != nil {
			return nil, nil
		}
		msgs[i].Key = string(names.Key)
	}
	return p.reserveDeliveries(s, a.Shard, msgs)
}

// firstOfKeys returns the indexes of the messages that need not wait for others of their
// keys, until it is called again.
func (p *partition) firstOfKeys(a edda.Address, shard string, msgs []edda.StreamMessage) []uint32 {
	first := p.firsts[:0]
	var seen map[string]bool
	for i := range msgs {
		if key := msgs[i].Key; key != "" {
			a.Key = key
			if seen[key] || p.requests.InShard(a, shard) != nil {
				continue
			}
			if len(msgs) > 1 {
				if seen == nil {
					seen = map[string]bool{}
				}
				seen[key] = true
			}
		}
		first = append(first, uint32(i))
	}
	p.firsts = first
	return first
}

// idle reports whether a slot may be free, without looking closely.
func (s *service) idle() bool { return s.view().hosted }

// take returns a slot for a message in a group; nil when there is none.
func (d deliverySlots) take(r *request.Request) *host {
	if r.Delivery == nil {
		return nil
	}
	for i := range d {
		if g := &d[i]; g.group == r.Delivery.Group && len(g.hosts) > 0 {
			h := g.hosts[len(g.hosts)-1]
			g.hosts = g.hosts[:len(g.hosts)-1]
			return h.Of
		}
	}
	return nil
}

// release gives back what was not used.
func (d deliverySlots) release() {
	for i := range d {
		for _, h := range d[i].hosts {
			h.Of.release()
		}
		d[i].hosts = nil
	}
}
