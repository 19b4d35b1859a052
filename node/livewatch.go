package node

import (
	"slices"
	"sync"
	"sync/atomic"

	streamfold "github.com/edda-io/edda/internal/fold/stream"
)

// streamNews tells those who follow a stream that something has changed in it.
type streamNews struct {
	// changed rises with each append, and when the stream is created or removed. Who
	// sees that it has risen asks the partition, which answers between two batches.
	changed atomic.Uint64
	watches []*watch // the partition's
	telling bool     // likewise: they are told at the end of its batch
}

// watch is somebody who wants to be told.
type watch struct {
	mu   sync.Mutex // guards ring, which is called under it
	ring func()
}

func (w *watch) tell() {
	w.mu.Lock()
	if w.ring != nil {
		w.ring()
	}
	w.mu.Unlock()
}

func (w *watch) stop() {
	w.mu.Lock()
	w.ring = nil
	w.mu.Unlock()
}

// news is what those who follow streams of a partition are told by. It belongs to the
// partition's goroutine, but for made.
type news struct {
	watched map[streamfold.Ref]*streamNews // what somebody watches, there or not
	toTell  []*streamNews                  // when the batch is done with
	made    atomic.Uint64                  // how many streams were created
}

// newsOf returns the news of a stream that there is.
func (p *partition) newsOf(s *streamfold.Stream) *streamNews {
	l := p.liveStream(s)
	if l.news == nil {
		l.news = &streamNews{}
	}
	return l.news
}

// watch has w told of what happens to a stream from now on.
func (p *partition) watch(ref streamfold.Ref, w *watch) {
	n := p.news.watched[ref]
	if n == nil {
		if s := p.streams.Stream(ref.Namespace, ref.Name); s != nil {
			n = p.newsOf(s)
		} else {
			n = &streamNews{}
		}
		if p.news.watched == nil {
			p.news.watched = map[streamfold.Ref]*streamNews{}
		}
		p.news.watched[ref] = n
	}
	n.watches = append(n.watches, w)
}

func (p *partition) unwatch(ref streamfold.Ref, w *watch) {
	n := p.news.watched[ref]
	if n == nil {
		return
	}
	n.watches = slices.DeleteFunc(n.watches, func(other *watch) bool { return other == w })
	if len(n.watches) == 0 {
		delete(p.news.watched, ref)
	}
}

// streamMade hands a new stream the news that it was waited for with.
func (p *partition) streamMade(s *streamfold.Stream) {
	p.news.made.Add(1)
	if n := p.news.watched[s.Ref()]; n != nil {
		p.liveStream(s).news = n
		p.changed(n)
	}
}

// changed has those told who follow a stream, once the batch is done with; n is nil where
// nobody does.
func (p *partition) changed(n *streamNews) {
	if n == nil {
		return
	}
	n.changed.Add(1)
	if len(n.watches) > 0 && !n.telling {
		n.telling = true
		p.news.toTell = append(p.news.toTell, n)
	}
}

// tellAll tells those who watch the streams that have changed.
func (p *partition) tellAll() {
	for i, n := range p.news.toTell {
		n.telling = false
		for _, w := range n.watches {
			w.tell()
		}
		p.news.toTell[i] = nil
	}
	p.news.toTell = p.news.toTell[:0]
}

// leaveWatches tells all who watch that nothing comes any more.
func (p *partition) leaveWatches() {
	for _, n := range p.news.watched {
		for _, w := range n.watches {
			w.tell()
		}
	}
	p.news.watched = nil
}

// liveStreams are the node's streams as subscriptions see them.
type liveStreams struct{ n *Node }

// Watch has ring called. See hub.Streams. It waits for the partition, which is not to
// call it.
func (l liveStreams) Watch(namespace, stream string, ring func()) (stop func()) {
	p := l.n.streamHome(namespace, stream)
	ref := streamfold.Ref{Namespace: namespace, Name: stream}
	w := &watch{ring: ring}
	added := make(chan struct{})
	if !p.in.do(func() { p.watch(ref, w); close(added) }) {
		ring() // the node has stopped
		return func() {}
	}
	<-added
	return func() {
		w.stop()
		p.in.do(func() { p.unwatch(ref, w) })
	}
}
