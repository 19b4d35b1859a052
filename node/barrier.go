package node

import "github.com/edda-io/edda/engine"

// barrier is something to be done once all records before a position are applied.
type barrier struct {
	at   engine.Position
	then func()
}

// barrier calls then once everything that was proposed is applied.
func (p *partition) barrier(then func()) {
	at := p.next
	switch {
	case p.building != nil:
		at += engine.Position(len(p.building.Records))
	case p.inFlight == 0:
		then()
		return
	}
	p.barriers = append(p.barriers, barrier{at, then})
}

// pass calls those who wait for the records before the position.
func (p *partition) pass(at engine.Position) {
	for len(p.barriers) > 0 && p.barriers[0].at <= at {
		p.barriers[0].then()
		p.barriers[0] = barrier{}
		p.barriers = p.barriers[1:]
	}
}
