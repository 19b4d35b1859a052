// Package follow tells those who follow the streams of one partition that there is more, so
// that nobody has to ask: readers wait at a shard's Tail, which shows them what there is,
// and who watches whole streams has them from News.
//
// The partition says what has changed as it applies a batch, and Ring and Tell wake others
// once it is done with that: each once for a batch, however much has changed. What is said
// to be the partition's is for its goroutine alone; all else is safe for concurrent use.
// Nobody is woken for nothing and nobody misses what comes, but who is woken may find that
// others have been quicker.
package follow

import (
	"sync"
	"sync/atomic"

	"github.com/edda-io/edda/internal/fold/stream"
)

// Key says which shard a tail is of.
type Key struct{ Namespace, Stream, Shard string }

// Tail is where readers at the end of a shard wait for what comes next. It shows
// them what there is, so that those who were woken need not all ask the partition.
type Tail struct {
	key     Key
	waiters *atomic.Int64 // at all tails of the node
	ringing bool          // the partition's: it is rung at the end of the batch

	mu   sync.Mutex // guards what follows; nothing is locked under it
	view stream.View
	// over says that the tail shows nothing any more: one has to look anew.
	over bool
	// err is why there is nothing to be looked at, if that is so.
	err     error
	rung    chan struct{} // closed when there is more; nil while nobody waits
	waiting int
	used    bool // since Idle was asked last
}

// Key says which shard the tail is of.
func (t *Tail) Key() Key { return t.key }

// Look returns what the tail shows. It is false when it shows nothing any more: then one
// looks anew, unless there is a Reason.
func (t *Tail) Look() (v stream.View, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used = true
	return t.view, !t.over
}

// Reason is why there is nothing to be looked at, nil when that is not known.
func (t *Tail) Reason() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Wait returns a channel that is closed once the tail shows something else, or nothing
// more; nil when there is something beyond the offset already. Who has waited leaves.
func (t *Tail) Wait(end uint64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.view.End > end {
		return nil
	}
	if t.rung == nil {
		t.rung = make(chan struct{})
	}
	t.waiting++
	t.waiters.Add(1)
	return t.rung
}

// Leave undoes one Wait that has returned a channel.
func (t *Tail) Leave() {
	t.mu.Lock()
	t.waiting--
	t.mu.Unlock()
	t.waiters.Add(-1)
}

// Idle reports whether nobody has wanted the tail since the last time it was asked.
func (t *Tail) Idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	used := t.used || t.waiting > 0
	t.used = false
	return !used
}

// Refresh has the tail show the same in another way, which wakes nobody.
func (t *Tail) Refresh(v stream.View) {
	t.mu.Lock()
	t.view = v
	t.mu.Unlock()
}

// end takes away what the tail shows.
func (t *Tail) end(err error) {
	t.mu.Lock()
	t.view, t.over, t.err = stream.View{}, true, err
	t.mu.Unlock()
}

// take returns what those who wait now are to be woken by, and how many they are.
func (t *Tail) take() (rung chan struct{}, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rung, t.rung = t.rung, nil
	return rung, t.waiting
}

// Tails are those of one partition. All but Find is the partition's.
type Tails struct {
	ringer  *Ringer
	waiters *atomic.Int64
	toRing  []*Tail // when the batch is done with

	mu  sync.RWMutex // guards all; Tail.mu may be locked under it
	all map[Key]*Tail
}

// NewTails returns the tails of a partition. The ringer is the node's; waiters counts who
// waits at a tail.
func NewTails(r *Ringer, waiters *atomic.Int64) *Tails {
	return &Tails{ringer: r, waiters: waiters, all: map[Key]*Tail{}}
}

// Find returns the tail of a shard, nil when there is none.
func (ts *Tails) Find(key Key) *Tail {
	ts.mu.RLock()
	t := ts.all[key]
	ts.mu.RUnlock()
	return t
}

// All returns all tails.
func (ts *Tails) All() []*Tail {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	all := make([]*Tail, 0, len(ts.all))
	for _, t := range ts.all {
		all = append(all, t)
	}
	return all
}

// Add makes the tail of a shard that has none, which shows v.
func (ts *Tails) Add(key Key, v stream.View) *Tail {
	t := &Tail{key: key, waiters: ts.waiters, used: true, view: v}
	ts.mu.Lock()
	ts.all[key] = t
	ts.mu.Unlock()
	return t
}

// Show has a tail show what there is now, and wakes its readers at the next Ring.
func (ts *Tails) Show(t *Tail, v stream.View) {
	t.Refresh(v)
	if !t.ringing {
		t.ringing = true
		ts.toRing = append(ts.toRing, t)
	}
}

// Ring wakes the readers of what has been shown.
func (ts *Tails) Ring() {
	for i, t := range ts.toRing {
		t.ringing = false
		ts.ring(t)
		ts.toRing[i] = nil
	}
	ts.toRing = ts.toRing[:0]
}

// Remove ends a tail. Its readers are woken now, and look anew, or are told the error.
func (ts *Tails) Remove(t *Tail, err error) {
	ts.mu.Lock()
	if ts.all[t.key] == t {
		delete(ts.all, t.key)
	}
	ts.mu.Unlock()
	t.end(err)
	ts.ring(t)
}

// Close tells all readers that nothing comes any more, and why. Nothing may be added
// afterwards.
func (ts *Tails) Close(err error) {
	ts.mu.Lock()
	all := ts.all
	ts.all = nil
	ts.mu.Unlock()
	for _, t := range all {
		t.end(err)
		if rung, _ := t.take(); rung != nil {
			close(rung)
		}
	}
}

// few is how many readers a partition wakes itself.
const few = 32

// ring wakes those who wait at a tail.
func (ts *Tails) ring(t *Tail) {
	rung, waiting := t.take()
	switch {
	case rung == nil:
	case waiting <= few:
		close(rung)
	default:
		ts.ringer.add(rung)
	}
}
