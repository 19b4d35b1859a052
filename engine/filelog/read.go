package filelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/edda-io/edda/engine"
)

// Read implements engine.Engine. All starts are served in one pass over the
// files, and segments that lie before all of them are not opened. A Read that is
// never ranged over costs nothing; one that is ranged over twice reads twice.
func (l *Log) Read(ctx context.Context, from ...engine.Start) iter.Seq2[engine.Entry, error] {
	l.mu.Lock()
	end := l.end
	l.mu.Unlock()
	return func(yield func(engine.Entry, error) bool) {
		p, err := l.pin(from, end)
		if err != nil {
			yield(engine.Entry{}, fmt.Errorf("read: %w", err))
			return
		}
		defer l.unpin(p.segments)
		if err := p.run(ctx, yield); err != nil {
			yield(engine.Entry{}, fmt.Errorf("read: %w", err))
		}
	}
}

// pass is one pass over the log.
type pass struct {
	log      *Log
	end      uint64            // LSN to stop at
	from     []engine.Position // by partition; the highest for those not asked for
	segments []*segment        // to be read, pinned
	limits   []uint64          // where each of them ends
}

const notAsked = engine.Position(math.MaxUint64)

// pin finds out which segments to read and keeps them from being recycled.
func (l *Log) pin(from []engine.Start, end uint64) (*pass, error) {
	p := &pass{log: l, end: end, from: make([]engine.Position, l.info.Partitions)}
	for i := range p.from {
		p.from[i] = notAsked
	}
	for _, s := range from {
		if int(s.Partition) >= len(p.from) {
			return nil, fmt.Errorf("partition %d: %w", s.Partition, errUnknownPartition)
		}
		p.from[s.Partition] = min(p.from[s.Partition], max(s.Position, 1))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing.Load() {
		return nil, engine.ErrClosed
	}
	for n, first := range l.segments[0].marks {
		if p.from[n] < first.next {
			return nil, fmt.Errorf("partition %d from position %d, kept from %d: %w",
				n, p.from[n], first.next, engine.ErrTrimmed)
		}
	}
	for i, seg := range l.segments {
		marks, limit := l.marks, end
		if i+1 < len(l.segments) {
			marks, limit = l.segments[i+1].marks, min(end, l.segments[i+1].base)
		}
		if seg.base < end && p.wants(seg.marks, marks) {
			seg.readers++
			p.segments = append(p.segments, seg)
			p.limits = append(p.limits, limit)
		}
	}
	return p, nil
}

// wants reports whether the records between two moments include some that were
// asked for.
func (p *pass) wants(before, after []mark) bool {
	for n, from := range p.from {
		if after[n].next > from && after[n].next > before[n].next {
			return true
		}
	}
	return false
}

// unpin lets go of the segments; those that were trimmed meanwhile are recycled.
func (l *Log) unpin(segs []*segment) {
	var free []*segment
	l.mu.Lock()
	for _, seg := range segs {
		seg.readers--
		if seg.dropped && seg.readers == 0 {
			free = append(free, seg)
		}
	}
	l.mu.Unlock()
	// What is left over when the log is closed goes at the next Open.
	if len(free) > 0 && l.enter() {
		defer l.busy.Done()
		l.recycle(free)
	}
}

// run yields the entries. It returns nil when the consumer broke off.
func (p *pass) run(ctx context.Context, yield func(engine.Entry, error) bool) error {
	r := new(frameReader)
	for i, seg := range p.segments {
		more, err := p.segment(ctx, r, seg, p.limits[i], yield)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (p *pass) segment(ctx context.Context, r *frameReader, seg *segment, limit uint64,
	yield func(engine.Entry, error) bool) (more bool, err error) {
	f, err := p.log.fs.Open(seg.path)
	if err != nil {
		return false, err
	}
	defer closeQuietly(f)
	r.reset(f, seg, limit)
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if p.log.closing.Load() {
			return false, engine.ErrClosed
		}
		fr, err := r.next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if errors.Is(err, errBad) {
			return false, gap{seg, r.lsn, limit}.damage()
		}
		if err != nil {
			return false, err
		}
		if more, err := p.frame(seg, fr, yield); err != nil || !more {
			return false, err
		}
	}
}

// frame yields the entries of one frame.
func (p *pass) frame(seg *segment, fr frame, yield func(engine.Entry, error) bool) (more bool, err error) {
	for body := fr.body; len(body) > 0; {
		s, rest, ok := nextSection(body)
		if !ok || int(s.partition) >= len(p.from) {
			return false, gap{seg, fr.lsn, fr.end()}.damage()
		}
		from := p.from[s.partition]
		if s.count > 0 && from < s.first+engine.Position(s.count) && !yield(s.entry(from), nil) {
			return false, nil
		}
		body = rest
	}
	return true, nil
}
