package stream_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/stream"
)

// read returns the messages of a shard.
func read(c *stream.Client, name, shard string) []edda.StreamMessage {
	return must(c.Read(ctx, edda.Read{Stream: name, Shard: shard, Limit: 1000})).Messages
}

func TestWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t)).In("ns").As("ada")
		w := c.Writer("orders", stream.WriterOptions{Shard: "eu", Source: "till-7", ReplyTo: edda.Address{Name: "answers"}})
		at := must(w.AppendJSON(ctx, edda.StreamMessage{Type: "placed", Key: "7", ID: "o7"}, map[string]int{"cents": 5}))
		if want := (edda.Appended{ID: "o7", Shard: "eu"}); at != want {
			t.Errorf("got %+v, want %+v", at, want)
		}
		ack := must(w.AppendAfter(ctx, 0, edda.StreamMessage{Payload: []byte("raw"), Source: "till-8", ReplyTo: edda.Address{Name: "other"}},
			edda.StreamMessage{ID: "o7"}))
		if len(ack.Items) != 2 || ack.Items[0].Offset != 1 || !ack.Items[1].Replayed {
			t.Errorf("got %+v", ack.Items)
		}
		_, err := w.AppendAfter(ctx, 0, edda.StreamMessage{})
		wantReason(t, err, edda.ExpectedOffset)
		_, err = w.AppendFirst(ctx, edda.StreamMessage{})
		wantReason(t, err, edda.ExpectedOffset)
		must(c.Writer("new", stream.WriterOptions{}).AppendFirst(ctx, edda.StreamMessage{}))
		if ack, err := w.Append(ctx); err != nil || len(ack.Items) != 0 {
			t.Errorf("appending nothing: got %+v, %v", ack, err)
		}
		got := read(c, "orders", "eu")
		if len(got) == 2 && got[1].ID == "" {
			t.Error("a message without an id was given none")
		}
		want := []edda.StreamMessage{
			{
				ID: "o7", Stream: "orders", Shard: "eu", Type: "placed", Key: "7", Source: "till-7", Principal: "ada",
				ReplyTo: edda.Address{Namespace: "ns", Name: "answers"}, ContentType: "application/json", Payload: []byte(`{"cents":5}`), Time: time.Now(),
			},
			{
				ID: got[1].ID, Stream: "orders", Shard: "eu", Offset: 1, Type: "message", Source: "till-8", Principal: "ada",
				ReplyTo: edda.Address{Namespace: "ns", Name: "other"}, Payload: []byte("raw"),
				Time: time.Now().Add(1), // each append has a time of its own
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		_, err = w.AppendJSON(ctx, edda.StreamMessage{}, make(chan int))
		wantReason(t, err, edda.BadJSON)
		if v, err := stream.Decode[map[string]int](&want[0]); err != nil || v["cents"] != 5 {
			t.Errorf("decoded %v, %v", v, err)
		}
		_, err = stream.Decode[int](&want[1])
		wantReason(t, err, edda.BadJSON)
	})
}

// What was stored by a try that nobody heard of is not stored again.
func TestWriterIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		tries := 0
		f.failWith(func(op string) error {
			if op != "Append" {
				return nil
			}
			switch tries++; tries {
			case 1:
				return &edda.Error{Reason: edda.Overloaded}
			case 2:
				return &edda.Error{Reason: edda.OutcomeUnknown}
			}
			return nil
		})
		w := c.Writer("s", stream.WriterOptions{Patience: time.Minute})
		messages := []edda.StreamMessage{{Payload: []byte("a")}, {ID: "mine", Payload: []byte("b")}}
		must(w.Append(ctx, messages...))
		got := read(c, "s", "")
		if tries != 3 || len(got) != 2 || len(got[0].ID) != 26 || got[1].ID != "mine" {
			t.Errorf("after %d tries got %+v, want two messages with ids", tries, got)
		}
		if messages[0].ID != "" {
			t.Error("the caller's message was changed")
		}
		for _, reason := range []edda.Reason{edda.Unavailable, edda.OutcomeUnknown} {
			begin := time.Now()
			f.failWith(func(string) error { return &edda.Error{Reason: reason} })
			_, err := w.Append(ctx, messages...)
			wantReason(t, err, reason)
			if took := time.Since(begin); took < 55*time.Second || took > time.Minute {
				t.Errorf("gave up after %v, want a minute", took)
			}
		}
		tries = 0
		f.failWith(func(string) error {
			if tries++; tries == 1 {
				return &edda.Error{Reason: edda.OutcomeUnknown}
			}
			return &edda.Error{Reason: edda.Unavailable}
		})
		_, err := w.Append(ctx, messages...)
		wantReason(t, err, edda.OutcomeUnknown) // the first try may be there
		f.failWith(func(string) error { return &edda.Error{Reason: edda.TooLarge} })
		begin := time.Now()
		_, err = w.Append(ctx, messages...)
		if wantReason(t, err, edda.TooLarge); time.Since(begin) > 0 {
			t.Error("what will not get better was tried again")
		}
	})
}

// In a handler, what is appended is part of the story.
func TestWriterInAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		parent := &edda.Message{ID: edda.NewID(1, time.Now()), Type: "m", CorrelationID: "story", TraceParent: "tp", TraceState: "ts"}
		s := edda.NewBalanced("svc")
		s.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			_, err := c.Writer("s", stream.WriterOptions{}).Append(ctx, edda.StreamMessage{}, edda.StreamMessage{CorrelationID: "own"})
			return nil, err
		})
		if out := s.Invoke(ctx, &edda.Dispatch{Message: parent, Attempt: 1}); out.Err != nil {
			t.Fatal(out.Err)
		}
		for i, m := range read(c, "s", "") {
			if want := []string{"story", "own"}[i]; m.CorrelationID != want || m.CausationID != parent.ID || m.TraceParent != "tp" || m.TraceState != "ts" {
				t.Errorf("got %+v", m)
			}
		}
	})
}

func TestManage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t)).In("ns")
		for i := range 3 {
			must2(c.Set(ctx, edda.StreamSpec{Name: fmt.Sprint("s", i), Namespace: "other"}))
		}
		var names []string
		for s, err := range c.Streams(ctx) {
			names = append(names, must(s, err).Name)
		}
		wantAll(t, names, "s0", "s1", "s2")
		if _, created, err := c.SetGroup(ctx, edda.GroupSpec{Stream: "s0", Name: "g"}); err != nil || !created {
			t.Errorf("got %v, %v, want a new group", created, err)
		}
		if g := must(c.Groups(ctx, "s0")); len(g) != 1 || g[0].Name != "g" {
			t.Errorf("got groups %+v", g)
		}
		if err := c.Delete(ctx, "s1"); err != nil {
			t.Error(err)
		}
		_, err := c.Stream(ctx, "s1")
		wantReason(t, err, edda.NoStream)
		_, err = c.In("").Stream(ctx, "s0")
		wantReason(t, err, edda.NoStream)
	})
}
