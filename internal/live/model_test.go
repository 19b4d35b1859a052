package live_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
	"github.com/edda-io/edda/pattern"
)

var (
	seed  = flag.Uint64("seed", 0, "of one run of the model test")
	seeds = flag.Int("seeds", 150, "how many runs of the model test there are")
)

// TestEveryMessageOnceAndInOrder has subscribers come, go, come back and dawdle at random,
// while messages come and are trimmed and channels change. Each of them must have got what
// it was to get, once and in order.
func TestEveryMessageOnceAndInOrder(t *testing.T) {
	from, n := uint64(1), uint64(*seeds)
	if *seed != 0 {
		from, n = *seed, 1
	}
	for s := from; s < from+n; s++ {
		t.Run(fmt.Sprint("seed=", s), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newWorld(t, s).run() })
		})
	}
}

// world is one run: a channel over some of the streams, and clients.
type world struct {
	t       *testing.T
	r       *rand.Rand
	f       *fake
	hub     *live.Hub
	topic   live.Topic
	clients []*client
	// messages are all that were ever appended, by their ids and lives of the stream.
	messages []*message
	lives    map[string]int
}

type message struct {
	stream, shard, typ string
	life               int
	offset             uint64
	stored             int64
	step               int
	gone               bool
}

const modelStreams = 4

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 7)), f: newFake(), lives: map[string]int{}}
	w.f.sleepy = rand.New(rand.NewPCG(seed, 8))
	w.hub = live.New(w.f, live.Options{
		RingMessages: []int{1, 3, 20, 1024}[w.r.IntN(4)],
		RingBytes:    []int{1, 700, 1 << 20}[w.r.IntN(3)],
		Publish: func(_, _ string, m *edda.StreamMessage) bool {
			if m.Type == "panic" {
				panic("as it is told")
			}
			m.Payload[0] = 'P'
			return m.Type != "withheld"
		},
	})
	w.topic = live.Topic{Namespace: "default", Name: "c", Channel: true}
	w.set(w.r.IntN(1 << modelStreams))
	return w
}

// set gives the topic the streams of a mask, and always stream 0.
func (w *world) set(mask int) {
	w.topic.Version++
	w.topic.Sources = nil
	for i := range modelStreams {
		if (mask|1)>>i&1 == 0 {
			continue
		}
		s := live.Source{Namespace: "default", Stream: fmt.Sprint("s", i), Own: i == 0}
		if i == 3 {
			p, _ := pattern.Parse("a.*")
			s.Patterns = []*pattern.Pattern{p}
		}
		w.topic.Sources = append(w.topic.Sources, s)
	}
}

func (w *world) has(stream string) bool {
	return slices.ContainsFunc(w.topic.Sources, func(s live.Source) bool { return s.Stream == stream })
}

var modelTypes = []string{"a.x", "a.y", "b.x", "b.y", "withheld", "panic"}

func (w *world) run() {
	for step := range 60 + w.r.IntN(100) {
		w.step(step)
		if w.r.IntN(3) == 0 {
			synctest.Wait()
		}
	}
	for _, c := range w.clients {
		c.stay.Store(true)
		synctest.Wait()
		if c.cut.Load() {
			c.disconnect()
		}
		if c.sub == nil {
			c.connect(c.from)
		}
		c.asleep.Store(false)
		c.poke()
	}
	w.f.mu.Lock()
	w.f.sleepy = nil
	w.f.mu.Unlock()
	time.Sleep(time.Second)
	synctest.Wait()
	for _, c := range w.clients {
		c.check()
		c.disconnect()
	}
	w.hub.Close()
	if n := w.f.watched(); n > 0 {
		w.t.Errorf("%d streams are still watched", n)
	}
}

func (w *world) step(step int) {
	switch k := w.r.IntN(20); {
	case k < 9:
		w.append(step)
	case k < 10:
		w.f.tick(int64(w.r.IntN(3)))
	case k < 11:
		w.nap()
	case k < 12 && len(w.clients) < 8:
		w.newClient(step)
	case k < 16 && len(w.clients) > 0:
		w.clients[w.r.IntN(len(w.clients))].act()
	case k < 17:
		w.trim()
	case k < 18:
		w.change(step)
	case k < 19 && w.r.IntN(4) == 0:
		w.remove()
	}
}

func (w *world) append(step int) {
	stream, shard := fmt.Sprint("s", w.r.IntN(modelStreams)), fmt.Sprint("shard", w.r.IntN(3))
	typ := modelTypes[w.r.IntN(len(modelTypes))]
	n := 1
	if w.r.IntN(5) == 0 {
		n = 1 + w.r.IntN(40)
	}
	last, stored := w.f.append(stream, shard, typ, n)
	for i := range n {
		w.messages = append(w.messages, &message{
			stream: stream, shard: shard, typ: typ, life: w.lives[stream],
			offset: last - uint64(n-1-i), stored: stored, step: step,
		})
	}
}

func (w *world) nap() {
	done := make(chan struct{})
	go func() { w.f.nap(); close(done) }()
	<-done
	w.f.tick(int64(w.r.IntN(2)))
}

func (w *world) trim() {
	stream := fmt.Sprint("s", w.r.IntN(modelStreams))
	w.gone(stream, w.f.trim(stream, w.r.IntN(10)))
}

func (w *world) remove() {
	stream := fmt.Sprint("s", w.r.IntN(modelStreams))
	w.gone(stream, w.f.remove(stream))
	w.lives[stream]++
}

func (w *world) gone(stream string, list []live.Entry) {
	for _, m := range w.messages {
		if m.stream == stream && m.life == w.lives[stream] && slices.ContainsFunc(list, func(e live.Entry) bool {
			return e.Message.Shard == m.shard && e.Message.Offset == m.offset
		}) {
			m.gone = true
			for _, c := range w.clients {
				if c.sub == nil {
					c.lost = append(c.lost, m)
				}
			}
		}
	}
}

// change changes the channel. A source that goes and comes back is another one.
func (w *world) change(step int) {
	was := w.topic
	w.set(w.r.IntN(1 << modelStreams))
	for _, c := range w.clients {
		for i := range modelStreams {
			s := fmt.Sprint("s", i)
			before := slices.ContainsFunc(was.Sources, func(x live.Source) bool { return x.Stream == s })
			if !before || !w.has(s) {
				c.since[s] = step // what came before may come or not
			}
		}
	}
	w.f.tick(1)
	if err := w.hub.Set(w.t.Context(), w.topic); err != nil {
		w.t.Errorf("set: %v", err)
	}
}

// client subscribes again and again, each time where it was.
type client struct {
	w        *world
	name     string
	patterns []string
	sub      edda.Subscription
	wake     chan struct{}
	quit     chan struct{}
	done     chan struct{}
	asleep   atomic.Bool
	cut      atomic.Bool // it does not listen any more
	stay     atomic.Bool
	from     edda.From
	// since says of each stream from which step on all messages are to come, and begun from
	// which on any may.
	since map[string]int
	begun int
	// lost are messages that were removed while it was away. Of those that it does not get
	// from a ring either it must be told that there may be a gap, and told has them then.
	lost []*message
	told map[*message]bool
	got  map[string]int
	last map[string]uint64
}

func (w *world) newClient(step int) {
	c := &client{
		w: w, name: fmt.Sprint("client", len(w.clients)), begun: step, since: map[string]int{}, got: map[string]int{}, last: map[string]uint64{}, told: map[*message]bool{},
		patterns: [][]string{nil, {"a.:x"}, {"a.x", "*.x"}, {"nothing"}}[w.r.IntN(4)],
	}
	for i := range modelStreams {
		c.since[fmt.Sprint("s", i)] = step
	}
	from := edda.FromEnd
	if w.r.IntN(4) == 0 {
		from, c.begun = edda.FromStart, -1
		for i := range modelStreams {
			c.since[fmt.Sprint("s", i)] = -1
		}
	}
	w.clients = append(w.clients, c)
	c.connect(from)
}

func (c *client) act() {
	switch c.w.r.IntN(3) {
	case 0:
		if c.sub != nil {
			c.disconnect()
		} else {
			c.connect(c.from)
		}
	case 1:
		if c.sub != nil {
			c.asleep.Store(!c.asleep.Load())
			c.poke()
		}
	case 2:
		if c.sub != nil && c.asleep.Load() {
			c.disconnect()
			c.connect(c.from)
		}
	}
}

func (c *client) connect(from edda.From) {
	c.wake, c.quit, c.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	sub, err := c.w.hub.Subscribe(c.w.t.Context(), c.w.topic, &edda.Subscribe{
		Channel: c.w.topic.Name, Patterns: c.patterns, From: from, Principal: edda.Principal(c.name), Notify: c.poke,
	})
	if err != nil {
		c.w.t.Fatalf("%s subscribes from %q: %v", c.name, from, err)
	}
	c.sub = sub
	c.asleep.Store(false)
	c.cut.Store(false)
	c.poke()
	go c.listen(rand.New(rand.NewPCG(c.w.r.Uint64(), 1)))
}

func (c *client) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *client) disconnect() {
	if c.sub == nil {
		return
	}
	close(c.quit)
	<-c.done
	c.isTold()
	c.sub.Close()
	c.sub.Close()
	c.sub = nil
}

func (c *client) isTold() {
	if c.sub.Gap() {
		for _, m := range c.lost {
			c.told[m] = true
		}
	}
}

// listen takes what there is, each time it is told.
func (c *client) listen(r *rand.Rand) {
	defer close(c.done)
	c.from = c.sub.From()
	for {
		select {
		case <-c.quit:
			return
		case <-c.wake:
		}
		for !c.asleep.Load() {
			n := 1 + r.IntN(30)
			b, err := c.sub.Take(context.Background(), n)
			if err != nil {
				c.w.t.Errorf("%s: take: %v", c.name, err)
				return
			}
			for _, m := range b.Messages {
				c.take(m)
				c.from = m.From
				if !c.stay.Load() && r.IntN(20) == 0 { // it is cut off in the middle of a batch
					c.cut.Store(true)
					<-c.quit
					return
				}
			}
			if len(b.Messages) < n {
				c.from = c.sub.From()
				break
			}
			select {
			case <-c.quit:
				return
			default:
			}
		}
	}
}

func (c *client) take(m *edda.LiveMessage) {
	stream := m.Message.Stream
	if stream == "" {
		stream = "s0"
	}
	if m.Message.Payload[0] != 'P' {
		c.w.t.Errorf("%s: %s has not passed the filter", c.name, m.Message.ID)
	}
	shard := stream + "/" + m.Message.Shard
	at := fmt.Sprint(shard, "/", m.Message.Offset, "@", m.Message.Time.UnixNano())
	c.got[at]++
	if c.got[at] > 1 {
		c.w.t.Errorf("%s got %s %d times", c.name, at, c.got[at])
	}
	order := uint64(m.Message.Time.UnixNano())<<20 + m.Message.Offset
	if order <= c.last[shard] {
		c.w.t.Errorf("%s got %s after a later one", c.name, at)
	}
	c.last[shard] = order
}

// check compares what the client got with what it was to get.
func (c *client) check() {
	c.isTold()
	for _, m := range c.w.messages {
		at := fmt.Sprint(m.stream, "/", m.shard, "/", m.offset, "@", m.stored)
		got := c.got[at] > 0
		delete(c.got, at)
		wanted := m.typ != "withheld" && m.typ != "panic" && (m.stream != "s3" || strings.HasPrefix(m.typ, "a.")) && c.wants(m.typ)
		switch {
		case got && !wanted:
			c.w.t.Errorf("%s got %s of type %s, which it does not want", c.name, at, m.typ)
		case got && m.step < c.begun && c.since[m.stream] == c.begun:
			c.w.t.Errorf("%s got %s, which came before it", c.name, at)
		case !got && wanted && m.gone && m.step > c.since[m.stream] && c.w.has(m.stream):
			if slices.Contains(c.lost, m) && !c.told[m] && c.begun >= 0 { // nothing is missing after the start
				c.w.t.Errorf("%s was not told that there may be a gap where %s was", c.name, at)
			}
		case !got && wanted && !m.gone && m.step > c.since[m.stream] && c.w.has(m.stream):
			c.w.t.Errorf("%s never got %s", c.name, at)
		}
	}
	for at := range c.got {
		c.w.t.Errorf("%s got %s, which nobody stored", c.name, at)
	}
}

func (c *client) wants(typ string) bool {
	if len(c.patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(c.patterns, func(p string) bool {
		parsed, err := pattern.Parse(p)
		return err == nil && parsed.Match(typ)
	})
}
