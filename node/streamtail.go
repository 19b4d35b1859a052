package node

import (
	"sync"

	streamfold "github.com/edda-io/edda/internal/fold/stream"
)

// streamTail is where readers at the end of a shard wait for what comes next. It shows
// them what there is, so that those who were woken need not all ask the partition.
type streamTail struct {
	p    *partition
	key  tailKey
	mu   sync.Mutex // guards what follows; nothing is locked under it
	view streamfold.View
	// over says that the tail shows nothing any more: one has to look anew.
	over bool
	// err is why there is nothing to be looked at, if that is so.
	err     error
	rung    chan struct{} // closed when there is more; nil while nobody waits
	waiting int
	used    bool // since the last sweep
	ringing bool // of the partition's goroutine: it rings at the end of its batch
}

// tailKey says which shard a tail is of.
type tailKey struct{ namespace, stream, shard string }

// tails are those of one partition. Its goroutine makes them; readers look them up.
type tails struct {
	mu  sync.RWMutex // guards all; streamTail.mu may be locked under it
	all map[tailKey]*streamTail
}

// find returns the tail of a shard, nil when there is none.
func (ts *tails) find(key tailKey) *streamTail {
	ts.mu.RLock()
	t := ts.all[key]
	ts.mu.RUnlock()
	return t
}

// look returns what a tail shows. It is false when it shows nothing any more.
func (t *streamTail) look() (v streamfold.View, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used = true
	return t.view, !t.over
}

// wait returns a channel that is closed once the tail shows something else, or nothing
// more; nil when there is something beyond the offset already. Who has waited leaves.
func (t *streamTail) wait(end uint64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.view.End > end {
		return nil
	}
	if t.rung == nil {
		t.rung = make(chan struct{})
	}
	t.waiting++
	t.p.n.metrics.Streams.Waiting.Add(1)
	return t.rung
}

// leave undoes one wait.
func (t *streamTail) leave() {
	t.mu.Lock()
	t.waiting--
	t.mu.Unlock()
	t.p.n.metrics.Streams.Waiting.Add(-1)
}

// show has the tail show what there is now.
func (t *streamTail) show(v streamfold.View) {
	t.mu.Lock()
	t.view = v
	t.mu.Unlock()
}

// end takes away what the tail shows, and returns what is to be rung.
func (t *streamTail) end(err error) {
	t.mu.Lock()
	t.view, t.over, t.err = streamfold.View{}, true, err
	t.mu.Unlock()
}

// reason is why there is nothing to be looked at.
func (t *streamTail) reason() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// take returns what those who wait now are to be woken by, and how many they are.
func (t *streamTail) take() (rung chan struct{}, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rung, t.rung = t.rung, nil
	return rung, t.waiting
}

// idle reports whether nobody has wanted the tail since the last time it was asked.
func (t *streamTail) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	used := t.used || t.waiting > 0
	t.used = false
	return !used
}

// fewReaders is how many a partition wakes itself.
const fewReaders = 32

// ring wakes those who wait at a tail.
func (p *partition) ring(t *streamTail) {
	rung, waiting := t.take()
	switch {
	case rung == nil:
	case waiting <= fewReaders:
		close(rung)
	default:
		p.n.ringer.add(rung)
	}
}

// ringer wakes many readers, so that partitions go on meanwhile.
type ringer struct {
	mu   sync.Mutex // guards what follows
	rung []chan struct{}
	over bool
	wake chan struct{}
}

// add has a channel closed.
func (r *ringer) add(rung chan struct{}) {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		close(rung)
		return
	}
	r.rung = append(r.rung, rung)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default: // it has a signal
	}
}

// run is the ringer's goroutine.
func (r *ringer) run(halt <-chan struct{}) {
	for over := false; !over; {
		select {
		case <-r.wake:
		case <-halt:
			over = true
		}
		r.mu.Lock()
		all := r.rung
		r.rung, r.over = nil, over
		r.mu.Unlock()
		for _, rung := range all {
			close(rung)
		}
	}
}

// tailOf returns the tail of a shard of a stream that there is, made when missing. The
// shard may be one that has had no message yet.
func (p *partition) tailOf(s *streamfold.Stream, shard string) *streamTail {
	key := tailKey{s.Spec.Namespace, s.Spec.Name, shard}
	if t := p.tails.find(key); t != nil {
		return t
	}
	t := &streamTail{p: p, key: key, used: true, view: p.viewOf(s, shard)}
	l := p.liveStream(s)
	if l.tails == nil {
		l.tails = map[string]*streamTail{}
	}
	l.tails[shard] = t
	p.tails.mu.Lock()
	p.tails.all[key] = t
	p.tails.mu.Unlock()
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
	t := l.tails[sh.Name]
	if t == nil {
		return
	}
	t.show(p.streams.View(s, sh))
	if !t.ringing {
		t.ringing = true
		p.toRing = append(p.toRing, t)
	}
}

// ringAll wakes the readers of the shards that have changed.
func (p *partition) ringAll() {
	for i, t := range p.toRing {
		t.ringing = false
		p.ring(t)
		p.toRing[i] = nil
	}
	p.toRing = p.toRing[:0]
}

// endTails has the readers of a stream look anew, or tells them the error.
func (p *partition) endTails(s *streamfold.Stream, err error) {
	l := p.liveStream(s)
	for _, t := range l.tails {
		p.dropTail(l, t, err)
	}
}

func (p *partition) dropTail(l *liveStream, t *streamTail, err error) {
	delete(l.tails, t.key.shard)
	p.tails.mu.Lock()
	if p.tails.all[t.key] == t {
		delete(p.tails.all, t.key)
	}
	p.tails.mu.Unlock()
	t.end(err)
	p.ring(t)
}

// sweepTails lets go of tails that nobody wants, and of what a checkpoint has written:
// readers find it in the table.
func (p *partition) sweepTails() {
	p.tails.mu.RLock()
	all := make([]*streamTail, 0, len(p.tails.all))
	for _, t := range p.tails.all {
		all = append(all, t)
	}
	p.tails.mu.RUnlock()
	for _, t := range all {
		s := p.streams.Stream(t.key.namespace, t.key.stream)
		if t.idle() {
			p.dropTail(p.liveStream(s), t, nil)
		} else {
			t.show(p.viewOf(s, t.key.shard))
		}
	}
}

// leaveTails tells all readers that nothing comes any more.
func (p *partition) leaveTails(err error) {
	p.tails.mu.Lock()
	all := p.tails.all
	p.tails.all = nil
	p.tails.mu.Unlock()
	for _, t := range all {
		t.end(err)
		if rung, _ := t.take(); rung != nil {
			close(rung)
		}
	}
}
