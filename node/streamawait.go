package node

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/edda-io/edda"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
)

// awaiters are those who wait for messages of a stream, by the messages' ids. The stream
// need not be there yet.
type awaiters map[string]*awaiter

// awaiter is somebody who waits for a message.
type awaiter struct {
	of   streamfold.Ref
	id   string
	next *awaiter // who waits for the same message

	// of the partition's goroutine until done has a signal
	shard string
	entry streamfold.Entry
	err   error
	done  chan struct{} // gets one
}

func (w *awaiter) op() string { return "await a message of stream " + w.of.Name }

// AwaitMessage returns the message with an id as soon as there is one. See
// edda.StreamBackend. A stream that there is not yet is waited for too.
func (n *Node) AwaitMessage(ctx context.Context, namespace, stream, id string, wait time.Duration) (*edda.StreamMessage, error) {
	if err := (&edda.Read{Namespace: namespace, Stream: stream, Wait: wait}).Validate(); err != nil {
		return nil, err
	}
	if err := edda.CheckMessageID(id); err != nil {
		return nil, err
	}
	w := &awaiter{of: streamfold.Ref{Namespace: cmp.Or(namespace, edda.DefaultNamespace), Name: stream}, id: id, done: n.bells.take()}
	p := n.streamHome(w.of.Namespace, stream)
	if !p.in.do(func() { p.await(w, wait > 0) }) {
		return nil, n.notRunning(w.op())
	}
	var over <-chan time.Time // never, for one who gets an answer at once
	if wait > 0 {
		t := n.clocks.start(wait)
		defer n.clocks.stop(t)
		over = t.C
	}
	select {
	case <-w.done:
		return n.awaited(w)
	case <-over:
	case <-ctx.Done():
	}
	always := context.WithoutCancel(ctx) // a look takes no longer than the partition's round
	var failed error
	if err := n.inPartition(always, p, w.op(), func() { failed = p.forgetAwaiter(w) }); err != nil {
		return nil, err
	}
	select {
	case <-w.done: // it came at the same time
		return n.awaited(w)
	default:
	}
	if ctx.Err() != nil {
		return nil, &edda.Error{Op: w.op(), Reason: edda.Timeout, Err: context.Cause(ctx)}
	}
	return nil, failed
}

// awaited is what whoever has waited gets.
func (n *Node) awaited(w *awaiter) (*edda.StreamMessage, error) {
	n.bells.put(w.done)
	if w.err != nil {
		return nil, w.err
	}
	m := new(edda.StreamMessage)
	if err := m.UnmarshalBinary(w.entry.Message); err != nil {
		return nil, errInternal(w.op(), fmt.Errorf("message %d: %w", w.entry.Offset, err))
	}
	m.Shard, m.Offset = w.shard, w.entry.Offset
	if m.Time.IsZero() {
		m.Time = timeOf(w.entry.Time)
	}
	return m, nil
}

// gets hands over the message, or why there is none. It is called once, and then the
// awaiter is the caller's.
func (w *awaiter) gets(shard string, e streamfold.Entry, err error) {
	w.shard, w.entry, w.err = shard, e, err
	w.done <- struct{}{}
}

// await gives a message that is there to whoever wants it; else it has them wait, if they
// stay, or says why there is none.
func (p *partition) await(w *awaiter, stays bool) {
	s := p.streams.Stream(w.of.Namespace, w.of.Name)
	if s != nil {
		at, known, err := p.streams.Find(s, w.id)
		switch {
		case err != nil:
			w.gets("", streamfold.Entry{}, errInternal(w.op(), err))
			return
		case known:
			w.gets(p.fetch(w, s, at))
			return
		}
	}
	if !stays {
		w.gets("", streamfold.Entry{}, p.notThere(w))
		return
	}
	all := p.awaiting[w.of]
	if all == nil {
		all = awaiters{}
		p.awaiting[w.of] = all
	}
	w.next = all[w.id]
	all[w.id] = w
}

// notThere is why nobody gets a message that has not come.
func (p *partition) notThere(w *awaiter) error {
	if _, err := p.findStream(w.op(), w.of.Namespace, w.of.Name); err != nil {
		return err
	}
	return errNoMessage(w.op(), w.id, "it has not come, or was forgotten")
}

func errNoMessage(op, id, why string) error {
	return &edda.Error{Op: op, Reason: edda.NoMessage, Err: fmt.Errorf("there is no message %q: %s", id, why)}
}

// fetch returns a message that was appended, and its shard.
func (p *partition) fetch(w *awaiter, s *streamfold.Stream, at streamfold.Place) (shard string, e streamfold.Entry, err error) {
	sh := s.ByIndex(at.Shard)
	v := p.streams.View(s, sh)
	if at.Offset < v.First {
		return "", e, errNoMessage(w.op(), w.id, "it is not kept any more")
	}
	entries, _, err := v.Read(p.table, at.Offset, 1, math.MaxInt)
	if err != nil {
		return "", e, errInternal(w.op(), err)
	}
	if len(entries) == 0 || entries[0].Offset != at.Offset {
		return "", e, errInternal(w.op(), fmt.Errorf("message %d of shard %s is missing", at.Offset, sh.Name))
	}
	return sh.Name, entries[0], nil
}

// wakeAwaiters gives new messages to those who wait for them.
func (p *partition) wakeAwaiters(e *streamfold.Effect) {
	if len(p.awaiting) == 0 {
		return
	}
	of := streamfold.Ref{Namespace: e.Stream.Spec.Namespace, Name: e.Stream.Spec.Name}
	all := p.awaiting[of]
	var names record.MessageNames
	v := p.streams.View(e.Stream, e.Shard)
	for offset := e.First; offset < e.First+uint64(e.N) && len(all) > 0; offset++ {
		entry, ok := v.Recent(offset)
		if !ok { // trimmed already
			continue
		}
		if err := names.Read(entry.Message); err != nil {
			p.n.log.Error("messages that are awaited cannot be read", "stream", of.Name, "error", err)
			return
		}
		w := all[string(names.Given)]
		if w == nil {
			continue
		}
		delete(all, w.id)
		w.give(e.Shard.Name, entry, nil)
	}
	p.dropNone(of)
}

// give is gets for all who wait for the same message.
func (w *awaiter) give(shard string, e streamfold.Entry, err error) {
	for w != nil {
		next := w.next // w is its caller's once it has got something
		w.gets(shard, e, err)
		w = next
	}
}

// dropNone forgets a stream that nobody waits for a message of.
func (p *partition) dropNone(of streamfold.Ref) {
	if all, ok := p.awaiting[of]; ok && len(all) == 0 {
		delete(p.awaiting, of)
	}
}

// forgetAwaiter is for one who waits no longer, and returns why there was nothing.
func (p *partition) forgetAwaiter(w *awaiter) error {
	all := p.awaiting[w.of]
	var left *awaiter
	for other := all[w.id]; other != nil; {
		next := other.next
		if other != w {
			other.next, left = left, other
		}
		other = next
	}
	if left != nil {
		all[w.id] = left
	} else {
		delete(all, w.id)
		p.dropNone(w.of)
	}
	return p.notThere(w)
}

// endAwaiters tells those who wait for messages of a stream, or of all when it is nil,
// that none comes.
func (p *partition) endAwaiters(s *streamfold.Stream, err error) {
	for of, all := range p.awaiting {
		if s != nil && (of.Namespace != s.Spec.Namespace || of.Name != s.Spec.Name) {
			continue
		}
		delete(p.awaiting, of)
		for _, w := range all {
			w.give("", streamfold.Entry{}, err)
		}
	}
}
