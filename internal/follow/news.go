package follow

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/edda-io/edda/internal/fold/stream"
)

// Stream tells those who follow a stream that something has changed in it. The zero value
// is that of a stream which nobody watches.
type Stream struct {
	changed atomic.Uint64
	watches []*Watch // the partition's
	telling bool     // likewise: they are told at the end of its batch
}

// Changes rises with each append, and when the stream is created or removed. Who sees that
// it has risen asks the partition, which answers between two batches.
func (s *Stream) Changes() uint64 { return s.changed.Load() }

// Watch is somebody who wants to be told. NewWatch makes one.
type Watch struct {
	mu   sync.Mutex // guards ring, which is called under it
	ring func()
}

// NewWatch has ring called. It must not block, nor call Stop.
func NewWatch(ring func()) *Watch { return &Watch{ring: ring} }

// Stop returns once ring is not called any more.
func (w *Watch) Stop() {
	w.mu.Lock()
	w.ring = nil
	w.mu.Unlock()
}

func (w *Watch) tell() {
	w.mu.Lock()
	if w.ring != nil {
		w.ring()
	}
	w.mu.Unlock()
}

// News is what those who follow streams of a partition are told by. All but Made is the
// partition's. The zero value is ready.
type News struct {
	watched map[stream.Ref]*Stream // what somebody watches, there or not
	toTell  []*Stream              // when the batch is done with
	made    atomic.Uint64
}

// Made is how many streams were created.
func (n *News) Made() uint64 { return n.made.Load() }

// Watched is how many streams somebody watches, there or not.
func (n *News) Watched() int { return len(n.watched) }

// Watch has w told of what happens to a stream from now on; s is the stream's, nil when
// there is none yet.
func (n *News) Watch(ref stream.Ref, s *Stream, w *Watch) {
	if known := n.watched[ref]; known != nil {
		s = known
	} else {
		if s == nil {
			s = &Stream{}
		}
		if n.watched == nil {
			n.watched = map[stream.Ref]*Stream{}
		}
		n.watched[ref] = s
	}
	s.watches = append(s.watches, w)
}

// Unwatch undoes Watch.
func (n *News) Unwatch(ref stream.Ref, w *Watch) {
	s := n.watched[ref]
	if s == nil {
		return
	}
	s.watches = slices.DeleteFunc(s.watches, func(other *Watch) bool { return other == w })
	if len(s.watches) == 0 {
		delete(n.watched, ref)
	}
}

// Create notes a new stream. It returns what those have who watch for it, to be the
// stream's from now on; nil when nobody does.
func (n *News) Create(ref stream.Ref) *Stream {
	n.made.Add(1)
	s := n.watched[ref]
	n.Change(s)
	return s
}

// Change has those told who follow a stream, at the next Tell; s is nil where nobody does.
func (n *News) Change(s *Stream) {
	if s == nil {
		return
	}
	s.changed.Add(1)
	if len(s.watches) > 0 && !s.telling {
		s.telling = true
		n.toTell = append(n.toTell, s)
	}
}

// Tell tells those who watch the streams that have changed.
func (n *News) Tell() {
	for i, s := range n.toTell {
		s.telling = false
		for _, w := range s.watches {
			w.tell()
		}
		n.toTell[i] = nil
	}
	n.toTell = n.toTell[:0]
}

// Close tells all who watch that nothing comes any more.
func (n *News) Close() {
	for _, s := range n.watched {
		for _, w := range s.watches {
			w.tell()
		}
	}
	n.watched = nil
}
