package stream_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/stream"
)

// What was done with before a restart is done with after it: by readers with a cursor,
// by consumers and by pipes. Everything else comes.
func TestRestarts(t *testing.T) {
	const rounds, each = 4, 25
	dir := t.TempDir()
	handled := make(chan string, 10*rounds*each)
	consumer := stream.NewConsumer("s", "g")
	consumer.Group.From = edda.FromStart
	consumer.On("message", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		handled <- ctx.Delivery().ID
		return nil, nil
	})
	pipe := stream.NewPipe("s", "pipe", "piped", nil)
	var got []string
	for round := range rounds {
		c, stop := openDir(t, dir, must(consumer.Service()), must(pipe.Service()))
		w := c.Writer("s", stream.WriterOptions{})
		for i := range each {
			id := fmt.Sprint(round*each + i)
			must(w.Append(ctx, edda.StreamMessage{ID: id, Key: "k", Payload: []byte(id)}))
			must(w.Append(ctx, edda.StreamMessage{ID: id, Key: "k", Payload: []byte("again")}))
		}
		got = append(got, all(t, c.Reader(stream.ReaderOptions{StopAtEnd: true, Cursor: "here"}, stream.Source{Stream: "s"}))...)
		if round == rounds-1 {
			must2(c.Set(ctx, edda.StreamSpec{Name: "piped"}))
			wantAll(t, take(t, c.Reader(stream.ReaderOptions{}, stream.Source{Stream: "piped"}), rounds*each), numbers(0, rounds*each)...)
			for i := range rounds * each {
				if id := <-handled; id != fmt.Sprint(i) {
					t.Errorf("message %s was handled, want %d, each once and in order", id, i)
				}
			}
		}
		stop()
	}
	wantAll(t, got, numbers(0, rounds*each)...)
	if len(handled) > 0 {
		t.Errorf("%d messages were handled again", len(handled))
	}
}

// openDir opens a node on real disk, and returns a client and what stops it.
func openDir(t *testing.T, dir string, services ...*edda.Service) (c *stream.Client, stop func()) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Dir: dir, Partitions: 4, Services: services})
	if err != nil {
		t.Fatal(err)
	}
	return stream.NewClient(n), func() {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
}
