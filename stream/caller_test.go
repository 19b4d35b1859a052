package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/stream"
)

// answer appends a reply to every message of a stream, as f says, until the test ends.
func answer(t *testing.T, f *faulty, name string, reply func(m *edda.StreamMessage) edda.StreamMessage) {
	t.Helper()
	c := stream.NewClient(f)
	must2(c.Set(ctx, edda.StreamSpec{Name: name}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Reader(stream.ReaderOptions{}, stream.Source{Stream: name}).Each(ctx, func(m *edda.StreamMessage) error {
			r := reply(m)
			r.ID = m.ID
			_, err := f.Append(ctx, &edda.Append{Namespace: m.ReplyTo.Namespace, Stream: m.ReplyTo.Name, Shard: m.ReplyTo.Key, Messages: []edda.StreamMessage{r}})
			return err
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func echo(m *edda.StreamMessage) edda.StreamMessage {
	return edda.StreamMessage{Type: stream.TypeReply, Payload: m.Payload}
}

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		answer(t, f, "echo", echo)
		caller := c.Caller("echo", stream.CallerOptions{Source: "me"})
		type hello struct{ Name string }
		if got, err := stream.Call[hello](t.Context(), caller, "greet", hello{"Ada"}); err != nil || got.Name != "Ada" {
			t.Errorf("got %v, %v", got, err)
		}
		m := &read(c, "echo", "")[0]
		if m.Type != "greet" || m.ContentType != "application/json" || m.Source != "me" || m.ReplyTo != (edda.Address{Name: "echo.replies"}) {
			t.Errorf("the call was %+v", m)
		}
		s := must(c.Stream(ctx, "echo.replies"))
		if s.Retention.Age != stream.DefaultKeepReplies {
			t.Errorf("replies are kept for %v, want an hour", s.Retention.Age)
		}
		// The same id again is the same call.
		for range 2 {
			r, err := caller.Call(t.Context(), edda.StreamMessage{ID: "one", Payload: []byte("x")})
			if err != nil || string(r.Payload) != "x" || r.Stream != "echo.replies" {
				t.Errorf("got %+v, %v", r, err)
			}
		}
		if got := len(read(c, "echo", "")); got != 2 {
			t.Errorf("%d messages were appended, want 2", got)
		}
		_, err := c.Caller("", stream.CallerOptions{}).Call(t.Context(), edda.StreamMessage{})
		if edda.ReasonOf(err) != edda.BadName || !strings.Contains(err.Error(), "stream is empty") {
			t.Errorf("calling nobody: got %v", err)
		}
		_, err = stream.Call[hello](t.Context(), caller, "greet", make(chan int))
		wantReason(t, err, edda.BadJSON)
		_, err = stream.Call[int](t.Context(), caller, "greet", "no int")
		wantReason(t, err, edda.BadJSON)
	})
}

// An answer that was there before anybody waited for it is found.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		caller := c.Caller("s", stream.CallerOptions{ReplyTo: edda.Address{Name: "answers", Key: "mine"}})
		put(c, "answers", "other")
		must(c.Writer("answers", stream.WriterOptions{Shard: "mine"}).Append(ctx, edda.StreamMessage{ID: "early", Payload: []byte("bird")}))
		if m, err := caller.Await(t.Context(), "early"); err != nil || string(m.Payload) != "bird" {
			t.Errorf("got %+v, %v", m, err)
		}
		// What exists is left as it is.
		if s := must(c.Stream(ctx, "answers")); s.Retention.Age != 0 {
			t.Error("the stream of replies was changed")
		}
	})
}

func TestCallTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		begin := time.Now()
		_, err := c.Caller("s", stream.CallerOptions{}).Call(t.Context(), edda.StreamMessage{ID: "m1"})
		if edda.ReasonOf(err) != edda.Timeout || !strings.Contains(err.Error(), "no reply came to s.replies within 3s") || !strings.Contains(err.Error(), "m1") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("it took %v, want 3s", took)
		}
		caller := c.Caller("s", stream.CallerOptions{Timeout: time.Hour})
		enough := errors.New("enough")
		for _, end := range []func(func(error)){
			func(cancel func(error)) { cancel(enough) },
			func(cancel func(error)) { time.AfterFunc(time.Minute, func() { cancel(enough) }) },
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			end(cancel)
			if _, err = caller.Call(ctx, edda.StreamMessage{}); edda.ReasonOf(err) != edda.Timeout || !errors.Is(err, enough) {
				t.Errorf("got %v, want TIMEOUT because of the context", err)
			}
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, err = caller.Call(ctx, edda.StreamMessage{})
		wantReason(t, err, edda.Timeout)
	})
}

func TestCancelCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller := stream.NewClient(start(t)).Caller("s", stream.CallerOptions{Timeout: time.Hour})
		ended := make(chan error)
		for i := range 3 {
			for range 2 { // two wait for each
				go func() {
					_, err := caller.Call(t.Context(), edda.StreamMessage{ID: fmt.Sprint("m", i)})
					ended <- err
				}()
			}
		}
		synctest.Wait()
		if !caller.Cancel("m1") || caller.Cancel("m1") || caller.Cancel("m7") {
			t.Error("m1 can be cancelled once, and m7 not at all")
		}
		for range 2 {
			if err := <-ended; edda.ReasonOf(err) != edda.Cancelled || !strings.Contains(err.Error(), "m1") {
				t.Errorf("got %v, want CANCELLED for m1", err)
			}
		}
		if n := caller.CancelAll(); n != 4 {
			t.Errorf("cancelled %d calls, want the 4 others", n)
		}
		for range 4 {
			wantReason(t, <-ended, edda.Cancelled)
		}
		if n := caller.CancelAll(); n != 0 {
			t.Errorf("cancelled %d calls, want none", n)
		}
	})
}

func TestErrorReplies(t *testing.T) {
	for _, c := range []struct {
		payload string
		want    edda.Reason
		reason  string
		message string
	}{
		{`{"reason":"NO_FUNDS","message":"the account is empty"}`, edda.Failed, "NO_FUNDS", "the account is empty"},
		{`{"reason":"FAILED","message":"NO_FUNDS: the account is empty"}`, edda.Failed, "NO_FUNDS", "the account is empty"},
		{`{"reason":"DEAD","message":"oops: no"}`, edda.Dead, "", "oops: no"},
		{`{"reason":"INTERNAL","message":"oops"}`, edda.Internal, "", "oops"},
		{`whatever`, edda.Failed, "", "whatever"},
	} {
		bubble(t, c.payload, func(t *testing.T) {
			f := start(t)
			answer(t, f, "s", func(*edda.StreamMessage) edda.StreamMessage {
				return edda.StreamMessage{Type: stream.TypeError, Payload: []byte(c.payload)}
			})
			_, err := stream.NewClient(f).Caller("s", stream.CallerOptions{}).Call(t.Context(), edda.StreamMessage{})
			wantReason(t, err, c.want)
			h, ok := errors.AsType[*edda.HandlerError](err)
			if !ok || h.Reason != c.reason || h.Message != c.message || !h.Final {
				t.Errorf("got %+v", h)
			}
		})
	}
}

// The node is away now and then, and the stream of replies is deleted.
func TestCallOutlivesTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		c := stream.NewClient(f)
		gate := make(chan struct{})
		answer(t, f, "s", func(m *edda.StreamMessage) edda.StreamMessage {
			<-gate
			return echo(m)
		})
		caller := c.Caller("s", stream.CallerOptions{Timeout: time.Minute})
		got := make(chan error)
		call := func() {
			_, err := caller.Call(t.Context(), edda.StreamMessage{})
			got <- err
		}
		go call()
		synctest.Wait()
		if err := c.Delete(ctx, "s.replies"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		f.failWith(func(op string) error {
			if op == "AwaitMessage" {
				return &edda.Error{Reason: edda.Unavailable}
			}
			return nil
		})
		time.Sleep(10 * time.Second)
		f.failWith(nil)
		close(gate)
		if err := <-got; err != nil {
			t.Error(err)
		}
		f.failWith(func(op string) error {
			if op == "Append" {
				return &edda.Error{Reason: edda.Unavailable}
			}
			return nil
		})
		go call()
		wantReason(t, <-got, edda.Unavailable) // nothing was stored, and that is known
		f.failWith(func(string) error { return &edda.Error{Reason: edda.NotAllowed} })
		go call()
		wantReason(t, <-got, edda.NotAllowed)
	})
}

func TestThousandsOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		answer(t, f, "s", echo)
		caller := stream.NewClient(f).Caller("s", stream.CallerOptions{Timeout: time.Hour})
		var wrong atomic.Int32
		var calls sync.WaitGroup
		for i := range 1000 {
			calls.Go(func() {
				if got, err := stream.Call[int](t.Context(), caller, "n", i); err != nil || got != i {
					wrong.Add(1)
				}
			})
		}
		calls.Wait()
		if n := wrong.Load(); n > 0 {
			t.Errorf("%d calls got a wrong answer", n)
		}
		if n := caller.CancelAll(); n != 0 {
			t.Errorf("%d calls are still known", n)
		}
	})
}
