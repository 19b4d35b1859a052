package group

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// Where a new group begins, in shards that there are and in those that come to be.
func TestFrom(t *testing.T) {
	for from, want := range map[edda.From]string{
		"":                                "{default:4,eu:2,us:0} lag 2 open 2",
		edda.FromEnd:                      "{default:4,eu:2,us:0} lag 2 open 2",
		edda.FromStart:                    "{default:1,eu:0,us:0} lag 7 open 7",
		edda.FromOffset(1):                "{default:1,eu:1,us:1} lag 5 open 5",
		edda.FromOffset(3):                "{default:3,eu:3,us:3} lag 1 open 1",
		edda.FromTime(time.Unix(0, 2000)): "{default:2,eu:1,us:0} lag 5 open 5",
		edda.FromTime(time.Unix(9999, 0)): "{default:4,eu:2,us:0} lag 2 open 2",
	} {
		t.Run(string(from), func(t *testing.T) {
			w := newWorld(t, setup{})
			w.now = 1000
			w.append("s", "0", "1")
			w.append("s/eu", "0")
			w.now = 2000
			w.append("s", "2", "3")
			w.append("s/eu", "1")
			w.trim("s", edda.DefaultShard, 1)
			w.set("s/g", from)
			w.check()
			if from == edda.FromTime(time.Unix(0, 2000)) {
				w.reload()
			}
			w.append("s/us", "0", "1")
			w.check()
			w.expect(w.where("s/g"), want)
			w.reload()
			w.check()
			w.expect(w.where("s/g"), want)
		})
	}
}

// A group that is set again keeps what it has, and where it began; its stream is made.
func TestSetIsIdempotent(t *testing.T) {
	w := newWorld(t, setup{})
	w.expect(w.set("s/g", edda.FromOffset(7)), "set s/g created\n")
	if s := w.streams.Stream(edda.DefaultNamespace, "s"); s == nil || len(w.m.Of(s)) != 1 || w.group("s/g").Stream != s {
		t.Fatalf("the stream is %v", s)
	}
	g := w.group("s/g")
	w.reload()
	w.now++
	set := record.GroupSet{GroupSpec: spec("s/g", edda.FromStart)}
	set.MaxMembers, set.ProcessingTimeout = 3, time.Minute
	w.expect(w.apply(set.AppendTo(nil)), "set s/g\n")
	again := w.group("s/g")
	if again.Serial != g.Serial || again.CreatedAt != g.CreatedAt || again.Spec.From != edda.FromOffset(7) ||
		again.Spec.MaxMembers != 3 || again.Spec.ProcessingTimeout != time.Minute || again.Spec.MinMembers != 1 {
		t.Errorf("the group is %+v, was %+v", again.Spec, g.Spec)
	}
	w.reload()
	if w.group("s/g").Spec != again.Spec {
		t.Errorf("after a restart the group is %+v", w.group("s/g").Spec)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, setup{})
	w.expect(w.remove("s/g"), "refused NO_STREAM: there is no stream \"s\" in the namespace \"default\"\n")
	w.append("s", "0")
	none := "refused NO_GROUP: stream \"s\" has no group \"g\"\n"
	w.expect(w.remove("s/g"), none)
	w.expect(w.advanced("s/g"), none)
	w.expect(w.reset("s/g", "", edda.FromStart), none)
	w.set("s/g", edda.FromEnd)
	w.expect(w.reset("s/g", "eu", edda.FromStart), "refused NO_SHARD: stream \"s\" has had no message in a shard \"eu\"\n")
	for _, said := range []string{w.reset("s/g", "", "soon"), w.set("s/h", "soon")} {
		if !strings.HasPrefix(said, "refused BAD_VALUE: ") {
			t.Errorf("a place that is none: %s", said)
		}
	}
	w.expect(w.advanced("s/g"), "")
	for i := range edda.MaxGroups - 1 {
		w.set(fmt.Sprintf("s/g%d", i), edda.FromEnd)
	}
	w.expect(w.set("s/onemore", edda.FromEnd), "refused CONFLICT: stream \"s\" has 1000 groups, which is the most\n")
	w.check()
	n := 0
	for range w.m.All() {
		n++
	}
	if n != edda.MaxGroups {
		t.Errorf("%d groups", n)
	}
}

// A reset cancels what is open and hands messages out again, as requests of their own.
func TestReset(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/g", edda.FromEnd)
	w.append("s", "k=0", "k=1", "2")
	w.append("s/eu", "0")
	w.ack("s/g:2")
	w.start("s/g:0")
	old := w.must("s/g:0").ID
	said := w.reset("s/g", edda.DefaultShard, edda.FromStart)
	w.expect(said, "ended s/g:1 cancelled\nfenced s/g:0 cancelled\nended s/g:0 cancelled\n"+
		"accepted s/g:0\nready s/g:0\naccepted s/g:1\naccepted s/g:2\nready s/g:2\nreset s/g\n")
	w.check()
	w.expect(w.where("s/g"), "{default:0,eu:0} lag 4 open 4")
	if w.must("s/g:0").ID == old {
		t.Error("a message has the same request again")
	}
	w.reload()
	w.check()
	w.reset("s/g", "", edda.FromEnd)
	w.expect(w.where("s/g"), "{default:3,eu:1} lag 0 open 0")
	w.expect(w.open(), "")
	w.reset("s/g", "", edda.FromOffset(2))
	w.expect(w.where("s/g"), "{default:2,eu:2} lag 1 open 1")
	w.append("s/us", "0", "1", "2")
	w.expect(w.open(), "s/g:2 s/g:us/0 s/g:us/1 s/g:us/2") // a shard that has come later is not passed over
	w.reset("s/g", "", edda.FromTime(time.Unix(0, 0)))
	w.append("s/zz", "0")
	w.expect(w.where("s/g"), "{default:0,eu:0,us:0,zz:0} lag 8 open 8")
	w.check()
}

// A dead letter from before a reset stays what it is, also when its message comes again.
func TestResetLeavesLettersAlone(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/g", edda.FromEnd)
	w.append("s", "0", "1")
	w.die("s/g:0")
	w.die("s/g:1")
	w.letter(w.letters()[1].ID, record.TypeLetterRetried)
	w.reset("s/g", "", edda.FromStart)
	w.check()
	w.expect(w.open(), "s/g:1 s/g:0 s/g:1")
	w.die("s/g:0")
	w.reload()
	w.check()
	if l := w.letters(); len(l) != 2 || l[0].ID == l[1].ID {
		t.Errorf("%d letters", len(l))
	}
	for _, l := range w.letters() {
		w.letter(l.ID, record.TypeLetterDropped)
	}
	w.ack("s/g:1", "s/g:1")
	w.now++
	w.reload()
	w.reload()
	if rows := w.rows("pMcdx"); len(rows) != 0 {
		t.Errorf("rows are left: %s", rows)
	}
}

// A group of one shard's reset goes on with what it is behind in others.
func TestResetOfAShardHasTheOthersGoOn(t *testing.T) {
	w := newWorld(t, setup{window: window{2, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	w.append("s/a", "0", "1")
	w.append("s/b", "0", "1")
	w.reset("s/g", "a", edda.FromEnd)
	w.check()
	w.expect(w.open(), "s/g:b/0 s/g:b/1")
}

// A group that is removed leaves nothing but its dead letters; one that is made under
// its name begins anew.
func TestRemovedGroup(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/g", edda.FromEnd)
	w.append("s", "k=0", "k=1", "k=2")
	w.die("s/g:0")
	w.start("s/g:1")
	w.reload()
	w.expect(w.remove("s/g"), "ended s/g:2 cancelled\nfenced s/g:1 cancelled\nended s/g:1 cancelled\nremoved s/g\n")
	w.check()
	w.set("s/g", edda.FromStart)
	w.expect(w.where("s/g"), "{default:0} lag 3 open 3")
	w.reload()
	w.check()
	w.remove("s/g")
	w.reload()
	if rows := w.rows("pyY"); len(rows) != 0 || len(w.letters()) != 1 {
		t.Errorf("%d letters, and these rows are left: %s", len(w.letters()), rows)
	}
	// A letter whose group is gone may be retried; nobody is told.
	w.letter(w.letters()[0].ID, record.TypeLetterRetried)
	w.die("s/g:0")
	w.reload()
	w.check()
	if len(w.letters()) != 1 {
		t.Error("the letter is gone")
	}
}

// The state of its keys goes with a group, in every shard, and nobody else's.
func TestStateGoesWithTheGroup(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/g", edda.FromEnd)
	w.set("s/g2", edda.FromEnd)
	keep := func(name string) {
		t.Helper()
		r := w.start(name)
		c := record.Completed{Seq: r.Seq, Fence: r.Fence, Changes: []record.Change{{Name: "n", Value: []byte(name)}}}
		w.apply(c.AppendTo(nil))
	}
	state := func(name string) string {
		t.Helper()
		v, _, err := w.req.View(w.must(name)).Get(t.Context(), "n")
		if err != nil {
			t.Fatal(err)
		}
		return string(v)
	}
	w.append("s", "k=0")
	w.append("s/eu", "k=0")
	for _, name := range []string{"s/g:0", "s/g:eu/0", "s/g2:0", "s/g2:eu/0"} {
		keep(name)
	}
	w.checkpoint()
	w.append("s", "k=1")
	w.append("s/eu", "k=1")
	w.expect(state("s/g:1")+" "+state("s/g:eu/1")+" "+state("s/g2:1"), "s/g:0 s/g:eu/0 s/g2:0")
	w.remove("s/g")
	w.set("s/g", edda.FromOffset(1))
	for range 2 {
		w.expect(state("s/g:1")+state("s/g:eu/1"), "")
		w.expect(state("s/g2:1")+" "+state("s/g2:eu/1"), "s/g2:0 s/g2:eu/0")
		w.reload()
	}
}

// The groups of a stream go with it.
func TestRemovedStream(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/a", edda.FromEnd)
	w.set("s/b", edda.FromEnd)
	w.append("s", "0")
	w.reload()
	w.start("s/b:0")
	w.expect(w.removeStream("s"), "ended s/a:0 cancelled\nfenced s/b:0 cancelled\nended s/b:0 cancelled\nstream removed s\nremoved s/a\nremoved s/b\n")
	w.check()
	w.append("s", "0")
	w.expect(w.open(), "")
	w.set("s/a", edda.FromEnd)
	w.reload()
	w.check()
	w.expect(w.where("s/a"), "{default:1} lag 0 open 0")
	if rows := w.rows("yY"); len(rows) != 2 || len(w.m.groups) != 1 || len(w.m.feeds) != 1 {
		t.Errorf("these rows are left: %s", rows)
	}
}
