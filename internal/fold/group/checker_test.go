package group

import (
	"fmt"
	"maps"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/fold/stream"
)

// checker looks over the shoulder of a world: it knows from the requests that are made
// and end what each group must have, and demands what groups promise.
type checker struct {
	w       *world
	groups  map[uint64]*watched // by serial number
	running map[string]uint64   // by group, shard and key: who runs
}

// watched is a group as it must be.
type watched struct {
	name   string
	base   uint64
	shards map[uint32]*progress
}

// progress is how far a group must have come in a shard.
type progress struct {
	next   uint64
	open   map[uint64]string // key by offset
	done   map[uint64]bool   // taken in since the last reset, and ended
	cursor uint64
}

func newChecker(w *world) *checker {
	return &checker{w: w, groups: map[uint64]*watched{}, running: map[string]uint64{}}
}

func (g *watched) shard(index uint32) *progress {
	p := g.shards[index]
	if p == nil {
		p = &progress{next: g.base, open: map[uint64]string{}, done: map[uint64]bool{}}
		g.shards[index] = p
	}
	return p
}

// places says where a group is put by a set or a reset that is about to be applied.
func (c *checker) places(s *stream.Stream, only string, from edda.From) (base uint64, at map[uint32]uint64) {
	at = map[uint32]uint64{}
	place, err := from.Parse()
	if err != nil {
		c.w.tb.Fatal(err)
	}
	if place.Kind == edda.AtOffset {
		base = place.Offset
	}
	if s == nil {
		return base, at
	}
	for _, sh := range s.Shards() {
		if only != "" && sh.Name != only {
			continue
		}
		switch place.Kind {
		case edda.AtStart:
			at[sh.Index] = sh.First
		case edda.AtEnd:
			at[sh.Index] = sh.End
		case edda.AtOffset:
			at[sh.Index] = max(place.Offset, sh.First)
		case edda.AtTime:
			at[sh.Index] = sh.End
			for e, err := range c.w.streams.Scan(s, sh, 0) {
				if err != nil {
					c.w.tb.Fatal(err)
				}
				if e.Time >= place.Time.UnixNano() {
					at[sh.Index] = e.Offset
					break
				}
			}
		}
	}
	return base, at
}

// put has a group go on elsewhere.
func (c *checker) put(serial uint64, name string, whole bool, base uint64, at map[uint32]uint64) {
	g := c.groups[serial]
	if g == nil {
		g = &watched{name: name, shards: map[uint32]*progress{}}
		c.groups[serial] = g
	}
	if whole {
		g.base = base
	}
	for index, next := range at {
		g.shards[index] = &progress{next: next, open: map[uint64]string{}, done: map[uint64]bool{}, cursor: next}
	}
}

// applied looks at what a record has brought about.
func (c *checker) applied() {
	c.w.tb.Helper()
	for _, e := range c.w.events {
		r := e.req
		if r == nil || r.Delivery == nil {
			continue
		}
		where := fmt.Sprintf("%d %s %s", r.Delivery.Group, r.Delivery.Shard, r.To.Key)
		switch e.kind {
		case request.Accepted:
			if !r.Delivery.Retried {
				c.accepted(r)
			}
		case request.Dispatch:
			if r.To.Key == "" {
				break
			}
			if other := c.running[where]; other != 0 {
				c.w.tb.Fatalf("%s starts while %d of its key runs", c.w.name(r), other)
			}
			c.running[where] = r.Seq
			c.inOrder(r)
		case request.Fenced:
			delete(c.running, where)
		case request.Ended:
			if c.running[where] == r.Seq {
				delete(c.running, where)
			}
			c.ended(r)
		}
	}
	for serial := range c.groups {
		if c.w.m.BySerial(serial) == nil {
			delete(c.groups, serial)
		}
	}
	for g := range c.w.m.All() {
		c.compare(g)
	}
}

func (c *checker) accepted(r *request.Request) {
	g := c.groups[r.Delivery.Group]
	if g == nil {
		if c.w.m.BySerial(r.Delivery.Group) != nil {
			c.w.tb.Fatalf("%s is made for a group that is not known", c.w.name(r))
		}
		return // it was removed in the same record
	}
	s := c.w.streams.BySerial(r.Delivery.Stream)
	sh := s.Shard(r.Delivery.Shard)
	p := g.shard(sh.Index)
	at := r.Delivery.Offset
	switch {
	case at < p.next:
		c.w.tb.Fatalf("%s is taken in again: done %t, next is %d", c.w.name(r), p.done[at], p.next)
	case at > p.next && at > sh.First:
		c.w.tb.Fatalf("%s is taken in, %d was to be next, and what is kept begins with %d", c.w.name(r), p.next, sh.First)
	}
	if m := c.w.message(s.Spec.Name+"/"+sh.Name, at); m != nil && r.Message != nil &&
		(string(m.Payload) != string(r.Message.Payload) || m.Key != r.To.Key || m.ID != r.Delivery.ID || m.ReplyTo != r.Message.ReplyTo) {
		c.w.tb.Fatalf("%s is %+v, the message %+v", c.w.name(r), r.Message, m)
	}
	p.next = at + 1
	p.open[at] = r.To.Key
}

// inOrder demands that nothing of the key is open before the request.
func (c *checker) inOrder(r *request.Request) {
	g := c.groups[r.Delivery.Group]
	if g == nil || r.Delivery.Retried {
		return
	}
	p := g.shard(c.w.streams.BySerial(r.Delivery.Stream).Shard(r.Delivery.Shard).Index)
	if _, open := p.open[r.Delivery.Offset]; !open {
		return // the same record has cancelled it
	}
	for at, key := range p.open {
		if key == r.To.Key && at < r.Delivery.Offset {
			c.w.tb.Fatalf("%s starts before %d, which is of its key", c.w.name(r), at)
		}
	}
}

func (c *checker) ended(r *request.Request) {
	if g := c.groups[r.Delivery.Group]; g != nil && !r.Delivery.Retried {
		if s := c.w.streams.BySerial(r.Delivery.Stream); s != nil {
			p := g.shard(s.Shard(r.Delivery.Shard).Index)
			if _, open := p.open[r.Delivery.Offset]; open {
				delete(p.open, r.Delivery.Offset)
				p.done[r.Delivery.Offset] = true
			}
		}
	}
	if r.State != edda.StateDead || r.Delivery.Retried {
		return
	}
	if m := r.Message; m != nil && m.ReplyTo.Name != "" && c.w.env.Home(edda.StreamHash(edda.DefaultNamespace, m.ReplyTo.Name)) == 0 {
		s := c.w.streams.Stream(edda.DefaultNamespace, m.ReplyTo.Name)
		if _, found, err := c.w.streams.Find(s, r.Delivery.ID); err != nil || !found {
			c.w.tb.Fatalf("%s is dead and nobody told (%v)", c.w.name(r), err)
		}
	}
}

// compare demands that a group says of itself what must hold.
func (c *checker) compare(g *Group) {
	w := c.groups[g.Serial]
	if w == nil || w.name != g.Spec.Service() {
		c.w.tb.Fatalf("there is a group %s, want %+v", g.Spec.Service(), w)
	}
	lag, open, cursor := uint64(0), 0, map[string]uint64{}
	for _, sh := range g.Stream.Shards() {
		p := w.shard(sh.Index)
		from := max(p.next, sh.First)
		if from < sh.End {
			lag += sh.End - from
		}
		open += len(p.open)
		at := from
		for offset := range p.open {
			at = min(at, offset)
		}
		if at < p.cursor {
			c.w.tb.Fatalf("the cursor of %s in %s goes from %d back to %d", w.name, sh.Name, p.cursor, at)
		}
		p.cursor, cursor[sh.Name] = at, at
	}
	lag += uint64(open)
	if g.Lag() != lag || g.Open() != open || !maps.Equal(g.Cursor(), cursor) {
		c.w.tb.Fatalf("%s has the cursor %v, lag %d, open %d; want %v, %d, %d", w.name, g.Cursor(), g.Lag(), g.Open(), cursor, lag, open)
	}
	if g.behind.Len() > 0 && !g.filling && g.halfFree() {
		c.mayWait(g)
	}
}

// mayWait demands a reason for a group to take in no more though half of its window is
// free: there is no room for the next message.
func (c *checker) mayWait(g *Group) {
	cur := g.nextTurn()
	for e, err := range c.w.streams.Scan(g.Stream, cur.shard, cur.next) {
		if err != nil {
			c.w.tb.Fatal(err)
		}
		var m edda.Message
		if err := m.UnmarshalBinary(e.Message); err != nil {
			c.w.tb.Fatal(err)
		}
		if m.CorrelationID == "" {
			m.CorrelationID = m.IdempotencyKey
			if m.CorrelationID == "" {
				m.CorrelationID = m.ID.String()
			}
		}
		m.To, m.ID = edda.Address{Namespace: g.Spec.Namespace, Name: g.service, Key: m.To.Key}, edda.ID{1}
		if m.Time.IsZero() {
			m.Time = time.Unix(0, e.Time)
		}
		if g.fits(m.BinarySize()) {
			c.w.tb.Fatalf("%s does not take in %d, and has %d bytes open of %+v", g.service, e.Offset, g.bytes, g.window)
		}
		return
	}
}
