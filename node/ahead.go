package node

import (
	"bytes"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold/outbox"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
)

// ahead is a record that another partition gets before it is in the outbox, because the
// record of which it comes is not durable yet. The other's record of it rests on that
// one, so that one flush does for both, and neither is in the log without the other.
type ahead struct {
	to uint64
	delivery
}

// foresees reports whether what the next record will send can be said beforehand: when
// it is the first of those that are not applied.
func (p *partition) foresees() bool { return p.inFlight == 0 && p.building == nil }

// end is the position of the record that is proposed next.
func (p *partition) end() engine.Position {
	if p.building == nil {
		return p.next
	}
	return p.next + engine.Position(len(p.building.Records))
}

// handAhead returns what is handed over with the next record: what that will send to a
// partition. It is false when something else is on the way before, or there is no room.
func (p *partition) handAhead(all []ahead, to uint64, entries []outbox.Entry) ([]ahead, bool) {
	l := p.laneTo(to)
	if l.handed != p.outbox.Sent(to) || l.handed-l.acked+uint64(len(entries)) > laneWindow {
		return all, false
	}
	for i, e := range entries {
		all = append(all, ahead{to, delivery{
			origin: record.Origin{From: uint64(p.id), Number: l.handed + 1 + uint64(i)}, typ: e.Type, body: e.Body,
			after: engine.Place{Partition: p.id, Epoch: p.epoch, Position: p.end()},
		}})
	}
	return all, true
}

// handAllAhead is handAhead for all that the next record sends, or nothing of it.
func (p *partition) handAllAhead(sent []sagafold.Foreseen) (all []ahead, ok bool) {
	for i := range sent {
		if all, ok = p.handAhead(all, sent[i].To, sent[i].Entries); !ok {
			return nil, false
		}
	}
	return all, true
}

// proposeAhead is propose for a record of which something may be handed over ahead.
func (p *partition) proposeAhead(rec []byte, pr proposal, all []ahead) {
	p.propose(rec, pr)
	if len(all) > 0 {
		p.building.ahead = append(p.building.ahead, all...)
	}
	for i := range all {
		p.lanes[all[i].to].handed = all[i].origin.Number
	}
}

// outcomeAhead returns what the record of an outcome will send to the partition of its
// step's saga, or, if that is this one, to those of the steps that start then; nothing when
// that is not certain. Quiet says that nothing starts here.
func (p *partition) outcomeAhead(a *Attempt) (all []ahead, quiet bool) {
	if a.step == nil {
		return nil, false
	}
	home := p.n.homeOf(a.step.Hash)
	var r rehearsal
	if home == p {
		r = p.rehearse(sagafold.Ref{Namespace: a.req.To.Namespace, ID: a.step.Saga}, a.step.Index)
	}
	if home == p && r.Rehearsal == nil || home != p && !p.foresees() {
		return nil, false
	}
	var c record.Completed
	if c.Decode(a.rec[record.HeaderBytes:]) != nil {
		return nil, false // the fold will say what is wrong with it
	}
	e, err := p.requests.Foresee(&c)
	if e == nil || err != nil {
		return nil, false
	}
	if home == p {
		return p.endedAhead(r, e)
	}
	return p.handAhead(nil, uint64(home.id), []outbox.Entry{{Type: record.TypeStepEnded, Body: e.AppendBody(nil)}})
}

// createdAhead returns what the record of a new saga will send to the partitions of its
// steps; nothing when that is not certain. Quiet says that nothing starts here.
func (p *partition) createdAhead(rec []byte) (all []ahead, quiet bool) {
	if !p.foresees() {
		return nil, false
	}
	sent, here, err := p.sagas.Foresee(rec[record.HeaderBytes:], p.now())
	if err != nil {
		return nil, false // the fold will say what is wrong with it
	}
	all, _ = p.handAllAhead(sent)
	return all, len(all) > 0 && !here
}

// rehearsal is that of a saga whose steps' ends are all that is not applied yet, but for
// acknowledgements.
type rehearsal struct {
	*sagafold.Rehearsal
	saga sagafold.Ref
	end  engine.Position // after the last of those records
}

// rehearse returns the rehearsal of a saga in which a step ends with the next record:
// that of the records before it, or a new one. It has none when what follows is not
// certain, or stays here. endedAhead keeps it for the record after.
func (p *partition) rehearse(saga sagafold.Ref, step uint32) (r rehearsal) {
	switch {
	case p.foresees():
		r = rehearsal{p.sagas.Rehearse(saga, step), saga, p.end()}
	case p.rehearsal.end == p.end() && p.rehearsal.saga == saga:
		r = p.rehearsal
	}
	p.rehearsal = rehearsal{}
	return r
}

// endedAhead returns what the record that says the end of a step to its saga, which is
// proposed next, will send to the partitions of the steps that it starts; nothing when that
// is not certain. Quiet says that nothing starts here.
func (p *partition) endedAhead(r rehearsal, e *record.StepEnded) (all []ahead, quiet bool) {
	sent, here, ok := r.StepEnded(e, p.now())
	if !ok {
		return nil, false
	}
	if all, ok = p.handAllAhead(sent); !ok {
		return nil, false
	}
	r.end++
	p.rehearsal = r
	return all, len(all) > 0 && !here
}

// deliveredAhead is endedAhead for the end of a step in another partition.
func (p *partition) deliveredAhead(d *delivery, ends stepRef) (all []ahead, quiet bool) {
	if d.origin.Number != p.outbox.Received(d.origin.From)+1 {
		return nil, false
	}
	r := p.rehearse(ends.saga, ends.index)
	var e record.StepEnded
	if r.Rehearsal == nil || e.Decode(d.body) != nil {
		return nil, false
	}
	return p.endedAhead(r, &e)
}

// foresaw reports whether the outbox has got what was handed over ahead.
func (p *partition) foresaw(a *ahead) bool {
	got := p.outbox.After(a.to, a.origin.Number-1, 1)
	return len(got) == 1 && got[0].Number == a.origin.Number && got[0].Type == a.typ && bytes.Equal(got[0].Body, a.body)
}
