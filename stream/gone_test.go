package stream_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/stream"
)

// many appends n messages, each with a key of its own, in batches.
func many(c *stream.Client, name string, n int) {
	var messages []edda.StreamMessage
	for i := range n {
		messages = append(messages, edda.StreamMessage{ID: fmt.Sprint(i), Key: fmt.Sprint(i)})
	}
	must(c.Writer(name, stream.WriterOptions{}).Append(ctx, messages...))
}

// Of what is trimmed under a group, it handles what it has taken in, and goes on with
// the first message kept.
func TestTrimmedUnderAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var mu sync.Mutex
		var handled []uint64
		c := stream.NewConsumer("s", "g")
		c.Concurrency = 1
		c.On("message", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			<-gate
			mu.Lock()
			defer mu.Unlock()
			handled = append(handled, ctx.Delivery().Offset)
			return nil, nil
		})
		client, f := host(t, c)
		many(client, "s", 10_000)
		must(client.Trim(ctx, "s", "", edda.FromOffset(9_000)))
		close(gate)
		f.Settle(time.Hour)
		slices.Sort(handled)
		if n := len(handled); n < 1000 || n > 6000 || handled[n-1000] != 9000 || len(slices.Compact(handled)) != n {
			t.Errorf("%d messages were handled, want those of the window and the last 1,000", n)
		}
		if g := must(client.Group(ctx, "s", "g")); g.Lag != 0 || g.Cursor["default"] != 10_000 {
			t.Errorf("the group lags by %d, at %v", g.Lag, g.Cursor)
		}
	})
}

// What is retained by number goes in the same way.
func TestRetainedUnderAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		must2(c.Set(ctx, edda.StreamSpec{Name: "s", Retention: edda.Retention{Count: 10}}))
		var lost []string
		o := stream.ReaderOptions{StopAtEnd: true, OnTrimmed: func(s stream.Source, first uint64) {
			lost = append(lost, fmt.Sprint(s.From, " to ", first))
		}}
		r := c.Reader(o, stream.Source{Stream: "s"})
		put(c, "s", numbers(0, 5)...)
		wantAll(t, all(t, r), numbers(0, 5)...)
		put(c, "s", numbers(5, 30)...)
		wantAll(t, all(t, r), numbers(20, 30)...)
		wantAll(t, lost, "5 to 20")
	})
}

// A stream that is deleted takes its handlers' outcomes with it, but not its dead letters.
func TestDeletedUnderAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began atomic.Int32
		gate := make(chan struct{})
		c := stream.NewConsumer("s", "g")
		c.Group.Retry = edda.RetryPolicy{Max: 1}
		c.To.Name = "answers"
		c.On("message", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			if ctx.Key() == "0" {
				return nil, edda.Final("NO", "never")
			}
			began.Add(1)
			select {
			case <-gate:
			case <-ctx.Done():
			}
			return nil, nil
		})
		client, f := host(t, c)
		many(client, "s", 4)
		synctest.Wait()
		if err := client.Delete(ctx, "s"); err != nil {
			t.Fatal(err)
		}
		close(gate)
		f.Settle(time.Hour)
		if began.Load() != 3 || len(f.DeadLetters()) != 1 {
			t.Errorf("%d handlers began and %d messages died, want 3 and 1", began.Load(), len(f.DeadLetters()))
		}
		if _, err := client.Stream(ctx, "answers"); edda.ReasonOf(err) != edda.NoStream {
			t.Errorf("somebody was answered: %v", err)
		}
		if _, err := client.Group(ctx, "s", "g"); edda.ReasonOf(err) != edda.NoStream && edda.ReasonOf(err) != edda.NoGroup {
			t.Errorf("the group is there: %v", err)
		}
	})
}

// A group that is set back handles what it has handled, again.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled atomic.Int32
		c := stream.NewConsumer("s", "g")
		c.On("message", func(*edda.Context, *edda.Message) (*edda.Reply, error) {
			handled.Add(1)
			return nil, nil
		})
		client, f := host(t, c)
		many(client, "s", 10)
		f.Settle(time.Minute)
		for _, to := range []struct {
			from edda.From
			want int32
		}{{edda.FromOffset(7), 13}, {edda.FromStart, 23}, {edda.FromEnd, 23}} {
			must(client.ResetGroup(ctx, "s", "g", "", to.from))
			f.Settle(time.Minute)
			if n := handled.Load(); n != to.want {
				t.Errorf("after it was set to %s, %d messages were handled, want %d", to.from, n, to.want)
			}
		}
	})
}

// A stream that is made anew has no groups. Whoever consumes it goes on once there is
// its group again.
func TestGroupIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled atomic.Int32
		c := stream.NewConsumer("s", "g")
		c.On("message", func(*edda.Context, *edda.Message) (*edda.Reply, error) {
			handled.Add(1)
			return nil, nil
		})
		client, f := host(t, c)
		many(client, "s", 10)
		f.Settle(time.Minute)
		if err := client.Delete(ctx, "s"); err != nil {
			t.Fatal(err)
		}
		many(client, "s", 10)
		_, err := client.Group(ctx, "s", "g")
		wantReason(t, err, edda.NoGroup)
		must2(client.SetGroup(ctx, edda.GroupSpec{Stream: "s", Name: "g", From: edda.FromStart}))
		f.Settle(time.Minute)
		if n := handled.Load(); n != 20 {
			t.Errorf("%d messages were handled, want 20", n)
		}
	})
}
