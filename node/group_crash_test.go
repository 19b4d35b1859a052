package node_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/crashfs"
	"github.com/edda-io/edda/node"
)

// What a test knows of a message at the moment of a crash.
const (
	isAppended edda.SagaState = "appended"
	isAcked    edda.SagaState = "acked"
)

// counting is a consumer that counts the messages of each key, and says so to whoever
// asks with the type "probe".
func counting(j *journal) *edda.Service {
	c := consumes("s/count", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		n, _, err := edda.Get[int](ctx, "n")
		if err != nil {
			return nil, err
		}
		if m.Type == "probe" {
			j.addf("%s%d", m.To.Key, n)
			return nil, nil
		}
		if n == 3 && ctx.Attempt() == 1 {
			return nil, errRefused
		}
		return nil, edda.Set(ctx, "n", n+1)
	})
	c.Group.From = edda.FromStart
	c.Group.Retry = edda.RetryPolicy{Max: -1, Delay: time.Millisecond}
	return c
}

// The power is cut at every sync while members work. Whatever was appended is handled,
// in order for its key; what was acknowledged never comes again, and counts once in the
// state of its key.
func TestGroupCrashAtEverySync(t *testing.T) {
	bubble(t, "crash", func(t *testing.T) {
		c := &copier{mem: vfs.NewCrashableMem(), known: map[string]edda.SagaState{}, rng: randFor(t)}
		n := open(t, node.WithoutGather(node.Options{
			Dir: "data", FS: crashfs.Hooked(c.mem, &c.mu, c.before), Durability: edda.Fsync, SegmentBytes: 64 << 10,
			CheckpointBytes: 5_000, Services: []*edda.Service{counting(&journal{})},
		}))
		group(t, n, "s/read", nil)
		var wg sync.WaitGroup
		for k := range 3 {
			wg.Go(func() {
				for i := range 12 {
					ack := feed(t, n, "s", fmt.Sprintf("k%d=%d", k, i))
					c.note(place(edda.DefaultShard, ack.Items[0].Offset), isAppended)
				}
			})
			wg.Go(func() { readAndAck(t, n, c, fmt.Sprint("m", k)) })
		}
		wg.Wait()
		synctest.Wait()
		stop(t, n)
		t.Logf("%d copies", len(c.copies))
		for i := range c.copies {
			if c.copies[i].checkGroups(t); t.Failed() {
				t.Fatalf("after copy %d of %d", i, len(c.copies))
			}
		}
	})
}

// readAndAck acknowledges most of what it reads.
func readAndAck(t *testing.T, n *node.Node, c *copier, member string) {
	for i := range 12 {
		ds := readGroup(t, n, "s/read", member, 2, 10*time.Millisecond)
		if len(ds) == 0 {
			continue
		}
		if i%4 == 3 {
			settles(t, n.Reject, settleOf("s/read", ds), len(ds))
			continue
		}
		settles(t, n.Ack, settleOf("s/read", ds), len(ds))
		for _, d := range ds {
			c.note(place(d.Shard, d.Offset), isAcked)
		}
	}
}

// checkGroups opens the copy and lets its groups come to the end of their stream.
func (d *diskCopy) checkGroups(t *testing.T) {
	t.Helper()
	var j journal
	n := (&disk{d.fs}).open(t, node.Options{SegmentBytes: 64 << 10}, counting(&j))
	defer stop(t, n)
	var wants []string
	for k := range 3 {
		_, err := n.Append(t.Context(), &edda.Append{Stream: "s", Messages: []edda.StreamMessage{{Type: "probe", Key: fmt.Sprint("k", k)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
	st, err := n.Stream(t.Context(), "", "s")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	page := read(t, n, edda.Read{Stream: "s", Limit: 1000})
	for _, m := range page.Messages {
		if m.Type != "probe" {
			counts[m.Key]++
		}
	}
	for k := range 3 {
		wants = append(wants, fmt.Sprintf("k%d%d", k, counts[fmt.Sprint("k", k)]))
	}
	var sorted journal
	sortJournal(&j, &sorted)
	sorted.want(t, strings.Join(wants, " "))
	if _, err := n.Group(t.Context(), groupRef("s/read")); err == nil {
		d.checkReads(t, n, st.Offsets[edda.DefaultShard].End)
	} else if len(d.known) > 0 {
		t.Errorf("the group is gone: %v", err)
	}
	noSlotIsLost(t, n, "s/count", "s/read")
}

// checkReads reads what the group has left.
func (d *diskCopy) checkReads(t *testing.T, n *node.Node, end uint64) {
	t.Helper()
	came := map[string]bool{}
	last := map[string]uint64{}
	for {
		ds := readGroup(t, n, "s/read", "after", 3, 2*time.Second)
		if len(ds) == 0 {
			break
		}
		for _, m := range ds {
			came[place(m.Shard, m.Offset)] = true
			if m.Offset < last[m.Key] {
				t.Errorf("message %d of key %s comes after message %d", m.Offset, m.Key, last[m.Key])
			}
			last[m.Key] = m.Offset
		}
		settles(t, n.Ack, settleOf("s/read", ds), len(ds))
	}
	lag(t, n, "s/read", 0, 0)
	for at, state := range d.known {
		if state == isAcked && came[at] {
			t.Errorf("message %s was acknowledged, and comes again", at)
		}
	}
	if uint64(len(d.known)) > end {
		t.Errorf("%d messages were acknowledged as appended, the stream has %d", len(d.known), end)
	}
}
