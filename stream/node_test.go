package stream_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddatest"
	"github.com/edda-io/edda/stream"
)

// host starts a node with the consumers, and returns a client of it and the node.
func host(t *testing.T, consumers ...*stream.Consumer) (*stream.Client, *faulty) {
	t.Helper()
	var services []*edda.Service
	for _, c := range consumers {
		services = append(services, must(c.Service()))
	}
	f := start(t, services...)
	return stream.NewClient(f), f
}

// fast is a policy whose attempts come soon after each other.
var fast = edda.RetryPolicy{Max: 3, Delay: time.Millisecond, Jitter: -1}

// Whatever handlers do, a thousand times each, the consumer goes on.
func TestNothingStopsAConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const times = 1000
		c := stream.NewConsumer("s", "g")
		c.Group.Retry, c.Group.ProcessingTimeout, c.Concurrency = fast, time.Second, 50
		var handled atomic.Int32
		stream.Handle(c, "throws", func(*edda.Context, stream.None) (int, error) { return 0, errors.New("oops") })
		stream.Handle(c, "panics", func(*edda.Context, stream.None) (int, error) { panic("oops") })
		c.On("nothing", func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, nil })
		c.On("never", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		stream.Handle(c, "good", func(_ *edda.Context, n int) (int, error) {
			handled.Add(1)
			return n, nil
		})
		client, f := host(t, c)
		w := client.Writer("s", stream.WriterOptions{ReplyTo: edda.Address{Name: "answers"}})
		var messages []edda.StreamMessage
		for i := range times {
			for _, kind := range []string{"throws", "panics", "nothing", "never", "strange", "good"} {
				messages = append(messages, edda.StreamMessage{ID: fmt.Sprint(kind, i), Type: kind, Key: fmt.Sprint(i % 100), Payload: []byte("1")})
			}
		}
		must(w.Append(ctx, messages...))
		f.Settle(24 * time.Hour)
		if handled.Load() != times {
			t.Errorf("%d of %d good messages were handled", handled.Load(), times)
		}
		got := map[string]int{}
		for m, err := range client.Reader(atEnd, stream.Source{Stream: "answers"}).Messages(ctx) {
			kind := strings.TrimRight(must(m, err).ID, "0123456789")
			got[kind+" "+m.Type]++
		}
		want := map[string]int{"throws error": times, "panics error": times, "nothing reply": times, "never error": times, "good reply": times}
		for kind := range want {
			if got[kind] != want[kind] {
				t.Errorf("got %d times %s, want %d", got[kind], kind, want[kind])
			}
		}
		if len(got) != len(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		g := must(client.Group(ctx, "s", "g"))
		if g.Lag != 0 || g.Cursor["default"] != 6*times {
			t.Errorf("the group lags by %d, at %v, want it done with all", g.Lag, g.Cursor)
		}
	})
}

// A message that nobody knows dies, and whoever waits for an answer learns why.
func TestUnknownTypeDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewConsumer("s", "g")
		c.Unknown = stream.DeadLetter
		client, f := host(t, c)
		_, err := stream.Call[int](ctx, client.Caller("s", stream.CallerOptions{}), "strange", 1)
		wantReason(t, err, edda.Failed)
		if h, ok := errors.AsType[*edda.HandlerError](err); !ok || h.Reason != string(edda.NoMethod) {
			t.Errorf("got %v, want NO_METHOD", err)
		}
		letters := f.DeadLetters()
		if len(letters) != 1 || letters[0].Service != "s/g" || letters[0].Reason != edda.Failed || letters[0].Method != "strange" {
			t.Errorf("got letters %+v", letters)
		}
		c.On("strange", func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, nil })
		if _, err := stream.Call[int](ctx, client.Caller("s", stream.CallerOptions{}), "strange", 1); err != nil {
			t.Errorf("with a handler that came later: %v", err)
		}
		c.Off("strange")
		_, err = stream.Call[int](ctx, client.Caller("s", stream.CallerOptions{}), "strange", 1)
		wantReason(t, err, edda.Failed)
	})
}

// Reply, state and acknowledgement are one: an attempt that fails leaves nothing.
func TestOneOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewConsumer("s", "g")
		c.Group.Retry = fast
		c.Group.Retry.Max = -1
		var attempts atomic.Int32
		stream.Handle(c, "add", func(ctx *edda.Context, n int) (int, error) {
			sum, _, err := edda.Get[int](ctx, "sum")
			if err != nil {
				return 0, err
			}
			if err := edda.Set(ctx, "sum", sum+n); err != nil {
				return 0, err
			}
			err = ctx.Append(&edda.Append{Stream: "journal", Messages: []edda.StreamMessage{{Key: ctx.Key(), Payload: fmt.Append(nil, sum+n)}}})
			if err != nil {
				return 0, err
			}
			if attempts.Add(1)%3 != 0 {
				return 0, errors.New("not yet")
			}
			return sum + n, nil
		})
		client, f := host(t, c)
		caller := client.Caller("s", stream.CallerOptions{Timeout: time.Hour})
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				if _, err := caller.Call(ctx, edda.StreamMessage{Type: "add", Key: "k", Payload: []byte("2")}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		f.Settle(time.Hour)
		var want []string
		for i := range 30 {
			want = append(want, fmt.Sprint(2*(i+1)))
		}
		wantAll(t, all(t, client.Reader(atEnd, stream.Source{Stream: "journal"})), want...)
		if n := len(read(client, "s.replies", "")); n != 30 {
			t.Errorf("there are %d replies, want 30", n)
		}
	})
}

// The order of a key is kept through a pipe whose transform fails half of the time, and
// each message comes out once.
func TestPipeIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int32
		p := stream.NewPipe("in", "g", "out", func(_ *edda.Context, m *edda.StreamMessage) (*edda.StreamMessage, error) {
			if attempts.Add(1)%2 == 0 {
				return nil, errors.New("not yet")
			}
			m.Type = "piped"
			return m, nil
		})
		p.Group.Retry = edda.RetryPolicy{Max: -1, Delay: time.Millisecond, Jitter: -1}
		f := start(t, must(p.Service()))
		client := stream.NewClient(f)
		for i := range 300 {
			w := client.Writer("in", stream.WriterOptions{Shard: []string{"", "red"}[i%2]})
			text := fmt.Sprintf("%03d", i)
			must(w.Append(ctx, edda.StreamMessage{ID: "m" + text, Key: fmt.Sprint(i % 7), Payload: []byte(text)}))
		}
		f.Settle(time.Hour)
		got := map[string][]string{}
		r := client.Reader(atEnd, stream.Source{Stream: "out"}, stream.Source{Stream: "out", Shard: "red"})
		for m, err := range r.Messages(ctx) {
			if must(m, err).Type != "piped" || m.ID != "m"+string(m.Payload) {
				t.Errorf("got %+v", m)
			}
			got[m.Shard+m.Key] = append(got[m.Shard+m.Key], string(m.Payload))
		}
		n := 0
		for key, payloads := range got {
			n += len(payloads)
			if !slices.IsSorted(payloads) || len(slices.Compact(slices.Clone(payloads))) != len(payloads) {
				t.Errorf("key %s is out of order, or twice: %q", key, payloads)
			}
		}
		if n != 300 {
			t.Errorf("%d messages came out, want 300", n)
		}
	})
}

// A cursor group without members takes no harm of waiting, and does none.
func TestCursorOverDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		o := stream.ReaderOptions{StopAtEnd: true, Cursor: "here"}
		want := 0
		for day := range 5 {
			put(c, "s", numbers(0, 1000)...)
			if day%2 == 0 {
				want = 1000 * (day + 1)
				all(t, c.Reader(o, stream.Source{Stream: "s"}))
			}
			time.Sleep(24 * time.Hour)
			if got := kept(c, "s", "default"); got != uint64(want) {
				t.Errorf("on day %d the cursor is at %d, want %d", day, got, want)
			}
		}
		if letters := f.DeadLetters(); len(letters) > 0 {
			t.Errorf("%d messages died of a cursor", len(letters))
		}
	})
}

// A stream that is deleted under a reader is told.
func TestDeletedUnderAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewClient(start(t))
		put(c, "s", "0")
		failed := make(chan error)
		go func() {
			failed <- c.Reader(stream.ReaderOptions{}, stream.Source{Stream: "s"}).Each(t.Context(), func(*edda.StreamMessage) error { return nil })
		}()
		synctest.Wait()
		if err := c.Delete(ctx, "s"); err != nil {
			t.Fatal(err)
		}
		wantReason(t, <-failed, edda.NoStream)
	})
}

// Many wait for many answers at a time, and nothing of them is left.
func TestManyCallsOfAConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewConsumer("s", "g")
		stream.Handle(c, "double", func(_ *edda.Context, n int) (int, error) { return 2 * n, nil })
		client, _ := host(t, c)
		caller := client.Caller("s", stream.CallerOptions{Timeout: time.Hour})
		var calls sync.WaitGroup
		for i := range 5000 {
			calls.Go(func() {
				if got, err := stream.Call[int](ctx, caller, "double", i); err != nil || got != 2*i {
					t.Errorf("got %d, %v, want %d", got, err, 2*i)
				}
			})
		}
		calls.Wait()
		if n := caller.CancelAll(); n != 0 {
			t.Errorf("%d calls are still known", n)
		}
	})
}

// Replies find their way between namespaces, and so do errors.
func TestNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stream.NewConsumer("s", "g")
		c.Group.Namespace = "ns"
		stream.Handle(c, "double", func(_ *edda.Context, n int) (int, error) {
			if n < 0 {
				return 0, edda.Final("NEGATIVE", "it is %d", n)
			}
			return 2 * n, nil
		})
		client, _ := host(t, c)
		for _, to := range []edda.Address{{}, {Namespace: "default", Name: "a"}, {Namespace: "other", Name: "a", Key: "red"}} {
			caller := client.In("ns").Caller("s", stream.CallerOptions{ReplyTo: to})
			if got, err := stream.Call[int](ctx, caller, "double", 4); err != nil || got != 8 {
				t.Errorf("replies to %s: got %d, %v", to, got, err)
			}
			_, err := stream.Call[int](ctx, caller, "double", -4)
			if h, ok := errors.AsType[*edda.HandlerError](err); !ok || h.Reason != "NEGATIVE" {
				t.Errorf("errors to %s: got %v", to, err)
			}
		}
	})
}

// The handlers of a consumer are tested alone like those of any service.
func TestConsumerAlone(t *testing.T) {
	s := must(greeter().Service())
	out := eddatest.Invoke(t, s, "hello", "ada", name{"Ada"}, func(d *edda.Dispatch) {
		d.Delivery = &edda.DeliveryRef{Stream: "greetings", Group: "howdy", Shard: "default", ID: "m1"}
	})
	if out.Err != nil {
		t.Error(out.Err)
	}
}
