package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
)

// streamAppend is an append on its way in, and whoever waits for what becomes of it.
// It is used again by its node, once the caller has the answer; nobody else holds on
// to it then.
type streamAppend struct {
	part   streamPart // what its proposal refers to
	ns     string
	stream string // a channel's own, for what is published to that
	msgs   []edda.StreamMessage
	rec    []byte
	size   int // of the record as it came in

	// of the partition's goroutine until done has a signal
	ack  *edda.AppendAck // without its position
	pos  uint64
	err  *edda.Error
	done chan struct{}
}

// newStreamAppend returns one that is empty.
func (n *Node) newStreamAppend() *streamAppend {
	if w, ok := n.streamAppends.Get().(*streamAppend); ok {
		return w
	}
	w := &streamAppend{done: make(chan struct{}, 1)}
	w.part.append = w
	return w
}

// reuse keeps an append that was answered for the next one.
func (n *Node) reuse(w *streamAppend) {
	w.stream, w.msgs, w.rec, w.ack, w.err = "", nil, nil, nil, nil
	n.streamAppends.Put(w)
}

func (w *streamAppend) op() string { return opAppend(w.stream) }

// opAppend is what is done when something is appended to a stream.
func opAppend(stream string) string {
	if channel, ok := edda.ChannelOf(stream); ok {
		return "publish to " + channel
	}
	return "append to " + stream
}

// Append makes messages durable. See edda.StreamBackend. They are not shown to
// Options.OnAccept.
func (n *Node) Append(ctx context.Context, a *edda.Append) (*edda.AppendAck, error) {
	if err := n.checkAppend(a); err != nil {
		return nil, err
	}
	w := n.newStreamAppend()
	w.stream = a.Target()
	hash := edda.StreamHash(a.Namespace, w.stream)
	p := n.homeOf(hash)
	if err := n.submitAppend(w, a, p, hash); err != nil {
		n.reuse(w)
		return nil, err
	}
	if gone := ctx.Done(); gone == nil {
		<-w.done
	} else {
		select {
		case <-w.done:
		case <-gone:
			return nil, &edda.Error{Op: w.op(), Reason: edda.OutcomeUnknown, RetryAfter: time.Second,
				Err: fmt.Errorf("%w before the messages were durable; repeat it with the same ids or numbers", context.Cause(ctx))}
		}
	}
	ack, pos, err := w.ack, w.pos, w.err
	n.reuse(w)
	if err != nil {
		return nil, err
	}
	ack.Position, ack.Durability = position(p.id, pos), n.info.Durability
	return ack, nil
}

// newAck returns the acknowledgement of so many messages for a shard; one and its item
// are one allocation.
func newAck(messages int, shard string) *edda.AppendAck {
	var ack *edda.AppendAck
	if messages == 1 {
		one := &struct {
			edda.AppendAck
			item [1]edda.Appended
		}{}
		ack = &one.AppendAck
		ack.Items = one.item[:]
	} else {
		ack = &edda.AppendAck{Items: make([]edda.Appended, messages)}
	}
	for i := range ack.Items {
		ack.Items[i].Shard = shard
	}
	return ack
}

// checkAppend refuses what is malformed, and what there is no room for.
func (n *Node) checkAppend(a *edda.Append) error {
	if err := a.Validate(); err != nil {
		return err
	}
	most := n.opts.Limits.PayloadBytes
	for i := range a.Messages {
		if got := len(a.Messages[i].Payload); got > most {
			return a.MessageError(i, &edda.Error{Reason: edda.TooLarge, Err: fmt.Errorf("the payload has %d bytes, at most %d are allowed", got, most)})
		}
	}
	switch {
	case n.draining.Load():
		return n.notRunning(opAppend(a.Target()))
	case n.streamBytes.Load() > int64(n.opts.Limits.NodeBytes):
		n.askCheckpoint()
		n.metrics.Refused.Add(1)
		return overloadedAppend(a.Target(), "too many messages wait in memory for the store")
	}
	return nil
}

func overloadedAppend(stream, why string) *edda.Error {
	return &edda.Error{Op: opAppend(stream), Reason: edda.Overloaded, RetryAfter: time.Second, Err: errors.New(why)}
}

// submitAppend encodes an append to w.stream and hands it to its partition.
func (n *Node) submitAppend(w *streamAppend, a *edda.Append, p *partition, hash uint64) error {
	w.ns, w.msgs = cmp.Or(a.Namespace, edda.DefaultNamespace), a.Messages
	w.ack = newAck(len(a.Messages), cmp.Or(a.Shard, edda.DefaultShard))
	var now time.Time
	for i := range a.Messages {
		if a.Messages[i].ID == "" { // else nobody needs to know the time
			now = time.Now()
			break
		}
	}
	w.rec = record.EncodeAppend(make([]byte, 0, record.AppendSize(a)), a, hash, now, w.ack.Items)
	if err := a.CheckSize(len(w.rec)); err != nil {
		return err
	}
	w.size = len(w.rec)
	switch ok, closed := p.in.stream(w, &n.opts.Limits); {
	case closed:
		return n.notRunning(w.op())
	case !ok:
		n.metrics.Refused.Add(1)
		return overloadedAppend(w.stream, "the partition has too many requests and appends waiting to become durable")
	}
	return nil
}

// streamAppend proposes an append.
func (p *partition) streamAppend(w *streamAppend) {
	if p.n.draining.Load() {
		// Nobody would be there to hear that it is durable.
		p.in.settled(1, w.size)
		w.refuse(p.n.notRunning(w.op()))
		return
	}
	starts, slots := p.reserveDeliveries(p.streams.Stream(w.ns, w.stream), w.ack.Items[0].Shard, w.msgs)
	p.propose(record.AppendGroupStarts(w.rec, starts), proposal{stream: &w.part, deliveries: slots})
}

// refuse hands over an error. It is called once, and then the append is the
// caller's.
func (w *streamAppend) refuse(err *edda.Error) {
	w.err = err
	w.done <- struct{}{}
}

// answered hands over where the messages are, which the record at the position came to.
// It is called once, and then the append is the caller's.
func (w *streamAppend) answered(e *streamfold.Effect, pos uint64) {
	replayed := 0
	for i := range e.Items {
		it, out := &e.Items[i], &w.ack.Items[i]
		out.Offset, out.Replayed, out.Unknown = it.Offset, it.Replayed, it.Unknown
		if it.Replayed {
			replayed++
			out.Shard = e.Stream.ByIndex(it.Shard).Name
		}
	}
	if w.pos = pos; replayed == len(e.Items) {
		w.pos = e.Items[0].Position
	}
	w.ack.Last = edda.Numbered{Number: e.Last.Number, Offset: e.Last.Offset, ID: e.Last.ID}
	w.done <- struct{}{}
}

// refusedAppend is why the fold did not append.
func refusedAppend(w *streamAppend, e *streamfold.Effect) *edda.Error {
	err := &edda.Error{Op: w.op(), Reason: e.Reason}
	if e.Reason == edda.ExpectedOffset {
		err.Err = offsetError(e)
	} else {
		err.Err = errors.New(e.Detail)
	}
	return err
}

// forAppend is forCall for an append.
func (e *appendError) forAppend(w *streamAppend) *edda.Error {
	out := e.forCall(nil)
	out.Op = w.op()
	return out
}

// appendUnknown is for an append that is durable, where nobody has seen what came of it.
func appendUnknown(w *streamAppend) *edda.Error {
	return (&appendError{engine.Result{Outcome: engine.Unknown, Err: errNodeStopped}}).forAppend(w)
}

// appendsOf encodes what a handler appends to streams.
func appendsOf(appends []*edda.Append) (all []record.StreamAppended, size int) {
	for _, a := range appends {
		all = append(all, record.NewStreamAppended(a, edda.StreamHash(a.Namespace, a.Target()), time.Now()))
		size += record.AppendSize(a) + 8
	}
	return all, size
}
