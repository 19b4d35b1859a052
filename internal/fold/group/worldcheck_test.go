package group

import (
	"slices"
	"strings"
)

// check checks the machine's own bookkeeping, and what must hold of any state.
func (w *world) check() {
	w.tb.Helper()
	m := w.m
	groups := 0
	for s := range w.streams.All() {
		f := m.feeds[s.Serial]
		if f == nil {
			continue
		}
		if !slices.IsSortedFunc(f.groups, func(a, b *Group) int { return strings.Compare(a.Spec.Name, b.Spec.Name) }) || len(f.groups) == 0 {
			w.tb.Fatalf("the groups of %s are not in order", s.Spec.Name)
		}
		caught := 0
		for _, g := range f.groups {
			groups++
			if m.groups[g.Serial] != g || g.Stream != s {
				w.tb.Fatalf("%s is not found by its number", g.service)
			}
			caught += w.checkGroup(f, g)
		}
		for _, list := range f.caught {
			caught -= len(list)
		}
		if caught != 0 {
			w.tb.Fatalf("the feed of %s lists %d more that are caught up than there are", s.Spec.Name, -caught)
		}
	}
	if groups != len(m.groups) {
		w.tb.Fatalf("%d groups by number, %d of streams", len(m.groups), groups)
	}
	for r := range w.req.All() {
		if r.Delivery == nil || r.Delivery.Retried {
			continue
		}
		g := m.groups[r.Delivery.Group]
		if g == nil {
			w.tb.Fatalf("%s is open, its group is gone", w.name(r))
		}
		if h, ok := g.open[r.ID]; !ok || h.size != r.Size() || h.offset != r.Delivery.Offset || h.cursor.shard.Name != r.Delivery.Shard {
			w.tb.Fatalf("%s is open, its group has %+v", w.name(r), h)
		}
	}
}

// checkGroup returns how many shards a group is caught up in.
func (w *world) checkGroup(f *feed, g *Group) (caught int) {
	w.tb.Helper()
	shards := g.Stream.Shards()
	if len(g.cursors) != len(shards) {
		w.tb.Fatalf("%s has %d cursors in %d shards", g.service, len(g.cursors), len(shards))
	}
	behind, size := 0, 0
	for i, c := range g.cursors {
		if c.group != g || c.shard != shards[i] || c.index != uint32(i) || c.behind != (c.next < c.shard.End) {
			w.tb.Fatalf("%s: cursor %d is %+v, the shard ends with %d", g.service, i, c, c.shard.End)
		}
		if c.behind {
			behind++
			continue
		}
		caught++
		if at, found := f.findCaught(c); !found || f.caught[c.index][at] != c {
			w.tb.Fatalf("%s is caught up in shard %d and not listed", g.service, i)
		}
	}
	for id, h := range g.open {
		size += h.size
		if r, err := w.req.Lookup(id, w.env.Time); err != nil || r == nil || r.State.Ended() {
			w.tb.Fatalf("%s has %d open, which is %v (%v)", g.service, h.offset, r, err)
		}
	}
	switch {
	case behind != g.behind.Len():
		w.tb.Fatalf("%s is behind in %d shards, lists %d", g.service, behind, g.behind.Len())
	case size != g.bytes || len(g.open) > g.window.open || len(g.open) > 1 && size > g.window.bytes:
		w.tb.Fatalf("%s has %d open of %d bytes, counts %d; the window is %+v", g.service, len(g.open), size, g.bytes, g.window)
	case behind > 0 && len(g.open) == 0 && !g.filling:
		w.tb.Fatalf("%s is behind, and nothing has it go on", g.service)
	case g.filling && behind == 0:
		w.tb.Fatalf("%s is to take in more of nothing", g.service)
	}
	return caught
}
