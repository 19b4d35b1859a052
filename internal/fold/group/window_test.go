package group

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// The window bounds what is open. More is taken in once half of it is free.
func TestWindowOfMessages(t *testing.T) {
	w := newWorld(t, setup{window: window{4, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	w.append("s", "0", "1", "2", "3", "4", "5")
	w.append("s", "6", "7", "8")
	w.expect(w.open(), "s/g:0 s/g:1 s/g:2 s/g:3")
	w.expect(w.where("s/g"), "{default:0} lag 9 open 4")
	w.check()
	w.expect(w.ack("s/g:2"), "ended s/g:2 succeeded\n")
	w.expect(w.where("s/g"), "{default:0} lag 8 open 3")
	w.reload()
	w.expect(w.ack("s/g:0"), "ended s/g:0 succeeded\naccepted s/g:4\nready s/g:4\naccepted s/g:5\nready s/g:5\n")
	w.expect(w.where("s/g"), "{default:1} lag 7 open 4")
	w.ack("s/g:1", "s/g:3")
	w.ack("s/g:4", "s/g:5")
	w.expect(w.open(), "s/g:6 s/g:7 s/g:8")
	w.check()
	w.expect(w.append("s", "9"), "accepted s/g:9\nready s/g:9\n") // it is caught up again
	w.append("s", "10")
	w.expect(w.where("s/g"), "{default:6} lag 5 open 4")
	w.check()
}

// The window is bounded in bytes, too; one message that is larger is taken in alone.
func TestWindowOfBytes(t *testing.T) {
	w := newWorld(t, setup{window: window{100, 1000, 16}})
	w.set("s/g", edda.FromEnd)
	large, small := strings.Repeat("x", 600), strings.Repeat("x", 100)
	w.append("s", large, large, small)
	w.expect(w.open(), "s/g:0")
	w.check()
	w.ack("s/g:0")
	w.expect(w.open(), "s/g:1 s/g:2")
	w.append("s", strings.Repeat("x", 5000), small)
	w.ack("s/g:1") // half is free, but there is no room for the next one
	w.expect(w.open(), "s/g:2")
	w.check()
	w.ack("s/g:2")
	w.expect(w.open(), "s/g:3")
	w.check()
	w.ack("s/g:3")
	w.expect(w.open(), "s/g:4")
	w.expect(w.where("s/g"), "{default:4} lag 1 open 1")
}

// The usual window, and more in one record than it can make requests of.
func TestRecordsRunOutOfRoom(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/g", edda.FromEnd)
	texts := make([]string, 10_000)
	for i := range texts {
		texts[i] = fmt.Sprint(i)
	}
	const perRecord = 1023
	said := w.append("s", texts...)
	if !strings.HasSuffix(said, "advance s/g\n") || w.group("s/g").Open() != perRecord || !w.group("s/g").Advancing() {
		t.Fatalf("%d are open", w.group("s/g").Open())
	}
	w.check()
	w.reload()
	w.check()
	for n := 2; n <= 4; n++ {
		if said := w.advanced("s/g"); !strings.HasSuffix(said, "advance s/g\n") || w.group("s/g").Open() != n*perRecord {
			t.Fatalf("%d are open after %d records", w.group("s/g").Open(), n)
		}
	}
	if said := w.advanced("s/g"); strings.Contains(said, "advance s/g\n") || w.group("s/g").Open() != usualWindow.open || w.group("s/g").Advancing() {
		t.Fatalf("%d are open in the end, advancing %t", w.group("s/g").Open(), w.group("s/g").Advancing())
	}
	w.expect(w.advanced("s/g"), "")
	w.check()
	for i := range usualWindow.open/2 - 1 {
		w.ack(fmt.Sprintf("s/g:%d", i))
	}
	w.expect(w.where("s/g"), "{default:2047} lag 7953 open 2049")
	said = w.ack("s/g:3000")
	if !strings.HasSuffix(said, "advance s/g\n") || w.group("s/g").Open() != usualWindow.open/2+perRecord {
		t.Fatalf("%d are open, half of them new", w.group("s/g").Open())
	}
	// The next end goes on with it, and says nothing again.
	if said = w.ack("s/g:3001"); strings.Contains(said, "advance") || w.group("s/g").Open() != usualWindow.open/2+2*perRecord-1 {
		t.Fatalf("%d are open after another end: %t", w.group("s/g").Open(), strings.Contains(said, "advance"))
	}
	w.check()
}

// A group that is behind is no work for appends, however many there are of them.
func TestBehindGroupCostsAppendsNothing(t *testing.T) {
	w := newWorld(t, setup{window: window{2, 1 << 20, 16}})
	for i := range 10 {
		w.set(fmt.Sprintf("s/g%d", i), edda.FromEnd)
	}
	w.append("s", "0", "1", "2")
	w.scans = 0
	for i := range 100 {
		w.append("s", fmt.Sprint(i))
	}
	if w.scans != 0 || len(w.m.feeds[w.group("s/g0").Stream.Serial].caught[0]) != 0 {
		t.Errorf("the shard was read %d times", w.scans)
	}
	w.expect(w.where("s/g7"), "{default:0} lag 103 open 2")
	w.check()
}

// Shards take turns: one with much is no disadvantage for others, and what comes new in
// one waits for what came before in others.
func TestShardsTakeTurns(t *testing.T) {
	w := newWorld(t, setup{window: window{64, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	var texts []string
	for i := range 200 {
		texts = append(texts, fmt.Sprint(i))
	}
	w.append("s/a", texts...)
	w.append("s/b", texts...)
	w.append("s/c", texts...)
	w.append("s/d", "0")
	w.expect(w.where("s/g"), "{a:0,b:0,c:0,d:0} lag 601 open 64")
	for i := range 32 {
		w.ack(fmt.Sprintf("s/g:a/%d", i))
	}
	// 32 are free, of 4 shards; a turn is 16 at least.
	w.expect(w.where("s/g"), "{a:32,b:0,c:0,d:0} lag 569 open 64")
	count := func() map[string]int {
		n := map[string]int{}
		for r := range w.req.All() {
			n[r.Delivery.Shard]++
		}
		return n
	}
	w.expect(fmt.Sprint(count()), "map[a:48 b:16]")
	w.reload() // whose turn it is stays
	for i := 32; i < 64; i++ {
		w.ack(fmt.Sprintf("s/g:a/%d", i))
	}
	w.expect(fmt.Sprint(count()), "map[a:31 b:16 c:16 d:1]")
	w.check()
}

// While a group is behind in one shard, what is appended to another waits for its turn.
func TestNewMessagesDoNotOvertakeOtherShards(t *testing.T) {
	w := newWorld(t, setup{window: window{4, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	w.append("s/b", "0")
	w.append("s/a", "0", "1", "2", "3", "4")
	w.ack("s/g:b/0")
	w.expect(w.append("s/b", "1"), "")
	w.expect(w.where("s/g"), "{a:0,b:1} lag 6 open 3")
	w.check()
}

// A turn that ends with the last message leaves nothing to be behind with.
func TestTurnThatJustFits(t *testing.T) {
	w := newWorld(t, setup{window: window{3, 1 << 20, 3}})
	w.append("s", "0", "1", "2")
	w.set("s/g", edda.FromStart)
	w.check()
	w.ack("s/g:0")
	w.expect(w.append("s", "3"), "accepted s/g:3\nready s/g:3\n")
}

// What was trimmed before it was taken in is skipped; what is open stays.
func TestTrimmedUnderTheGroup(t *testing.T) {
	w := newWorld(t, setup{window: window{2, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	w.append("s", "0", "1", "2", "3", "4", "5")
	w.trim("s", edda.DefaultShard, 4)
	w.check()
	w.expect(w.where("s/g"), "{default:0} lag 4 open 2")
	w.reload()
	w.ack("s/g:0")
	w.expect(w.where("s/g"), "{default:1} lag 3 open 2")
	w.expect(w.open(), "s/g:1 s/g:4")
	w.trim("s", edda.DefaultShard, 6)
	w.ack("s/g:4")
	w.expect(w.where("s/g"), "{default:1} lag 1 open 1")
	w.check()
	w.ack("s/g:1")
	w.expect(w.where("s/g"), "{default:6} lag 0 open 0")
	w.append("s", "6")
	w.expect(w.open(), "s/g:6")
}

// Retention does not take from a group what it takes in with the same record.
func TestRetention(t *testing.T) {
	w := newWorld(t, setup{window: window{3, 1 << 20, 16}})
	set := record.StreamSet{StreamSpec: edda.StreamSpec{Namespace: edda.DefaultNamespace, Name: "s", Retention: edda.Retention{Count: 2}}}
	w.apply(set.AppendTo(nil))
	w.set("s/g", edda.FromEnd)
	w.append("s", "0", "1", "2", "3", "4", "5", "6")
	w.expect(w.open(), "s/g:0 s/g:1 s/g:2")
	w.expect(w.where("s/g"), "{default:0} lag 5 open 3")
	w.ack("s/g:0", "s/g:1")
	w.expect(w.open(), "s/g:2 s/g:5 s/g:6")
	w.check()
}

// What was open once leaves no large map.
func TestMemoryIsGivenBack(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/g", edda.FromEnd)
	for range 3 {
		w.append("s", make([]string, 500)...)
	}
	g := w.group("s/g")
	w.reset("s/g", "", edda.FromEnd)
	if g.most != 0 || g.bytes != 0 || len(w.m.takers) != 0 && w.m.takers[0] != nil || w.req.Bytes() != 0 || w.req.Count() != 0 {
		t.Errorf("the group has had %d open, and %d bytes; requests have %d", g.most, g.bytes, w.req.Bytes())
	}
	if w.m.Grown() != 0 {
		t.Error("what comes with records counts as grown")
	}
	w.reset("s/g", "", edda.FromStart)
	if w.m.Grown() == 0 || w.m.Grown() != 0 {
		t.Error("what is read again does not count as grown, once")
	}
}
