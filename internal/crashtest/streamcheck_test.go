package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// streamCheck compares the streams of a node with what was told of them.
type streamCheck struct {
	node    streamBackends
	limit   int           // of messages in a read
	ledger  *streamLedger // as of the crash
	now     *streamLedger
	journal *streamJournal
	*crash

	streams map[string]*edda.Stream // nil: there is none
	kept    map[string][]found      // by stream, in order of shard and offset
	byName  map[string]found        // the notes in orders and logs
	drained map[string]bool         // by group and name
	probes  map[string]int          // by name: the notes of the key

	patience *patience
}

// streamBackends are a node, or a connection to one.
type streamBackends interface {
	edda.StreamBackend
	edda.GroupBackend
}

// found is a message that is there.
type found struct {
	note

	m   edda.StreamMessage
	raw []byte
}

var allStreams = []string{orders, logs, nearby, away, onward, replies}

func (r *streamRun) check(ctx context.Context, n *node.Node, k *crash) error {
	c := &streamCheck{
		node: n, limit: 7, ledger: r.ledger.at(k.moment, k.until), now: r.ledger, journal: r.journal, crash: k,
		drained: map[string]bool{}, probes: map[string]int{},
	}
	r.found = c
	c.patience = newPatience(ctx, k.watch, func(ctx context.Context) string { return viewGroups(ctx, n, orders, logs, away) })
	err := c.run(c.patience, n)
	return errors.Join(err, c.patience.end(), c.journal.errors())
}

func (c *streamCheck) run(ctx context.Context, n *node.Node) error {
	if err := c.checkMarks(ctx); err != nil {
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	err := errors.Join(c.checkPosts(), c.checkEffects(), c.checkHandled(), c.checkLost(), c.checkLetters(ctx, n))
	if err == nil {
		err = errors.Join(c.probe(ctx), c.drain(ctx))
	}
	return errors.Join(err, c.repeat(ctx))
}

// checkMarks checks, before much has happened, that nothing has gone back.
func (c *streamCheck) checkMarks(ctx context.Context) error {
	if c.weak {
		return nil
	}
	for at, offset := range c.ledger.highest() {
		what, name, _ := strings.Cut(at[0], " ")
		stream, group, _ := strings.Cut(name, "/")
		c.patience.step()
		var is uint64
		if what == "cursor" {
			g, err := c.node.Group(ctx, edda.GroupRef{Stream: stream, Group: group})
			if err != nil {
				return fmt.Errorf("%s of %s was %d: %w", at[0], at[1], offset, err)
			}
			is = g.Cursor[at[1]]
		} else {
			st, err := c.node.Stream(ctx, "", stream)
			if err != nil {
				return fmt.Errorf("%s of %s was %d: %w", at[0], at[1], offset, err)
			}
			if is = st.Offsets[at[1]].First; what == "end" {
				is = st.Offsets[at[1]].End
			}
		}
		if is < offset {
			return fmt.Errorf("%s of %s was %d, and is %d", at[0], at[1], offset, is)
		}
	}
	return nil
}

// settle returns once the members in process have handled everything and what they have
// appended has arrived.
func (c *streamCheck) settle(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := c.lagging(ctx)
		if missing == nil {
			if err := c.look(ctx); err != nil {
				return err
			}
			missing = c.missing()
		}
		if missing == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("does not settle: %w", missing)
		case <-tick.C:
		}
	}
}

func (c *streamCheck) lagging(ctx context.Context) error {
	for _, s := range []string{orders, away} {
		g, err := c.node.Group(ctx, edda.GroupRef{Stream: s, Group: hosted})
		if err != nil {
			return err
		}
		c.saw(g)
		if g.Lag > 0 {
			return fmt.Errorf("group %s has a lag of %d, %d of it pending", g.Service(), g.Lag, g.Pending)
		}
	}
	return nil
}

// saw notes how far a group has come.
func (c *streamCheck) saw(g *edda.Group) {
	c.patience.left("lag of "+g.Service(), int(g.Lag))
	for shard, at := range g.Cursor {
		c.patience.seen("cursor of "+g.Service()+" in "+shard, int(at))
	}
}

// look reads all streams.
func (c *streamCheck) look(ctx context.Context) error {
	c.streams, c.kept, c.byName = map[string]*edda.Stream{}, map[string][]found{}, map[string]found{}
	for _, s := range allStreams {
		st, err := c.node.Stream(ctx, "", s)
		if edda.ReasonOf(err) == edda.NoStream {
			continue
		}
		if err != nil {
			return err
		}
		c.streams[s] = st
		var shards []string
		for shard := range st.Offsets {
			shards = append(shards, shard)
		}
		slices.Sort(shards)
		for _, shard := range shards {
			if err := c.readShard(ctx, s, shard); err != nil {
				return err
			}
		}
		c.patience.seen("messages of "+s, len(c.kept[s]))
	}
	return nil
}

// readShard reads a shard to its end: without a gap, and nothing twice.
func (c *streamCheck) readShard(ctx context.Context, stream, shard string) error {
	from := edda.FromStart
	next, began := uint64(0), false
	for {
		page, err := c.node.ReadStream(ctx, edda.Read{Stream: stream, Shard: shard, From: from, Limit: c.limit})
		if err != nil {
			return err
		}
		for i := range page.Messages {
			m := &page.Messages[i]
			if !began {
				began, next = true, page.First
			}
			if m.Offset != next && m.Offset != page.First || m.Shard != shard {
				return fmt.Errorf("%s/%s: message %d of shard %s where %d must be", stream, shard, m.Offset, m.Shard, next)
			}
			next = m.Offset + 1
			f := found{m: *m, raw: m.Payload}
			if stream == orders || stream == logs {
				if err := json.Unmarshal(m.Payload, &f.note); err != nil {
					return fmt.Errorf("%s/%s: message %d: %w", stream, shard, m.Offset, err)
				}
				f.stream, f.shard, f.offset, f.key, f.id = stream, shard, m.Offset, m.Key, m.ID
				if old, twice := c.byName[f.Name]; twice {
					return fmt.Errorf("%s is at %s and at %s", f.Name, old.place(), f.place())
				}
				c.byName[f.Name] = f
			}
			c.kept[stream] = append(c.kept[stream], f)
		}
		if page.Next == page.End {
			// What is too old may have gone since the first look.
			o := c.streams[stream].Offsets[shard]
			o.First = max(o.First, page.First)
			c.streams[stream].Offsets[shard] = o
			return nil
		}
		from = edda.FromOffset(page.Next)
	}
}

// missing says what has not arrived of what members in process have appended.
func (c *streamCheck) missing() error {
	want, letters := 0, 0
	for i := range c.kept[orders] {
		switch n := &c.kept[orders][i]; {
		case n.Probe:
		case !n.Final:
			want++
		case n.m.ReplyTo.Name == replies:
			letters++
		}
	}
	for _, s := range []string{nearby, away, onward} {
		if got := len(c.kept[s]); got < want {
			return fmt.Errorf("%s has %d of %d effects", s, got, want)
		}
	}
	if got := len(c.kept[replies]); got < letters {
		return fmt.Errorf("%s has %d of %d errors", replies, got, letters)
	}
	return nil
}

// trimmed reports whether a message may have been there and is not kept any more.
func (c *streamCheck) trimmed(n *note) bool {
	st := c.streams[n.stream]
	if n.stream != logs || st == nil {
		return false
	}
	if n.acked == 0 {
		return true // nobody knows
	}
	return n.offset < st.Offsets[n.shard].First
}

// checkPosts checks that what was acknowledged is where it was said to be, what was
// refused is not there, and nothing is there that nobody has appended.
func (c *streamCheck) checkPosts() error {
	known := map[string]bool{}
	for _, p := range c.ledger.posts {
		for _, n := range p.notes {
			known[n.Name] = true
		}
		if err := c.checkPost(p); err != nil {
			return fmt.Errorf("append of %s to %s/%s (submitted %d, in doubt: %v): %w", p.notes[0].Name, p.stream, p.shard, p.submitted, p.doubt, err)
		}
	}
	for name, f := range c.byName {
		if !known[name] && !f.Probe {
			return fmt.Errorf("%s is at %s, and nobody has appended it", name, f.place())
		}
	}
	return nil
}

func (c *streamCheck) checkPost(p *post) error {
	var places []found
	hidden := false
	for _, n := range p.notes {
		f, there := c.byName[n.Name]
		if !there && c.trimmed(n) {
			hidden = true
			continue
		}
		switch {
		case there && n.absent:
			return fmt.Errorf("%s is at %s, and was not there", n.Name, f.place())
		case there && n.acked != 0 && !c.weak && f.place() != n.place():
			return fmt.Errorf("%s was appended at %s, and is at %s", n.Name, n.place(), f.place())
		case !there && n.acked != 0 && !n.absent && !c.weak:
			return fmt.Errorf("%s was appended at %s, and is not there", n.Name, n.place())
		case there && (f.key != n.key || n.id != "" && f.id != n.id || f.Fail != n.Fail || f.Final != n.Final):
			return fmt.Errorf("%s is not what was appended: %+v", n.Name, f.m)
		}
		if there {
			places = append(places, f)
		}
	}
	if len(places) > 0 && p.whole && p.refused() {
		return fmt.Errorf("it was refused (%s), and is at %s", p.refusal, places[0].place())
	}
	if !p.whole || hidden || len(places) == 0 {
		return nil
	}
	if len(places) != len(p.notes) {
		return fmt.Errorf("%d of %d messages are there", len(places), len(p.notes))
	}
	for i := range places {
		if f := &places[i]; f.shard != places[0].shard || f.offset != places[0].offset+uint64(i) {
			return fmt.Errorf("%s is at %s, which is not next to %s", f.Name, f.place(), places[0].place())
		}
	}
	return nil
}

// checkLost checks that, if anything acknowledged is lost, everything that was appended
// after it is lost too.
func (c *streamCheck) checkLost() error {
	if !c.weak {
		return nil
	}
	var last *post
	for _, p := range c.ledger.posts {
		if _, there := c.byName[p.notes[0].Name]; there && (last == nil || p.submitted > last.submitted) {
			last = p
		}
	}
	for _, p := range c.ledger.posts {
		n := p.notes[0]
		_, there := c.byName[n.Name]
		if !there && n.acked != 0 && !n.absent && !c.trimmed(n) && last != nil && n.acked < last.submitted {
			return fmt.Errorf("%s was appended (at %d) before %s (at %d); it is lost, and that is there", n.Name, n.acked, last.notes[0].Name, last.submitted)
		}
	}
	return nil
}
