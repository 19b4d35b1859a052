package group

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// A message that is appended while the group is caught up is a request in the same
// record. What is acknowledged is known by its being open no more, also after a restart.
func TestCaughtUpGroupTakesInWhatIsAppended(t *testing.T) {
	w := newWorld(t, setup{})
	w.expect(w.set("orders/billing", edda.FromEnd), "set orders/billing created\n")
	w.expect(w.append("orders", "a=1", "a=2", "3"),
		"accepted orders/billing:0\nready orders/billing:0\naccepted orders/billing:1\naccepted orders/billing:2\nready orders/billing:2\n")
	w.expect(w.where("orders/billing"), "{default:0} lag 3 open 3")
	w.ack("orders/billing:2")
	w.expect(w.where("orders/billing"), "{default:0} lag 2 open 2")
	w.expect(w.ack("orders/billing:0"), "ended orders/billing:0 succeeded\nready orders/billing:1\n")
	w.expect(w.where("orders/billing"), "{default:1} lag 1 open 1")
	w.check()
	w.reload()
	w.check()
	w.expect(w.where("orders/billing"), "{default:1} lag 1 open 1")
	w.ack("orders/billing:1")
	w.expect(w.where("orders/billing"), "{default:3} lag 0 open 0")
	w.expect(w.append("orders", "4"), "accepted orders/billing:3\nready orders/billing:3\n")
}

// The request has the message as it came, under the address and the id of its own.
func TestRequestOfAMessage(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("orders/billing", edda.FromEnd)
	made := time.Unix(5, 0).UTC()
	given := edda.StreamMessage{
		ID: "o-1", Type: "placed", Key: "42", Source: "shop", Principal: "bob", ContentType: "text/plain", Payload: []byte("x"),
		Headers: edda.Headers{{Name: "A", Value: "b"}}, ReplyTo: edda.Address{Name: "replies", Key: "eu"},
		CorrelationID: "story", TraceParent: "00-1", TraceState: "s", Time: made,
	}
	w.appendAll("orders/eu", nil, given, edda.StreamMessage{Payload: []byte("y")})
	first, second := w.must("orders/billing:eu/0"), w.must("orders/billing:eu/1")
	want := given.Envelope()
	want.ID, want.To = first.ID, edda.Address{Namespace: edda.DefaultNamespace, Name: "orders/billing", Key: "42"}
	if got := fmt.Sprintf("%+v", *first.Message); got != fmt.Sprintf("%+v", want) {
		t.Errorf("the request's message is\n%s\nwant\n%+v", got, want)
	}
	if d := first.Delivery; d.ID != "o-1" || d.Shard != "eu" || d.Stream != w.group("orders/billing").Stream.Serial || first.Kind != edda.Ordered {
		t.Errorf("the request is %s and the delivery %+v", first.Kind, d)
	}
	id := w.message("orders/eu", 1).ID
	m := second.Message
	if m.CorrelationID != id || second.Delivery.ID != id || m.Time != time.Unix(0, w.now).UTC() || second.Kind != edda.Balanced {
		t.Errorf("the request of %s is %s, of %s, part of %q, made at %s", id, second.Kind, second.Delivery.ID, m.CorrelationID, m.Time)
	}
	hash := edda.StreamHash(edda.DefaultNamespace, "orders")
	if first.ID == second.ID || first.ID[6]>>4 != 8 || first.ID[8]>>6 != 2 || first.ID.Route() != uint16(hash>>48) || first.Hash != hash {
		t.Errorf("the ids are %s and %s, the stream lives at %x", first.ID, second.ID, hash)
	}
}

// Slots that the record names start messages with it, unless their key has others.
func TestSlotsOfAnAppend(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("orders/a", edda.FromEnd)
	w.set("orders/b", edda.FromEnd)
	a, b := w.group("orders/a").Serial, w.group("orders/b").Serial
	got := w.appendAll("orders", []record.GroupStart{{Group: a, Index: 0}, {Group: b, Index: 1}, {Group: a, Index: 2}, {Group: 99, Index: 0}},
		msg("1"), msg("k=2"), msg("k=3"))
	w.expect(got, "accepted orders/a:0\ndispatch orders/a:0\naccepted orders/b:0\nready orders/b:0\naccepted orders/a:1\nready orders/a:1\n"+
		"accepted orders/b:1\ndispatch orders/b:1\naccepted orders/a:2\nspare -\naccepted orders/b:2\n")
	var starts []record.GroupStart
	var msgs []edda.StreamMessage
	for i := range 40 {
		msgs = append(msgs, msg("x"))
		if i%2 == 0 {
			starts = append(starts, record.GroupStart{Group: a, Index: uint32(i)})
		}
	}
	got = w.appendAll("orders", starts, msgs...)
	if n := strings.Count(got, "dispatch orders/a:"); n != 20 || strings.Contains(got, "dispatch orders/b") {
		t.Errorf("%d messages of a are started, want 20:\n%s", n, got)
	}
}

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
	if n := 0; true {
		for range w.m.All() {
			n++
		}
		if n != edda.MaxGroups {
			t.Errorf("%d groups", n)
		}
	}
}

// Groups do not know of each other.
func TestGroupsAreIndependent(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/a", edda.FromEnd)
	w.set("s/b", edda.FromEnd)
	w.append("s", "k=0", "k=1")
	if w.must("s/a:0").ID == w.must("s/b:0").ID {
		t.Error("the requests of two groups have one id")
	}
	w.ack("s/a:0", "s/a:1")
	w.expect(w.where("s/a"), "{default:2} lag 0 open 0")
	w.expect(w.where("s/b"), "{default:0} lag 2 open 2")
	w.remove("s/a")
	w.check()
	w.expect(w.open(), "s/b:0 s/b:1")
	w.ack("s/b:0")
	w.append("s", "2")
	w.expect(w.open(), "s/b:1 s/b:2")
}

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

// A message that cannot be handled becomes a dead letter, and the rest goes on.
func TestDeadLetters(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/g", edda.FromEnd)
	w.append("s", "k=0", "k=1")
	said := w.die("s/g:0")
	w.expect(said, "fenced s/g:0 dead\nended s/g:0 dead\nready s/g:1\n")
	w.expect(w.where("s/g"), "{default:1} lag 1 open 1")
	w.reload()
	letters := w.letters()
	if len(letters) != 1 || letters[0].Delivery == nil || letters[0].Failure.Reason != "NO_FUNDS" {
		t.Fatalf("letters are %+v", letters)
	}
	// Retried it is a request again: the cursor stays, and so does the window.
	id := letters[0].ID
	w.expect(w.letter(id, record.TypeLetterRetried), "accepted s/g:0\n")
	w.expect(w.where("s/g"), "{default:1} lag 1 open 1")
	w.check()
	w.reload()
	w.check()
	w.expect(w.where("s/g"), "{default:1} lag 1 open 1")
	w.ack("s/g:1")
	w.die("s/g:0")
	w.expect(w.where("s/g"), "{default:2} lag 0 open 0")
	if len(w.letters()) != 1 {
		t.Error("the letter that died again is gone")
	}
	w.letter(id, record.TypeLetterRetried)
	w.ack("s/g:0")
	w.reload()
	if rows := w.rows("pMcd"); len(rows) != 0 {
		t.Errorf("rows are left: %s", rows)
	}
}

// Whoever waits for a reply is told when a message dies; once.
func TestErrorReply(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/g", edda.FromEnd)
	w.set("replies/readers", edda.FromEnd)
	short := record.StreamSet{StreamSpec: edda.StreamSpec{Namespace: edda.DefaultNamespace, Name: "replies", Dedupe: 1}}
	w.apply(short.AppendTo(nil))
	to := edda.Address{Name: "replies", Key: "eu"}
	w.appendAll("s", nil,
		edda.StreamMessage{ID: "q-1", Key: "k", ReplyTo: to, CorrelationID: "story", Principal: "bob", TraceParent: "tp", TraceState: "ts"},
		edda.StreamMessage{ReplyTo: edda.Address{Name: "s"}})
	died := w.must("s/g:0")
	w.reload() // the message lies in the table
	said := w.die("s/g:0")
	w.expect(said, "fenced s/g:0 dead\nended s/g:0 dead\naccepted replies/readers:eu/0\nready replies/readers:eu/0\n")
	m := w.message("replies/eu", 0)
	if m == nil || m.ID != "q-1" || m.Type != "error" || m.Key != "k" || m.CorrelationID != "story" || m.CausationID != died.ID ||
		m.ContentType != "application/json" || string(m.Payload) != `{"reason":"NO_FUNDS","message":"none \"left\""}` ||
		m.Source != "s/g" || m.Principal != "bob" || m.TraceParent != "tp" || m.TraceState != "ts" || m.ReplyTo != (edda.Address{}) {
		t.Fatalf("the reply is %+v", m)
	}
	// It may go to the stream that it came from, and be handled like any message.
	id := w.message("s", 1).ID
	said = w.die("s/g:1")
	w.expect(said, "fenced s/g:1 dead\nended s/g:1 dead\naccepted s/g:2\nready s/g:2\n")
	if m := w.message("s", 2); m.ID != id || m.CorrelationID != id {
		t.Errorf("the reply is %+v", m)
	}
	w.check()
	// A letter that is retried and dies again says nothing more, also when the stream has
	// forgotten the reply.
	w.now++
	for _, l := range w.letters() {
		w.letter(l.ID, record.TypeLetterRetried)
	}
	w.die("s/g:0")
	if w.message("replies/eu", 1) != nil {
		t.Error("whoever waits is told twice")
	}
}

// An error reply may go to a stream in another partition.
func TestErrorReplyElsewhere(t *testing.T) {
	w := newWorld(t, setup{partitions: 4})
	here, there := "", ""
	for i := 0; here == "" || there == ""; i++ {
		name := fmt.Sprintf("s%d", i)
		if w.env.Home(edda.StreamHash(edda.DefaultNamespace, name)) == 0 {
			here = name
		} else {
			there = name
		}
	}
	w.set(here+"/g", edda.FromEnd)
	w.appendAll(here, nil, edda.StreamMessage{ID: "q", ReplyTo: edda.Address{Name: there}})
	w.die(here + "/g:0")
	lanes := w.box.Lanes()
	if len(lanes) != 1 || w.streams.Stream(edda.DefaultNamespace, there) != nil {
		t.Fatalf("sent to %v", lanes)
	}
	var a record.StreamAppended
	e := w.box.After(lanes[0], 0, 10)
	if len(e) != 1 || e[0].Type != record.TypeStreamAppended || a.Decode(e[0].Body) != nil || a.Stream != there || a.Shard != edda.DefaultShard {
		t.Errorf("sent is %+v", a)
	}
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
	w.expect(w.open(), "s/g:2 s/g:us/2")
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

// What a handler appends is taken in with its acknowledgement.
func TestHandlerAppends(t *testing.T) {
	w := newWorld(t, setup{window: window{1, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	w.append("s", "0")
	r := w.start("s/g:0")
	c := record.Completed{Seq: r.Seq, Fence: r.Fence, Appends: []record.StreamAppended{*appended("s", nil, msg("1"))}}
	w.expect(w.apply(c.AppendTo(nil)), "ended s/g:0 succeeded\naccepted s/g:1\nready s/g:1\n")
	w.check()
}

// Whether a message would be taken in at once is known beforehand.
func TestCaught(t *testing.T) {
	w := newWorld(t, setup{window: window{2, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	w.set("s/late", edda.FromOffset(2))
	g, late := w.group("s/g"), w.group("s/late")
	if !g.Caught(nil) || late.Caught(nil) {
		t.Error("before there is a shard")
	}
	w.append("s", "0")
	sh := g.Stream.Shard(edda.DefaultShard)
	if !g.Caught(sh) || late.Caught(sh) {
		t.Error("with one message")
	}
	w.append("s", "1")
	if g.Caught(sh) || !late.Caught(sh) || g.Caught(nil) {
		t.Error("with a full window")
	}
	w.ack("s/g:0")
	if !g.Caught(sh) {
		t.Error("with room again")
	}
	w.append("s", "2", "3")
	if g.Caught(sh) {
		t.Error("behind")
	}
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

// A restart applies again what the table does not have, and comes to the same.
func TestCrashBeforeACheckpoint(t *testing.T) {
	w := newWorld(t, setup{window: window{3, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	w.append("s", "k=0", "k=1", "k=2", "3", "4")
	w.checkpoint()
	w.ack("s/g:0")
	w.die("s/g:1")
	w.reset("s/g", "", edda.FromOffset(1))
	w.ack("s/g:1")
	where := w.where("s/g")
	w.crash()
	w.check()
	w.expect(w.where("s/g"), where)
}
