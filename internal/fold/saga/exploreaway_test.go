package saga_test

import (
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// distance is the other partition: what has come there, what is open, and what is on
// its way back. It is a value; clone before changing it.
type distance struct {
	received int // of the lane
	open     []far
	back     []back
	returned int // of back, from the beginning
}

// far is a request of the other partition.
type far struct {
	name
	id   edda.ID
	step record.Step
}

// back is a step's end on its way back.
type back struct {
	name
	body []byte
	end  end
}

func (d distance) clone() distance {
	d.open, d.back = slices.Clone(d.open), slices.Clone(d.back)
	return d
}

// take brings the next of the lane there. It reports whether it was a request, and
// not a cancellation.
func (d *distance) take(p *place) {
	e := p.lane()[d.received]
	d.received++
	if e.Type == record.TypeAccepted {
		a, msg := p.accepted(e.Body)
		d.open = append(d.open, far{name: p.names[msg.ID], id: msg.ID, step: *a.Step})
		return
	}
	id := p.told(e.Body)
	if i := slices.IndexFunc(d.open, func(f far) bool { return f.id == id }); i >= 0 {
		d.finish(i, end{reason: edda.Cancelled, cancelled: true})
	}
}

// arrivals takes requests that are next in the lane: it makes no difference when
// they come.
func (d *distance) arrivals(p *place) {
	for l := p.lane(); d.received < len(l) && l[d.received].Type == record.TypeAccepted; {
		d.take(p)
	}
}

// finish ends an open request there.
func (d *distance) finish(i int, e end) {
	f := d.open[i]
	d.open = slices.Delete(d.open, i, i+1)
	ended := e.record(exploreNamespace, f.step)
	d.back = append(d.back, back{name: f.name, body: ended.AppendBody(nil), end: e})
}

// record says how a step's request has ended.
func (e end) record(namespace string, step record.Step) *record.StepEnded {
	r := &record.StepEnded{Namespace: namespace, Step: step, State: edda.StateSucceeded, Pending: e.pending, Attempts: 1}
	switch {
	case e.pending:
	case e.cancelled:
		r.State, r.Failure = edda.StateCancelled, record.Failure{Reason: edda.Cancelled, Message: "cancelled"}
	case e.ok() || e.status != 0:
		r.Reply = e.reply()
	default:
		r.State, r.Failure = edda.StateFailed, record.Failure{Reason: e.reason, Message: "no"}
	}
	return r
}

// reply returns the encoded reply of a handler that has ended a step so.
func (e end) reply() []byte {
	r := edda.Reply{Status: e.status, ContentType: "application/json", Payload: []byte(e.result)}
	b, err := r.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}
