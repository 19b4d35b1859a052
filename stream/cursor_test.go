package stream_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/stream"
)

// kept returns what the group has of a shard.
func kept(c *stream.Client, name, shard string) uint64 {
	return must(c.Group(ctx, name, "here")).Cursor[shard]
}

func TestCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", numbers(0, 10)...)
		put(c, "s/red", numbers(0, 10)...)
		o := stream.ReaderOptions{StopAtEnd: true, Cursor: "here", Batch: 3}
		red, all10 := stream.Source{Stream: "s", Shard: "red", From: edda.FromOffset(8)}, stream.Source{Stream: "s"}
		wantAll(t, take(t, c.Reader(o, red), 2), "8", "9")
		if got := kept(c, "s", "red"); got != 9 {
			t.Errorf("the cursor is at %d, want 9: the loop did not come back for more", got)
		}
		// The group is there, for the other shard too.
		put(c, "s", "10")
		if got := len(all(t, c.Reader(o, all10, red))); got != 1+3 {
			t.Errorf("read %d messages, want 9 of red, and 8 to 10 of the other", got)
		}
		wantAll(t, all(t, c.Reader(o, all10, red)))
		must(c.ResetGroup(ctx, "s", "here", "default", edda.FromOffset(7)))
		wantAll(t, all(t, c.Reader(o, all10, red)), numbers(7, 11)...)
	})
}

// Each source of a new cursor begins where it says.
func TestCursorBeginsPerSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", numbers(0, 5)...)
		put(c, "s/red", numbers(0, 5)...)
		put(c, "s/blue", numbers(0, 5)...)
		o := stream.ReaderOptions{StopAtEnd: true, Cursor: "here"}
		r := c.Reader(o, stream.Source{Stream: "s", From: edda.FromEnd}, stream.Source{Stream: "s", Shard: "red", From: "3"})
		r.Add(stream.Source{Stream: "s", Shard: "blue"})
		if got := len(all(t, r)); got != 0+2+5 {
			t.Errorf("read %d messages, want 2 of red and 5 of blue", got)
		}
	})
}

// The cursor is saved every second of reading, while the reader waits too, and no more often.
func TestCursorIsSavedWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		put(c, "s", numbers(0, 100)...)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- c.Reader(stream.ReaderOptions{Cursor: "here"}, stream.Source{Stream: "s"}).Each(ctx, func(*edda.StreamMessage) error {
				time.Sleep(100 * time.Millisecond)
				return nil
			})
		}()
		time.Sleep(5050 * time.Millisecond)
		if got := kept(c, "s", "default"); got < 40 || got > 50 {
			t.Errorf("after 5 s the cursor is at %d, want it at most 1 s behind", got)
		}
		time.Sleep(time.Minute)
		if got := kept(c, "s", "default"); got != 100 {
			t.Errorf("while it waits the cursor is at %d, want 100", got)
		}
		if n := f.called("ResetGroup"); n > 12 {
			t.Errorf("it was saved %d times in 10 s, want one a second", n)
		}
		cancel()
		<-done
	})
}

// A message over which the loop ends is not done with, unless Save says so.
func TestCursorAndBreak(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(r *stream.Reader)
		want uint64
	}{
		{"break", func(r *stream.Reader) {
			for m := range r.Messages(ctx) {
				if string(m.Payload) == "4" {
					break
				}
			}
		}, 4},
		{"panic", func(r *stream.Reader) {
			defer func() { _ = recover() }()
			for m := range r.Messages(ctx) {
				if string(m.Payload) == "4" {
					panic("oops")
				}
			}
		}, 4},
		{"save", func(r *stream.Reader) {
			for m := range r.Messages(ctx) {
				if string(m.Payload) == "4" {
					if err := r.Save(ctx); err != nil {
						panic(err)
					}
					break
				}
			}
		}, 5},
		{"batches", func(r *stream.Reader) {
			n := 0
			for range r.Batches(ctx) {
				if n++; n == 2 {
					break
				}
			}
		}, 3},
		{"removed", func(r *stream.Reader) {
			for m := range r.Messages(ctx) {
				if string(m.Payload) == "4" {
					r.Remove("s", "")
				}
			}
		}, 5},
		{"removed and added", func(r *stream.Reader) {
			for m := range r.Messages(ctx) {
				if string(m.Payload) == "4" {
					if s, _ := r.Remove("s", ""); s.From != "5" {
						panic("it would go on at " + s.From)
					}
				}
			}
			r.Add(stream.Source{Stream: "s"})
			for m := range r.Messages(ctx) {
				if string(m.Payload) == "6" {
					break
				}
			}
		}, 6},
	} {
		bubble(t, c.name, func(t *testing.T) {
			client := stream.NewClient(start(t))
			put(client, "s", numbers(0, 10)...)
			c.end(client.Reader(stream.ReaderOptions{Cursor: "here", Batch: 3, StopAtEnd: true}, stream.Source{Stream: "s"}))
			if got := kept(client, "s", "default"); got != c.want {
				t.Errorf("the cursor is at %d, want %d", got, c.want)
			}
		})
	}
}

func TestSaveByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", numbers(0, 10)...)
		r := c.Reader(stream.ReaderOptions{Cursor: "here", SaveEvery: -1, StopAtEnd: true}, stream.Source{Stream: "s"})
		all(t, r)
		if got := kept(c, "s", "default"); got != 0 {
			t.Errorf("the cursor is at %d, want 0 until it is saved", got)
		}
		if err := r.Save(ctx); err != nil || kept(c, "s", "default") != 10 {
			t.Errorf("the cursor is at %d, %v, want 10", kept(c, "s", "default"), err)
		}
		wantReason(t, c.Reader(atEnd).Save(ctx), edda.BadValue)
	})
}

// A cursor that cannot be kept any more ends the reader; one that cannot be for now does not.
func TestCursorFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		put(c, "s", numbers(0, 3)...)
		r := c.Reader(stream.ReaderOptions{Cursor: "here"}, stream.Source{Stream: "s"})
		failed := make(chan error)
		go func() { failed <- r.Each(t.Context(), func(*edda.StreamMessage) error { return nil }) }()
		synctest.Wait()
		f.failWith(func(op string) error {
			if op == "ResetGroup" {
				return &edda.Error{Reason: edda.Unavailable}
			}
			return nil
		})
		time.Sleep(time.Minute)
		f.failWith(nil)
		time.Sleep(time.Minute)
		if got := kept(c, "s", "default"); got != 3 {
			t.Errorf("the cursor is at %d, want 3", got)
		}
		if err := c.DeleteGroup(ctx, "s", "here"); err != nil {
			t.Fatal(err)
		}
		put(c, "s", "3")
		wantReason(t, <-failed, edda.NoGroup)
	})
}
