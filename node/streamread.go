package node

import (
	"context"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/follow"
)

// streamRead is one read of a shard, in its caller's goroutine.
type streamRead struct {
	n    *Node
	p    *partition
	op   string
	read *edda.Read
	key  follow.Key
	tail *follow.Tail // where it waits; nil while it need not
	from uint64
	gone int // how often what was to be read was gone
}

// ReadStream returns messages that are there, or the first to come. See
// edda.StreamBackend. Whoever reads from an offset beyond the end reads on when there is
// that one.
func (n *Node) ReadStream(ctx context.Context, read edda.Read) (*edda.StreamPage, error) {
	if err := read.Validate(); err != nil {
		return nil, err
	}
	return n.readShard(ctx, read.WithDefaults())
}

// readShard is ReadStream for a read that was checked.
func (n *Node) readShard(ctx context.Context, read edda.Read) (*edda.StreamPage, error) {
	r := streamRead{
		n: n, p: n.streamHome(read.Namespace, read.Stream), op: "read stream " + read.Stream, read: &read,
		key: follow.Key{Namespace: read.Namespace, Stream: read.Stream, Shard: read.Shard},
	}
	v, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.begin(&v); err != nil {
		return nil, err
	}
	var over <-chan time.Time
	for {
		page, err := r.page(&v)
		if err != nil || len(page.Messages) > 0 || r.read.Wait <= 0 {
			return page, err
		}
		if over == nil {
			t := time.NewTimer(r.read.Wait)
			defer t.Stop()
			over = t.C
		}
		more, err := r.wait(ctx, &v, over)
		if err != nil || !more {
			return page, err
		}
	}
}

// look returns what there is of the shard. Where others wait at its end they have been
// shown already, else the partition is asked.
func (r *streamRead) look(ctx context.Context) (streamfold.View, error) {
	if r.tail == nil {
		r.tail = r.p.tails.Find(r.key)
	}
	if r.tail != nil {
		v, ok := r.tail.Look()
		if ok {
			return v, nil
		}
		if err := r.tail.Reason(); err != nil {
			return v, err
		}
		r.tail = nil
	}
	return r.ask(ctx, false)
}

// ask asks the partition what there is of the shard; with stays it makes a tail, where
// one can wait.
func (r *streamRead) ask(ctx context.Context, stays bool) (v streamfold.View, err error) {
	var failed error
	err = r.n.inPartition(ctx, r.p, r.op, func() {
		var s *streamfold.Stream
		if s, failed = r.p.findStream(r.op, r.key.Namespace, r.key.Stream); failed != nil {
			return
		}
		if !s.May(r.key.Shard) {
			failed = errNoShard(r.op, s, r.key.Shard)
			return
		}
		if stays {
			r.tail = r.p.tailOf(s, r.key.Shard)
		}
		v = r.p.viewOf(s, r.key.Shard)
	})
	if err == nil {
		err = failed
	}
	return v, err
}

// begin says where the read begins.
func (r *streamRead) begin(v *streamfold.View) error {
	at, err := r.read.From.Parse()
	if err != nil {
		return err
	}
	switch at.Kind {
	case edda.AtStart:
		r.from = v.First
	case edda.AtEnd:
		r.from = v.End
	case edda.AtOffset:
		r.from = at.Offset
	case edda.AtTime:
		if r.from, err = v.OffsetAt(r.p.table, at.Time.UnixNano()); err != nil {
			return errInternal(r.op, err)
		}
	}
	return nil
}

// page returns the messages that v has.
func (r *streamRead) page(v *streamfold.View) (*edda.StreamPage, error) {
	r.from = max(r.from, v.First)
	page := &edda.StreamPage{First: v.First, Next: r.from, End: v.End}
	if r.from >= v.End {
		return page, nil
	}
	entries, next, err := v.Read(r.p.table, r.from, r.read.Limit, r.read.Bytes)
	if err != nil {
		return nil, errInternal(r.op, err)
	}
	page.Messages = make([]edda.StreamMessage, len(entries))
	var d edda.StreamDecoder
	for i := range entries {
		if err := decodeEntry(&d, &page.Messages[i], r.key.Shard, &entries[i]); err != nil {
			return nil, errInternal(r.op, err)
		}
	}
	page.Next = next
	if len(entries) > 0 && entries[0].Offset > r.from {
		page.First = entries[0].Offset // what was before it has just been trimmed
	}
	return page, nil
}

// decodeEntry makes a message of what the fold has of it.
func decodeEntry(d *edda.StreamDecoder, m *edda.StreamMessage, shard string, e *streamfold.Entry) error {
	m.Shard, m.Offset = shard, e.Offset
	if err := d.Decode(e.Message, m); err != nil {
		return fmt.Errorf("message %d: %w", e.Offset, err)
	}
	if m.Time.IsZero() {
		m.Time = timeOf(e.Time)
	}
	return nil
}

// maxGone is how often a reader looks anew because what it was to read has gone meanwhile.
const maxGone = 100

// wait returns true when there may be more than v has, which then is what there is, and
// false when the time is over.
func (r *streamRead) wait(ctx context.Context, v *streamfold.View, over <-chan time.Time) (more bool, err error) {
	if r.from < v.End {
		// What was to be read has just been trimmed, or its stream is gone.
		if r.gone++; r.gone > maxGone {
			return false, errInternal(r.op, fmt.Errorf("message %d is missing", r.from))
		}
		*v, err = r.ask(ctx, false)
		return true, err
	}
	if r.tail == nil {
		if *v, err = r.ask(ctx, true); err != nil || r.from < v.End {
			return true, err
		}
	}
	if rung := r.tail.Wait(r.from); rung != nil {
		defer r.tail.Leave()
		select {
		case <-rung:
		case <-over:
			return false, nil
		case <-ctx.Done():
			return false, &edda.Error{Op: r.op, Reason: edda.Timeout, Err: context.Cause(ctx)}
		}
	}
	*v, err = r.look(ctx)
	return true, err
}
