package stream_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/stream"
)

// bubble runs each case as a subtest with a clock of its own. A goroutine that is left
// behind fails it.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// must returns v where there is no error, and ends the tests where there is one.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// put appends a message for each payload to a shard, "stream" or "stream/shard".
func put(c *stream.Client, to string, payloads ...string) {
	name, shard, _ := strings.Cut(to, "/")
	w := c.Writer(name, stream.WriterOptions{Shard: shard})
	for _, p := range payloads {
		must(w.Append(ctx, edda.StreamMessage{Payload: []byte(p)}))
	}
}

// take reads n messages, then breaks, and returns them in order, as "stream payload" where
// there are several sources and the payload else.
func take(t *testing.T, r *stream.Reader, n int) []string {
	t.Helper()
	var got []string
	for m, err := range r.Messages(t.Context()) {
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		if got = append(got, string(m.Payload)); len(got) == n {
			break
		}
	}
	return got
}

// all reads to the end.
func all(t *testing.T, r *stream.Reader) []string {
	t.Helper()
	return take(t, r, -1)
}

func wantAll(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// numbers returns "from" up to and without "to" as text.
func numbers(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func wantReason(t *testing.T, err error, want edda.Reason) {
	t.Helper()
	if edda.ReasonOf(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// must2 is must for those that return more.
func must2[T any](v T, _ bool, err error) T { return must(v, err) }
