package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
)

// Streams and groups do the same whether their node is in this process or in one of its
// own.
func TestSameStreamsInProcessAndRemote(t *testing.T) {
	for _, c := range slices.Concat(streamCases, groupCases) {
		t.Run(c.name, func(t *testing.T) {
			here := c.play(t, open(t))
			there := c.play(t, dial(t, serve(t, open(t)), client.Options{}))
			if len(here) == 0 {
				t.Error("nothing happened")
			}
			if diff := cmp.Diff(here, there); diff != "" {
				t.Errorf("what happened (-in process +remote):\n%s", diff)
			}
		})
	}
}

type streamsAndGroups interface {
	edda.StreamBackend
	edda.GroupBackend
}

// streamPlay notes what happens.
type streamPlay struct {
	t   *testing.T
	ctx context.Context
	streamsAndGroups
	log []string
}

type streamCase struct {
	name string
	run  func(p *streamPlay)
}

func (c *streamCase) play(t *testing.T, b streamsAndGroups) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p := &streamPlay{t: t, ctx: ctx, streamsAndGroups: b}
	c.run(p)
	return p.log
}

func (p *streamPlay) notef(format string, args ...any) {
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

// err notes an error by its reason and what it says of the cause.
func (p *streamPlay) err(what string, err error) {
	e, ok := errors.AsType[*edda.Error](err)
	switch {
	case err == nil:
		p.notef("%s: done", what)
	case !ok:
		p.notef("%s: %T: %v", what, err, err)
	default:
		last, _ := errors.AsType[*edda.OffsetError](err)
		p.notef("%s: %s: %v %+v, again in %v", what, e.Reason, e.Err, last, e.RetryAfter)
	}
}

// one returns an append of one message.
func one(stream, id string) *edda.Append {
	return &edda.Append{Stream: stream, Messages: []edda.StreamMessage{{ID: id, Type: "t", Payload: []byte(id)}}}
}

func (p *streamPlay) append(what string, a *edda.Append) {
	p.t.Helper()
	ack, err := p.Append(p.ctx, a)
	if err != nil {
		p.err(what, err)
		return
	}
	for i := range ack.Items {
		if a.Messages[i].ID == "" && ack.Items[i].ID != "" {
			ack.Items[i].ID = "made"
		}
	}
	p.notef("%s: %+v, %s, a position %t, the last is %+v", what, ack.Items, ack.Durability, ack.Position != "", ack.Last)
}

// message notes all of a message but for what the node made.
func (p *streamPlay) message(m *edda.StreamMessage) string {
	c := *m
	c.Payload = nil
	if strings.Count(c.ID, "-") == 4 {
		c.ID = "made"
	}
	if time.Since(c.Time).Abs() < time.Hour {
		c.Time = time.Time{}
	}
	return fmt.Sprintf("%+v, %d bytes %.20q", c, len(m.Payload), m.Payload)
}

func (p *streamPlay) read(what string, r edda.Read) *edda.StreamPage {
	p.t.Helper()
	page, err := p.ReadStream(p.ctx, r)
	if err != nil {
		p.err(what, err)
		return &edda.StreamPage{}
	}
	p.notef("%s: %d messages, %d, %d, %d", what, len(page.Messages), page.First, page.Next, page.End)
	for i := range page.Messages {
		p.log = append(p.log, p.message(&page.Messages[i]))
	}
	return page
}

func (p *streamPlay) stream(what string, s *edda.Stream, err error) {
	if err != nil {
		p.err(what, err)
		return
	}
	p.notef("%s: %+v, recent %t, %+v, groups %q", what, s.StreamSpec, time.Since(s.CreatedAt).Abs() < time.Hour, s.Offsets, s.Groups)
}

func full() edda.StreamMessage {
	return edda.StreamMessage{
		ID: "m ✓ 1", Type: "order placed/2", Key: "k 1", Source: "src", Principal: "mallory", ReplyTo: edda.Address{Namespace: "depot", Name: "answers", Key: "eu"},
		Headers: edda.Headers{{Name: "A", Value: "1"}, {Name: "a", Value: "2"}}, ContentType: "text/plain", Payload: []byte("payload"),
		CorrelationID: "story", CausationID: edda.ID{1, 2}, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=b",
		Time: time.Unix(7, 5).UTC(),
	}
}

var streamCases = []streamCase{
	{"append and read", func(p *streamPlay) {
		bare := edda.StreamMessage{}
		p.append("first", &edda.Append{Namespace: "shop", Stream: "s", Shard: "eu", Messages: []edda.StreamMessage{full(), bare}})
		p.append("second", &edda.Append{Namespace: "shop", Stream: "s", Messages: []edda.StreamMessage{{Payload: make([]byte, 200<<10)}}})
		page := p.read("eu", edda.Read{Namespace: "shop", Stream: "s", Shard: "eu"})
		p.read("default", edda.Read{Namespace: "shop", Stream: "s"})
		p.read("none", edda.Read{Namespace: "shop", Stream: "s", Shard: "us"})
		for _, from := range []edda.From{edda.FromStart, edda.FromEnd, edda.FromOffset(1), edda.FromOffset(9), edda.FromTime(time.Now().Add(-time.Hour)), edda.FromTime(time.Now().Add(time.Hour))} {
			p.read("from", edda.Read{Namespace: "shop", Stream: "s", Shard: "eu", From: from})
		}
		p.read("limit", edda.Read{Namespace: "shop", Stream: "s", Shard: "eu", Limit: 1})
		p.read("bytes", edda.Read{Namespace: "shop", Stream: "s", Shard: "eu", Bytes: 1})
		p.notef("times %t", len(page.Messages) == 2 && page.Messages[0].Time.Equal(full().Time) && !page.Messages[1].Time.IsZero())
	}},
	{"ids and conditions", func(p *streamPlay) {
		p.append("a", one("s", "a"))
		p.append("a again", one("s", "a"))
		two := one("s", "a")
		two.Messages = append(two.Messages, edda.StreamMessage{ID: "b"})
		p.append("a and b", two)
		if0, if9, empty := one("s", "c"), one("s", "d"), one("s", "e")
		if0.IfLast, if9.IfLast, empty.IfEmpty = new(uint64(1)), new(uint64(9)), true
		p.append("if 1", if0)
		p.append("if 1 again", if0)
		p.append("if 9", if9)
		p.append("if empty", empty)
		empty.Shard = "other"
		p.append("if empty, elsewhere", empty)
		if9.Shard, if9.IfLast = "third", new(uint64(0))
		p.append("if 0, in an empty one", if9)
	}},
	{"numbers", func(p *streamPlay) {
		numbered := func(shard string, numbers ...uint64) *edda.Append {
			a := &edda.Append{Stream: "s", Shard: shard, Producer: "relay ✓"}
			for _, n := range numbers {
				a.Messages = append(a.Messages, edda.StreamMessage{ID: fmt.Sprint("m", n), Number: n})
			}
			return a
		}
		p.append("two", numbered("eu", 1, 1<<40))
		p.append("again, and one more", numbered("eu", 1, 1<<40, 1<<50))
		p.append("in between", numbered("eu", 7))
		p.append("in another shard", numbered("", 8))
		p.append("without a number", numbered("", 9, 0))
		p.append("not rising", numbered("", 9, 9))
		anonymous := numbered("", 9)
		anonymous.Producer = ""
		p.append("without a producer", anonymous)
		p.read("eu", edda.Read{Stream: "s", Shard: "eu"})
	}},
	{"refused appends", func(p *streamPlay) {
		p.append("no messages", &edda.Append{Stream: "s"})
		p.append("no stream", one("", "a"))
		p.append("a bad name", one("a b", "a"))
		p.append("a bad id", one("s", "\n"))
		p.append("no UTF-8", one("s", "\xff"))
		second := one("s", "a")
		second.Messages = append(second.Messages, edda.StreamMessage{Key: "\x00"})
		p.append("the second", second)
		large := one("s", "a")
		large.Messages = append(large.Messages, edda.StreamMessage{Payload: make([]byte, 6<<20)})
		p.append("too large", large)
		large.Messages[1].Payload = make([]byte, 8<<20)
		p.append("far too large", large)
		both := one("s", "a")
		both.IfLast, both.IfEmpty = new(uint64(1)), true
		p.append("both conditions", both)
		_, err := p.Stream(p.ctx, "", "s")
		p.err("nothing is there", err)
	}},
	{"streams", func(p *streamPlay) {
		spec := edda.StreamSpec{Name: "s", Shards: []string{"eu", "us"}, Retention: edda.Retention{Age: time.Hour, Count: 2, Bytes: 1 << 20}, Dedupe: time.Minute}
		for _, what := range []string{"set", "again"} {
			s, created, err := p.SetStream(p.ctx, spec)
			p.stream(fmt.Sprint(what, created), s, err)
		}
		for range 3 {
			p.append("eu", &edda.Append{Stream: "s", Shard: "eu", Messages: []edda.StreamMessage{{}}})
		}
		p.append("default", one("s", "a"))
		p.read("asia", edda.Read{Stream: "s", Shard: "asia"})
		s, err := p.Stream(p.ctx, "", "s")
		p.stream("look", s, err)
		s, err = p.TrimStream(p.ctx, "", "s", "eu", edda.FromOffset(2))
		p.stream("trim", s, err)
		s, err = p.TrimStream(p.ctx, "", "s", "", edda.FromTime(time.Now().Add(time.Hour)))
		p.stream("trim all", s, err)
		s, err = p.TrimStream(p.ctx, "", "s", "", edda.FromEnd)
		p.stream("trim to the end", s, err)
		s, err = p.TrimStream(p.ctx, "", "s", "", "")
		p.stream("trim nothing", s, err)
		_, _, err = p.SetStream(p.ctx, edda.StreamSpec{Name: "s", Shards: []string{"us"}})
		p.err("without one that is there", err)
		_, _, err = p.SetStream(p.ctx, edda.StreamSpec{Name: "s", Shards: []string{"us", "us"}})
		p.err("twice", err)
		_, _, err = p.SetStream(p.ctx, edda.StreamSpec{Name: "s", Dedupe: -1})
		p.err("negative", err)
		p.err("delete", p.DeleteStream(p.ctx, "", "s"))
		p.err("delete again", p.DeleteStream(p.ctx, "", "s"))
		p.err("delete nothing", p.DeleteStream(p.ctx, "", ""))
		_, err = p.Stream(p.ctx, "", "s")
		p.err("look", err)
		_, err = p.TrimStream(p.ctx, "", "s", "", "1")
		p.err("trim", err)
		p.read("read", edda.Read{Stream: "s"})
		p.read("bad place", edda.Read{Stream: "s", From: "yesterday"})
		p.read("bad limit", edda.Read{Stream: "s", Limit: -1})
		p.read("bad bytes", edda.Read{Stream: "s", Bytes: 1 << 30})
		p.read("bad wait", edda.Read{Stream: "s", Wait: -1})
	}},
	{"lists", func(p *streamPlay) {
		for i := range 5 {
			p.append("make", &edda.Append{Namespace: "shop", Stream: fmt.Sprint("s", i), Messages: []edda.StreamMessage{{}}})
		}
		for after, first := "", true; first || after != ""; first = false {
			page, next, err := p.Streams(p.ctx, "shop", 2, after)
			p.err("list", err)
			for i := range page {
				p.stream("listed", &page[i], nil)
			}
			after = next
		}
		for _, limit := range []int{-1, 1001, 1 << 30} {
			_, _, err := p.Streams(p.ctx, "", limit, "")
			p.err("bad limit", err)
		}
		_, _, err := p.Streams(p.ctx, "", 0, "not a cursor")
		p.err("bad cursor", err)
		_, _, err = p.Streams(p.ctx, "a b", 0, "")
		p.err("bad namespace", err)
	}},
	{"waits", func(p *streamPlay) {
		p.append("make", one("s", "a"))
		p.read("in vain", edda.Read{Stream: "s", From: edda.FromEnd, Wait: time.Millisecond})
		for _, from := range []edda.From{edda.FromEnd, edda.FromOffset(2), edda.FromTime(time.Now().Add(time.Hour))} {
			pages := make(chan *edda.StreamPage, 1)
			ctx, cancel := context.WithCancel(p.ctx)
			go func() {
				page, err := p.ReadStream(ctx, edda.Read{Stream: "s", From: from, Wait: time.Hour, Limit: 1})
				if err != nil {
					page = &edda.StreamPage{}
				}
				pages <- page
			}()
			for got := false; !got; { // the reader may not be there yet
				if _, err := p.Append(p.ctx, one("s", "")); err != nil {
					p.t.Fatal(err)
				}
				select {
				case page := <-pages:
					p.notef("waited: %d messages, next is the one after %t", len(page.Messages), len(page.Messages) == 1 && page.Next == page.Messages[0].Offset+1)
					got = true
				case <-time.After(5 * time.Millisecond):
				}
			}
			cancel()
		}
		ctx, cancel := context.WithTimeout(p.ctx, 20*time.Millisecond)
		defer cancel()
		_, err := p.ReadStream(ctx, edda.Read{Stream: "s", From: edda.FromEnd, Wait: time.Hour})
		p.notef("given up: %s", edda.ReasonOf(err))
	}},
	{"await", func(p *streamPlay) {
		p.append("a", &edda.Append{Stream: "s", Shard: "eu", Messages: []edda.StreamMessage{full()}})
		m, err := p.AwaitMessage(p.ctx, "", "s", full().ID, 0)
		p.err("there", err)
		if err == nil {
			p.notef("%s", p.message(m))
		}
		go func() { _, _ = p.Append(p.ctx, one("s", "late")) }()
		m, err = p.AwaitMessage(p.ctx, "", "s", "late", time.Hour)
		p.err("to come", err)
		if err == nil {
			p.notef("%s", p.message(m))
		}
		_, err = p.AwaitMessage(p.ctx, "", "s", "never", time.Millisecond)
		p.err("in vain", err)
		_, err = p.AwaitMessage(p.ctx, "", "s", "never", 0)
		p.err("at once", err)
		_, err = p.AwaitMessage(p.ctx, "", "none", "never", 0)
		p.err("no stream", err)
		_, err = p.AwaitMessage(p.ctx, "", "s", "", 0)
		p.err("no id", err)
		_, err = p.AwaitMessage(p.ctx, "", "s", "x", -1)
		p.err("bad wait", err)
		ctx, cancel := context.WithTimeout(p.ctx, 10*time.Millisecond)
		defer cancel()
		_, err = p.AwaitMessage(ctx, "", "s", "never", time.Hour)
		p.notef("given up: %s", edda.ReasonOf(err))
	}},
}
