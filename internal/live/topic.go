package live

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/pattern"
)

// linger is how long a topic that nobody subscribes to goes on, so that whoever comes back
// finds what it has missed in the ring.
const linger = 10 * time.Second

type topicKey struct {
	namespace, name string
	channel         bool
}

// topic is what at least one subscription is to, or was until a moment ago. Its goroutine
// reads what comes and tells the subscriptions.
type topic struct {
	h    *Hub
	key  topicKey
	refs int // of Hub.mu: subscriptions, and those that are about to be
	// ready is closed once it has begun, or failed to.
	ready  chan struct{}
	wake   chan struct{}
	ctx    context.Context
	cancel context.CancelCauseFunc

	// mu guards what follows. subscription.mu may be held when it is locked.
	mu      sync.RWMutex
	sources *sources
	// places are those after all that it has read. They are immutable, and replaced.
	places []Place
	ring   ring
	// base are the places before the ring: what is not behind them and wanted is in there,
	// or still to come.
	base []Place
	// last is the resume point of the latest message of the ring, and skipped says that what
	// came after that goes to nobody.
	last    edda.From
	skipped bool
	subs    map[*subscription]struct{}
	// wanted finds interests, by their ids; owners has whose they are.
	wanted pattern.Set
	owners []*subscription
	free   []int // ids that are not in use
	err    error // why it has ended
	over   bool  // nothing runs any more

	// caughtUp says that it has been at the end of its sources since it began.
	caughtUp atomic.Bool
	// point is the resume point of places, once somebody has asked for it.
	point atomic.Pointer[edda.From]

	// waitMu guards what follows too, where mu is only held for reading.
	waitMu sync.Mutex
	// idle are those at the end that want all messages.
	idle []*subscription
	// again are those that have stopped in the middle of a walk.
	again []*subscription

	presence presence
}

func newTopic(h *Hub, key topicKey) *topic {
	t := &topic{h: h, key: key, refs: 1, ready: make(chan struct{}), wake: make(chan struct{}, 1), subs: map[*subscription]struct{}{}}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	return t
}

func (t *topic) subscribers() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.subs)
}

// begin has the topic begin at places, or at the end of a source that they are beyond.
func (t *topic) begin(c *sources, at func(*sources) []Place) error {
	var wish []Place
	if at != nil {
		wish = at(c)
	}
	places := make([]Place, len(c.list))
	for i := range c.list {
		end, err := t.watch(t.ctx, c, i)
		if err != nil {
			return err
		}
		places[i] = end
		if wish != nil && wish[i].Within(end) {
			places[i] = wish[i]
		}
		c.list[i].began = places[i]
	}
	t.mu.Lock()
	t.sources = c
	t.restart(places)
	t.mu.Unlock()
	return nil
}

// watch makes a source of the topic, and returns its end.
func (t *topic) watch(ctx context.Context, c *sources, i int) (Place, error) {
	s := &source{hash: c.hashes[i]}
	c.list[i] = s
	spec := &c.specs[i]
	s.stop = t.h.streams.Watch(spec.Namespace, spec.Stream, func() {
		if !s.rung.Swap(true) {
			t.rouse()
		}
	})
	return t.h.streams.End(ctx, spec.Namespace, spec.Stream)
}

// restart empties the ring, which goes on from places. t.mu is held.
func (t *topic) restart(places []Place) {
	t.ring.clear()
	t.places, t.base = places, own(places)
	var w pointWriter
	t.last = w.write(t.sources, places)
	t.point.Store(new(t.last))
	t.skipped = false
}

// rouse wakes the goroutine.
func (t *topic) rouse() {
	select {
	case t.wake <- struct{}{}:
	default: // it is awake
	}
}

// from returns the resume point of places. t.mu is held, at least for reading.
func (t *topic) from() edda.From {
	if p := t.point.Load(); p != nil {
		return *p
	}
	var w pointWriter
	f := w.write(t.sources, t.places)
	t.point.Store(&f)
	return f
}

// run is the topic's goroutine.
func (t *topic) run(c *sources, at func(*sources) []Place) {
	defer t.h.wg.Done()
	defer t.leave(c)
	err := t.begin(c, at)
	if err != nil {
		t.end(err)
		close(t.ready)
		return
	}
	close(t.ready)
	r := reader{t: t}
	var over *time.Timer
	for {
		t.goOn()
		if err := r.read(); err != nil {
			t.end(err)
			return
		}
		over = t.linger(over)
		var left <-chan time.Time
		if over != nil {
			left = over.C
		}
		select {
		case <-t.wake:
		case <-t.ctx.Done():
			t.end(nil)
			return
		case <-left:
			if over = nil; t.h.retire(t) {
				return
			}
		}
	}
}

// linger returns the timer that runs while nobody subscribes.
func (t *topic) linger(over *time.Timer) *time.Timer {
	t.mu.RLock()
	used := len(t.subs) > 0
	t.mu.RUnlock()
	switch {
	case used && over != nil:
		over.Stop()
		return nil
	case !used && over == nil:
		return time.NewTimer(linger)
	case !used:
		return over
	}
	return nil
}

// goOn tells those that have stopped in the middle of a walk to go on.
func (t *topic) goOn() {
	t.waitMu.Lock()
	again := t.again
	t.again = nil
	t.waitMu.Unlock()
	for _, s := range again {
		s.tell()
	}
}

// leave lets go of what the topic has of others.
func (t *topic) leave(first *sources) {
	t.cancel(nil)
	t.mu.Lock()
	t.over = true
	c := t.sources
	t.mu.Unlock()
	if c == nil {
		c = first // it never began
	}
	for _, s := range c.list {
		if s != nil {
			s.stop()
		}
	}
}

// end ends all subscriptions with an error.
func (t *topic) end(err error) {
	if cause := context.Cause(t.ctx); cause != nil {
		err = cause
	}
	t.h.forget(t)
	t.mu.Lock()
	t.err = err
	told := make([]*subscription, 0, len(t.subs))
	for s := range t.subs {
		told = append(told, s)
	}
	t.mu.Unlock()
	for _, s := range told {
		s.tell()
	}
	for _, s := range told {
		s.absent()
	}
}

// put adds messages to the ring, which were read from sources c up to places, and tells
// those that want one. It is false, and nothing has happened, when the sources are others
// now.
func (t *topic) put(c *sources, items []item, places []Place, told []*subscription) ([]*subscription, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sources != c {
		return told, false
	}
	if t.skipped && len(items) > 0 {
		t.last = t.from()
	}
	t.skipped = len(items) == 0
	t.places = places
	t.point.Store(nil)
	for i := range items {
		it := &items[i]
		it.mark = &mark{seq: t.ring.end, sources: c, from: t.last, passed: t.ring.total}
		t.last = it.msg.From
		t.ring.add(*it)
		told = t.pick(it, told)
	}
	if n := len(items); n > 0 {
		t.h.messages.Add(uint64(n))
	}
	for t.tooLong() {
		it := t.ring.drop()
		t.base[it.source].pass(it.stored, it.msg.Message.Shard, it.msg.Message.Offset)
	}
	return told, true
}

func (t *topic) tooLong() bool {
	n := t.ring.end - t.ring.first
	return n > uint64(t.h.o.RingMessages) || n > 1 && t.ring.bytes > t.h.o.RingBytes
}

// pick adds those at the end that want a message, which are not at the end any more.
// t.mu is held for writing.
func (t *topic) pick(it *item, told []*subscription) []*subscription {
	for i, s := range t.idle {
		s.wakeAt(it.mark)
		t.idle[i] = nil
		told = append(told, s)
	}
	t.idle = t.idle[:0]
	if len(t.owners) == len(t.free) {
		return told
	}
	var room [64]int
	for _, id := range t.wanted.AppendMatches(room[:0], it.msg.Message.Type) {
		if s := t.owners[id]; s.armed {
			s.wakeAt(it.mark)
			told = append(told, s)
		}
	}
	return told
}

// register gives interests of a subscription ids, so that it is told of what they match.
// t.mu is held for writing.
func (t *topic) register(s *subscription, list []interest) {
	for i := range list {
		if list[i].pattern == nil {
			continue
		}
		id := len(t.owners)
		if n := len(t.free); n > 0 {
			id = t.free[n-1]
			t.free = t.free[:n-1]
			t.owners[id] = s
		} else {
			t.owners = append(t.owners, s)
		}
		list[i].id = id
		t.wanted.Add(list[i].pattern, id)
	}
}

// unregister undoes register. t.mu is held for writing.
func (t *topic) unregister(i *interest) {
	if i.pattern == nil {
		return
	}
	t.wanted.Remove(i.id)
	t.owners[i.id] = nil
	t.free = append(t.free, i.id)
}

// enlist adds a subscription at the end to those that want all. t.mu is held, at least for
// reading, and s.mu.
func (t *topic) enlist(s *subscription) {
	t.waitMu.Lock()
	s.slot = len(t.idle)
	t.idle = append(t.idle, s)
	t.waitMu.Unlock()
}

// strike undoes enlist. t.mu is held for writing.
func (t *topic) strike(s *subscription) {
	if s.slot < 0 {
		return
	}
	n := len(t.idle) - 1
	last := t.idle[n]
	t.idle[s.slot], last.slot = last, s.slot
	t.idle[n], s.slot = nil, -1
	t.idle = t.idle[:n]
}
