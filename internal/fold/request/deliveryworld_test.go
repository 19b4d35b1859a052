package request

import (
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// told is a fake group machine too. "deliver N ADDRESS" makes request N one of a
// message, in one of three shards, at once if N is among the starts; "undeliver N"
// cancels it. When one ends well, another is made.

func (s *told) doDelivery(what string, starts []uint32) error {
	var n, at int
	if _, err := fmt.Sscanf(what, "deliver %d %d", &n, &at); err == nil {
		return s.deliver(n, at, slices.Contains(starts, uint32(n)))
	}
	if _, err := fmt.Sscanf(what, "undeliver %d", &n); err == nil {
		return s.m.CancelDelivery(testID(n))
	}
	return nil
}

func (s *told) deliver(n, at int, start bool) error {
	if known, err := s.m.Lookup(testID(n), s.m.env.Time); err != nil || known != nil || n < 0 || n > 1<<20 {
		return err
	}
	a, msg := delivered(n, at)
	if n%2 == 0 {
		a.Message = nil // it is encoded when it must be
	} else {
		msg = nil
	}
	room, err := s.m.AdmitDelivery(a, msg, start)
	if !room {
		s.said = fmt.Appendf(s.said, "no room for r%d\n", n)
	}
	return err
}

func (s *told) DeliveryEnded(r *Request) error {
	s.said = appendDelivered(s.said, r.Delivery, r.State, r.Failure.Reason, r.Attempts)
	if r.State == edda.StateDead {
		if _, err := r.Load(s.m.env.Table); err != nil {
			return err
		}
	}
	if n, more := follows(r.Delivery, r.State); more {
		return s.deliver(n, n, false)
	}
	return nil
}

// follows says which delivery is made when one has ended.
func follows(d *record.Delivery, s edda.State) (n int, more bool) {
	return int(d.Offset) + 1000, d.Offset < 1000 && s == edda.StateSucceeded
}

// delivered is the request that "deliver N AT" makes.
func delivered(n, at int) (*record.Accepted, *edda.Message) {
	a, msg := admitted(n, at)
	msg.IdempotencyKey = "k1" // the message's id, in which requests have no part
	a.Step, a.Message = nil, mustEncode(msg)
	a.Delivery = &record.Delivery{
		Stream: 1, Group: 2, Offset: uint64(n), ID: "k1", Shard: []string{edda.DefaultShard, "eu", "us"}[n%3],
	}
	return a, msg
}

// lane is the address of a key in a shard, as it stands in its flat form.
func lane(a edda.Address, shard string) edda.Address {
	if shard != "" && shard != edda.DefaultShard {
		a.Name += "\x01" + shard
	}
	return a
}

// allLanes are all keys there may be.
func allLanes() (all []edda.Address) {
	for _, a := range testAddresses {
		all = append(all, a, lane(a, "eu"), lane(a, "us"))
	}
	return all
}

// lane is the key that a request waits at.
func (r *modelRequest) lane() edda.Address {
	if r.delivery == nil {
		return r.To
	}
	return lane(r.To, r.delivery.Shard)
}

func (r *modelRequest) setDelivery(d *record.Delivery) {
	r.delivery, r.Delivery = d, string(record.AppendDeliveryRef(nil, 1, d))
}

// finally is how a request ends that failed for good.
func (r *modelRequest) finally() edda.State {
	if r.delivery != nil {
		return edda.StateDead
	}
	return edda.StateFailed
}

func appendDelivered(b []byte, d *record.Delivery, s edda.State, reason edda.Reason, attempts int) []byte {
	return fmt.Appendf(b, "delivered %s/%d %s %s attempts %d retried %t\n", d.Shard, d.Offset, s, reason, attempts, d.Retried)
}

func (m *model) deliveryEnded(r *modelRequest) {
	m.toldSaid = appendDelivered(m.toldSaid, r.delivery, r.State, r.Failure.Reason, r.Attempts)
	if n, more := follows(r.delivery, r.State); more {
		m.deliver(n, n, false)
	}
}

func (m *model) doDelivery(what string, starts []uint32) {
	var n, at int
	if _, err := fmt.Sscanf(what, "deliver %d %d", &n, &at); err == nil {
		m.deliver(n, at, slices.Contains(starts, uint32(n)))
		return
	}
	if _, err := fmt.Sscanf(what, "undeliver %d", &n); err != nil {
		return
	}
	r := m.byID(testID(n))
	if r == nil || r.delivery == nil || r.State.Ended() {
		return
	}
	if r.Fence != 0 {
		m.sayFence(Fenced, r, r.Fence)
		r.renewParts()
		r.Fence = 0
	}
	f := record.Failure{Reason: edda.Cancelled, Message: "its group was reset or removed"}
	m.startOrWait(m.end(r, edda.StateCancelled, f, 0), false)
	m.told = m.told[:len(m.told)-1]
}

func (m *model) deliver(n, at int, start bool) {
	if m.byID(testID(n)) != nil {
		return
	}
	if m.number >= 1023 {
		m.toldSaid = fmt.Appendf(m.toldSaid, "no room for r%d\n", n)
		return
	}
	a, msg := delivered(n, at)
	m.number++
	m.admit(m.make(a, msg, m.number), record.Failure{}, start)
}

// ofDelivery has a message delivered, or not any more.
func (g *gen) ofDelivery(c *record.Completed) {
	var open []int
	for n := range g.ids {
		if r := g.m.byID(testID(n)); r != nil && r.delivery != nil && !r.State.Ended() {
			open = append(open, n)
		}
	}
	if len(open) > 0 && g.chance(20) {
		c.Added = append(c.Added, fmt.Appendf(nil, "undeliver %d", pick(g, open...)))
		return
	}
	c.Added = append(c.Added, fmt.Appendf(nil, "deliver %d %d", g.ids, g.IntN(len(testAddresses))))
	if g.chance(50) {
		c.Starts = append(c.Starts, uint32(g.ids))
	}
	g.ids++
}
