package live_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
)

func TestSet(t *testing.T) {
	bubble(t, "sources come and go", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, channel(1, "own", "s"), edda.Subscribe{Channel: "c"})
		slow := subscribe(t, h, channel(1, "own", "s"), edda.Subscribe{Channel: "c"})
		l.take(9)
		slow.take(9)
		f.append("s", "x", "a", 1)
		f.append("t", "x", "a", 1)
		f.tick(1)
		f.append("own", "x", "a", 1)
		l.take(9, "s/x/0", "own/x/0")
		f.tick(1)
		if err := h.Set(t.Context(), channel(2, "own", "t")); err != nil {
			t.Fatal(err)
		}
		if err := h.Set(t.Context(), channel(1, "own", "s")); err != nil { // is older
			t.Fatal(err)
		}
		f.append("s", "x", "a", 1)
		f.append("own", "x", "a", 1)
		f.tick(1)
		f.append("t", "x", "a", 1)
		l.take(9, "own/x/1", "t/x/1")
		slow.take(9, "own/x/0", "own/x/1", "t/x/1") // s has gone, and t came when it came
		from := l.From()
		f.tick(1)
		if err := h.Set(t.Context(), channel(3, "own", "s")); err != nil {
			t.Fatal(err)
		}
		f.append("s", "x", "a", 1)
		l.take(9, "s/x/2")
		// Who comes back begins with s at the latest time that it has seen.
		subscribe(t, h, channel(3, "own", "s"), edda.Subscribe{Channel: "c", From: from}).take(9, "s/x/2")
	})
	bubble(t, "a source goes during a walk", live.Options{RingMessages: 1}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, channel(1, "own", "s"), edda.Subscribe{Channel: "c"})
		l.take(1)
		f.append("own", "x", "a", 3)
		synctest.Wait()
		walked := false
		f.onNext = func(stream string) {
			if stream != "s" || walked {
				return
			}
			walked = true
			if err := h.Set(t.Context(), channel(2, "own")); err != nil {
				t.Error(err)
			}
			f.append("s", "x", "secret", 1)
		}
		var got []string
		for range 3 {
			b, err := l.Take(t.Context(), 9)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ids(b.Messages)...)
		}
		if want := []string{"own/x/0", "own/x/1", "own/x/2"}; !walked || !slices.Equal(got, want) {
			t.Errorf("walked: %t, got %q, want %q", walked, got, want)
		}
	})
	bubble(t, "a source is back", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, channel(1, "own", "s"), edda.Subscribe{Channel: "c"})
		f.tick(50)
		f.append("s", "x", "a", 1)
		l.take(9, "s/x/0")
		for v := uint64(2); v < 4; v++ {
			if err := h.Set(t.Context(), channel(v, "own")); err != nil {
				t.Fatal(err)
			}
		}
		from := l.From()
		if err := h.Set(t.Context(), channel(4, "own", "s")); err != nil {
			t.Fatal(err)
		}
		f.tick(1)
		f.append("s", "x", "a", 1)
		l.take(9, "s/x/1")
		subscribe(t, h, channel(4, "own", "s"), edda.Subscribe{Channel: "c", From: from}).take(9, "s/x/1")
	})
	bubble(t, "a source is back that the topic never came to", live.Options{RingMessages: 1}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		f.append("own", "x", "a", 3)
		l := subscribe(t, h, channel(1, "own", "s"), edda.Subscribe{Channel: "c", From: edda.FromStart})
		l.take(1, "own/x/0")
		taking, gate := false, make(chan struct{})
		f.onNext = func(string) {
			if !taking {
				<-gate
			}
		}
		f.tick(50)
		f.append("s", "x", "a", 1)
		synctest.Wait()
		taking = true
		l.take(9, "own/x/1", "own/x/2", "s/x/0")
		if err := h.Set(t.Context(), channel(2, "own")); err != nil {
			t.Fatal(err)
		}
		close(gate)
		l.take(9)
		from := l.From()
		if err := h.Set(t.Context(), channel(3, "own", "s")); err != nil {
			t.Fatal(err)
		}
		f.tick(1)
		f.append("s", "x", "a", 1)
		l.take(9, "s/x/1")
		subscribe(t, h, channel(3, "own", "s"), edda.Subscribe{Channel: "c", From: from}).take(9, "s/x/1")
	})
	bubble(t, "subscribed with what is not so any more", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, channel(1, "own"), edda.Subscribe{Channel: "c"})
		newer := subscribe(t, h, channel(2, "own", "s"), edda.Subscribe{Channel: "c"})
		f.append("s", "x", "a", 1)
		l.take(9, "s/x/0")
		newer.take(9, "s/x/0")
	})
	bubble(t, "patterns of a source", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, channel(1, "own", "s a.*"), edda.Subscribe{Channel: "c"})
		f.append("s", "x", "a.b", 1)
		f.append("s", "x", "b.b", 1)
		f.tick(1)
		f.append("own", "x", "b.b", 1)
		l.take(9, "s/x/0", "own/x/0")
		f.tick(1)
		if err := h.Set(t.Context(), channel(2, "own", "s b.*")); err != nil {
			t.Fatal(err)
		}
		f.append("s", "x", "a.b", 1)
		f.append("s", "x", "b.b", 1)
		l.take(9, "s/x/3")
	})
}

func TestMessagesSayWhereTheyAre(t *testing.T) {
	bubble(t, "", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, channel(1, "own", "s"), edda.Subscribe{Channel: "c"})
		f.append("s", "x", "a", 1)
		f.tick(1)
		f.append("own", "y", "a", 1)
		b := l.take(9, "s/x/0", "own/y/0")
		for i, want := range []string{"default s x", "default  y"} {
			m := b.Messages[i]
			if got := fmt.Sprintf("%s %s %s", m.Namespace, m.Message.Stream, m.Message.Shard); got != want {
				t.Errorf("got a message of %q, want %q", got, want)
			}
		}
	})
}

func TestPublish(t *testing.T) {
	asked := 0
	o := live.Options{RingMessages: 3, Publish: func(ns, ch string, m *edda.StreamMessage) bool {
		asked++
		if ns != "default" || ch != "c" {
			panic("asked for another channel")
		}
		switch m.Type {
		case "panic":
			panic("a defect")
		case "withheld":
			return false
		}
		m.Payload[0] = 'X'
		m.Headers.Set("Seen", "yes")
		m.Shard, m.Offset, m.Stream = "z", 99, "z"
		m.Type = "changed"
		return true
	}}
	bubble(t, "", o, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		one := subscribe(t, h, channel(1, "s"), edda.Subscribe{Channel: "c"})
		two := subscribe(t, h, channel(1, "s"), edda.Subscribe{Channel: "c", Patterns: []string{"changed"}})
		from := one.From()
		for _, typ := range []string{"a", "withheld", "panic", "a", "a", "a"} {
			f.tick(1)
			f.append("s", "x", typ, 1)
		}
		check := func(b edda.LiveBatch) {
			t.Helper()
			for _, m := range b.Messages {
				if got := fmt.Sprint(string(m.Message.Payload), m.Message.Headers.Get("seen"), m.Message.Shard, m.Message.Stream); got != "Xayloadyesxs" {
					t.Errorf("got %s", got)
				}
			}
		}
		synctest.Wait()
		if asked != 6 {
			t.Errorf("the filter was asked %d times for 6 messages", asked)
		}
		check(one.take(9, "s/x/0", "s/x/3", "s/x/4", "s/x/5"))
		check(two.take(9, "s/x/0", "s/x/3", "s/x/4", "s/x/5"))
		check(subscribe(t, h, channel(1, "s"), edda.Subscribe{Channel: "c", From: from}).take(9, "s/x/0", "s/x/3", "s/x/4", "s/x/5"))
		list, _, err := h.History(t.Context(), channel(1, "s"), "", 9)
		if err != nil {
			t.Fatal(err)
		}
		check(edda.LiveBatch{Messages: list})
		// What is stored is as it was, and a stream has no filter.
		b := subscribe(t, h, stream("s"), edda.Subscribe{From: edda.FromStart}).take(1, "s/x/0")
		if string(b.Messages[0].Message.Payload) != "payload" || b.Messages[0].Message.Type != "a" {
			t.Errorf("the stored message is now %+v", b.Messages[0].Message)
		}
		if n := h.Stats().Withheld; n < 2 {
			t.Errorf("%d withheld", n)
		}
	})
}

func TestPresence(t *testing.T) {
	var news []string
	o := live.Options{
		Joined: func(ns, ch string, p edda.Presence) {
			news = append(news, fmt.Sprintf("%s/%s +%s", ns, ch, p.Principal))
		},
		Left: func(ns, ch string, p edda.Presence) {
			news = append(news, fmt.Sprintf("%s/%s -%s", ns, ch, p.Principal))
			panic("a defect")
		},
	}
	bubble(t, "", o, func(s *stage) {
		t, _, h := s.T, s.f, s.h
		c := channel(1, "own")
		var heard []string
		who := func() (names []string) {
			for _, p := range h.Presence("default", "c") {
				names = append(names, string(p.Principal))
			}
			return names
		}
		if got := who(); got != nil {
			t.Errorf("present at nothing: %q", got)
		}
		zoe := subscribe(t, h, c, edda.Subscribe{Channel: "c", Principal: "zoe", Presence: func(p edda.Presence, joined bool) {
			heard = append(heard, fmt.Sprint(p.Principal, joined))
		}})
		ann := subscribe(t, h, c, edda.Subscribe{Channel: "c", Principal: "ann"})
		twice := subscribe(t, h, c, edda.Subscribe{Channel: "c", Principal: "ann"})
		nobody := subscribe(t, h, c, edda.Subscribe{Channel: "c"})
		subscribe(t, h, stream("s"), edda.Subscribe{Principal: "elsewhere"})
		if got := who(); !slices.Equal(got, []string{"ann", "anonymous", "zoe"}) {
			t.Errorf("present: %q", got)
		}
		if n := h.Subscribers("default", "c"); n != 4 {
			t.Errorf("%d subscribers", n)
		}
		ann.Close()
		ann.Close()
		nobody.Close()
		if got := who(); !slices.Equal(got, []string{"ann", "zoe"}) {
			t.Errorf("present: %q", got)
		}
		twice.Close()
		if want := []string{"anntrue", "anonymoustrue", "anonymousfalse", "annfalse"}; !slices.Equal(heard, want) {
			t.Errorf("zoe has heard %q, want %q", heard, want)
		}
		zoe.Close()
		last := subscribe(t, h, c, edda.Subscribe{Channel: "c", Principal: "max"})
		h.Remove("default", "c", true, &edda.Error{Reason: edda.NoChannel})
		synctest.Wait()
		last.Close()
		want := []string{"+zoe", "+ann", "+anonymous", "-anonymous", "-ann", "-zoe", "+max", "-max"}
		for i := range want {
			want[i] = "default/c " + want[i]
		}
		if !slices.Equal(news, want) {
			t.Errorf("the hooks have heard %q, want %q", news, want)
		}
	})
}

func TestHistory(t *testing.T) {
	bubble(t, "", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		c := channel(1, "own", "s a.*")
		if list, next, err := h.History(t.Context(), c, "", 0); err != nil || len(list) != 0 || next == "" {
			t.Errorf("of nothing: %v, %q, %v", ids(list), next, err)
		}
		var want []string
		for i := range 60 {
			f.tick(1)
			f.append("own", "y", "z", 1)
			f.append("s", "x", "a.b", 1)
			f.append("s", "x", "b", 1)
			want = append(want, fmt.Sprint("own/y/", i), fmt.Sprint("s/x/", 2*i))
		}
		slices.Sort(want)
		var got []string
		from := edda.From("")
		for pages := 1; ; pages++ {
			list, next, err := h.History(t.Context(), c, from, 50)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ids(list)...)
			if len(list) < 50 {
				if pages != 3 {
					t.Errorf("120 messages are %d pages", pages)
				}
				break
			}
			if list[49].From != next {
				t.Error("to go on is not where the last message ends")
			}
			from = next
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got %d messages %q, want %q", len(got), got, want)
		}
		list, _, err := h.History(t.Context(), c, "", 0)
		if err != nil || len(list) != 100 {
			t.Errorf("a page has %d messages, %v", len(list), err)
		}
		for _, from := range []edda.From{"7", "pAAAA"} {
			if _, _, err := h.History(t.Context(), c, from, 0); edda.ReasonOf(err) != edda.BadValue {
				t.Errorf("history from %q got %v", from, err)
			}
		}
		if n := h.Stats().Topics; n != 0 {
			t.Errorf("%d topics", n)
		}
	})
}

func TestHistoryOfLargeMessages(t *testing.T) {
	bubble(t, "", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		f.bytes = 1 << 20
		f.append("s", "x", "a", 6)
		var got [][]string
		for from := edda.FromStart; ; {
			list, next, err := h.History(t.Context(), channel(1, "s"), from, 1000)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ids(list))
			if from = next; len(list) == 0 {
				break
			}
		}
		want := [][]string{{"s/x/0", "s/x/1", "s/x/2", "s/x/3"}, {"s/x/4", "s/x/5"}, {}}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("the pages are %q, want %q", got, want)
		}
	})
}

// Who reads the history and goes away does not have all of it read.
func TestHistoryOfWhoGoesAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	o := live.Options{Publish: func(string, string, *edda.StreamMessage) bool { asked++; cancel(); return false }}
	bubble(t, "", o, func(s *stage) {
		for range 1000 {
			s.f.tick(1)
			s.f.append("s", "x", "a", 1)
		}
		if _, _, err := s.h.History(ctx, channel(1, "s"), "", 1); edda.ReasonOf(err) != edda.Timeout {
			s.Errorf("got %v", err)
		}
		if asked > 100 {
			s.Errorf("%d messages were read", asked)
		}
	})
}
