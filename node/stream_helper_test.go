package node_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// put appends messages with these payloads to a stream, which has to work.
func put(t *testing.T, n *node.Node, stream string, payloads ...string) *edda.AppendAck {
	t.Helper()
	return putAll(t, n, &edda.Append{Stream: stream, Messages: messages(payloads...)})
}

func putAll(t *testing.T, n *node.Node, a *edda.Append) *edda.AppendAck {
	t.Helper()
	ack, err := n.Append(t.Context(), a)
	if err != nil {
		t.Fatalf("append to %s: %v", a.Stream, err)
	}
	if len(ack.Items) != len(a.Messages) {
		t.Fatalf("append to %s: %d of %d messages are acknowledged", a.Stream, len(ack.Items), len(a.Messages))
	}
	return ack
}

// messages are such with a payload each; "id=payload" has an id.
func messages(payloads ...string) (all []edda.StreamMessage) {
	for _, p := range payloads {
		id, payload, given := strings.Cut(p, "=")
		if !given {
			id, payload = "", p
		}
		all = append(all, edda.StreamMessage{ID: id, Type: "t", Payload: []byte(payload)})
	}
	return all
}

// read reads from a stream, which has to work.
func read(t *testing.T, n *node.Node, r edda.Read) *edda.StreamPage {
	t.Helper()
	page, err := n.ReadStream(t.Context(), r)
	if err != nil {
		t.Fatalf("read stream %s: %v", r.Stream, err)
	}
	return page
}

// shown writes a page as "0:a 1:b [0 2 2]": offsets and payloads, then first, next and
// end.
func shown(p *edda.StreamPage) string {
	var b strings.Builder
	for i := range p.Messages {
		fmt.Fprintf(&b, "%d:%s ", p.Messages[i].Offset, p.Messages[i].Payload)
	}
	return fmt.Sprintf("%s[%d %d %d]", b.String(), p.First, p.Next, p.End)
}

// holds fails the test unless the stream reads so, as shown writes it.
func holds(t *testing.T, n *node.Node, r edda.Read, want string) *edda.StreamPage {
	t.Helper()
	page := read(t, n, r)
	if got := shown(page); got != want {
		t.Fatalf("stream %s reads %q, want %q", r.Stream, got, want)
	}
	return page
}

// pageRead is what a read came back with.
type pageRead struct {
	page *edda.StreamPage
	err  error
}

// tailing is a read in a goroutine of its own; it has got as far as it gets without
// time going by.
func tailing(t *testing.T, n *node.Node, r edda.Read) <-chan pageRead {
	t.Helper()
	return tailingUntil(t.Context(), t, n, r)
}

func tailingUntil(ctx context.Context, t *testing.T, n *node.Node, r edda.Read) <-chan pageRead {
	t.Helper()
	c := make(chan pageRead, 1)
	go func() {
		p, err := n.ReadStream(ctx, r)
		c <- pageRead{p, err}
	}()
	synctest.Wait()
	return c
}

// has returns what has come, which must be there without time going by.
func has[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	synctest.Wait()
	select {
	case v := <-c:
		return v
	default:
		t.Fatal("nothing has come yet")
		panic("unreachable")
	}
}

// hasNot fails the test when something has come.
func hasNot[T any](t *testing.T, c <-chan T) {
	t.Helper()
	synctest.Wait()
	select {
	case v := <-c:
		t.Fatalf("got %+v too early", v)
	default:
	}
}

// noReaderIsLeft fails the test while readers of streams wait.
func noReaderIsLeft(t *testing.T, n *node.Node) {
	t.Helper()
	synctest.Wait()
	if readers, awaiters := node.StreamWaiters(t, n); readers != 0 || awaiters != 0 {
		t.Errorf("%d readers and %d who await messages are still known, want none", readers, awaiters)
	}
}
