package node

import (
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
)

// Between partitions nobody waits for anybody: the sender hands over at most a
// window of records of its outbox, and more as they are acknowledged. What is
// not handed over stays in the outbox, which is durable.

// laneWindow is how many records may be on their way between two partitions.
const laneWindow = 64

// ackDelay is how long an acknowledgement waits for another record to share a
// batch with. What it lets go of is a record in memory, so there is no hurry, and a
// flush for it alone would be in the way of others.
const ackDelay = 500 * time.Millisecond

// ackHurry is ackDelay once half of what may be on its way is.
const ackHurry = 50 * time.Millisecond

// lane is what the node knows of the way to another partition.
type lane struct {
	handed uint64 // the last number handed over
	acked  uint64 // the last number the other has
	noted  uint64 // the last number whose acknowledgement was proposed
}

// laneTo returns the way to a partition.
func (p *partition) laneTo(to uint64) *lane {
	l := p.lanes[to]
	if l == nil {
		acked := p.outbox.Acked(to)
		l = &lane{handed: acked, acked: acked, noted: acked}
		p.lanes[to] = l
	}
	return l
}

// pump hands over what the lane has room for.
func (p *partition) pump(to uint64) {
	l := p.laneTo(to)
	room := laneWindow - int(l.handed-l.acked)
	if room <= 0 {
		return
	}
	for _, e := range p.outbox.After(to, l.handed, room) {
		p.n.parts[to].in.delivery(delivery{
			origin: record.Origin{From: uint64(p.id), Number: e.Number}, typ: e.Type, body: e.Body,
		})
		l.handed = e.Number
		p.n.handed.Add(1)
	}
}

// acked notes what another partition has. The acknowledgement goes into the log
// with the next batch, or after a short while: losing it costs nothing but
// sending again.
func (p *partition) acked(a ack) {
	l := p.lanes[a.from]
	if l == nil || a.number <= l.acked {
		return
	}
	if l.acked == l.noted {
		p.ackLanes++
	}
	l.acked = a.number
	delay := ackDelay
	if p.outbox.Bytes() > p.n.opts.Limits.OutboxBytes/2 {
		delay = ackHurry
	}
	if at := p.now() + int64(delay); p.ackAt == 0 || at < p.ackAt {
		p.ackAt = at
	}
	p.pump(a.from)
}

func (p *partition) proposeAcks() {
	for to := range uint64(len(p.n.parts)) {
		l := p.lanes[to]
		if l == nil || l.acked == l.noted {
			continue
		}
		l.noted = l.acked
		a := record.OutboxAcked{To: to, Number: l.acked}
		if p.rehearsal.end == p.end() {
			p.rehearsal.end++ // no saga changes with it
		}
		p.propose(a.AppendTo(nil), proposal{quiet: true})
	}
	p.ackLanes, p.ackAt = 0, 0
}

// deliver proposes a record that another partition sent, unless it is here.
func (p *partition) deliver(d *delivery) {
	if d.origin.Number <= p.outbox.Received(d.origin.From) {
		p.received(d)
		return
	}
	got := *d
	pr := proposal{from: &got}
	var early []ahead
	rec := record.AppendDelivery(nil, d.typ, d.body, d.origin)
	switch d.typ {
	case record.TypeAccepted:
		pr.slot = p.slotFor(d.body)
	case record.TypeStepEnded:
		if pr.saga = p.endedElsewhere(d.body); pr.saga != nil {
			rec = record.AppendStepStarts(rec, pr.saga.slots.indexes())
			early, pr.quiet = p.deliveredAhead(d, pr.saga.ends)
		}
	case record.TypeStreamAppended:
		var starts []record.GroupStart
		starts, pr.deliveries = p.reserveAppended(d.body)
		rec = record.AppendGroupStarts(rec, starts)
	}
	p.proposeAhead(rec, pr, early)
	if d.after.Position != 0 {
		p.building.After = append(p.building.After, d.after)
	}
}

// slotFor reserves a slot for a request from another partition, if its key is
// idle and one is free.
func (p *partition) slotFor(body []byte) *host {
	var a record.Accepted
	var m edda.Message
	if a.Decode(body) != nil || m.UnmarshalBinary(a.Message) != nil {
		return nil // the fold will say what is wrong with it
	}
	if a.Refused.Reason != "" || !m.Due.IsZero() && m.Due.UnixNano() > p.now() {
		return nil
	}
	if a.Kind == edda.Ordered && p.requests.Key(m.To) != nil {
		return nil
	}
	if svc := p.n.known(m.To.Namespace, m.To.Name); svc != nil {
		return svc.acquire(a.Hash, "")
	}
	return nil
}

// received tells the sender that its record is durable here.
func (p *partition) received(d *delivery) {
	p.n.parts[d.origin.From].in.ack(ack{from: uint64(p.id), number: d.origin.Number})
}

// home returns the partition of an id.
func (n *Node) home(route uint16) *partition { return n.homeOf(uint64(route) << 48) }

// homeOf returns the partition that owns an address hash.
func (n *Node) homeOf(hash uint64) *partition {
	return n.parts[fold.Home(hash, uint64(len(n.parts)))]
}

// recovered proposes what a new owner has to: that it is the owner, and what
// becomes of the attempts that the one before has lost.
func (p *partition) recovered(then func([]request.Effect, error)) {
	p.tick()
	o := record.Owned{Epoch: uint64(p.epoch), Node: p.n.info.ID}
	p.propose(o.AppendTo(nil), proposal{then: then})
	for r := range p.requests.All() {
		switch {
		case r.Fence != 0:
			p.attemptFailed(r, record.Failure{Reason: edda.NodeLost, Message: "the node was lost during the attempt"}, 0, time.Unix(0, 0), nil)
		case r.Ready(p.now()):
			p.wantSlot(r)
		default:
			p.schedule(r)
		}
		if r.Deadline != 0 {
			p.schedule(r)
		}
		p.buryIfDeleted(r, p.liveFor(r))
	}
	for g := range p.groups.All() {
		if g.Advancing() {
			p.advanceGroup(g)
		}
	}
	for _, ref := range p.sagas.Unadvanced() {
		p.advance(ref)
	}
	for _, to := range p.outbox.Lanes() {
		p.pump(to)
	}
}
