package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// checkEffects checks that each note has had its effects once, in every stream that its
// handler has appended to, in order for its key.
func (c *streamCheck) checkEffects() error {
	for _, s := range []string{nearby, away, onward} {
		seen := map[string]bool{}
		last := map[string]effect{}
		for i := range c.kept[s] {
			var e effect
			if err := json.Unmarshal(c.kept[s][i].raw, &e); err != nil {
				return err
			}
			of, there := c.byName[e.Of]
			key := e.Shard + "/" + e.Key
			switch before := last[key]; {
			case seen[e.Of]:
				return fmt.Errorf("%s has the effect of %s twice", s, e.Of)
			case !there || of.Final || of.stream != orders:
				return fmt.Errorf("%s has an effect of %s, which has none (there: %v)", s, e.Of, there)
			case of.key != e.Key || of.shard != e.Shard:
				return fmt.Errorf("%s has an effect %+v of %s", s, e, of.place())
			case e.Key != "" && e.N != before.N+1:
				return fmt.Errorf("%s has effect %d of key %s after effect %d", s, e.N, key, before.N)
			case e.Key != "" && before.Of != "" && of.offset < c.byName[before.Of].offset:
				return fmt.Errorf("%s: %s was handled after %s", s, of.place(), before.Of)
			}
			seen[e.Of], last[key] = true, e
		}
		for i := range c.kept[orders] {
			if n := &c.kept[orders][i]; !n.Probe && !n.Final && !seen[n.Name] {
				return fmt.Errorf("%s has no effect of %s at %s", s, n.Name, n.place())
			}
		}
	}
	for name := range c.ledger.effects {
		if _, there := c.byName[name]; !there && !c.weak {
			return fmt.Errorf("the effect of %s was seen, and it is not there", name)
		}
	}
	return nil
}

// checkHandled checks that nothing was handled again that was known to be done with.
func (c *streamCheck) checkHandled() error {
	if c.weak {
		return nil
	}
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	for name := range c.ledger.effects {
		if c.journal.handled[orders+"/"+hosted+" "+name] {
			return fmt.Errorf("the effect of %s was seen, and it was handled again", name)
		}
	}
	marks := c.ledger.highest()
	for name, f := range c.byName {
		at := marks[[2]string{"cursor " + orders + "/" + hosted, f.shard}]
		if f.stream == orders && f.offset < at && c.journal.handled[orders+"/"+hosted+" "+name] {
			return fmt.Errorf("the cursor was at %d, and %s was handled again", at, f.place())
		}
	}
	return nil
}

// checkLetters checks that all notes that die do so once, and that who waits for a
// reply is told once.
func (c *streamCheck) checkLetters(ctx context.Context, n *node.Node) error {
	letters, _, err := n.DeadLetters(ctx, node.DeadLetterFilter{Service: orders + "/" + hosted}, node.Page{Limit: 1000})
	if err != nil {
		return err
	}
	dead := map[string]int{}
	for i := range letters {
		var n note
		if err := json.Unmarshal(letters[i].Payload, &n); err != nil {
			return err
		}
		dead[n.Name]++
	}
	told := map[string]int{}
	for i := range c.kept[replies] {
		told[c.kept[replies][i].m.ID]++
	}
	for i := range c.kept[orders] {
		n := &c.kept[orders][i]
		want, wantTold := 0, 0
		if n.Final {
			want = 1
			if n.m.ReplyTo.Name != "" {
				wantTold = 1
			}
		}
		if dead[n.Name] != want || told[n.id] != wantTold {
			return fmt.Errorf("%s has %d dead letters, want %d; %d errors were appended, want %d", n.Name, dead[n.Name], want, told[n.id], wantTold)
		}
		delete(dead, n.Name)
	}
	if len(dead) > 0 {
		return fmt.Errorf("dead letters of messages that are not there: %v", dead)
	}
	return nil
}

// probe asks for the state of each key.
func (c *streamCheck) probe(ctx context.Context) error {
	counts := map[[2]string]int{}
	for i := range c.kept[orders] {
		if n := &c.kept[orders][i]; n.key != "" && !n.Probe && !n.Final {
			counts[[2]string{n.shard, n.key}]++
		}
	}
	for at, want := range counts {
		c.patience.step()
		name := fmt.Sprintf("probe-%s-%s-%x", at[0], at[1], time.Now().UnixNano())
		m := edda.StreamMessage{Type: "note", Key: at[1], Payload: edda.JSON(note{Name: name, Probe: true})}
		if _, err := c.node.Append(ctx, &edda.Append{Stream: orders, Shard: at[0], Messages: []edda.StreamMessage{m}}); err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		c.probes[name] = want
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	for name, want := range c.probes {
		if got, came := c.journal.probes[name]; !came || got.n != want || len(got.twice) > 0 {
			return fmt.Errorf("%s: the state counts %d notes, twice %v (probed: %v); want %d", name, got.n, got.twice, came, want)
		}
	}
	return nil
}

// drain reads and acknowledges what the members that read have left.
func (c *streamCheck) drain(ctx context.Context) error {
	for _, g := range readGroups {
		if err := c.drainGroup(ctx, g); err != nil {
			return fmt.Errorf("group %v: %w", g, err)
		}
	}
	return nil
}

// drainLease is so long that what comes while a group is drained is acknowledged in time.
const drainLease = time.Minute

func (c *streamCheck) drainGroup(ctx context.Context, g edda.GroupRef) error {
	for {
		gr, err := c.node.Group(ctx, g)
		if r := edda.ReasonOf(err); (r == edda.NoGroup || r == edda.NoStream) && (c.weak || c.ledger.groups[g.String()] == 0) {
			return nil
		}
		if err != nil {
			return err
		}
		c.saw(gr)
		if gr.Lag == 0 {
			break
		}
		if spec := gr.GroupSpec; spec.ProcessingTimeout < drainLease {
			spec.ProcessingTimeout, spec.IdleTimeout = drainLease, drainLease
			if _, _, err := c.node.SetGroup(ctx, spec); err != nil {
				return err
			}
		}
		ds, err := c.node.ReadGroup(ctx, edda.GroupRead{GroupRef: g, Member: "after", Max: 10, Wait: 20 * time.Millisecond})
		if err != nil {
			return err
		}
		if err := c.acknowledge(ctx, g, ds); err != nil {
			return err
		}
	}
	return c.checkDrained(g)
}

func (c *streamCheck) acknowledge(ctx context.Context, g edda.GroupRef, ds []edda.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	s := edda.Settle{GroupRef: g}
	for i := range ds {
		var n note
		if err := json.Unmarshal(ds[i].Payload, &n); err != nil {
			return err
		}
		c.journal.read(g.String(), &ds[i], n.Name)
		c.drained[g.String()+" "+n.Name] = true
		if c.goesOn {
			c.now.start(g.String(), n.Name)
		}
		s.Leases = append(s.Leases, ds[i].Lease)
	}
	_, err := c.node.Ack(ctx, s)
	return err
}

// checkDrained checks that what has come is what was not acknowledged.
func (c *streamCheck) checkDrained(g edda.GroupRef) error {
	for name, f := range c.byName {
		at := g.String() + " " + name
		if f.stream != g.Stream {
			continue
		}
		if c.ledger.done[at] != 0 && c.drained[at] && !c.weak {
			return fmt.Errorf("%s at %s was acknowledged, and came again", name, f.place())
		}
		trimmed := g.Stream == logs && !c.drained[at] // it may be gone before it was taken in
		if c.ledger.started[at] == 0 && !c.drained[at] && !trimmed {
			return fmt.Errorf("%s at %s has never come to a member", name, f.place())
		}
	}
	marks := c.ledger.highest()
	for name, f := range c.byName {
		at := marks[[2]string{"cursor " + g.String(), f.shard}]
		if f.stream == g.Stream && f.offset < at && c.drained[g.String()+" "+name] && !c.weak {
			return fmt.Errorf("the cursor was at %d, and %s came again", at, f.place())
		}
	}
	return nil
}

// repeat appends messages once more under their ids: the answer is the first one.
func (c *streamCheck) repeat(ctx context.Context) error {
	var errs []error
	left := 10
	for _, p := range slices.Backward(c.ledger.posts) {
		f, there := c.byName[p.notes[0].Name]
		known := there || p.notes[0].acked != 0 && !c.weak
		if !p.repeatable() || !known || p.notes[0].absent || left == 0 {
			continue
		}
		left--
		c.patience.step()
		ack, err := c.node.Append(ctx, p.message())
		if err != nil {
			errs = append(errs, fmt.Errorf("%s, repeated: %w", p.notes[0].Name, err))
			continue
		}
		want := p.notes[0]
		if there {
			want = &f.note
		}
		if it := ack.Items[0]; !it.Replayed || it.Shard != want.shard || it.Offset != want.offset {
			errs = append(errs, fmt.Errorf("%s at %s, repeated: got %+v", want.Name, want.place(), it))
		}
		m, err := c.node.AwaitMessage(ctx, "", p.stream, p.notes[0].id, 0)
		if there && p.stream == orders && (err != nil || m.Offset != f.offset) {
			errs = append(errs, fmt.Errorf("%s at %s, awaited: got %+v", want.Name, want.place(), m), err)
		}
	}
	return errors.Join(errs...)
}

// learn notes in the ledger what the node holds: all of it has been dealt with.
func (r *streamRun) learn() {
	c := r.found
	r.ledger.tick(func(now int) {
		for _, p := range r.ledger.posts {
			for _, n := range p.notes {
				f, there := c.byName[n.Name]
				switch {
				case there:
					n.acked, n.shard, n.offset = now, f.shard, f.offset
				case c.trimmed(n): // nobody knows
				case n.acked == 0 || c.weak:
					n.acked, n.absent = 0, true
				}
			}
		}
		for _, g := range readGroups {
			for name, f := range c.byName {
				if f.stream == g.Stream && c.streams[g.Stream] != nil && c.drained[g.String()+" "+name] {
					r.ledger.done[g.String()+" "+name] = now
				}
			}
		}
		if c.weak {
			r.ledger.marks = nil
			for name := range r.ledger.effects {
				if _, there := c.byName[name]; !there {
					delete(r.ledger.effects, name)
				}
			}
		}
		for name, f := range c.byName {
			if f.stream == orders && !f.Probe && !f.Final {
				r.ledger.effects[name] = now
			}
		}
	})
}
