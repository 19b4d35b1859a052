package rpcgw

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// Sizes of what is sent at once. A single frame may be larger than a batch.
const (
	batchBytes  = 256 << 10
	firstBuffer = 4 << 10
)

// write sends what is in the outbox, in batches of what waits together, and the
// reason why the session ends.
func (s *session) write() error {
	select {
	case <-s.registered:
		if err := s.sendFrame(s.registeredFrame()); err != nil {
			return err
		}
	case <-s.ctx.Done():
	}
	b := batch{s: s}
	var items []item
	for s.ctx.Err() == nil {
		items = s.out.take(s.ctx, items)
		for i := range items {
			if err := b.add(&items[i]); err != nil {
				return err
			}
		}
		if err := b.flush(); err != nil {
			return err
		}
		clear(items)
	}
	why, ok := errors.AsType[*edda.Error](context.Cause(s.ctx))
	if !ok {
		return nil
	}
	return s.sendFrame(&eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Error{Error: errorOf(why)}})
}

// sendFrame sends a frame alone.
func (s *session) sendFrame(f *eddav1.NodeFrame) error {
	return s.send(&eddav1.NodeFrames{Frames: []*eddav1.NodeFrame{f}}, 1)
}

// send sends a message. A worker that leaves it unread for too long is given up.
func (s *session) send(m any, frames int) error {
	s.g.metrics.sent(frames)
	stalled := time.AfterFunc(s.g.opts.Stall, func() { s.end(errStalled) })
	defer stalled.Stop()
	return s.stream.SendMsg(m)
}

// batch is encoded NodeFrames.
type batch struct {
	s       *session
	bytes   *[]byte // of the pool; nil when there is nothing
	answers int
	frames  int

	message, state, fields []byte // used again for each dispatch
}

// add adds a frame, and sends the batch when it is full.
func (b *batch) add(i *item) error {
	if i.shared != nil {
		if err := b.flush(); err != nil {
			return err
		}
		return b.s.send(&encoded{bytes: i.shared, shared: true}, 1)
	}
	if b.bytes == nil {
		b.bytes = buffers.Get(firstBuffer)
		*b.bytes = (*b.bytes)[:0]
	}
	if i.answer {
		b.answers++
	}
	b.frames++
	if i.dispatch != nil {
		b.dispatch(i.dispatch)
	} else if err := appendFrame(b.bytes, i.frame); err != nil {
		return err
	}
	if len(*b.bytes) < batchBytes {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	if b.bytes == nil {
		return nil
	}
	var err error
	if len(*b.bytes) > 0 {
		err = b.s.send(&encoded{bytes: *b.bytes}, b.frames)
	}
	b.s.out.sent(b.answers)
	b.bytes, b.answers, b.frames = nil, 0, 0
	if cap(b.fields) > batchBytes {
		b.message, b.state, b.fields = nil, nil, nil
	}
	return err
}

// The numbers of the fields that are written by hand, because a message is written
// as the node keeps it; a test holds them against the protocol.
const (
	fieldFrames   = 1 // of NodeFrames
	fieldDispatch = 2 // of NodeFrame

	fieldAttemptID = 1 // of Dispatch
	fieldMessage   = 2
	fieldAttempt   = 3
	fieldFence     = 4
	fieldDeadline  = 5
	fieldState     = 6
	fieldStep      = 7
	fieldTimeout   = 8
	fieldDelivery  = 9

	fieldSagaID = 1 // of StepRef
	fieldUndo   = 2

	fieldStream    = 1 // of DeliveryRef
	fieldGroup     = 2
	fieldShard     = 3
	fieldOffset    = 4
	fieldMessageID = 5

	fieldEntries = 1 // of State
	fieldPartial = 2
	fieldName    = 1 // of StateEntry
	fieldValue   = 2
)

// appendFrame appends a frame to NodeFrames.
func appendFrame(to *[]byte, f *eddav1.NodeFrame) (err error) {
	*to = wire.AppendLen(*to, fieldFrames, proto.Size(f))
	*to, err = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(*to, f)
	return err
}

// dispatch appends the frame of an attempt, unless it is not the worker's any more.
func (b *batch) dispatch(h *held) {
	if b.s.overtaken(h) {
		b.frames--
		h.HandBack()
		return
	}
	d := h.Dispatch()
	var err error
	if b.state, err = appendState(h.Context(), b.state[:0], d.State); err != nil {
		b.frames--
		b.s.release(h)
		_ = h.Done(&edda.Outcome{Err: fmt.Errorf("read the key's state: %w", err)})
		return
	}
	// A length comes before what it measures, and is known after it.
	b.message, _ = valid(d.Message).AppendBinary(b.message[:0]) // cannot fail
	deadline, _ := h.Context().Deadline()
	f := wire.AppendUint(b.fields[:0], fieldAttemptID, h.ID())
	f = append(wire.AppendLen(f, fieldMessage, len(b.message)), b.message...)
	f = wire.AppendUint(f, fieldAttempt, uint64(d.Attempt))
	f = wire.AppendUint(f, fieldFence, d.Fence)
	f = wire.AppendFixed(f, fieldDeadline, uint64(nanos(deadline)))
	if d.State != nil {
		f = append(wire.AppendLen(f, fieldState, len(b.state)), b.state...)
	}
	if d.Step != nil {
		f = appendStep(f, d.Step)
	}
	if d.Delivery != nil {
		f = appendDelivery(f, d.Delivery)
	}
	if d.Step != nil || d.Delivery != nil {
		f = wire.AppendUint(f, fieldTimeout, uint64(h.AttemptTimeout()))
	}
	b.fields = f
	*b.bytes = wire.AppendLen(*b.bytes, fieldFrames, sizeOf(len(f)))
	*b.bytes = wire.AppendLen(*b.bytes, fieldDispatch, len(f))
	*b.bytes = append(*b.bytes, f...)
}

// appendStep appends which saga an attempt is for.
func appendStep(b []byte, s *edda.StepRef) []byte {
	b, mark := wire.Begin(b, fieldStep)
	b = wire.AppendString(b, fieldSagaID, s.SagaID)
	if s.Undo {
		b = wire.AppendUint(b, fieldUndo, 1)
	}
	wire.End(b, mark)
	return b
}

// appendDelivery appends which message of a stream an attempt is at.
func appendDelivery(b []byte, d *edda.DeliveryRef) []byte {
	b, mark := wire.Begin(b, fieldDelivery)
	b = wire.AppendString(b, fieldStream, d.Stream)
	b = wire.AppendString(b, fieldGroup, d.Group)
	b = wire.AppendString(b, fieldShard, d.Shard)
	b = wire.AppendUint(b, fieldOffset, d.Offset)
	b = wire.AppendString(b, fieldMessageID, printable(d.ID))
	wire.End(b, mark)
	return b
}

// overtaken notes that an attempt is about to be sent, and reports whether it was
// given up before.
func (s *session) overtaken(h *held) bool {
	s.mu.Lock()
	h.sent = true
	over := h.fenced || h.Over()
	s.mu.Unlock()
	if over {
		s.release(h)
	}
	return over
}

// release takes an attempt off the worker's list.
func (s *session) release(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.attempts, h.ID())
	if h.fenced {
		s.fenced--
	}
}

// sizeOf is the size of a field with a tag of one byte and n bytes of content.
func sizeOf(n int) int {
	size := 2 + n
	for l := n; l >= 0x80; l >>= 7 {
		size++
	}
	return size
}
