package node_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// crier is a service whose handlers publish the payload to the channel that the method
// names, under the request's id.
func crier() []*edda.Service {
	return []*edda.Service{ordered("crier", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return nil, ctx.Publish(m.Type, messages(m.ID.String()+"="+string(m.Payload))...)
	})}
}

// Everything that a node has said of its channels holds after a restart.
func TestChannelRestart(t *testing.T) {
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		long := strings.Repeat("n", edda.MaxNameBytes)
		spec := edda.ChannelSpec{Name: "floor", From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"a.*", "b.:c"}}, {Stream: "stock"}}, History: edda.History{Count: 3}}
		ch, _ := setChannel(t, n, spec)
		setChannel(t, n, edda.ChannelSpec{Name: long})
		setChannel(t, n, edda.ChannelSpec{Name: "gone"})
		setChannel(t, n, edda.ChannelSpec{Name: "again"})
		publish(t, n, "again", "x=0", "1")
		first := publish(t, n, long, "x=0", "1")
		for i := range 4 {
			call(t, n, msg("crier/1", "floor", fmt.Sprint(i))).replied(t, 204, "")
			call(t, n, msg("crier/1", "nobody", "")).replied(t, 204, "")
			synctest.Wait()
			n = restart(n)
			if ack := publish(t, n, long, "x=0"); !ack.Items[0].Replayed || ack.Position != first.Position {
				t.Errorf("after %d restarts: got %+v, want %+v", i+1, ack, first)
			}
			publish(t, n, long, fmt.Sprint(i+2))
			if i == 1 {
				for _, name := range []string{"gone", "again"} {
					if err := n.DeleteChannel(t.Context(), "", name); err != nil {
						t.Fatal(err)
					}
				}
				setChannel(t, n, edda.ChannelSpec{Name: "again"})
				publish(t, n, "again", "x=2")
			}
		}
		n = restart(n)
		if again, err := n.Channel(t.Context(), "", "floor"); err != nil || !reflect.DeepEqual(again, ch) {
			t.Errorf("got %+v, %v, want %+v", again, err, ch)
		}
		for name, want := range map[string]string{
			"floor": "1:1 2:2 3:3 [1 4 4]", long: "0:0 1:1 2:2 3:3 4:4 5:5 [0 6 6]", "again": "0:2 [0 1 1]",
		} {
			if got := kept(t, n, name); got != want {
				t.Errorf("channel %s keeps %q, want %q", name, got, want)
			}
		}
		for _, name := range []string{"gone", "nobody"} {
			_, err := n.Channel(t.Context(), "", name)
			wantReason(t, err, edda.NoChannel)
			_, err = n.Append(t.Context(), &edda.Append{Channel: name, Messages: messages("x")})
			wantReason(t, err, edda.NoChannel)
		}
		all, _, err := n.Channels(t.Context(), "", 0, "")
		if err != nil || len(all) != 3 {
			t.Errorf("there are the channels %+v, %v", all, err)
		}
		stop(t, n)
	}, crier)
}

// publisher publishes to channels, which somebody else removes now and then, and knows
// what it was told.
type publisher struct {
	name   string
	next   int
	acked  map[string]uint64 // offsets by "channel id"
	denied map[string]bool   // that there was no channel
}

// publish publishes one message after the other until it is time.
func (p *publisher) publish(t *testing.T, n *node.Node, until time.Time) {
	t.Helper()
	for time.Now().Before(until) {
		channel, id := [...]string{"lasting", "fleeting"}[p.next%2], fmt.Sprintf("%s-%d", p.name, p.next)
		ack, err := n.Append(t.Context(), &edda.Append{Channel: channel, Messages: messages(id + "=" + id)})
		if !time.Now().Before(until) {
			return // it is repeated
		}
		switch r := edda.ReasonOf(err); {
		case err == nil:
			p.acked[channel+" "+id] = ack.Items[0].Offset
		case r == edda.NoChannel && channel == "fleeting":
			p.denied[id] = true
		case r == edda.Unavailable || r == edda.OutcomeUnknown || r == edda.Draining:
			return
		default:
			t.Error(err)
			return
		}
		p.next++
		time.Sleep(10 * time.Microsecond)
	}
}

// remake removes a channel and makes it again, until it is time.
func remake(t *testing.T, n *node.Node, until time.Time) {
	t.Helper()
	for time.Now().Before(until) {
		err := n.DeleteChannel(t.Context(), "", "fleeting")
		if r := edda.ReasonOf(err); err != nil && r != edda.NoChannel && r != edda.Unavailable && r != edda.OutcomeUnknown && r != edda.Draining {
			t.Error(err)
		}
		time.Sleep(70 * time.Microsecond)
		if _, _, err := n.SetChannel(t.Context(), edda.ChannelSpec{Name: "fleeting"}); err != nil {
			return
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// Publishers publish while the node is lost again and again, and repeat what they do not
// know the outcome of. What was acknowledged is there once, where it was said to be, and
// what was refused is not there.
func TestChannelManyCrashes(t *testing.T) {
	bubble(t, "crashes", func(t *testing.T) {
		o := node.Options{CheckpointBytes: 10_000}
		d, rng := newDisk(), randFor(t)
		n := d.open(t, o, crier()...)
		for _, name := range []string{"lasting", "fleeting"} {
			setChannel(t, n, edda.ChannelSpec{Name: name, History: edda.History{Count: 100_000}})
		}
		publishers := []*publisher{{name: "a"}, {name: "b"}, {name: "c"}}
		for _, p := range publishers {
			p.acked, p.denied = map[string]uint64{}, map[string]bool{}
		}
		for range 15 {
			left := crashAmong(t, d, n, publishers, rng)
			_ = n.Stop(ended(t))
			d = left
			n = d.open(t, o, crier()...)
		}
		defer stop(t, n)
		at := map[string]uint64{}
		page, err := node.ReadOwn(t.Context(), n, edda.Read{Stream: edda.ChannelStream("lasting"), Limit: edda.MaxReadLimit})
		if err != nil || page.First != 0 || page.Next != page.End {
			t.Fatalf("read %+v, %v", page, err)
		}
		for i := range page.Messages {
			m := &page.Messages[i]
			if before, twice := at[m.ID]; twice || string(m.Payload) != m.ID || m.Offset != uint64(i) {
				t.Errorf("message %d is %+v, and was at %d", i, m, before)
			}
			at[m.ID] = m.Offset
		}
		acked, denied := 0, 0
		for _, p := range publishers {
			denied += len(p.denied)
			for name, offset := range p.acked {
				channel, id, _ := strings.Cut(name, " ")
				if channel != "lasting" {
					continue
				}
				acked++
				if got, there := at[id]; !there || got != offset {
					t.Errorf("message %s was acknowledged at %d, and is at %d, %t", id, offset, got, there)
				}
			}
		}
		if acked == 0 || denied == 0 {
			t.Errorf("%d were acknowledged, %d denied: nothing was tested", acked, denied)
		}
		if page, err := node.ReadOwn(t.Context(), n, edda.Read{Stream: edda.ChannelStream("fleeting"), Limit: edda.MaxReadLimit}); err == nil {
			for i := range page.Messages {
				for _, p := range publishers {
					if id := page.Messages[i].ID; p.denied[id] {
						t.Errorf("message %s was refused, and is there", id)
					}
				}
			}
		}
	})
}

// crashAmong has publishers and others at work, and returns the disk as a crash in the
// middle leaves it.
func crashAmong(t *testing.T, d *disk, n *node.Node, publishers []*publisher, rng *rand.Rand) *disk {
	t.Helper()
	var wg sync.WaitGroup
	until := time.Now().Add(time.Duration(rng.IntN(3000)) * time.Microsecond)
	for _, p := range publishers {
		wg.Go(func() { p.publish(t, n, until) })
	}
	wg.Go(func() { remake(t, n, until) })
	time.Sleep(time.Until(until))
	left := &disk{d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})}
	wg.Wait() // what is acknowledged from here on is not known to the clone
	return left
}

// Publications of handlers are part of their outcomes: once each, through crashes, also
// where the channel lives in another partition.
func TestChannelOfHandlersCrashes(t *testing.T) {
	bubble(t, "handlers", func(t *testing.T) {
		o := node.Options{Partitions: 4, CheckpointBytes: 5_000}
		d, rng := newDisk(), randFor(t)
		n := d.open(t, o, crier()...)
		names := []string{"c0", "c1", "c2", "c3", "c4"}
		for _, name := range names {
			setChannel(t, n, edda.ChannelSpec{Name: name})
		}
		sent := map[string]string{} // by id, to which channel
		for round := range 10 {
			until := time.Now().Add(time.Duration(rng.IntN(2000)) * time.Microsecond)
			for i := 0; time.Now().Before(until); i++ {
				name := names[rng.IntN(len(names))]
				m := msg(fmt.Sprint("crier/", i%3), name, fmt.Sprint(round, "-", i))
				ack, err := n.Client().Send(t.Context(), m)
				if err != nil {
					t.Fatal(err)
				}
				sent[ack.ID.String()] = name
				time.Sleep(time.Duration(rng.IntN(50)) * time.Microsecond)
			}
			left := &disk{d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})}
			_ = n.Stop(ended(t))
			d = left
			n = d.open(t, o, crier()...)
		}
		time.Sleep(time.Minute) // for what was begun when the node was lost
		synctest.Wait()
		defer stop(t, n)
		found := map[string]string{}
		for _, name := range names {
			page, err := node.ReadOwn(t.Context(), n, edda.Read{Stream: edda.ChannelStream(name), Limit: edda.MaxReadLimit})
			if err != nil {
				t.Fatal(err)
			}
			for i := range page.Messages {
				id := page.Messages[i].ID
				if before, twice := found[id]; twice {
					t.Errorf("%s is in %s and in %s", id, before, name)
				}
				found[id] = name
			}
		}
		if !reflect.DeepEqual(found, sent) || len(sent) < 50 {
			t.Errorf("of %d requests %d were published", len(sent), len(found))
		}
	})
}
