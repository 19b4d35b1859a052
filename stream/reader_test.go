package stream_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/stream"
)

var ctx = context.Background()

var atEnd = stream.ReaderOptions{StopAtEnd: true}

func TestReaderBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", "0", "1")
		time.Sleep(time.Hour)
		noon := time.Now()
		put(c, "s", "2", "3")
		for _, o := range []struct {
			from edda.From
			want []string
		}{
			{"", numbers(0, 4)},
			{edda.FromStart, numbers(0, 4)},
			{edda.FromOffset(1), numbers(1, 4)},
			{edda.FromTime(noon), numbers(2, 4)},
			{edda.FromEnd, nil},
		} {
			r := c.Reader(atEnd, stream.Source{Stream: "s", From: o.from})
			wantAll(t, all(t, r), o.want...)
			if want := []stream.Source{{Stream: "s", Shard: "default", From: "4"}}; !slices.Equal(r.Positions(), want) {
				t.Errorf("from %q: stands at %v, want %v", o.from, r.Positions(), want)
			}
		}
	})
}

// What comes between the first look at the end and the first message is not missed.
func TestReaderFollowsTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", "old")
		r := c.Reader(stream.ReaderOptions{Batch: 2}, stream.Source{Stream: "s", From: edda.FromEnd})
		got := make(chan []string)
		go func() { got <- take(t, r, 7) }()
		synctest.Wait()
		for _, n := range numbers(0, 7) {
			put(c, "s", n)
			time.Sleep(10 * time.Minute)
		}
		wantAll(t, <-got, numbers(0, 7)...)
		// Nobody has read in the meantime; the place is kept.
		put(c, "s", "7", "8")
		wantAll(t, take(t, r, 2), "7", "8")
	})
}

func TestReaderIsReadInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", numbers(0, 50)...)
		r := c.Reader(stream.ReaderOptions{Batch: 7}, stream.Source{Stream: "s"})
		var got []string
		for n := range 10 {
			got = append(got, take(t, r, 1+n%9)...)
		}
		wantAll(t, got, numbers(0, len(got))...)
		for b, err := range r.Batches(t.Context()) {
			if err != nil || len(b) == 0 || len(b) > 7 {
				t.Fatalf("got a batch of %d, %v", len(b), err)
			}
			got = append(got, string(b[0].Payload))
			if want := numbers(len(got)-1, len(got)); !slices.Equal(want, got[len(got)-1:]) {
				t.Errorf("the batch begins with %s, want %s", b[0].Payload, want)
			}
			break
		}
	})
}

// Sources come and go while others are read, and none loses its place.
func TestSourcesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "a", numbers(0, 30)...)
		put(c, "b", numbers(0, 30)...)
		put(c, "c/red", numbers(0, 30)...)
		o := atEnd
		o.Batch = 4
		r := c.Reader(o, stream.Source{Stream: "a"}, stream.Source{Stream: "b"})
		got := map[string][]string{}
		var back stream.Source
		n := 0
		for m, err := range r.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			name := m.Stream
			got[name] = append(got[name], string(m.Payload))
			switch n++; n {
			case 10:
				if !r.Add(stream.Source{Stream: "c", Shard: "red"}) || r.Add(stream.Source{Stream: "c", Shard: "red"}) {
					t.Error("a source is added once")
				}
			case 20:
				var there bool
				if back, there = r.Remove("a", ""); !there || r.Has("a", "default") {
					t.Error("a was not removed")
				}
				if _, there = r.Remove("a", "default"); there {
					t.Error("a was removed twice")
				}
			case 40:
				r.Add(back)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(got)) {
			wantAll(t, got[name], numbers(0, 30)...)
		}
		if len(got) != 3 {
			t.Errorf("read %v, want a, b and c", slices.Sorted(maps.Keys(got)))
		}
	})
}

// A reader that waits takes what an added source has at once, and ends nothing.
func TestAddWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "b", "b0")
		must2(c.Set(ctx, edda.StreamSpec{Name: "a"}))
		r := c.Reader(stream.ReaderOptions{})
		got := make(chan []string)
		go func() { got <- take(t, r, 3) }()
		synctest.Wait()
		r.Add(stream.Source{Stream: "a"})
		synctest.Wait()
		r.Add(stream.Source{Stream: "b"})
		synctest.Wait()
		put(c, "a", "a0")
		synctest.Wait()
		if _, there := r.Remove("a", ""); !there {
			t.Error("a is not there")
		}
		put(c, "a", "a1") // nobody asks
		synctest.Wait()
		put(c, "b", "b1")
		wantAll(t, <-got, "b0", "a0", "b1")
	})
}

// Positions go anywhere, and another reader goes on there.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		var want []string
		for _, name := range []string{"a", "b"} {
			for _, n := range numbers(0, 40) {
				put(c, name, name+n)
				want = append(want, name+n)
			}
		}
		sources := []stream.Source{{Stream: "a"}, {Stream: "b"}}
		var got []string
		for len(got) < 80 {
			r := c.Reader(stream.ReaderOptions{Batch: 3}, sources...)
			got = append(got, take(t, r, 8)...)
			sources = r.Positions()
		}
		slices.SortStableFunc(got, func(x, y string) int { return strings.Compare(x[:1], y[:1]) })
		wantAll(t, got, want...)
		wantAll(t, all(t, c.Reader(atEnd, sources...)))
	})
}

func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", numbers(0, 10)...)
		r := c.Reader(atEnd, stream.Source{Stream: "s"})
		var got []string
		failed := errors.New("not this one")
		failing := true
		f := func(m *edda.StreamMessage) error {
			if failing && string(m.Payload) == "5" {
				return failed
			}
			got = append(got, string(m.Payload))
			return nil
		}
		if err := r.Each(t.Context(), f); err != failed { //nolint:errorlint // it comes as it is
			t.Errorf("got %v, want what the function returned", err)
		}
		if p := r.Positions()[0]; p.From != "5" {
			t.Errorf("stands at %s, want 5, which is not done with", p.From)
		}
		failing = false
		if err := r.Each(t.Context(), f); err != nil {
			t.Error(err)
		}
		wantAll(t, got, numbers(0, 10)...)
	})
}

// The node is away for an hour, in the middle of everything.
func TestReaderOutlivesTheNode(t *testing.T) {
	for _, reason := range []edda.Reason{edda.Unavailable, edda.Draining, edda.OutcomeUnknown, edda.Overloaded} {
		bubble(t, string(reason), func(t *testing.T) {
			f := start(t)
			c := stream.NewClient(f)
			put(c, "s", "0", "1")
			r := c.Reader(stream.ReaderOptions{Cursor: "here"}, stream.Source{Stream: "s"})
			got := make(chan []string)
			f.failWith(func(string) error { return &edda.Error{Reason: reason} })
			go func() { got <- take(t, r, 5) }()
			time.Sleep(time.Hour)
			f.failWith(nil)
			time.Sleep(time.Minute)
			f.failWith(func(string) error { return &edda.Error{Reason: reason} })
			time.Sleep(time.Hour)
			if asked := f.called("ReadStream"); asked > 2000 {
				t.Errorf("the node was asked %d times in an hour it was away", asked)
			}
			f.failWith(nil)
			put(c, "s", "2", "3", "4")
			wantAll(t, <-got, numbers(0, 5)...)
		})
	}
}

// What cannot go on is told as the last pair, and can be mended.
func TestReaderFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", "0", "1", "2")
		r := c.Reader(atEnd, stream.Source{Stream: "s"}, stream.Source{Stream: "not-there"})
		var got []string
		var failed error
		for m, err := range r.Messages(t.Context()) {
			if failed != nil {
				t.Error("something came after the error")
			}
			if failed = err; err == nil {
				got = append(got, string(m.Payload))
			} else if m != nil {
				t.Error("a message came with the error")
			}
		}
		wantReason(t, failed, edda.NoStream)
		put(c, "not-there", "x")
		wantAll(t, slices.Sorted(slices.Values(append(got, all(t, r)...))), "0", "1", "2", "x")
	})
}

func TestReaderEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", "0")
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(enough) })
		n := 0
		for _, err := range c.Reader(stream.ReaderOptions{}, stream.Source{Stream: "s"}).Messages(ctx) {
			if n++; n == 2 && !errors.Is(err, enough) {
				t.Errorf("got %v, want why the context ended", err)
			}
		}
		if n != 2 {
			t.Errorf("got %d pairs, want a message and an error", n)
		}
	})
}

func TestOneReadsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", "0")
		r := c.Reader(stream.ReaderOptions{}, stream.Source{Stream: "s"})
		for range r.Messages(t.Context()) {
			wantReason(t, r.Each(t.Context(), nil), edda.Conflict)
			break
		}
		// A panic in the loop leaves nothing behind either.
		func() {
			defer func() { _ = recover() }()
			put(c, "s", "1")
			for range r.Messages(t.Context()) {
				panic("oops")
			}
		}()
		put(c, "s", "2")
		wantAll(t, take(t, r, 1), "2")
	})
}

// What was trimmed away under a reader is told, not passed over in silence.
func TestReaderIsTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", numbers(0, 10)...)
		type loss struct {
			from  stream.Source
			first uint64
		}
		var lost []loss
		o := stream.ReaderOptions{StopAtEnd: true, Batch: 1, OnTrimmed: func(s stream.Source, first uint64) { lost = append(lost, loss{s, first}) }}
		r := c.Reader(o, stream.Source{Stream: "s"})
		wantAll(t, take(t, r, 2), "0", "1")
		must(c.Trim(ctx, "s", "", edda.FromOffset(5)))
		wantAll(t, take(t, r, 1), "5")
		must(c.Trim(ctx, "s", "", edda.FromOffset(10))) // all of it
		wantAll(t, all(t, r))
		want := []loss{{stream.Source{Stream: "s", Shard: "default", From: "2"}, 5}, {stream.Source{Stream: "s", Shard: "default", From: "6"}, 10}}
		if !slices.Equal(lost, want) {
			t.Errorf("got %v, want %v", lost, want)
		}
	})
}

func TestStreamIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		put(c, "s", numbers(0, 10)...)
		r := c.Reader(stream.ReaderOptions{}, stream.Source{Stream: "s"})
		failed := make(chan error)
		go func() { failed <- r.Each(t.Context(), func(*edda.StreamMessage) error { return nil }) }()
		synctest.Wait()
		f.failWith(func(string) error { return &edda.Error{Reason: edda.Unavailable} })
		time.Sleep(time.Minute)
		f.failWith(nil)
		if err := c.Delete(ctx, "s"); err != nil {
			t.Fatal(err)
		}
		put(c, "s", "new")
		if err := <-failed; edda.ReasonOf(err) != edda.Conflict || !strings.Contains(err.Error(), "made again") {
			t.Errorf("got %v, want that it is another stream", err)
		}
	})
}

func TestSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s/red", "1", "2")
		put(c, "s/blue", "3", "4")
		sources := must(c.Sources(ctx, "s", edda.FromOffset(1)))
		wantAll(t, slices.Sorted(slices.Values(all(t, c.Reader(atEnd, sources...)))), "2", "4")
		if want := (stream.Source{Stream: "s", Shard: "blue", From: "1"}); sources[0] != want {
			t.Errorf("the first source is %+v, want %+v", sources[0], want)
		}
		_, err := c.Sources(ctx, "not-there", "")
		wantReason(t, err, edda.NoStream)
	})
}

// Where the end was is known before anything came: an interruption makes no difference.
func TestEndIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		put(c, "s", "old")
		r := c.Reader(stream.ReaderOptions{}, stream.Source{Stream: "s", From: edda.FromEnd})
		got := make(chan []string)
		go func() { got <- take(t, r, 2) }()
		synctest.Wait()
		f.failWith(func(op string) error {
			if op == "ReadStream" {
				return &edda.Error{Reason: edda.Unavailable}
			}
			return nil
		})
		time.Sleep(time.Minute)
		put(c, "s", "new", "newer")
		time.Sleep(time.Minute)
		f.failWith(nil)
		wantAll(t, <-got, "new", "newer")
	})
}
