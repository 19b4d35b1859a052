package node

import (
	"context"

	"github.com/edda-io/edda"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/follow"
	hub "github.com/edda-io/edda/internal/live"
)

var _ hub.Streams = liveStreams{}

// End returns the place after all that is stored. See hub.Streams.
func (l liveStreams) End(ctx context.Context, namespace, stream string) (hub.Place, error) {
	p := l.n.streamHome(namespace, stream)
	var at int64
	err := l.n.inPartition(ctx, p, "find the end of stream "+stream, func() { at = p.streams.End(namespace, stream) })
	return hub.Place{Time: at}, err
}

// Walk returns a walker. See hub.Streams.
func (l liveStreams) Walk(namespace, stream string, from hub.Place) hub.Walker {
	w := &walker{n: l.n, p: l.n.streamHome(namespace, stream), namespace: namespace, stream: stream, next: from.Time}
	w.at.Time = from.Time
	for _, at := range from.At {
		w.at.At = append(w.at.At, streamfold.ShardSpot(at))
	}
	return w
}

// walker reads all shards of a stream in the order in which messages were stored, walk by
// walk: see streamfold.Walk. Between two calls of Next it keeps nothing of what is in
// memory from going away.
type walker struct {
	n                 *Node
	p                 *partition
	namespace, stream string

	at   streamfold.Spot  // after what was returned
	next int64            // the time from which the next walk reads, where that is later
	walk *streamfold.Walk // nil: one has to look what there is
	gap  bool
	// settled is up to when it does not matter what is gone: where it began at the start,
	// that is what was appended before it first looked.
	settled int64

	known  knownStream
	serial uint64         // of the stream as it was seen last, zero when there was none
	news   *follow.Stream // of that stream
	seen   uint64         // what there was of news, or of streams made, when one looked last
	atEnd  bool           // there was no more then

	decode edda.StreamDecoder
	room   int // for as many entries as came last
}

// knownStream says what a walker has seen of its stream.
type knownStream uint8

const (
	neverLooked knownStream = iota
	wasAbsent
	wasThere
)

// Next returns the next messages. See hub.Walker.
func (w *walker) Next(ctx context.Context, bytes int) ([]hub.Entry, error) {
	for {
		if w.walk == nil {
			if more, err := w.look(ctx); !more || err != nil {
				return nil, err
			}
		}
		entries, err := w.read(bytes)
		if err != nil {
			return nil, err
		}
		if done, end := w.walk.Done(), !w.walk.Stored(); done || end {
			if done {
				w.next = w.walk.End()
			}
			w.walk, w.atEnd = nil, done && end
		}
		if len(entries) > 0 {
			return entries, nil
		}
	}
}

// Place is after what Next has returned. See hub.Walker.
func (w *walker) Place() hub.Place {
	if w.next > w.at.Time {
		return hub.Place{Time: w.next}
	}
	place := hub.Place{Time: w.at.Time}
	for _, at := range w.at.At {
		place.At = append(place.At, hub.ShardPlace(at))
	}
	return place
}

// Gap says that something may be missing. See hub.Walker.
func (w *walker) Gap() bool { return w.gap }

func (w *walker) op() string { return "read stream " + w.stream }

// look begins a walk over what there is beyond the place. It returns false when there is
// nothing, which it mostly knows without asking.
func (w *walker) look(ctx context.Context) (more bool, err error) {
	if w.atEnd && !w.changed() {
		if w.n.halting.Load() {
			return false, w.n.notRunning(w.op())
		}
		return false, nil
	}
	w.atEnd = false
	if w.next > w.at.Time {
		w.at = streamfold.Spot{Time: w.next, At: w.at.At[:0]}
	}
	err = w.n.inPartition(ctx, w.p, w.op(), func() { w.take(w.p.streams.Stream(w.namespace, w.stream)) })
	return w.walk != nil, err
}

// changed reports whether there may be more than when one looked last.
func (w *walker) changed() bool {
	if w.known == wasThere {
		return w.news.Changes() != w.seen
	}
	return w.p.news.Made() != w.seen
}

// take takes what there is of the stream, nil when there is none. It runs in the
// partition's goroutine.
func (w *walker) take(s *streamfold.Stream) {
	if w.known != wasThere && w.at.Time != 0 && w.p.streams.RemovedAt(w.namespace, w.stream) >= w.at.Time {
		w.gap = true // another one has been there since
	}
	if s == nil {
		w.gap = w.gap || w.known == wasThere
		w.known, w.serial, w.news, w.seen, w.atEnd = wasAbsent, 0, nil, w.p.news.Made(), true
		w.next = max(w.at.Time, w.p.streams.End(w.namespace, w.stream))
		return
	}
	w.gap = w.gap || w.known == wasThere && w.serial != s.Serial
	if w.known == neverLooked && w.at.Time == 0 {
		w.settled = s.LastAt()
	}
	w.known, w.serial, w.news = wasThere, s.Serial, w.p.newsOf(s)
	w.seen = w.news.Changes()
	w.walk = w.p.streams.Walk(s, w.at, w.settled)
}

// read reads about so many bytes of the walk.
func (w *walker) read(bytes int) (entries []hub.Entry, err error) {
	entries = make([]hub.Entry, 0, w.room)
	err = w.walk.Next(w.p.table, bytes, func(shard string, _ uint32, e *streamfold.Entry) error {
		entries = append(entries, hub.Entry{Stored: e.Time, Bytes: len(e.Message)})
		if err := decodeEntry(&w.decode, &entries[len(entries)-1].Message, shard, e); err != nil {
			return err
		}
		w.at.Pass(shard, e)
		return nil
	})
	w.gap = w.gap || w.walk.Gone()
	if err == nil {
		w.room = max(w.room/2, len(entries))
		return entries, nil
	}
	w.walk = nil
	if w.n.halting.Load() {
		return nil, w.n.notRunning(w.op())
	}
	return nil, errInternal(w.op(), err)
}
