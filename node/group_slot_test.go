package node_test

import (
	"fmt"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// appendedAt returns the position of an append in its partition.
func appendedAt(t *testing.T, ack *edda.AppendAck) (pos int) {
	t.Helper()
	var part int
	if _, err := fmt.Sscanf(ack.Position, "%d-%d", &part, &pos); err != nil {
		t.Fatal(err)
	}
	return pos
}

// What a handler of another partition appends is started by the record that appends it,
// too.
func TestSlotsOfAppendsFromElsewhere(t *testing.T) {
	bubble(t, "records", func(t *testing.T) {
		consumer := consumes("s/g", echo)
		from := ordered("from", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			return nil, ctx.Append(&edda.Append{Stream: "s", Messages: messages("x", "y")})
		})
		n := start(t, node.Options{}, consumer, from)
		key := 0
		for node.HomeOf(n, edda.Address{Name: "from", Key: fmt.Sprint(key)}.Hash()) == node.HomeOf(n, edda.StreamHash("default", "s")) {
			key++
		}
		feed(t, n, "s", "first")
		lag(t, n, "s/g", 0, 0)
		begun := appendedAt(t, feed(t, n, "s", "a"))
		lag(t, n, "s/g", 0, 0)
		call(t, n, msg(fmt.Sprint("from/", key), "m", "")).replied(t, 204, "")
		lag(t, n, "s/g", 0, 0)
		if got := appendedAt(t, feed(t, n, "s", "z")) - begun; got != 5 {
			t.Errorf("%d records, want an append and its end, then an append of two and their ends", got)
		}
		lag(t, n, "s/g", 0, 0)
		noSlotIsLost(t, n, "s/g", "from")
	})
}

// A message that is appended to a group that is caught up and has an idle member is
// started by the record that appends it; a member that is busy costs one more.
func TestSlotsOfAppends(t *testing.T) {
	bubble(t, "records", func(t *testing.T) {
		gate := make(chan struct{})
		c := consumes("s/g", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			if string(m.Payload) == "wait" {
				<-gate
			}
			return nil, nil
		})
		c.Concurrency = 2
		n := start(t, node.Options{Partitions: 1}, c)
		feed(t, n, "s", "first")
		lag(t, n, "s/g", 0, 0)
		at := func(ack *edda.AppendAck) int { return appendedAt(t, ack) }
		for name, messages := range map[string][]string{
			"one": {"a"}, "two": {"a", "b"}, "with a key": {"k=a"}, "two of two keys": {"k=a", "l=b"}, "two of a key": {"k=a", "k=b"},
		} {
			from := at(feed(t, n, "s", messages...))
			lag(t, n, "s/g", 0, 0)
			if got, want := at(feed(t, n, "s", "z"))-from, 1+len(messages); got != want {
				t.Errorf("%s: %d records, want the append and the ends: %d", name, got, want)
			}
			lag(t, n, "s/g", 0, 0)
		}
		from := at(feed(t, n, "s", "wait", "wait", "a"))
		lag(t, n, "s/g", 3, 2)
		close(gate)
		lag(t, n, "s/g", 0, 0)
		if got := at(feed(t, n, "s", "z")) - from; got != 5 {
			t.Errorf("one that has to wait for a slot: %d records, want the append, the ends, and one dispatch", got)
		}
		noSlotIsLost(t, n, "s/g")
	})
}
