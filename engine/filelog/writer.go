package filelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda/engine"
)

// writer is the state of the one goroutine that writes.
type writer struct {
	out    sink // of seg
	seg    *segment
	lsn    uint64 // where the next frame goes
	nextID uint64 // its id
	// sealed says that seg takes no more frames, although it may have room: its
	// successor may exist already.
	sealed bool

	buf      []byte        // the frame; kept; grown by reserve alone
	verdicts []verdict     // of the items in the frame, in order
	parts    []part        // ahead of Log.marks by what is in the frame
	took     time.Duration // the last write and flush
	gather   gatherer
	herald   herald
}

// part is where a partition stands for the writer.
type part struct {
	mark
	// over says that a batch of this epoch was not Durable, so that no later one
	// may be: the epoch takes nothing more.
	over bool
}

// verdict is what becomes of an item. Outcome is Durable for what is in the
// frame, until that turns out otherwise.
type verdict struct {
	item
	result engine.Result
}

var (
	errFencedEpoch = errors.New("the epoch is stale")
	errFencedOver  = errors.New("an earlier batch of the epoch was not durable")
	errNoRecords   = errors.New("a batch needs records, and none may be empty")
	errRestsOn     = errors.New("what the batch rests on is not in the log")
	errTooLarge    = fmt.Errorf("the records exceed %d bytes", MaxBatchBytes)
	durable        = engine.Result{Outcome: engine.Durable}
)

// write is the writer's goroutine. It ends when the inbox is closed and empty.
func (l *Log) write() {
	var items, empty []item
	closing, released := false, int64(0)
	for {
		if !closing {
			l.w.gather.wait(&l.inbox, released, l.w.took)
		}
		refuse := closing
		if !refuse {
			l.inbox.await()
			l.w.gather.company(&l.inbox, l.opts.Coming, l.w.took)
		}
		items, closing = l.inbox.take(empty)
		if len(items) == 0 {
			break
		}
		released = 0
		for i := range items {
			released += items[i].callers()
		}
		for rest := items; len(rest) > 0; {
			rest = rest[l.writeFrame(rest, refuse):]
		}
		clear(items)
		empty = items
	}
	l.writeLast()
	l.w.herald.close()
	// Nothing is called directly by Append before all that came earlier was.
	for items := l.inbox.end(); len(items) > 0; items = l.inbox.end() {
		for _, it := range items {
			v := verdict{it, engine.Result{Outcome: engine.Unavailable, Err: engine.ErrClosed}}
			v.report()
		}
	}
}

// writeFrame puts as many of the items as fit into one frame, makes it durable
// and reports the outcomes. It returns how many it took, at least one.
func (l *Log) writeFrame(items []item, refuse bool) int {
	w := &l.w
	l.beginFrame()
	empty := len(w.buf)
	err := l.stopped()
	if err == nil && refuse {
		err = engine.ErrClosed
	}
	for _, it := range items {
		size := it.size()
		if len(w.buf) > empty && len(w.buf)+size > groupBytes {
			break
		}
		w.verdicts = append(w.verdicts, verdict{it, l.judge(it, size, err)})
	}
	if len(w.buf) > empty {
		l.flush()
	}
	n := len(w.verdicts)
	w.verdicts = w.herald.report(w.verdicts)
	if cap(w.buf) > 2*groupBytes {
		w.buf = nil
	}
	return n
}

// beginFrame starts the next frame.
func (l *Log) beginFrame() {
	w := &l.w
	w.buf = w.buf[:0]
	w.reserve(frameHead + 2*binary.MaxVarintLen64)
	w.buf = beginFrame(w.buf, w.nextID, w.lsn-l.known.Load())
}

// size is about what the item adds to the frame, never less.
func (it *item) size() int {
	if it.own != nil {
		return len(it.own.partitions) * sectionHead
	}
	n := sectionHead
	for _, r := range it.batch.Records {
		n += len(r) + 4
	}
	return n
}

// judge appends the item to the frame, if it may be written. It adds at most
// size bytes.
func (l *Log) judge(it item, size int, err error) engine.Result {
	if err != nil {
		return engine.Result{Outcome: engine.Unavailable, Err: err}
	}
	if it.own != nil {
		l.w.reserve(size)
		l.grant(it.own)
		return durable
	}
	w, b := &l.w, it.batch
	if int(b.Partition) >= len(w.parts) {
		return engine.Result{Outcome: engine.Fenced, Err: errUnknownPartition}
	}
	p := &w.parts[b.Partition]
	switch {
	case b.Epoch != p.epoch || p.epoch == 0:
		return engine.Result{Outcome: engine.Fenced, Err: errFencedEpoch}
	case p.over:
		return engine.Result{Outcome: engine.Fenced, Err: errFencedOver}
	case b.First != p.next:
		p.over = true
		return engine.Result{Outcome: engine.Fenced,
			Err: fmt.Errorf("the next position is %d, not %d", p.next, b.First)}
	case !w.has(b.After):
		p.over = true
		return engine.Result{Outcome: engine.Fenced, Err: errRestsOn}
	}
	if err := checkRecords(b.Records); err != nil {
		p.over = true
		return engine.Result{Outcome: engine.Unavailable, Err: err}
	}
	w.reserve(size)
	w.buf = appendBatch(w.buf, b)
	p.next += engine.Position(len(b.Records))
	return durable
}

// has reports whether records are in the log, or in the frame: what was handed to
// Append before was judged before, and of a frame all or nothing becomes durable. Of an
// epoch that is over nothing is known: another one may have appended at its positions.
func (w *writer) has(records []engine.Place) bool {
	for _, r := range records {
		if int(r.Partition) >= len(w.parts) {
			return false
		}
		if p := &w.parts[r.Partition]; r.Epoch != p.epoch || r.Position >= p.next {
			return false
		}
	}
	return true
}

func checkRecords(records [][]byte) error {
	if len(records) == 0 {
		return errNoRecords
	}
	sum := 0
	for _, r := range records {
		if len(r) == 0 {
			return errNoRecords
		}
		sum += len(r)
	}
	if sum > MaxBatchBytes {
		return errTooLarge
	}
	return nil
}

// grant appends the sections that give the partitions to the caller.
func (l *Log) grant(o *ownership) {
	w := &l.w
	o.granted = make([]engine.Ownership, len(o.partitions))
	for i, n := range o.partitions {
		p := &w.parts[n]
		p.epoch++
		p.over = false
		w.buf = appendSectionHead(w.buf, n, p.epoch, p.next, 0)
		o.granted[i] = engine.Ownership{Epoch: p.epoch, Next: p.next}
	}
}

// flush makes the frame durable, or turns the verdicts of what is in it.
func (l *Log) flush() {
	w := &l.w
	if need := alignUp(uint64(len(w.buf))); w.sealed || !w.fits(need) {
		if err := l.rotate(int64(need)); err != nil {
			// The frame never touched the log: nothing is unknown.
			l.rollBack(err)
			return
		}
	}
	w.buf = sealFrame(w.buf, w.lsn, w.seg.salt)
	begin := time.Now()
	if _, err := w.out.WriteAt(w.buf, w.seg.offset(w.lsn)); err != nil {
		w.turn(engine.Result{Outcome: engine.Unknown, Err: l.stop(fmt.Errorf("write segment %d: %w", w.seg.number, err))})
		return
	}
	w.took = time.Since(begin)
	l.counters.flush(w.took)
	w.lsn += uint64(len(w.buf))
	w.nextID++
	if l.fsync {
		l.known.Store(w.lsn)
	}
	l.mu.Lock()
	l.end = w.lsn
	for i := range w.verdicts {
		w.verdicts[i].publish(l.marks, w.parts)
	}
	l.mu.Unlock()
}

// fits reports whether the segment has room for a frame of that many bytes.
func (w *writer) fits(n uint64) bool { return int64(w.lsn-w.seg.base+n) <= w.seg.room }

// publish copies where the item's partitions stand.
func (v *verdict) publish(marks []mark, parts []part) {
	switch {
	case v.result.Outcome != engine.Durable:
	case v.own != nil:
		for _, p := range v.own.partitions {
			marks[p] = parts[p].mark
		}
	default:
		marks[v.batch.Partition] = parts[v.batch.Partition].mark
	}
}

// turn gives what was to be Durable another outcome.
func (w *writer) turn(r engine.Result) {
	for i := range w.verdicts {
		if w.verdicts[i].result.Outcome == engine.Durable {
			w.verdicts[i].result = r
		}
	}
}

// rollBack undoes the frame, which was not written. The epochs concerned are
// over, since batches that were already judged may have built on it.
func (l *Log) rollBack(err error) {
	w := &l.w
	l.mu.Lock()
	for i := range w.verdicts {
		v := &w.verdicts[i]
		switch {
		case v.result.Outcome != engine.Durable:
		case v.own != nil:
			for _, p := range v.own.partitions {
				w.parts[p] = part{l.marks[p], true}
			}
		default:
			w.parts[v.batch.Partition] = part{l.marks[v.batch.Partition], true}
		}
	}
	l.mu.Unlock()
	w.turn(engine.Result{Outcome: engine.Unavailable, Err: err})
}

// report tells the caller what became of the item.
func (v *verdict) report() {
	if v.own == nil {
		v.batch.Done(v.batch, v.result)
		return
	}
	v.own.err = v.result.Err
	close(v.own.done)
}

// writeLast leaves a frame without sections behind, which proves that all
// before it was durable: damage done to a log at rest cannot pass for a torn
// tail then. It is not needed for anything else, so errors do not matter.
func (l *Log) writeLast() {
	w := &l.w
	if l.stopped() != nil || !l.fsync || w.sealed || w.lsn == w.seg.base {
		return
	}
	l.beginFrame()
	if w.buf = sealFrame(w.buf, w.lsn, w.seg.salt); w.fits(uint64(len(w.buf))) {
		_, _ = w.out.WriteAt(w.buf, w.seg.offset(w.lsn))
	}
}
