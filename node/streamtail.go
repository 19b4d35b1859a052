package node

import (
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/follow"
)

// tailOf returns the tail of a shard of a stream that there is, made when missing. The
// shard may be one that has had no message yet.
func (p *partition) tailOf(s *streamfold.Stream, shard string) *follow.Tail {
	key := follow.Key{Namespace: s.Spec.Namespace, Stream: s.Spec.Name, Shard: shard}
	if t := p.tails.Find(key); t != nil {
		return t
	}
	t := p.tails.Add(key, p.viewOf(s, shard))
	l := p.liveStream(s)
	if l.tails == nil {
		l.tails = map[string]*follow.Tail{}
	}
	l.tails[shard] = t
	return t
}

// viewOf is what there is of a shard, which may have had no message.
func (p *partition) viewOf(s *streamfold.Stream, shard string) streamfold.View {
	return p.streams.View(s, s.Shard(shard))
}

// refresh has the tail of a shard show what there is, and wakes its readers once the
// batch is done with.
func (p *partition) refresh(s *streamfold.Stream, sh *streamfold.Shard) {
	l := p.liveStream(s)
	if len(l.tails) == 0 {
		return
	}
	if t := l.tails[sh.Name]; t != nil {
		p.tails.Show(t, p.streams.View(s, sh))
	}
}

// endTails has the readers of a stream look anew, or tells them the error.
func (p *partition) endTails(s *streamfold.Stream, err error) {
	l := p.liveStream(s)
	for _, t := range l.tails {
		p.dropTail(l, t, err)
	}
}

func (p *partition) dropTail(l *liveStream, t *follow.Tail, err error) {
	delete(l.tails, t.Key().Shard)
	p.tails.Remove(t, err)
}

// sweepTails lets go of tails that nobody wants, and of what a checkpoint has written:
// readers find it in the table.
func (p *partition) sweepTails() {
	for _, t := range p.tails.All() {
		key := t.Key()
		s := p.streams.Stream(key.Namespace, key.Stream)
		if t.Idle() {
			p.dropTail(p.liveStream(s), t, nil)
		} else {
			t.Refresh(p.viewOf(s, key.Shard))
		}
	}
}
