package node

import (
	"errors"

	"github.com/edda-io/edda"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/follow"
	"github.com/edda-io/edda/internal/metric"
)

// streamPart is what a proposal has to do with streams. At most one of its fields is
// set.
type streamPart struct {
	append *streamAppend
	change *streamChange
}

// liveStream is what the node hangs on to a stream.
type liveStream struct {
	tails    map[string]*follow.Tail // by shard
	counters *metric.Stream
	news     *follow.Stream // nil while nobody follows the stream
}

// liveStream returns the live part of a stream, made when missing.
func (p *partition) liveStream(s *streamfold.Stream) *liveStream {
	if l, ok := s.Aux.(*liveStream); ok {
		return l
	}
	l := &liveStream{counters: p.n.metrics.Streams.Of(s.Spec.Namespace, s.Spec.Name)}
	s.Aux = l
	return l
}

// streamsApplied does what a durable record has brought about in streams. Who waits for a
// change of one, or nil, is told once groups know of it too.
func (p *partition) streamsApplied(pr *proposal) *streamChange {
	part := pr.stream
	pr.stream = nil // who is answered takes it away
	effects := p.streams.Effects()
	answered := part == nil || part.append == nil
	for i := range effects {
		e := &effects[i]
		switch e.Kind {
		case streamfold.Created:
			p.n.appended(streamMemory)
			p.streamMade(e.Stream)
		case streamfold.Appended:
			p.streamGrown(e)
		case streamfold.Answered:
			countAnswer(p.liveStream(e.Stream).counters, e)
			if !answered {
				answered = true
				part.append.answered(e, p.env.Position)
			}
		case streamfold.Refused:
			if !answered {
				answered = true
				part.append.refuse(refusedAppend(part.append, e))
			}
		case streamfold.Changed:
			p.endTails(e.Stream, nil) // a shard that was waited for may not be any more
		case streamfold.Removed:
			p.streamRemoved(e.Stream)
		case streamfold.Trimmed:
			p.streamTrimmed(e)
		case streamfold.Dropped:
			p.streamDropped(e)
		}
		if part != nil && part.change != nil {
			part.change.apply(p, e)
		}
	}
	if !answered {
		part.append.refuse(errInternal(part.append.op(), errors.New("nothing is known of what became of the append")))
	}
	if part == nil {
		return nil
	}
	return part.change
}

// streamMemory is about what a stream takes in memory, and messageMemory what a message
// takes until the next checkpoint beside what stands in its record. It counts as if it
// were in the log, so that many small ones do not take more than that.
const (
	streamMemory  = 1 << 10
	messageMemory = 64
)

// apply notes an effect of the record.
func (c *streamChange) apply(p *partition, e *streamfold.Effect) {
	if e.Kind == streamfold.Refused {
		c.err = &edda.Error{Op: c.op, Reason: e.Reason, Err: errors.New(e.Detail)}
		return
	}
	if c.seen != nil {
		c.seen(p, e)
	}
}

// streamGrown tells those who wait for messages.
func (p *partition) streamGrown(e *streamfold.Effect) {
	p.n.appended(e.N * messageMemory)
	l := p.liveStream(e.Stream)
	p.news.Change(l.news)
	c := l.counters
	c.Appended.Add(float64(e.N))
	c.Bytes.Add(float64(e.Bytes))
	if e.Gone > 0 {
		c.Trimmed.Add(float64(e.Gone))
	}
	p.refresh(e.Stream, e.Shard)
	p.wakeAwaiters(e)
}

// streamRemoved tells those who read.
func (p *partition) streamRemoved(s *streamfold.Stream) {
	err := errNoStream("read stream "+s.Spec.Name, s.Spec.Namespace, s.Spec.Name)
	p.n.hub.Remove(s.Spec.Namespace, s.Spec.Name, false, err)
	p.endTails(s, err)
	p.endAwaiters(s, err)
	p.news.Change(p.liveStream(s).news)
	// Another one that is made under the name has later times only: see hub.Place.
	p.last = max(p.last, s.LastAt()+1)
}

// streamTrimmed shows readers what is left.
func (p *partition) streamTrimmed(e *streamfold.Effect) {
	p.liveStream(e.Stream).counters.Trimmed.Add(float64(e.N))
	if e.Shard != nil {
		p.refresh(e.Stream, e.Shard)
		return
	}
	for _, sh := range e.Stream.Shards() {
		p.refresh(e.Stream, sh)
	}
}

// streamDropped tells an operator that what a handler has appended or published is lost: nobody else
// is there to be told.
func (p *partition) streamDropped(e *streamfold.Effect) {
	p.n.metrics.Streams.Dropped.Inc()
	more, ok := p.n.dropped.Pass()
	if !ok {
		return
	}
	args := []any{"reason", e.Reason, "detail", e.Detail, "others", more}
	if e.Stream != nil {
		args = append(args, "stream", e.Stream.Spec.Name, "namespace", e.Stream.Spec.Namespace)
	}
	p.n.log.Warn("what a handler has appended to a stream, or published to a channel, may not be, and is dropped", args...)
}

// fireExpiries removes messages that have become too old.
func (p *partition) fireExpiries() {
	if at := p.streams.NextExpiry(); at == 0 || at > p.now() {
		return
	}
	for _, t := range p.streams.Expired(p.now()) {
		p.propose(t.AppendTo(nil), proposal{})
	}
}
