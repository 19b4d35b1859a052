package slot_test

import (
	"slices"
	"testing"

	"github.com/edda-io/edda/internal/rendezvous"
	"github.com/edda-io/edda/internal/slot"
)

// hosts makes hosts of a service, each called by the worker's id, with so many slots.
func hosts(p *slot.Pools[string], slots int, version string, ids ...string) []*slot.Host[string] {
	all := make([]*slot.Host[string], len(ids))
	for i, id := range ids {
		all[i] = new(slot.Host[string])
		all[i].Init(p, id, version, rendezvous.Hash(id), slots)
	}
	return all
}

func always(string) bool { return true }

// The slot of a service that is not ordered is that of the host with the fewest taken.
func TestLeastLoadedHost(t *testing.T) {
	var p slot.Pools[string]
	p.Regroup(false, hosts(&p, 2, "", "a", "b"), always)
	var got []string
	for range 5 {
		if h := p.Acquire(1, ""); h != nil {
			got = append(got, h.Of)
		}
	}
	if want := []string{"a", "b", "a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got slots of %v, want %v", got, want)
	}
	if more := p.AcquireAny(3); len(more) != 0 {
		t.Errorf("got %d slots more, want none", len(more))
	}
}

// Of an ordered service each key has a host of its own, the same each time.
func TestKeysHaveTheirHosts(t *testing.T) {
	var p slot.Pools[string]
	all := hosts(&p, 1, "", "a", "b", "c")
	p.Regroup(true, all, always)
	of := map[uint64]string{}
	for key := range uint64(30) {
		h := p.Acquire(key<<32, "")
		of[key] = h.Of
		h.Release()
	}
	p.Regroup(true, all[:2], always)
	for key, was := range of {
		h := p.Acquire(key<<32, "")
		if was != "c" && h.Of != was {
			t.Errorf("key %d was with %s and is with %s, though that one has not gone", key, was, h.Of)
		}
		h.Release()
	}
}

// A request that was tried stays with its version while somebody has that, another goes to
// the newest.
func TestVersions(t *testing.T) {
	var p slot.Pools[string]
	all := append(hosts(&p, 5, "1.9", "old"), hosts(&p, 5, "1.10", "new")...)
	p.Regroup(false, all, always)
	for version, want := range map[string]string{"": "new", "1.9": "old", "1.10": "new", "1.8": "new"} {
		if h := p.Acquire(0, version); h.Of != want {
			t.Errorf("version %q: got a slot of %s, want of %s", version, h.Of, want)
		}
	}
	if got := p.Versions(); !slices.Equal(got, []string{"1.10", "1.9"}) {
		t.Errorf("got versions %v", got)
	}
	if got := p.Newest(); !slices.Equal(got, []string{"new"}) {
		t.Errorf("new requests are given to %v", got)
	}
}

// The line is served in its order, and who leaves it gives up the last places.
func TestLine(t *testing.T) {
	var p slot.Pools[string]
	p.Regroup(false, hosts(&p, 1, "", "a"), always)
	h := p.Acquire(0, "")
	var q slot.Queue[string]
	for _, w := range []slot.Waiter{7, 8, 7, 9} {
		_, q = p.AcquireOrJoin(0, "", w)
	}
	if p.Acquire(0, "") != nil || p.Waiting() != 4 || h.Keep(0) {
		t.Fatal("somebody is preferred to those in line")
	}
	h.Resize(2)
	if p.Acquire(0, "") != nil {
		t.Error("a slot that has come is not for who is in line")
	}
	h.Resize(1)
	p.LeaveLine(q, 7, 1)
	for _, want := range []slot.Waiter{7, 8, 9} {
		g := h.Release()
		if g.Host != h || g.To != want || g.Queue != q {
			t.Fatalf("got the grant %+v, want one for %d", g, want)
		}
	}
	if g := h.Release(); g.Host != nil || h.Load() != (slot.Load{Slots: 1}) {
		t.Errorf("got %+v, and %+v is left", g, h.Load())
	}
}

// Who was in line chooses again when hosts are grouped anew, once for all places.
func TestRegroup(t *testing.T) {
	var p, other slot.Pools[string]
	if again := p.Regroup(false, nil, always); len(again) != 0 || p.Hosted() {
		t.Fatalf("got %v", again)
	}
	_, q := p.AcquireOrJoin(0, "", 7)
	p.AcquireOrJoin(0, "", 7)
	p.AcquireOrJoin(0, "", 3)
	if p.Over(q) {
		t.Error("the queue is over before anything has changed")
	}
	all := hosts(&other, 1, "", "a", "b")
	all[0].Move(&p)
	all[1].Move(&p)
	again := p.Regroup(false, all, func(id string) bool { return id == "b" })
	if !slices.Equal(again, []slot.Waiter{7, 3}) || !p.Over(q) || other.Over(q) || !p.Hosted() {
		t.Errorf("got %v, want that 7 and 3 choose again", again)
	}
	if h := p.Acquire(0, ""); h.Of != "b" {
		t.Errorf("got a slot of %s, want of b", h.Of)
	}
	p.AcquireOrJoin(0, "", 7)
	p.LeaveLine(q, 7, 1)
	if p.Waiting() != 1 {
		t.Error("a place is given up that is in another line")
	}
}

// A host that is given nothing finishes what it has, and gets nothing for it.
func TestHostThatIsGivenNothing(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		var p slot.Pools[string]
		all := hosts(&p, 1, "", "a", "b")
		p.Regroup(ordered, all[:1], always)
		h := p.Acquire(0, "")
		if !h.Keep(0) {
			t.Errorf("ordered %v: a slot that nobody waits for may not be kept", ordered)
		}
		p.Regroup(ordered, all, func(id string) bool { return id == "b" })
		if h.Keep(0) {
			t.Errorf("ordered %v: the host keeps its slot", ordered)
		}
		p.Acquire(0, "")
		_, q := p.AcquireOrJoin(0, "", 1)
		if g := h.Release(); g.Host != nil {
			t.Errorf("ordered %v: got %+v for it", ordered, g)
		}
		if g := all[1].Release(); g.Queue != q || g.Host != all[1] {
			t.Errorf("ordered %v: got %+v, want a slot of the other", ordered, g)
		}
	}
}

// As many handlers as there are slots may linger; then the slot stays taken.
func TestAbandon(t *testing.T) {
	var p slot.Pools[string]
	h := hosts(&p, 1, "", "a")[0]
	p.Regroup(true, []*slot.Host[string]{h}, always)
	p.Acquire(0, "")
	p.AcquireOrJoin(0, "", 5)
	if g, ok := h.Abandon(); !ok || g.To != 5 || g.Host != h {
		t.Errorf("got %+v and %v, want a grant for 5", g, ok)
	}
	if g, ok := h.Abandon(); ok || g.Host != nil || h.Load() != (slot.Load{Slots: 1, Busy: 1, Lingering: 1}) {
		t.Errorf("got %+v and %v with %+v, want that the slot stays taken", g, ok, h.Load())
	}
	h.Returned()
	if _, ok := h.Abandon(); !ok {
		t.Error("the slot stays taken, though nobody lingers")
	}
}

// Nothing is given out while the service is paused, or once the pools are closed.
func TestPausedAndClosed(t *testing.T) {
	var p slot.Pools[string]
	h := hosts(&p, 2, "", "a")[0]
	p.Regroup(false, []*slot.Host[string]{h}, always)
	p.Acquire(0, "")
	p.SetPaused(true)
	p.AcquireOrJoin(0, "", 1)
	if p.Acquire(0, "") != nil || p.Next().Host != nil || h.Keep(0) {
		t.Error("a slot is given out of a paused service")
	}
	p.SetPaused(false)
	if g := p.Next(); g.To != 1 || g.Host != h {
		t.Errorf("got %+v, want a grant for 1", g)
	}
	h.Resize(1)
	h.Release()
	if !h.Keep(0) {
		t.Error("a slot that nobody waits for may not be kept")
	}
	h.Release()
	p.Close()
	if p.Acquire(0, "") != nil {
		t.Error("a slot is given out of closed pools")
	}
}
