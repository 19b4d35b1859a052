package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestStream(t *testing.T) {
	bubble(t, "stream", func(t *testing.T) {
		n := start(t, node.Options{})
		begun := time.Now()
		ack := put(t, n, "orders", "a", "b", "o-1=c")
		for i, it := range ack.Items {
			if it.Offset != uint64(i) || it.Shard != edda.DefaultShard || it.Replayed || it.ID == "" {
				t.Errorf("item %d is %+v", i, it)
			}
		}
		if ack.Position == "" || ack.Durability != edda.Memory || ack.Items[2].ID != "o-1" {
			t.Errorf("got %+v", ack)
		}
		page := holds(t, n, edda.Read{Stream: "orders"}, "0:a 1:b 2:c [0 3 3]")
		m := page.Messages[0]
		if m.ID != ack.Items[0].ID || m.Type != "t" || m.Shard != edda.DefaultShard || m.Principal != edda.Anonymous || !m.Time.Equal(begun) {
			t.Errorf("got %+v", m)
		}
		holds(t, n, edda.Read{Stream: "orders", From: edda.FromEnd}, "[0 3 3]")
		holds(t, n, edda.Read{Stream: "orders", From: "1", Limit: 1}, "1:b [0 2 3]")
		holds(t, n, edda.Read{Stream: "orders", From: "7"}, "[0 7 3]")
		holds(t, n, edda.Read{Stream: "orders", Shard: "eu"}, "[0 0 0]")
		time.Sleep(time.Second)
		put(t, n, "orders", "d")
		holds(t, n, edda.Read{Stream: "orders", From: edda.FromTime(time.Now())}, "3:d [0 4 4]")
		holds(t, n, edda.Read{Stream: "orders", From: edda.FromTime(time.Now().Add(1))}, "[0 4 4]")
		s, err := n.Stream(t.Context(), "", "orders")
		if err != nil || s.Name != "orders" || s.Namespace != edda.DefaultNamespace || s.Dedupe != edda.DefaultDedupe || !s.CreatedAt.Equal(begun) ||
			len(s.Offsets) != 1 || s.Offsets[edda.DefaultShard].End != 4 || s.Offsets[edda.DefaultShard].Bytes == 0 {
			t.Errorf("the stream is %+v, %v", s, err)
		}
	})
}

// What a message says of itself comes back as it was; who appended it is known.
func TestStreamMessageFields(t *testing.T) {
	bubble(t, "fields", func(t *testing.T) {
		n := start(t, node.Options{})
		made := time.Now().Add(-time.Hour).UTC()
		m := edda.StreamMessage{
			ID: "ü ☃", Type: "order.placed", Key: "a/b", Source: "till", Principal: "mallory", ReplyTo: edda.Address{Namespace: "x", Name: "replies", Key: "eu"},
			Headers: edda.Headers{{Name: "A", Value: "1"}, {Name: "a", Value: "2"}}, ContentType: "text/plain", Payload: []byte("x"), CorrelationID: "c",
			CausationID: edda.ID{1}, TraceParent: "tp", TraceState: "ts", Time: made,
		}
		putAll(t, n, &edda.Append{Namespace: "shop", Stream: "orders", Shard: "eu", Principal: "ada", Messages: []edda.StreamMessage{m, {}}})
		page := read(t, n, edda.Read{Namespace: "shop", Stream: "orders", Shard: "eu"})
		m.Principal, m.Shard = "ada", "eu"
		if got := fmt.Sprintf("%+v", page.Messages[0]); got != fmt.Sprintf("%+v", m) {
			t.Errorf("got %s, want %+v", got, m)
		}
		if d := page.Messages[1]; d.Type != edda.DefaultMessageType || len(d.Payload) != 0 || d.Offset != 1 {
			t.Errorf("an empty message reads as %+v", d)
		}
		_, err := n.ReadStream(t.Context(), edda.Read{Stream: "orders"})
		wantReason(t, err, edda.NoStream)
	})
}

// A repeated id is answered like the first, in a batch each message for itself.
func TestStreamRepeats(t *testing.T) {
	bubble(t, "repeats", func(t *testing.T) {
		n := start(t, node.Options{})
		first := putAll(t, n, &edda.Append{Stream: "s", Shard: "eu", Messages: messages("x=1", "y=2")})
		second := putAll(t, n, &edda.Append{Stream: "s", Messages: messages("z=3", "y=other", "z=again")})
		want := []edda.Appended{{ID: "z", Shard: "default"}, {ID: "y", Shard: "eu", Offset: 1, Replayed: true}, {ID: "z", Shard: "default", Replayed: true}}
		if !slices.Equal(second.Items, want) {
			t.Errorf("got %+v, want %+v", second.Items, want)
		}
		if second.Position == first.Position {
			t.Error("what is new has the position of the first append")
		}
		again := putAll(t, n, &edda.Append{Stream: "s", IfEmpty: true, Messages: messages("y=2", "x=1")})
		if again.Position != first.Position || !again.Items[0].Replayed || !again.Items[1].Replayed {
			t.Errorf("got %+v, want the first answer %+v", again, first)
		}
		holds(t, n, edda.Read{Stream: "s"}, "0:3 [0 1 1]")
		time.Sleep(edda.DefaultDedupe + time.Second)
		if late := put(t, n, "s", "x=1"); late.Items[0].Replayed || late.Items[0].Offset != 1 {
			t.Errorf("a forgotten id: %+v", late)
		}
	})
}

func TestStreamExpectedOffset(t *testing.T) {
	bubble(t, "expected", func(t *testing.T) {
		n := start(t, node.Options{})
		only := func(last *uint64, empty bool, id string) error {
			_, err := n.Append(t.Context(), &edda.Append{Stream: "s", IfLast: last, IfEmpty: empty, Messages: messages(id + "=x")})
			return err
		}
		refused := func(err error, want edda.OffsetError) {
			t.Helper()
			wantReason(t, err, edda.ExpectedOffset)
			if e, ok := errors.AsType[*edda.OffsetError](err); !ok || *e != want {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		refused(only(new(uint64(0)), false, "a"), edda.OffsetError{Empty: true})
		refused(only(new(^uint64(0)), false, "a"), edda.OffsetError{Empty: true})
		if _, err := n.Stream(t.Context(), "", "s"); edda.ReasonOf(err) != edda.NoStream {
			t.Errorf("a refused append has made a stream: %v", err)
		}
		if err := only(nil, true, "a"); err != nil {
			t.Fatal(err)
		}
		refused(only(nil, true, "b"), edda.OffsetError{Last: 0})
		refused(only(new(uint64(1)), false, "b"), edda.OffsetError{Last: 0})
		refused(only(new(^uint64(0)), false, "b"), edda.OffsetError{Last: 0})
		if err := only(new(uint64(0)), false, "b"); err != nil {
			t.Fatal(err)
		}
		if err := only(new(uint64(0)), false, "b"); err != nil {
			t.Errorf("repeated, where the offset no longer holds: %v", err)
		}
		if _, err := n.TrimStream(t.Context(), "", "s", "", "2"); err != nil {
			t.Fatal(err)
		}
		if err := only(nil, true, "c"); err != nil {
			t.Errorf("the shard is empty after a trim: %v", err)
		}
		holds(t, n, edda.Read{Stream: "s"}, "2:x [2 3 3]")
	})
}

// What is wrong is refused before anything is stored, and says what.
func TestStreamRefuses(t *testing.T) {
	bubble(t, "refuses", func(t *testing.T) {
		n := start(t, node.Options{Limits: node.Limits{PayloadBytes: 10}})
		if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "listed", Shards: []string{"eu", "us"}}); err != nil {
			t.Fatal(err)
		}
		putAll(t, n, &edda.Append{Stream: "listed", Shard: "eu", Messages: messages("x")})
		many := make([]edda.StreamMessage, 10_000)
		many[7_000].Payload = []byte("01234567890")
		appends := func(a *edda.Append) error { _, err := n.Append(t.Context(), a); return err }
		reads := func(r edda.Read) error { _, err := n.ReadStream(t.Context(), r); return err }
		sets := func(s edda.StreamSpec) error { _, _, err := n.SetStream(t.Context(), s); return err }
		trims := func(name, shard string, before edda.From) error {
			_, err := n.TrimStream(t.Context(), "", name, shard, before)
			return err
		}
		lists := func(ns string, limit int, after string) error {
			_, _, err := n.Streams(t.Context(), ns, limit, after)
			return err
		}
		looks := func(ns, name string) error { _, err := n.Stream(t.Context(), ns, name); return err }
		awaits := func(ns, name, id string, wait time.Duration) error {
			_, err := n.AwaitMessage(t.Context(), ns, name, id, wait)
			return err
		}
		for _, c := range []struct {
			name   string
			err    error
			reason edda.Reason
			text   string
		}{
			{"one of 10,000 is too large", appends(&edda.Append{Stream: "s", Messages: many}), edda.TooLarge, "messages[7000]: the payload has 11 bytes, at most 10 are allowed"},
			{"too large", appends(&edda.Append{Stream: "s", Messages: messages("01234567890")}), edda.TooLarge, "the payload has 11 bytes"},
			{"a shard", appends(&edda.Append{Stream: "listed", Messages: messages("x")}), edda.NoShard, `"default" is not one of them`},
			{"a name", appends(&edda.Append{Stream: "a/b", Messages: messages("x")}), edda.BadName, "stream"},
			{"nothing", appends(&edda.Append{Stream: "s"}), edda.BadValue, "no messages"},
			{"encoded", appends(&edda.Append{Stream: "s", Messages: manyKeys(30_000)}), edda.TooLarge, "at most 6291456 are allowed together"},
			{"read: no stream", reads(edda.Read{Stream: "s"}), edda.NoStream, `"s"`},
			{"read: no stream, waiting", reads(edda.Read{Stream: "s", Wait: time.Hour}), edda.NoStream, `"s"`},
			{"read: a shard", reads(edda.Read{Stream: "listed", Shard: "asia"}), edda.NoShard, `"asia"`},
			{"read: a place", reads(edda.Read{Stream: "listed", From: "x"}), edda.BadValue, "no place"},
			{"set: a shard that has had messages", sets(edda.StreamSpec{Name: "listed", Shards: []string{"us"}}), edda.Conflict, `"eu"`},
			{"set: a name", sets(edda.StreamSpec{Name: ""}), edda.BadName, "stream is empty"},
			{"trim: no stream", trims("s", "", "1"), edda.NoStream, `"s"`},
			{"trim: a shard", trims("listed", "asia", "1"), edda.NoShard, `"asia"`},
			{"trim: the default shard", trims("listed", "", "1"), edda.NoShard, `"default"`},
			{"trim: nothing", trims("listed", "eu", ""), edda.BadValue, "no place"},
			{"trim: the start", trims("listed", "eu", edda.FromStart), edda.BadValue, "must be an offset or a time"},
			{"delete: no stream", n.DeleteStream(t.Context(), "", "s"), edda.NoStream, `"s"`},
			{"delete: a namespace", n.DeleteStream(t.Context(), "other", "listed"), edda.NoStream, `"other"`},
			{"delete: a name", n.DeleteStream(t.Context(), "", "-"), edda.BadName, "stream"},
			{"look: no stream", looks("", "s"), edda.NoStream, `"s"`},
			{"look: a namespace", looks(".", "s"), edda.BadName, "namespace"},
			{"list: a limit", lists("", 1001, ""), edda.BadValue, "1001"},
			{"list: a cursor", lists("", 0, "a b"), edda.BadValue, "cursor"},
			{"list: a namespace", lists("a b", 0, ""), edda.BadName, "namespace"},
			{"await: no stream", awaits("", "s", "x", 0), edda.NoStream, `"s"`},
			{"await: nothing", awaits("", "listed", "x", 0), edda.NoMessage, `"x"`},
			{"await: no id", awaits("", "listed", "", 0), edda.BadValue, "id is empty"},
			{"await: a wait", awaits("", "listed", "x", -1), edda.BadValue, "wait"},
		} {
			if edda.ReasonOf(c.err) != c.reason || !strings.Contains(c.err.Error(), c.text) {
				t.Errorf("%s: got %v (%s), want %s and %q", c.name, c.err, edda.ReasonOf(c.err), c.reason, c.text)
			}
		}
		if _, err := n.Stream(t.Context(), "", "s"); edda.ReasonOf(err) != edda.NoStream {
			t.Errorf("what was refused has made a stream: %v", err)
		}
	})
}

// manyKeys are messages with nothing but long keys.
func manyKeys(n int) []edda.StreamMessage {
	all := make([]edda.StreamMessage, n)
	for i := range all {
		all[i].Key = strings.Repeat("k", 500)
	}
	return all
}

func TestStreamSetAndDelete(t *testing.T) {
	bubble(t, "set", func(t *testing.T) {
		n := start(t, node.Options{})
		spec := edda.StreamSpec{Name: "s", Shards: []string{"a", "b"}, Retention: edda.Retention{Count: 2}, Dedupe: time.Hour}
		s, created, err := n.SetStream(t.Context(), spec)
		if err != nil || !created || s.Namespace != edda.DefaultNamespace || s.Retention.Count != 2 || s.Dedupe != time.Hour || len(s.Shards) != 2 {
			t.Fatalf("got %+v, %v, %v", s, created, err)
		}
		putAll(t, n, &edda.Append{Stream: "s", Shard: "a", Messages: messages("1", "2", "3", "x=4")})
		holds(t, n, edda.Read{Stream: "s", Shard: "a"}, "2:3 3:4 [2 4 4]")
		for _, name := range []string{"b", "a"} {
			if _, _, err := n.SetGroup(t.Context(), edda.GroupSpec{Stream: "s", Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		spec.Retention.Count, spec.Shards = 1, []string{"a", "c"}
		if s, created, err = n.SetStream(t.Context(), spec); err != nil || created || s.Offsets["a"].First != 3 || s.Shards[1] != "c" || fmt.Sprint(s.Groups) != "[a b]" {
			t.Fatalf("got %+v, %v, %v", s, created, err)
		}
		if err := n.DeleteStream(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		_, err = n.ReadStream(t.Context(), edda.Read{Stream: "s", Shard: "a"})
		wantReason(t, err, edda.NoStream)
		if again := put(t, n, "s", "x=new"); again.Items[0].Offset != 0 || again.Items[0].Replayed {
			t.Errorf("a stream made anew has %+v", again.Items[0])
		}
		holds(t, n, edda.Read{Stream: "s"}, "0:new [0 1 1]")
	})
}

// Lists go over all partitions in order of the names, page by page.
func TestStreams(t *testing.T) {
	bubble(t, "list", func(t *testing.T) {
		n := start(t, node.Options{Partitions: 8})
		var want []string
		for i := range 25 {
			name := fmt.Sprintf("s%02d", i)
			put(t, n, name, "x")
			want = append(want, name)
		}
		putAll(t, n, &edda.Append{Namespace: "other", Stream: "s00x", Messages: messages("x")})
		for _, limit := range []int{1, 7, 24, 25, 26} {
			var got []string
			for after := ""; ; {
				page, next, err := n.Streams(t.Context(), "", limit, after)
				if err != nil || len(page) > limit {
					t.Fatalf("got %d, %v", len(page), err)
				}
				for i := range page {
					got = append(got, page[i].Name)
				}
				if after = next; next == "" {
					break
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("with limit %d: got %v", limit, got)
			}
		}
		if page, next, err := n.Streams(t.Context(), "nobody", 0, ""); err != nil || len(page) != 0 || next != "" {
			t.Errorf("got %v, %q, %v", page, next, err)
		}
	})
}

// What a handler appends is part of its outcome: here and in other partitions, once,
// in order.
func TestStreamFromHandler(t *testing.T) {
	bubble(t, "handler", func(t *testing.T) {
		s := edda.NewOrdered("s")
		s.Retry = edda.RetryPolicy{Max: 2, Delay: time.Millisecond}
		s.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			for i := range 8 {
				a := &edda.Append{Stream: fmt.Sprint("out", i), Messages: messages(m.Type+"-1", m.ID.String()+"=2")}
				if err := ctx.Append(a); err != nil {
					return nil, err
				}
			}
			if err := ctx.Append(&edda.Append{Namespace: "elsewhere", Stream: "out", Messages: messages("x")}); err != nil {
				return nil, err
			}
			if ctx.Attempt() == 1 {
				return nil, errHandler
			}
			return edda.TextReply(200, "ok"), nil
		})
		n := start(t, node.Options{Partitions: 8}, s)
		call(t, n, msg("s/1", "a", "")).replied(t, 200, "ok")
		call(t, n, msg("s/1", "b", "")).replied(t, 200, "ok")
		synctest.Wait()
		for i := range 8 {
			page := holds(t, n, edda.Read{Stream: fmt.Sprint("out", i)}, "0:a-1 1:2 2:b-1 3:2 [0 4 4]")
			if m := page.Messages[1]; m.CausationID.String() != m.ID || m.CorrelationID != m.ID {
				t.Errorf("got %+v, want the request as its cause", m)
			}
		}
		holds(t, n, edda.Read{Namespace: "elsewhere", Stream: "out"}, "0:x 1:x [0 2 2]")
	})
}

// What a handler may not append is dropped, and everything else of its outcome holds.
func TestStreamDropped(t *testing.T) {
	bubble(t, "dropped", func(t *testing.T) {
		s := ordered("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			for i := range 8 {
				for _, shard := range []string{"eu", "asia"} {
					if err := ctx.Append(&edda.Append{Stream: fmt.Sprint("out", i), Shard: shard, Messages: messages("x")}); err != nil {
						return nil, err
					}
				}
			}
			return edda.TextReply(200, "ok"), nil
		})
		n := start(t, node.Options{Partitions: 8}, s)
		for i := range 8 {
			if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: fmt.Sprint("out", i), Shards: []string{"eu"}}); err != nil {
				t.Fatal(err)
			}
		}
		call(t, n, msg("s/1", "a", "")).replied(t, 200, "ok")
		synctest.Wait()
		for i := range 8 {
			holds(t, n, edda.Read{Stream: fmt.Sprint("out", i), Shard: "eu"}, "0:x [0 1 1]")
		}
	})
}

// Bounds: too much at a time is refused, and nothing of it is stored.
func TestStreamOverloaded(t *testing.T) {
	bubble(t, "overloaded", func(t *testing.T) {
		n := start(t, node.Options{Partitions: 1, Limits: node.Limits{PartitionRequests: 2}})
		release := node.HoldPartition(n, 0)
		answers := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := n.Append(t.Context(), &edda.Append{Stream: "s", Messages: messages("x")})
				answers <- err
			}()
			synctest.Wait()
		}
		if e := wantReason(t, has(t, answers), edda.Overloaded); e.RetryAfter == 0 {
			t.Error("it does not say when to come again")
		}
		release()
		for range 2 {
			if err := has(t, answers); err != nil {
				t.Error(err)
			}
		}
		holds(t, n, edda.Read{Stream: "s"}, "0:x 1:x [0 2 2]")
		for range 10 { // there is room again
			put(t, n, "s", "x")
		}
	})
}

// Whoever leaves before the append is durable learns that it may have been stored.
func TestStreamAppendLeft(t *testing.T) {
	bubble(t, "left", func(t *testing.T) {
		n := start(t, node.Options{Partitions: 1})
		release := node.HoldPartition(n, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := n.Append(ctx, &edda.Append{Stream: "s", Messages: messages("a=1")})
		wantReason(t, err, edda.OutcomeUnknown)
		release()
		synctest.Wait()
		if ack := put(t, n, "s", "a=1"); !ack.Items[0].Replayed {
			t.Errorf("got %+v, want the first answer", ack)
		}
	})
}
