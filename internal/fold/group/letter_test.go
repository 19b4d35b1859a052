package group

import (
	"fmt"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

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
