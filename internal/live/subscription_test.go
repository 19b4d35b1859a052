package live_test

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
	"github.com/edda-io/edda/internal/live"
)

func TestWhereToBegin(t *testing.T) {
	bubble(t, "end", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		f.append("s", "a", "x", 2)
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		f.append("s", "a", "x", 1)
		l.take(9, "s/a/2")
		f.append("s", "a", "x", 1) // the topic has not come to it when the next one subscribes
		subscribe(t, h, stream("s"), edda.Subscribe{From: edda.FromEnd}).take(9)
	})
	bubble(t, "start", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		f.append("s", "b", "x", 1)
		f.append("s", "a", "x", 1)
		f.tick(1)
		f.append("s", "a", "x", 1)
		subscribe(t, h, stream("s"), edda.Subscribe{From: edda.FromStart}).take(9, "s/a/0", "s/b/0", "s/a/1")
		subscribe(t, h, stream("s"), edda.Subscribe{From: edda.FromStart}).take(2, "s/a/0", "s/b/0")
	})
	bubble(t, "time", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		f.append("s", "a", "x", 1)
		f.tick(1)
		f.append("s", "a", "x", 1)
		subscribe(t, h, stream("s"), edda.Subscribe{From: edda.FromTime(time.Unix(0, 1_001))}).take(9, "s/a/1")
		l := subscribe(t, h, stream("s"), edda.Subscribe{From: edda.FromTime(time.Unix(0, 1_003))})
		l.take(9)
		f.tick(1)
		f.append("s", "a", "x", 1)
		l.take(9)
		f.tick(1)
		f.append("s", "b", "x", 1)
		l.take(9, "s/b/0")
	})
	bubble(t, "nonsense", live.Options{}, func(s *stage) {
		t, _, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		p := string(l.From())
		refused(t, h, stream("s"), edda.Subscribe{From: "7"}, edda.BadValue, "an offset is a place in one shard")
		refused(t, h, stream("s"), edda.Subscribe{From: "yesterday"}, edda.BadValue, "no place")
		refused(t, h, stream("s"), edda.Subscribe{From: "p"}, edda.BadValue, "mangled")
		refused(t, h, stream("s"), edda.Subscribe{From: edda.From(p[:len(p)-1])}, edda.BadValue, "mangled")
		refused(t, h, stream("s"), edda.Subscribe{From: edda.From(p + "A")}, edda.BadValue, "mangled")
		refused(t, h, stream("t"), edda.Subscribe{From: edda.From(p)}, edda.BadValue, "another stream or channel")
		refused(t, h, stream("s"), edda.Subscribe{Patterns: []string{"a..b", ":"}}, edda.BadValue, "")
	})
}

func TestResume(t *testing.T) {
	bubble(t, "from the ring", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		for range 5 {
			f.tick(1)
			f.append("s", "a", "x", 1)
		}
		synctest.Wait()
		walks := f.walks
		b := l.take(3, "s/a/0", "s/a/1", "s/a/2")
		l.Close()
		time.Sleep(9 * time.Second)
		again := subscribe(t, h, stream("s"), edda.Subscribe{From: b.Messages[1].From})
		shared := again.take(9, "s/a/2", "s/a/3", "s/a/4")
		if shared.Messages[0] != b.Messages[2] {
			t.Error("two subscribers got copies of one message")
		}
		if f.walks != walks {
			t.Errorf("streams were walked %d times for what was in the ring", f.walks-walks)
		}
		if again.Gap() {
			t.Error("there is a gap in the ring")
		}
	})
	bubble(t, "of a hub that is gone, together", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		from := l.From()
		for range 500 {
			f.tick(1)
			f.append("s", "a", "x", 1)
		}
		h2 := live.New(f, live.Options{})
		defer h2.Close()
		first := subscribe(t, h2, stream("s"), edda.Subscribe{From: from})
		synctest.Wait()
		walked := h2.Stats().Walked
		one, _ := first.Take(t.Context(), 1000)
		two, _ := subscribe(t, h2, stream("s"), edda.Subscribe{From: from}).Take(t.Context(), 1000)
		if len(one.Messages) != 500 || len(two.Messages) != 500 || one.Messages[499] != two.Messages[499] {
			t.Errorf("got %d and %d messages, want the same 500", len(one.Messages), len(two.Messages))
		}
		if n := h2.Stats().Walked - walked; n != 0 {
			t.Errorf("subscribers walked %d messages of the ring", n)
		}
	})
	bubble(t, "from far away", live.Options{RingMessages: 10}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		for range 100 {
			f.tick(1)
			f.append("s", "a", "x", 1)
		}
		l := subscribe(t, h, stream("s"), edda.Subscribe{From: edda.FromStart})
		synctest.Wait()
		if n := h.Stats().Messages; n > 100 {
			t.Errorf("the topic has read %d messages", n)
		}
		b, err := l.Take(t.Context(), 1000)
		if err != nil || len(b.Messages) != 100 {
			t.Errorf("got %d messages, %v", len(b.Messages), err)
		}
		f.append("s", "a", "x", 1)
		l.take(1, "s/a/100")
	})
	bubble(t, "from a ring that is as long as it may have bytes", live.Options{RingBytes: 2_000}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		var last edda.LiveBatch
		for i := range 100 {
			f.tick(1)
			f.append("s", "a", "x", 1)
			last = l.take(9, fmt.Sprint("s/a/", i))
			if i == 95 {
				l.Close()
				l = subscribe(t, h, stream("s"), edda.Subscribe{From: last.Messages[0].From})
			}
		}
		back := subscribe(t, h, stream("s"), edda.Subscribe{From: last.Messages[0].From})
		f.append("s", "a", "x", 5)
		back.take(9, "s/a/100", "s/a/101", "s/a/102", "s/a/103", "s/a/104")
		again := subscribe(t, h, stream("s"), edda.Subscribe{From: last.Messages[0].From})
		again.take(9, "s/a/100", "s/a/101", "s/a/102", "s/a/103", "s/a/104")
		if n := h.Stats().Walked; n != 0 {
			t.Errorf("subscriptions walked %d messages that the ring has", n)
		}
	})
	bubble(t, "after much that nobody gets", live.Options{RingMessages: 1}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, channel(1, "s a.*"), edda.Subscribe{Channel: "c"})
		l.take(9)
		for range 500 {
			f.tick(1)
			f.append("s", "x", "b", 1)
		}
		synctest.Wait()
		f.append("s", "x", "a.b", 3)
		l.take(9, "s/x/500", "s/x/501", "s/x/502")
		if n := h.Stats().Walked; n > 3 {
			t.Errorf("it walked %d messages", n)
		}
	})
	bubble(t, "from a time to come", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		later := subscribe(t, h, stream("s"), edda.Subscribe{From: edda.FromTime(time.Unix(0, 5_000))})
		now := subscribe(t, h, stream("s"), edda.Subscribe{})
		later.take(9)
		f.append("s", "x", "a", 1)
		now.take(9, "s/x/0")
		later.take(9)
		if n := h.Stats().Walked; n != 0 {
			t.Errorf("subscriptions walked %d messages", n)
		}
	})
	bubble(t, "gap", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		f.tick(1)
		f.append("s", "a", "x", 3)
		b := l.take(9, "s/a/0", "s/a/1", "s/a/2")
		l.Close()
		time.Sleep(time.Minute) // the topic is gone
		f.tick(1)
		f.append("s", "a", "x", 3)
		f.trim("s", 3)
		if l = subscribe(t, h, stream("s"), edda.Subscribe{From: b.Messages[2].From}); l.Gap() {
			t.Error("there is a gap, but nothing after the point was removed")
		}
		l.Close()
		time.Sleep(time.Minute)
		f.trim("s", 1)
		if l = subscribe(t, h, stream("s"), edda.Subscribe{From: b.Messages[2].From}); !l.Gap() {
			t.Error("there is no gap, but a message after the point was removed")
		}
		if l.take(9, "s/a/4", "s/a/5").Gap {
			t.Error("the gap that was told at the beginning is told again")
		}
		if subscribe(t, h, stream("s"), edda.Subscribe{From: edda.FromStart}).Gap() {
			t.Error("there is a gap after the start")
		}
	})
	bubble(t, "gap of the topic", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		from := l.From()
		f.tick(1)
		f.append("s", "a", "x", 9)
		f.trim("s", 5) // before the topic has come to them
		l.take(9, "s/a/5", "s/a/6", "s/a/7", "s/a/8")
		if l = subscribe(t, h, stream("s"), edda.Subscribe{From: from}); !l.Gap() {
			t.Error("there is no gap, but messages were removed before the topic came to them")
		}
		l.take(9, "s/a/5", "s/a/6", "s/a/7", "s/a/8")
	})
	bubble(t, "gap after gap", live.Options{RingMessages: 2}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		slow := subscribe(t, h, stream("s"), edda.Subscribe{})
		slow.take(9)
		for round := range 3 {
			f.tick(1)
			f.append("s", "a", "x", 9)
			synctest.Wait()
			f.trim("s", 7)
			last := 9*round + 8
			for i, id := range []int{last - 1, last} {
				if b := slow.take(1, fmt.Sprint("s/a/", id)); b.Gap != (i == 0) {
					t.Errorf("round %d: message %d says %t of a gap", round, id, b.Gap)
				}
			}
			f.forget("s")
			f.trim("s", 2)
			f.forget("s")
			if b := slow.take(1); b.Gap {
				t.Errorf("round %d: there is a gap at the end", round)
			}
		}
	})
}

func TestNotify(t *testing.T) {
	bubble(t, "", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		all := subscribe(t, h, stream("s"), edda.Subscribe{})
		some := subscribe(t, h, stream("s"), edda.Subscribe{Patterns: []string{"a.*", "a.b"}})
		other := subscribe(t, h, stream("s"), edda.Subscribe{Patterns: []string{"b.*"}})
		check := func(what string, a, s, o int) {
			t.Helper()
			synctest.Wait()
			if all.told != a || some.told != s || other.told != o {
				t.Errorf("%s: told %d, %d and %d times, want %d, %d and %d", what, all.told, some.told, other.told, a, s, o)
			}
		}
		f.append("s", "x", "a.b", 1)
		check("before the first take", 0, 0, 0)
		all.take(9, "s/x/0")
		some.take(9, "s/x/0")
		other.take(9)
		check("nothing has come", 0, 0, 0)
		f.append("s", "x", "a.b", 1)
		check("one has come", 1, 1, 0)
		f.append("s", "x", "a.b", 1)
		check("nobody has taken", 1, 1, 0)
		other.take(9)
		f.append("s", "x", "b.c", 1)
		check("another one", 1, 1, 1)
		all.take(1, "s/x/1")
		check("there is more, as all knows", 1, 1, 1)
		all.take(9, "s/x/2", "s/x/3")
		some.take(9, "s/x/1", "s/x/2")
		other.take(9, "s/x/3")
		f.append("s", "x", "a.c", 1)
		check("at the end again", 2, 2, 1)
	})
}

func TestPatterns(t *testing.T) {
	bubble(t, "added and removed", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{Patterns: []string{"a.:x", "*.1", "a.:x"}})
		l.take(9)
		f.append("s", "x", "a.1", 1) // both match
		f.append("s", "x", "b.2", 1)
		l.take(9, "s/x/0")
		f.append("s", "x", "b.2", 1)
		synctest.Wait()
		if err := l.Add([]string{"b.*"}, false); err != nil {
			t.Fatal(err)
		}
		l.take(9) // it was at the end
		f.append("s", "x", "b.2", 1)
		l.take(9, "s/x/3")
		if got := l.Patterns(); !slices.Equal(got, []string{"a.:x", "*.1", "b.*"}) {
			t.Errorf("patterns are %q", got)
		}
		l.Remove("a.:x", "unknown")
		told := l.told
		f.append("s", "x", "a.2", 1)
		synctest.Wait()
		if l.told != told {
			t.Error("told of what a pattern matches that was removed")
		}
		f.append("s", "x", "a.1", 1)
		l.take(9, "s/x/5")
		if err := l.Add(nil, false); err != nil || l.Patterns() != nil {
			t.Errorf("added all: %v, %q", err, l.Patterns())
		}
		f.append("s", "x", "z", 1)
		synctest.Wait()
		if l.told == 0 {
			t.Error("who wants all was not told")
		}
		l.take(9, "s/x/6")
		l.Remove("")
		told = l.told
		f.append("s", "x", "z", 1)
		synctest.Wait()
		if l.told != told {
			t.Error("told of what is not wanted any more")
		}
		l.take(9)
		l.Remove()
		if b := l.take(9); !b.Over || l.Patterns() == nil {
			t.Errorf("got %+v with patterns %q, want it to be over", b, l.Patterns())
		}
		if err := l.Add([]string{"a"}, false); edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("adding to what is over got %v", err)
		}
	})
	bubble(t, "many", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		var many []string
		for i := range edda.MaxPatterns {
			many = append(many, fmt.Sprint("t.", i))
		}
		l := subscribe(t, h, stream("s"), edda.Subscribe{Patterns: many})
		if err := l.Add([]string{"t.1", "more"}, false); edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), "at most 1000") {
			t.Errorf("adding too many got %v", err)
		}
		f.append("s", "x", "t.999", 1)
		f.append("s", "x", "t.1000", 1)
		l.take(9, "s/x/0")
	})
	bubble(t, "ephemeral", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{Patterns: []string{"a.*", "*.1", "b"}, Ephemeral: true})
		f.append("s", "x", "a.1", 2)
		f.append("s", "x", "b", 1)
		b := l.take(9, "s/x/0")
		if !slices.Equal(b.Spent, []string{"a.*", "*.1"}) || b.Over {
			t.Errorf("got %+v", b)
		}
		synctest.Wait()
		if l.told != 1 {
			t.Errorf("told %d times that there is more", l.told)
		}
		if err := l.Add([]string{"b"}, true); err != nil {
			t.Fatal(err)
		}
		b = l.take(9, "s/x/2")
		if !slices.Equal(b.Spent, []string{"b"}) || !b.Over {
			t.Errorf("got %+v", b)
		}
		if b = l.take(9); !b.Over {
			t.Errorf("got %+v", b)
		}
	})
	bubble(t, "ephemeral, out of the ring", live.Options{RingMessages: 1}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{Patterns: []string{"a"}, Ephemeral: true})
		if err := l.Add([]string{"b"}, false); err != nil {
			t.Fatal(err)
		}
		f.append("s", "x", "a", 3)
		f.append("s", "x", "b", 3)
		if b := l.take(9, "s/x/0"); !slices.Equal(b.Spent, []string{"a"}) || b.Over {
			t.Errorf("got %+v", b)
		}
		if err := l.Add([]string{"b"}, true); err != nil { // it is for ever already
			t.Fatal(err)
		}
		l.take(2, "s/x/3", "s/x/4")
		l.take(2, "s/x/5")
	})
	bubble(t, "ephemeral, of all", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{Ephemeral: true})
		l.take(1)
		f.append("s", "x", "a", 3)
		if b := l.take(9, "s/x/0"); !b.Over || len(l.Patterns()) != 0 {
			t.Errorf("got %+v", b)
		}
	})
}

func TestBehind(t *testing.T) {
	bubble(t, "", live.Options{RingMessages: 2}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		f.append("s", "x", "a", 1)
		synctest.Wait()
		if n := l.Behind(); n != 0 {
			t.Errorf("%d behind, but it has never been at the end", n)
		}
		l.take(9, "s/x/0")
		f.append("s", "x", "a", 5)
		synctest.Wait()
		if n := l.Behind(); n < 500 || n > 1_000 {
			t.Errorf("%d behind after 5 messages", n)
		}
		l.take(4, "s/x/1", "s/x/2", "s/x/3", "s/x/4")
		if n := l.Behind(); n < 100 || n > 600 {
			t.Errorf("%d behind after the next to last", n)
		}
		l.take(4, "s/x/5")
		if n := l.Behind(); n != 0 {
			t.Errorf("%d behind at the end", n)
		}
	})
}

// Large messages come a few at a time, from the ring and from where they are stored.
func TestLargeMessages(t *testing.T) {
	for _, from := range []edda.From{edda.FromStart, edda.FromEnd} {
		bubble(t, string(from), live.Options{RingBytes: 64 << 20}, func(s *stage) {
			t, f, h := s.T, s.f, s.h
			f.bytes = 400 << 10
			if from == edda.FromStart {
				f.append("s", "x", "a", 5)
			}
			l := subscribe(t, h, stream("s"), edda.Subscribe{From: from})
			if from == edda.FromEnd {
				l.take(9)
				f.append("s", "x", "a", 5)
			}
			synctest.Wait()
			told := l.told
			l.take(9, "s/x/0", "s/x/1", "s/x/2")
			synctest.Wait()
			if l.told == told && from == edda.FromEnd {
				t.Error("nobody says that there is more")
			}
			l.take(9, "s/x/3", "s/x/4")
			l.take(9)
		})
	}
}

func TestEnds(t *testing.T) {
	gone := &edda.Error{Reason: edda.NoChannel, Err: errors.New("it was deleted")}
	bubble(t, "removed", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		c := channel(1, "own")
		l := subscribe(t, h, c, edda.Subscribe{Channel: "c"})
		l.take(1)
		h.Remove("default", "c", false, gone) // a stream, which there is not
		h.Remove("default", "c", true, gone)
		synctest.Wait()
		if l.told != 1 {
			t.Errorf("told %d times", l.told)
		}
		for range 2 {
			if _, err := l.Take(t.Context(), 1); !errors.Is(err, gone) {
				t.Errorf("take got %v", err)
			}
		}
		if n := h.Subscribers("default", "c"); n != 0 {
			t.Errorf("%d subscribers of what was removed", n)
		}
		again := subscribe(t, h, c, edda.Subscribe{Channel: "c"})
		f.append("own", "x", "a", 1)
		again.take(9, "own/x/0")
	})
	bubble(t, "the node stops", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		l.take(1)
		f.mu.Lock()
		f.err = &edda.Error{Reason: edda.Unavailable}
		f.mu.Unlock()
		f.ring("s")
		synctest.Wait()
		if _, err := l.Take(t.Context(), 1); edda.ReasonOf(err) != edda.Unavailable || l.told != 1 {
			t.Errorf("take got %v, told %d times", err, l.told)
		}
		refused(t, h, stream("s"), edda.Subscribe{}, edda.Unavailable, "")
		f.mu.Lock()
		f.err = nil
		f.mu.Unlock()
		again := subscribe(t, h, stream("s"), edda.Subscribe{})
		f.append("s", "x", "a", 1)
		again.take(9, "s/x/0")
	})
	bubble(t, "told once", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		l.take(1)
		f.append("s", "x", "a", 1)
		synctest.Wait()
		h.Remove("default", "s", false, gone)
		synctest.Wait()
		if l.told != 1 {
			t.Errorf("told %d times before it took", l.told)
		}
	})
	bubble(t, "a topic that nobody got into", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		point := subscribe(t, h, stream("s"), edda.Subscribe{}).From()
		h.Remove("default", "s", false, gone)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f.onEnd = func() { time.Sleep(5 * time.Second) }
		if _, err := h.Subscribe(ctx, stream("s"), &edda.Subscribe{From: point}); edda.ReasonOf(err) != edda.Timeout {
			t.Errorf("subscribing for a second got %v", err)
		}
		time.Sleep(time.Minute)
		if n := h.Stats().Topics; n != 0 {
			t.Errorf("%d topics that nobody got into", n)
		}
	})
	bubble(t, "somebody comes just in time", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		subscribe(t, h, stream("s"), edda.Subscribe{}).Close()
		time.Sleep(5 * time.Second)
		f.onEnd = func() { time.Sleep(10 * time.Second) }
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		l.take(1)
		time.Sleep(time.Minute)
		f.append("s", "x", "a", 1)
		l.take(9, "s/x/0")
		f.onEnd = nil
		if n := h.Stats().Topics; n != 1 {
			t.Errorf("%d topics", n)
		}
		l.Close()
		time.Sleep(11 * time.Second)
		if n := h.Stats().Topics; n != 0 {
			t.Errorf("%d topics when nobody subscribes", n)
		}
	})
	bubble(t, "the hub is closed", live.Options{}, func(s *stage) {
		t, _, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		h.Close()
		if _, err := l.Take(t.Context(), 1); edda.ReasonOf(err) != edda.Unavailable {
			t.Errorf("take got %v", err)
		}
		refused(t, h, stream("s"), edda.Subscribe{}, edda.Unavailable, "stopping")
	})
	bubble(t, "closed by its owner", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, stream("s"), edda.Subscribe{})
		l.take(1)
		l.Close()
		l.Close()
		f.append("s", "x", "a", 1)
		if b := l.take(9); !b.Over || l.told != 0 {
			t.Errorf("got %+v, told %d times", b, l.told)
		}
		time.Sleep(9 * time.Second)
		if n := h.Stats().Topics; n != 1 {
			t.Errorf("%d topics before those who come back have had their time", n)
		}
		time.Sleep(2 * time.Second)
		if n := h.Stats().Topics; n != 0 || f.watched() != 0 {
			t.Errorf("%d topics and %d watches when nobody subscribes", n, f.watched())
		}
	})
	bubble(t, "the caller does not wait", live.Options{RingMessages: 1}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		f.append("s", "x", "a", 9)
		l := subscribe(t, h, stream("s"), edda.Subscribe{From: edda.FromStart})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Take(ctx, 9); err == nil {
			t.Error("a take whose context is over got nothing wrong")
		}
		b, err := l.Take(t.Context(), 9)
		if err != nil || len(b.Messages) != 9 {
			t.Errorf("then got %d messages, %v", len(b.Messages), err)
		}
	})
}
