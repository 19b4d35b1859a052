package node_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestStreamMetrics(t *testing.T) {
	bubble(t, "metrics", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s := ordered("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			return nil, ctx.Append(&edda.Append{Stream: "s", Shard: "eu", Messages: messages("x", "y")})
		})
		n := start(t, node.Options{Metrics: reg}, s)
		if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "s", Shards: []string{"default"}, Retention: edda.Retention{Count: 3}}); err != nil {
			t.Fatal(err)
		}
		put(t, n, "s", "a=1", "b=2", "c=3", "d=4")
		put(t, n, "s", "a=1", "e=5")
		if _, err := n.TrimStream(t.Context(), "", "s", "", "4"); err != nil {
			t.Fatal(err)
		}
		call(t, n, msg("s/1", "a", "")).replied(t, 204, "")
		waits := tailing(t, n, edda.Read{Stream: "s", From: edda.FromEnd, Wait: time.Minute})
		synctest.Wait()
		for _, c := range []struct {
			name, labels string
			want         float64
		}{
			{"edda_stream_messages_total", "default,s", 5},
			{"edda_stream_replayed_total", "default,s", 1},
			{"edda_stream_trimmed_total", "default,s", 4},
			{"edda_stream_dropped_total", "", 1},
			{"edda_stream_readers_waiting", "", 1},
		} {
			if got := metric(t, reg, c.name, c.labels); got != c.want {
				t.Errorf("%s{%s} is %v, want %v", c.name, c.labels, got, c.want)
			}
		}
		if got := metric(t, reg, "edda_stream_bytes_total", "default,s"); got < 5*4 || got > 5*100 {
			t.Errorf("5 messages have %v bytes", got)
		}
		put(t, n, "s", "f")
		has(t, waits)
	})
}

// However many names people make up, there are not more figures than some.
func TestStreamMetricsAreBounded(t *testing.T) {
	bubble(t, "names", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		n := start(t, node.Options{Metrics: reg})
		for i := range 600 {
			put(t, n, fmt.Sprint("s", i), "x")
		}
		if got := metric(t, reg, "edda_stream_messages_total", "other,other"); got != 100 {
			t.Errorf("%v messages count as others, want 100", got)
		}
		put(t, n, "s0", "x")
		if got := metric(t, reg, "edda_stream_messages_total", "default,s0"); got != 2 {
			t.Errorf("%v messages of the first, want 2", got)
		}
	})
}
