package node

import (
	"context"
	"fmt"
	"sync"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
)

// The parts of one attempt that may be on their way to the log at a time.
const (
	// PartWindow is how many.
	PartWindow = 32
	// PartWindowBytes is how large they may be together, one of them aside.
	PartWindowBytes = 256 << 10
)

const opPart = "yield a part"

// partLine is what an attempt has yielded, and what of it is not durable yet.
type partLine struct {
	mu          sync.Mutex // guards what follows; only the inbox's is locked under it
	count       int        // of all parts
	bytes       int        // of all payloads
	contentType string     // of the last part
	flying      int        // parts that are not durable
	flyingBytes int
	freed       chan struct{} // closed when one has landed; nil while nobody waits
	err         error         // why there are no more
}

// partWrite is a part on its way to its partition.
type partWrite struct {
	a      *Attempt
	rec    []byte
	number int
	size   int
	stored func(number int, err error) // may be nil
}

// line returns the attempt's parts.
func (a *Attempt) line() *partLine {
	if l := a.parts.Load(); l != nil {
		return l
	}
	a.parts.CompareAndSwap(nil, new(partLine))
	return a.parts.Load()
}

var _ edda.PartWriter = (*Attempt)(nil)

// WritePart takes a part from a handler. See edda.Context.Part. It waits while the
// attempt has PartWindow parts, or PartWindowBytes, that are not durable.
func (a *Attempt) WritePart(ctx context.Context, contentType string, payload []byte) error {
	for {
		if ctx.Err() != nil {
			return a.partError(edda.Fenced, context.Cause(ctx))
		}
		full, err := a.offer(contentType, payload, nil)
		if full == nil {
			return err
		}
		select {
		case <-full:
		case <-ctx.Done():
		case <-a.p.n.halt:
			return a.p.n.notRunning(opPart)
		}
	}
}

// Part takes a part from a worker elsewhere, and never blocks. An error means that
// this part and every later one is refused; Overloaded, that the worker did not
// wait: at most PartWindow parts, and PartWindowBytes, may be on their way. Without
// an error stored is called once, unless the node stops, with how many parts of
// the attempt are durable now or with the reason why there are no more; in a
// goroutine that everybody waits for, so it must not block. The attempt does not
// keep the payload.
func (a *Attempt) Part(contentType string, payload []byte, stored func(number int, err error)) error {
	if n := len(contentType) + len(payload); n > edda.MaxPartBytes {
		return a.partError(edda.TooLarge, fmt.Errorf("the part has %d bytes, at most %d are allowed", n, edda.MaxPartBytes))
	}
	if a.settled.Load() {
		return a.partError(edda.Fenced, errFenced)
	}
	full, err := a.offer(contentType, payload, stored)
	if full != nil {
		return a.partError(edda.Overloaded, fmt.Errorf("%d parts, or %d bytes, are on their way already", PartWindow, PartWindowBytes))
	}
	return err
}

// offer puts a part on its way. When too much is on its way already it returns a
// channel that is closed when there may be room.
func (a *Attempt) offer(contentType string, payload []byte, stored func(int, error)) (full <-chan struct{}, err error) {
	l, size, limits := a.line(), len(contentType)+len(payload), &a.p.n.opts.Limits
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
		return nil, l.err
	case l.count >= limits.RequestParts:
		l.err = a.partError(edda.TooLarge, fmt.Errorf("the attempt has yielded %d parts, more are not allowed", l.count))
		return nil, l.err
	case l.bytes+size > limits.RequestPartBytes:
		l.err = a.partError(edda.TooLarge, fmt.Errorf("the attempt has yielded %d bytes in parts and would yield %d more, at most %d are allowed",
			l.bytes, size, limits.RequestPartBytes))
		return nil, l.err
	case l.flying >= PartWindow || l.flying > 0 && l.flyingBytes+size > PartWindowBytes:
		if l.freed == nil {
			l.freed = make(chan struct{})
		}
		return l.freed, nil
	}
	rec := record.Part{Seq: a.seq, Fence: a.fence, Number: uint64(l.count) + 1, Payload: payload}
	if contentType != l.contentType {
		rec.ContentType = []byte(contentType)
	}
	w := &partWrite{
		a: a, number: l.count + 1, size: size, stored: stored,
		rec: rec.AppendTo(make([]byte, 0, record.AppendedBytes+size)),
	}
	if !a.p.in.part(w) {
		l.err = a.p.n.notRunning(opPart)
		return nil, l.err
	}
	l.count++
	l.bytes += size
	l.contentType = contentType
	l.flying++
	l.flyingBytes += size
	return nil, nil
}

// landed notes that a part is durable, or why it will not be.
func (w *partWrite) landed(err error) {
	l := w.a.line()
	l.mu.Lock()
	l.flying--
	l.flyingBytes -= w.size
	if l.err == nil {
		l.err = err
	}
	if l.freed != nil {
		close(l.freed)
		l.freed = nil
	}
	l.mu.Unlock()
	if w.stored != nil {
		w.stored(w.number, err)
	}
}

// partError is why an attempt's parts are refused.
func (a *Attempt) partError(reason edda.Reason, err error) *edda.Error {
	return &edda.Error{Op: opPart, Reason: reason, Key: a.msg.To.Key, RequestID: a.msg.ID, Err: err}
}

// part proposes a part, unless the attempt is over or about to be.
func (p *partition) part(w *partWrite) {
	a := w.a
	if l := liveOf(a.req); a.over || l == nil || l.attempt != a || l.closing {
		w.landed(a.partError(edda.Fenced, errFenced))
		return
	}
	p.propose(w.rec, proposal{then: func(effects []request.Effect, err error) {
		for i := range effects {
			if effects[i].Kind == request.Stale {
				err = a.partError(edda.Fenced, errFenced)
			}
		}
		if err == nil {
			p.n.metrics.part(a.svc)
		}
		w.landed(err)
	}})
}
