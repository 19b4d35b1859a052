package saga_test

import (
	"fmt"
	"slices"

	"github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
)

// forecast is what a rehearsal says of a record before that is applied.
type forecast struct {
	sure bool
	sent []string
	here bool
	from uint64 // the last number of the lane
}

// foresee rehearses the end of a step, with the rehearsal of the record before, if that
// was rehearsed, and with a new one.
func (p *place) foresee(rec []byte) (f forecast) {
	p.tb.Helper()
	last := p.rehearsal
	p.rehearsal = nil
	e := p.endIn(rec)
	if e == nil {
		return f
	}
	f.from = p.box.Sent(1 - exploreHome)
	ref := saga.Ref{Namespace: e.Namespace, ID: e.Step.Saga}
	for _, r := range []*saga.Rehearsal{p.sagas.Rehearse(ref, e.Step.Index), last} {
		if r == nil || r == last && p.rehearsed != ref {
			continue
		}
		sent, here, ok := r.StepEnded(e, exploreTime)
		if !ok {
			continue
		}
		one := forecast{sure: true, here: here, from: f.from}
		for _, to := range sent {
			for _, e := range to.Entries {
				one.sent = append(one.sent, fmt.Sprintf("%d: %s %q", to.To, e.Type, e.Body))
			}
		}
		if f.sure && (!slices.Equal(f.sent, one.sent) || f.here != one.here) {
			p.tb.Fatalf("foresaw %+v, and from the record before %+v", f, one)
		}
		f, p.rehearsal, p.rehearsed = one, r, ref
	}
	return f
}

// endIn returns the end of a step that a record will tell its saga of; nil when it is
// another record, or nobody will be told.
func (p *place) endIn(rec []byte) *record.StepEnded {
	p.tb.Helper()
	r, err := record.Parse(rec)
	if err != nil {
		p.tb.Fatal(err)
	}
	switch r.Type {
	case record.TypeCompleted:
		var c record.Completed
		if err := c.Decode(r.Body); err != nil {
			p.tb.Fatal(err)
		}
		e, err := p.req.Foresee(&c)
		if err != nil {
			p.tb.Fatal(err)
		}
		return e
	case record.TypeStepEnded:
		var e record.StepEnded
		if err := e.Decode(r.Body); err != nil {
			p.tb.Fatal(err)
		}
		if e.Origin.Number == p.box.Received(e.Origin.From)+1 {
			return &e
		}
	}
	return nil
}

// check compares a forecast with what the record, which was the last one, has brought
// about.
func (f *forecast) check(p *place) {
	p.tb.Helper()
	if !f.sure {
		return
	}
	var sent []string
	for _, e := range p.box.After(1-exploreHome, f.from, 1<<30) {
		sent = append(sent, fmt.Sprintf("%d: %s %q", 1-exploreHome, e.Type, e.Body))
	}
	here := slices.ContainsFunc(p.last.made, func(m made) bool { return !m.remote })
	if !slices.Equal(sent, f.sent) || here != f.here {
		p.tb.Fatalf("sent %q, here %t; foresaw %q, here %t", sent, here, f.sent, f.here)
	}
}
