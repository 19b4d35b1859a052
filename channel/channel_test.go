package channel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/channel"
	"github.com/edda-io/edda/node"
)

// bubble runs a subtest with a clock of its own. A goroutine that is left behind fails it.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// floor is a node with a channel.
func floor(t *testing.T) *node.Node {
	t.Helper()
	n, stop := open(edda.ChannelSpec{Name: "floor"})
	t.Cleanup(stop)
	return n
}

func publish(t *testing.T, n *node.Node, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		ack, err := channel.Publish(t.Context(), n, "floor", edda.StreamMessage{Type: "t", Payload: []byte(p)})
		if err != nil || len(ack.Items) != 1 {
			t.Fatalf("publish: %+v, %v", ack, err)
		}
	}
}

// listener listens in a goroutine of its own.
type listener struct {
	heard []string
	err   error
	over  chan struct{}
}

func listen(ctx context.Context, n *node.Node, s edda.Subscribe) *listener {
	l := &listener{over: make(chan struct{})}
	go func() {
		defer close(l.over)
		for m, err := range channel.Subscribe(ctx, n, s) {
			if err != nil {
				l.err = err
				return
			}
			l.heard = append(l.heard, string(m.Message.Payload))
		}
	}()
	synctest.Wait()
	return l
}

// ends returns what was heard, and the error that ended it.
func (l *listener) ends(t *testing.T) (string, error) {
	t.Helper()
	synctest.Wait()
	select {
	case <-l.over:
	default:
		t.Fatal("it has not ended")
	}
	return strings.Join(l.heard, " "), l.err
}

// A loop gets what comes, in order, until its context ends.
func TestSubscribe(t *testing.T) {
	bubble(t, "subscribe", func(t *testing.T) {
		n := floor(t)
		publish(t, n, "before")
		done := errors.New("that will do")
		ctx, cancel := context.WithCancelCause(t.Context())
		var told atomic.Int32
		l := listen(ctx, n, edda.Subscribe{Channel: "floor", Notify: func() { told.Add(1) }})
		var want []string
		for i := range 1000 {
			want = append(want, fmt.Sprint(i))
		}
		publish(t, n, want...)
		synctest.Wait()
		cancel(done)
		got, err := l.ends(t)
		if got != strings.Join(want, " ") || !errors.Is(err, done) {
			t.Errorf("heard %q, %v", got, err)
		}
		if told.Load() == 0 {
			t.Error("the Notify of the subscriber was not called")
		}
		ctx, cancel = context.WithCancelCause(t.Context())
		cancel(done)
		if got, err := listen(ctx, n, edda.Subscribe{Channel: "floor", From: edda.FromStart}).ends(t); !errors.Is(err, done) {
			t.Errorf("with a context that has ended: %q, %v", got, err)
		}
	})
}

// What ends a subscription is the last that the loop gets.
func TestSubscribeEnds(t *testing.T) {
	bubble(t, "ends", func(t *testing.T) {
		n := floor(t)
		ended := func(l *listener, want edda.Reason) {
			t.Helper()
			if got, err := l.ends(t); edda.ReasonOf(err) != want {
				t.Errorf("heard %q, %v, want %s", got, err, want)
			}
		}
		ended(listen(t.Context(), n, edda.Subscribe{Channel: "ceiling"}), edda.NoChannel)
		ended(listen(t.Context(), n, edda.Subscribe{Stream: "orders"}), edda.NoStream)
		ended(listen(t.Context(), n, edda.Subscribe{Channel: "floor", Patterns: []string{"a.:"}}), edda.BadValue)
		l := listen(t.Context(), n, edda.Subscribe{Channel: "floor"})
		publish(t, n, "1")
		if err := n.DeleteChannel(t.Context(), "", "floor"); err != nil {
			t.Fatal(err)
		}
		ended(l, edda.NoChannel)
		if _, err := channel.Publish(t.Context(), n, "floor", edda.StreamMessage{}); edda.ReasonOf(err) != edda.NoChannel {
			t.Errorf("published to a channel that is gone: %v", err)
		}
		if _, _, err := n.SetChannel(t.Context(), edda.ChannelSpec{Name: "floor"}); err != nil {
			t.Fatal(err)
		}
		l = listen(t.Context(), n, edda.Subscribe{Channel: "floor"})
		if err := n.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := l.ends(t); edda.ReasonOf(err) != edda.Unavailable {
			t.Errorf("when the node stops: %v", err)
		}
	})
}
