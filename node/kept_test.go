package node_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Over the byte limit the bodies of kept replies go, the oldest first, and what
// became of their requests is known still.
func TestKeptRepliesHaveALimit(t *testing.T) {
	bubble(t, "bytes", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{
			Partitions: 1, CheckpointBytes: 4 << 10, Limits: node.Limits{ReplyBytes: 16 << 10},
		}, ordered("s", echo))
		t.Cleanup(func() { stop(t, n) })
		body := strings.Repeat("x", 1<<10)
		var acks []*edda.Ack
		for i := range 100 {
			acks = append(acks, send(t, n, msg("s/k"+strconv.Itoa(i), "m", body)))
			time.Sleep(time.Second)
		}
		_, err := n.Client().Wait(t.Context(), acks[0].ID)
		wantReason(t, err, edda.ReplyExpired)
		r, err := n.Client().Request(t.Context(), acks[0].ID)
		if err != nil || r.State != edda.StateSucceeded || r.Reply == nil || r.Reply.Size != len(body) {
			t.Errorf("the first request is %+v, %v; want it succeeded, with the size of its reply", r, err)
		}
		last, err := n.Client().Wait(t.Context(), acks[99].ID)
		if err != nil || string(last.Payload) != body {
			t.Errorf("the last reply is gone: %v", err)
		}
	})
}
