package stream

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// Source is a shard of a stream, and where it is read from. It has a form in JSON, so
// that positions can be kept anywhere.
type Source struct {
	Stream string `json:"stream"`
	// Shard is edda.DefaultShard when empty.
	Shard string `json:"shard,omitempty"`
	// From is where to begin: edda.FromStart when empty, edda.FromEnd, an offset
	// (edda.FromOffset) or a time (edda.FromTime).
	From edda.From `json:"from,omitempty"`
}

// Sources returns a source for each shard that a stream has now, in order of their
// names, all of which begin in the same way. Shards that come later are not among them.
func (c *Client) Sources(ctx context.Context, name string, from edda.From) ([]Source, error) {
	s, err := c.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	var all []Source
	for _, shard := range slices.Sorted(maps.Keys(s.Offsets)) {
		all = append(all, Source{Stream: name, Shard: shard, From: from})
	}
	return all, nil
}

// DefaultSaveEvery is how often a reader saves a durable cursor.
const DefaultSaveEvery = time.Second

// Defaults of how much of a source a reader reads at a time.
const (
	DefaultReadBatch = 1000
	DefaultReadBytes = 1 << 20
)

// ReaderOptions say how a reader reads. The zero value works.
type ReaderOptions struct {
	// Batch is how many messages of a source are read at a time, 1 to 10,000; zero means
	// DefaultReadBatch. While one batch is worked off, the next is read.
	Batch int
	// Bytes bounds a batch, one message aside; zero means DefaultReadBytes.
	Bytes int
	// StopAtEnd ends reading, without an error, when every source was read to its end.
	// Otherwise the reader waits there for what comes.
	StopAtEnd bool
	// Cursor, when not empty, names a group of each stream in which the reader keeps how
	// far it has got: a reader with the same cursor goes on there, in another process too,
	// and Source.From counts only where the group is new. Client.ResetGroup sets it back.
	// Nobody else may be a member of the group, and one reader at a time should use it.
	Cursor string
	// SaveEvery is how long it takes at most until the cursor has what was read. It is
	// saved when reading ends, too. Zero means DefaultSaveEvery; a negative number leaves
	// it to Reader.Save.
	SaveEvery time.Duration
	// OnTrimmed, when not nil, is told of messages that were trimmed away, or deleted for
	// their age or number, before they could be read: those from lost.From on that come
	// before the offset first. It is called in the goroutine that reads.
	OnTrimmed func(lost Source, first uint64)
	// Logger is told when reading is interrupted because the node is away, and why; once
	// until that changes. Nil discards it.
	Logger *slog.Logger
}

// Reader reads shards of streams, each in order, what there is and then what comes. It
// outlives broken connections and a node that is away, and neither loses nor repeats an
// offset. What comes from different sources is in no order.
//
// Sources may be added and removed at any time, also while it reads; the others stay
// where they are. One goroutine at a time reads; all other methods are safe for
// concurrent use. It has nothing to be closed: what it needs is released when reading
// ends, and reading again goes on where it ended.
type Reader struct {
	client *Client
	o      ReaderOptions
	log    *slog.Logger
	cursor cursor

	mu      sync.Mutex // guards what follows
	sources []*source  // in the order in which they were added
	leaving []*source  // removed ones that the durable cursor does not have all of
	run     *run       // nil: nobody reads
}

// source is a source of a reader. But for its name it belongs to the reader's mutex.
type source struct {
	stream, shard string
	from          edda.From // where to read on; an offset once that is known
	next          uint64    // the same as a number
	known         bool      // from is an offset
	done          uint64    // what comes before is done with
	saved         uint64    // what the durable cursor has
	loaded        bool      // the durable cursor was looked at
	removed       bool
	stop          context.CancelFunc // of the goroutine that reads it; nil: none
}

// Reader returns a reader of the sources. It asks for nothing until it is read; a source
// that is wrong is found out then.
func (c *Client) Reader(o ReaderOptions, sources ...Source) *Reader {
	o.Batch, o.Bytes = cmp.Or(o.Batch, DefaultReadBatch), cmp.Or(o.Bytes, DefaultReadBytes)
	o.SaveEvery = cmp.Or(o.SaveEvery, DefaultSaveEvery)
	r := &Reader{client: c, o: o, log: o.Logger, cursor: newCursor(o.Cursor)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	for _, s := range sources {
		r.Add(s)
	}
	return r
}

// Add adds a source, from which a reader that reads begins to read at once. It returns
// false, and changes nothing, when the shard is read already.
func (r *Reader) Add(s Source) bool {
	added := &source{stream: s.Stream, shard: cmp.Or(s.Shard, edda.DefaultShard)}
	added.begin(cmp.Or(s.From, edda.FromStart))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.find(added.stream, added.shard) >= 0 {
		return false
	}
	r.sources = append(r.sources, added)
	if r.run != nil {
		r.run.start(added)
	}
	return true
}

// Remove removes a source, and returns it as it would have to be added to go on, and
// whether it was there. Nothing of it comes any more, but for the batch that is being
// worked off by whoever reads batches.
func (r *Reader) Remove(stream, shard string) (Source, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.find(stream, cmp.Or(shard, edda.DefaultShard))
	if i < 0 {
		return Source{}, false
	}
	s := r.sources[i]
	s.removed = true
	if s.stop != nil {
		s.stop()
	}
	if r.run != nil {
		r.run.wake()
	}
	r.sources = slices.Delete(r.sources, i, i+1)
	if s.loaded {
		r.leaving = append(r.leaving, s)
	}
	return s.source(), true
}

// Has reports whether a source is read.
func (r *Reader) Has(stream, shard string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(stream, cmp.Or(shard, edda.DefaultShard)) >= 0
}

// Positions returns the sources, each with where the next message comes from: after the
// one that was handed out last. A reader that is made of them goes on there.
func (r *Reader) Positions() []Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Source, len(r.sources))
	for i, s := range r.sources {
		all[i] = s.source()
	}
	return all
}

// Messages yields the messages. It ends with an error as the last pair: that of ctx when
// it has ended, NoStream for a stream that there is not (any more), NoShard, NotAllowed,
// Conflict when somebody else reads with the reader. Where it can be mended, it can be
// read on: no source has lost its place. An interruption of the node's is no error.
//
// A message counts as handed out when it is yielded: after break, Messages goes on with
// the next one. For the durable cursor it is done with when the loop comes back for the
// next one, so that whoever breaks off, or panics, over a message gets it again after a
// restart; Save says that it is done with, too. The message is the caller's, its payload
// must not be changed.
func (r *Reader) Messages(ctx context.Context) iter.Seq2[*edda.StreamMessage, error] {
	return func(yield func(*edda.StreamMessage, error) bool) {
		err := r.read(ctx, func(run *run, p *page) bool {
			for i := range p.messages {
				m := &p.messages[i]
				if i > 0 {
					r.finished(p.src, m.Offset)
					run.saveIfDue()
				}
				if !r.handOut(p.src, m.Offset+1) {
					return true // removed meanwhile
				}
				if !yield(m, nil) {
					return false
				}
			}
			r.finished(p.src, p.next)
			return true
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// Batches is Messages for all that was read of a source at a time: one message at
// least, all of one shard. The batch is the caller's.
func (r *Reader) Batches(ctx context.Context) iter.Seq2[[]edda.StreamMessage, error] {
	return func(yield func([]edda.StreamMessage, error) bool) {
		err := r.read(ctx, func(_ *run, p *page) bool {
			if !r.handOut(p.src, p.next) {
				return true
			}
			if !yield(p.messages, nil) {
				return false
			}
			r.finished(p.src, p.next)
			return true
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// Each calls f with each message until f returns an error, which it returns, or reading
// ends as Messages says. A message over which f returned an error, or panicked, was not
// handed out: Each, or whoever takes the positions, gets it again.
func (r *Reader) Each(ctx context.Context, f func(m *edda.StreamMessage) error) error {
	var failed error
	err := r.read(ctx, func(run *run, p *page) bool {
		for i := range p.messages {
			m := &p.messages[i]
			if !r.handOut(p.src, m.Offset) {
				return true
			}
			if failed = f(m); failed != nil {
				return false
			}
			r.handOut(p.src, m.Offset+1)
			r.finished(p.src, m.Offset+1)
			run.saveIfDue()
		}
		return true
	})
	return cmp.Or(failed, err)
}

// read hands pages to f, which returns whether it wants more.
func (r *Reader) read(ctx context.Context, f func(*run, *page) bool) error {
	run, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer run.end()
	for {
		p, err := run.nextPage()
		if err != nil || p == nil {
			return err
		}
		if len(p.messages) == 0 {
			r.handOut(p.src, p.next)
			r.finished(p.src, p.next)
		} else if !f(run, p) {
			return nil
		}
	}
}

// handOut notes where a source reads on. It returns false when it was removed.
func (r *Reader) handOut(s *source, next uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.removed {
		return false
	}
	s.at(next)
	return true
}

// finished notes that what comes before next is done with.
func (r *Reader) finished(s *source, next uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.done = next
}

// find returns the place of a source, -1 when there is none. The caller holds mu.
func (r *Reader) find(stream, shard string) int {
	return slices.IndexFunc(r.sources, func(s *source) bool { return s.stream == stream && s.shard == shard })
}

// begin says where to read from.
func (s *source) begin(from edda.From) {
	s.from = from
	if n, err := strconv.ParseUint(string(from), 10, 64); err == nil {
		s.at(n)
		s.done, s.saved = n, n
	}
}

func (s *source) at(next uint64) { s.next, s.known = next, true }

// position is where to read on.
func (s *source) position() edda.From {
	if s.known {
		return edda.FromOffset(s.next)
	}
	return s.from
}

func (s *source) source() Source { return Source{Stream: s.stream, Shard: s.shard, From: s.position()} }

// errReading: two goroutines read with one reader.
var errReading = errors.New("the reader is being read already; make another one, or end the first loop")
