package node_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// numbered is an append of one message.
func numbered(stream string, number uint64, payload string) *edda.Append {
	return &edda.Append{Stream: stream, Producer: "relay", Messages: []edda.StreamMessage{{Number: number, Payload: []byte(payload)}}}
}

// What producers have numbered, outside and in handlers, is there once, whatever partition
// it goes to and however often the node is opened.
func TestNumbersRestart(t *testing.T) {
	services := func() []*edda.Service {
		return []*edda.Service{ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			var n uint64
			if _, err := fmt.Sscan(string(m.Payload), &n); err != nil {
				return nil, err
			}
			for i := range 8 { // in as many partitions as there are
				if err := ctx.Append(numbered(fmt.Sprint("handled", i), n, fmt.Sprint(n))); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})}
	}
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		for i := range uint64(4) {
			ack := putAll(t, n, numbered("a", 3*i+1, "x"))
			want := edda.Numbered{Number: 3*i + 1, Offset: i, ID: ack.Items[0].ID}
			if ack.Items[0].Replayed || ack.Last != want {
				t.Errorf("got %+v, want the last one to be %+v", ack, want)
			}
			call(t, n, msg("s/1", "h", fmt.Sprint(i+1))).replied(t, 204, "")
			n = restart(n)
			again := putAll(t, n, numbered("a", 3*i+1, "again"))
			if it := again.Items[0]; !it.Replayed || it.Offset != i || it.Unknown || again.Last != want || again.Position != ack.Position {
				t.Errorf("after %d restarts: got %+v, want %+v", i+1, again, ack)
			}
			if i > 0 {
				if it := putAll(t, n, numbered("a", 2, "before")).Items[0]; !it.Replayed || !it.Unknown || it.Offset != 0 {
					t.Errorf("got %+v", it)
				}
			}
			call(t, n, msg("s/2", "h", fmt.Sprint(i+1))).replied(t, 204, "")
		}
		synctest.Wait()
		holds(t, n, edda.Read{Stream: "a"}, "0:x 1:x 2:x 3:x [0 4 4]")
		for i := range 8 {
			holds(t, n, edda.Read{Stream: fmt.Sprint("handled", i)}, "0:1 1:2 2:3 3:4 [0 4 4]")
		}
		stop(t, n)
	}, services)
}
