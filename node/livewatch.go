package node

import (
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/follow"
)

// newsOf returns the news of a stream that there is.
func (p *partition) newsOf(s *streamfold.Stream) *follow.Stream {
	l := p.liveStream(s)
	if l.news == nil {
		l.news = &follow.Stream{}
	}
	return l.news
}

// watch has w told of what happens to a stream from now on.
func (p *partition) watch(ref streamfold.Ref, w *follow.Watch) {
	var news *follow.Stream
	if s := p.streams.Stream(ref.Namespace, ref.Name); s != nil {
		news = p.newsOf(s)
	}
	p.news.Watch(ref, news, w)
}

// streamMade hands a new stream the news that it was waited for with.
func (p *partition) streamMade(s *streamfold.Stream) {
	if news := p.news.Create(s.Ref()); news != nil {
		p.liveStream(s).news = news
	}
}

// liveStreams are the node's streams as subscriptions see them.
type liveStreams struct{ n *Node }

// Watch has ring called. See hub.Streams. It waits for the partition, which is not to
// call it.
func (l liveStreams) Watch(namespace, stream string, ring func()) (stop func()) {
	p := l.n.streamHome(namespace, stream)
	ref := streamfold.Ref{Namespace: namespace, Name: stream}
	w := follow.NewWatch(ring)
	added := make(chan struct{})
	if !p.in.do(func() { p.watch(ref, w); close(added) }) {
		ring() // the node has stopped
		return func() {}
	}
	<-added
	return func() {
		w.Stop()
		p.in.do(func() { p.news.Unwatch(ref, w) })
	}
}
