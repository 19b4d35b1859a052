package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Subscribers come and go at random, and come back where they were, while streams of two
// hundred shards are appended to, trimmed and deleted, the channel changes, and the node
// restarts. Each gets everything that it was to get, once and in order.
func TestLiveRandom(t *testing.T) {
	for seed := range uint64(8) {
		bubble(t, fmt.Sprint("seed=", seed), func(t *testing.T) {
			w := &liveWorld{t: t, r: rand.New(rand.NewPCG(seed, 3)), disk: newDisk()}
			w.open()
			w.run()
			stop(t, w.n)
		})
	}
}

const liveStreams = 3

type liveWorld struct {
	t        *testing.T
	r        *rand.Rand
	disk     *disk
	n        *node.Node
	sources  []string
	clients  []*liveClient
	messages []*liveMessage
	step     int
}

type liveMessage struct {
	stream, shard string
	offset        uint64
	step          int
	gone          bool
}

func (w *liveWorld) open() {
	w.n = w.disk.open(w.t, node.Options{CheckpointBytes: 20_000, Partitions: 4})
	if w.sources == nil {
		w.change()
	}
}

func (w *liveWorld) run() {
	for w.step = range 250 {
		switch k := w.r.IntN(40); {
		case k < 22:
			w.append()
		case k < 24 && len(w.clients) < 6:
			w.join()
		case k < 34 && len(w.clients) > 0:
			w.clients[w.r.IntN(len(w.clients))].act()
		case k < 36:
			w.trim()
		case k == 36:
			w.change()
		case k == 37 && w.r.IntN(3) == 0:
			w.delete()
		case k == 38 && w.r.IntN(2) == 0:
			w.restart()
		default:
			time.Sleep(time.Duration(w.r.IntN(1000)) * time.Microsecond)
		}
		if w.r.IntN(3) == 0 {
			synctest.Wait()
		}
	}
	for _, c := range w.clients {
		c.stay.Store(true)
		c.leave()
		c.come()
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	for _, c := range w.clients {
		c.check()
		c.leave()
	}
}

func (w *liveWorld) name() string { return fmt.Sprint("s", w.r.IntN(liveStreams)) }

func (w *liveWorld) append() {
	a := &edda.Append{Stream: w.name(), Shard: fmt.Sprint("shard", w.r.IntN(200))}
	if w.r.IntN(4) == 0 {
		a.Stream, a.Shard, a.Channel = "", "", "c"
	}
	n := 1 + w.r.IntN(1+w.r.IntN(60))
	first := len(w.messages)
	for i := range n {
		a.Messages = append(a.Messages, edda.StreamMessage{Type: "t", Payload: []byte(strconv.Itoa(first + i))})
	}
	ack := putAll(w.t, w.n, a)
	for i := range n {
		w.messages = append(w.messages, &liveMessage{stream: a.Stream, shard: ack.Items[i].Shard, offset: ack.Items[i].Offset, step: w.step})
	}
}

// lose has messages of a stream gone, those of a shard before an offset, or all.
func (w *liveWorld) lose(stream, shard string, before uint64) {
	for _, m := range w.messages {
		if m.stream == stream && (shard == "" || m.shard == shard && m.offset < before) {
			m.gone = true
		}
	}
}

func (w *liveWorld) trim() {
	if len(w.messages) == 0 {
		return
	}
	m := w.messages[w.r.IntN(len(w.messages))]
	if m.stream == "" || m.gone {
		return
	}
	if _, err := w.n.TrimStream(w.t.Context(), "", m.stream, m.shard, edda.FromOffset(m.offset)); err != nil {
		w.t.Fatalf("trim: %v", err)
	}
	w.lose(m.stream, m.shard, m.offset)
}

func (w *liveWorld) delete() {
	name := w.name()
	if err := w.n.DeleteStream(w.t.Context(), "", name); err != nil && edda.ReasonOf(err) != edda.NoStream {
		w.t.Fatalf("delete: %v", err)
	}
	w.lose(name, "", 0)
}

func (w *liveWorld) change() {
	time.Sleep(time.Millisecond) // a new source begins at the latest time that one has seen
	was := w.sources
	w.sources = []string{""}
	spec := edda.ChannelSpec{Name: "c", History: edda.History{Count: 1_000_000}}
	for i := range liveStreams {
		if name := fmt.Sprint("s", i); w.r.IntN(3) > 0 {
			w.sources = append(w.sources, name)
			spec.From = append(spec.From, edda.ChannelSource{Stream: name})
		}
	}
	setChannel(w.t, w.n, spec)
	for _, c := range w.clients {
		for i := range liveStreams {
			if name := fmt.Sprint("s", i); !slices.Contains(was, name) || !slices.Contains(w.sources, name) {
				c.since[name] = w.step
			}
		}
	}
	time.Sleep(time.Millisecond)
}

func (w *liveWorld) restart() {
	for _, c := range w.clients {
		c.leave()
	}
	stop(w.t, w.n)
	w.open()
}

// liveClient is somebody who listens to the channel, now and then.
type liveClient struct {
	w     *liveWorld
	sub   *subscriber
	quit  chan struct{}
	done  chan struct{}
	stay  atomic.Bool
	from  edda.From
	begun int
	since map[string]int
	got   map[int]bool
	last  map[string]int
	r     *rand.Rand
}

func (w *liveWorld) join() {
	c := &liveClient{
		w: w, begun: w.step, since: map[string]int{}, got: map[int]bool{}, last: map[string]int{},
		from: edda.FromEnd, r: rand.New(rand.NewPCG(w.r.Uint64(), 1)),
	}
	if w.r.IntN(3) == 0 {
		c.from, c.begun = edda.FromStart, -1
	}
	for _, name := range []string{"", "s0", "s1", "s2"} {
		c.since[name] = c.begun
	}
	w.clients = append(w.clients, c)
	c.come()
}

func (c *liveClient) act() {
	if c.sub != nil {
		c.leave()
	}
	if c.w.r.IntN(2) == 0 {
		c.come()
	}
}

func (c *liveClient) come() {
	c.sub = subscribes(c.w.t, c.w.n, edda.Subscribe{Channel: "c", From: c.from})
	c.from = c.sub.From()
	c.quit, c.done = make(chan struct{}), make(chan struct{})
	go c.listen()
}

func (c *liveClient) leave() {
	if c.sub == nil {
		return
	}
	close(c.quit)
	<-c.done
	c.sub.Close()
	c.sub = nil
}

// listen takes messages until it is to go, or is cut off in the middle of them.
func (c *liveClient) listen() {
	defer close(c.done)
	for {
		select {
		case <-c.quit:
			return
		default:
		}
		n := 1 + c.r.IntN(50)
		b, err := c.sub.Take(context.Background(), n)
		if err != nil {
			c.w.t.Errorf("take: %v", err)
			return
		}
		for _, m := range b.Messages {
			c.take(m)
			c.from = m.From
			if !c.stay.Load() && c.r.IntN(200) == 0 {
				return
			}
		}
		if len(b.Messages) == n {
			continue
		}
		c.from = c.sub.From()
		select {
		case <-c.quit:
			return
		case <-c.sub.more:
		}
		if !c.stay.Load() && c.r.IntN(3) == 0 {
			time.Sleep(time.Duration(c.r.IntN(500)) * time.Microsecond)
		}
	}
}

func (c *liveClient) take(m *edda.LiveMessage) {
	id, err := strconv.Atoi(string(m.Message.Payload))
	if err != nil {
		c.w.t.Errorf("got %q: %v", m.Message.Payload, err)
		return
	}
	shard := m.Message.Stream + "/" + m.Message.Shard
	if last, ok := c.last[shard]; c.got[id] || ok && id < last {
		c.w.t.Errorf("got message %d of %s after %d, for the first time: %t", id, shard, last, !c.got[id])
	}
	c.got[id], c.last[shard] = true, id
}

func (c *liveClient) check() {
	for id, m := range c.w.messages {
		switch got := c.got[id]; {
		case got && m.step < c.begun && c.since[m.stream] == c.begun:
			c.w.t.Errorf("got message %d of %s/%s, which came before it", id, m.stream, m.shard)
		case !got && !m.gone && m.step > c.since[m.stream] && slices.Contains(c.w.sources, m.stream):
			c.w.t.Errorf("never got message %d of %s/%s", id, m.stream, m.shard)
		}
	}
}
