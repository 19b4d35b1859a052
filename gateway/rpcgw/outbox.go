package rpcgw

import (
	"context"
	"sync"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// outbox holds what waits to be sent to a worker, in order. Everybody may put
// something in without waiting; one goroutine takes all that is there at once.
//
// What a worker gets without asking is bounded by the node: a dispatch takes a slot,
// an attempt is fenced once, and of the members of a service, and of the parts of an
// attempt that are stored, only the last news count. What it asks for is bounded by room: the goroutine that reads its questions
// waits until enough of the answers are sent.
type outbox struct {
	wake chan struct{} // one signal that something is there

	mu      sync.Mutex // guards what follows; nothing is locked under it
	items   []item
	members map[edda.Address]int          // which of items has the members of a service
	stored  map[uint64]*eddav1.PartStored // likewise, by attempt
	answers int
	relief  chan struct{} // closed: answers were taken; nil: nobody waits
}

// item is a frame. Dispatches are encoded when they are sent, so that those that
// were fenced meanwhile, and what their state costs, are left out.
type item struct {
	dispatch *held
	frame    *eddav1.NodeFrame
	shared   []byte // an encoded frame that other workers get too
	answer   bool
}

// maxAnswers is how many answers to a worker may wait.
const maxAnswers = 256

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), members: map[edda.Address]int{}, stored: map[uint64]*eddav1.PartStored{}}
}

func (o *outbox) put(i item) {
	o.mu.Lock()
	o.items = append(o.items, i)
	if i.answer {
		o.answers++
	}
	first := len(o.items) == 1
	o.mu.Unlock()
	if first {
		o.ring()
	}
}

func (o *outbox) ring() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// setMembers puts in who the workers of a service are, encoded, in place of older
// news that wait.
func (o *outbox) setMembers(service edda.Address, frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i, waiting := o.members[service]; waiting {
		o.items[i].shared = frame
		return
	}
	o.members[service] = len(o.items)
	o.items = append(o.items, item{shared: frame})
	o.ring()
}

// setStored puts in how many parts of an attempt are stored, or why there are no
// more, in place of older news that wait.
func (o *outbox) setStored(attempt uint64, number int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.stored[attempt]
	if p == nil {
		p = &eddav1.PartStored{AttemptId: attempt}
		o.stored[attempt] = p
		o.items = append(o.items, item{frame: &eddav1.NodeFrame{Frame: &eddav1.NodeFrame_PartStored{PartStored: p}}})
		o.ring()
	}
	if err != nil {
		p.Error = errorOf(err)
	} else {
		p.Number = uint64(number)
	}
}

// room returns once few enough answers wait, or ctx has ended.
func (o *outbox) room(ctx context.Context) {
	for {
		o.mu.Lock()
		if o.answers < maxAnswers {
			o.mu.Unlock()
			return
		}
		if o.relief == nil {
			o.relief = make(chan struct{})
		}
		relief := o.relief
		o.mu.Unlock()
		select {
		case <-relief:
		case <-ctx.Done():
			return
		}
	}
}

// take returns all that waits, once there is something; nothing when ctx has ended.
// The outbox keeps the slice that it is given, for what comes next.
func (o *outbox) take(ctx context.Context, spare []item) []item {
	select {
	case <-o.wake:
	case <-ctx.Done():
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	items := o.items
	o.items = spare[:0]
	clear(o.members)
	clear(o.stored)
	return items
}

// sent notes that answers are on their way.
func (o *outbox) sent(answers int) {
	if answers == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answers -= answers
	if o.relief != nil {
		close(o.relief)
		o.relief = nil
	}
}
