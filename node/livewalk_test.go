package node_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
	"github.com/edda-io/edda/node"
)

// walkOf is a walker over a stream of the default namespace, and what it has come by.
type walkOf struct {
	live.Walker
	got []live.Entry
}

func walk(n *node.Node, stream string, from live.Place) *walkOf {
	return &walkOf{Walker: node.Streams(n).Walk(edda.DefaultNamespace, stream, from)}
}

// next reads to the end, and returns what came as "shard:offset=payload …".
func (w *walkOf) next(t *testing.T, bytes int) string {
	t.Helper()
	var b strings.Builder
	for {
		entries, err := w.Next(t.Context(), bytes)
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			m := &entries[i].Message
			fmt.Fprintf(&b, "%s:%d=%s ", m.Shard, m.Offset, m.Payload)
		}
		w.got = append(w.got, entries...)
		if len(entries) == 0 {
			return strings.TrimSpace(b.String())
		}
	}
}

// comesBy fails the test unless the walker comes by what is said, up to the end.
func (w *walkOf) comesBy(t *testing.T, want string) {
	t.Helper()
	if got := w.next(t, 1<<20); got != want {
		t.Fatalf("came by %q, want %q", got, want)
	}
}

// missing fails the test unless the walker says whether something is gone.
func (w *walkOf) missing(t *testing.T, want bool) {
	t.Helper()
	if w.Gap() != want {
		t.Errorf("the walker says %t of a gap, want %t", w.Gap(), want)
	}
}

func end(t *testing.T, n *node.Node, stream string) live.Place {
	t.Helper()
	p, err := node.Streams(n).End(t.Context(), edda.DefaultNamespace, stream)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func putIn(t *testing.T, n *node.Node, shard string, payloads ...string) {
	t.Helper()
	putAll(t, n, &edda.Append{Stream: "s", Shard: shard, Messages: messages(payloads...)})
}

// A walker reads all shards in the order in which messages were stored, from a place on,
// across restarts, and follows what comes.
func TestWalk(t *testing.T) {
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		w := walk(n, "s", end(t, n, "s")) // it is not there yet
		w.comesBy(t, "")
		before := w.Place()
		putIn(t, n, "a", "1", "2")
		putIn(t, n, "b", "3")
		half := w.Place()
		w.comesBy(t, "a:0=1 a:1=2 b:0=3")
		putIn(t, n, "a", "4")
		after := end(t, n, "s")
		w.comesBy(t, "a:2=4")
		w.comesBy(t, "")
		w.missing(t, false)
		at := w.Place()
		for range 2 {
			n = restart(n)
			for _, from := range []live.Place{{}, before, half} {
				w = walk(n, "s", from)
				if got := w.next(t, 1); got != "a:0=1 a:1=2 b:0=3 a:2=4" {
					t.Fatalf("from %+v on it came by %q", from, got)
				}
			}
			walk(n, "s", after).comesBy(t, "")
			w = walk(n, "s", at)
			w.comesBy(t, "")
			w.missing(t, false)
		}
		putIn(t, n, "c", "5")
		w.comesBy(t, "c:0=5")
		walk(n, "s", live.Place{Time: w.got[0].Stored}).comesBy(t, "c:0=5")
		if e := w.got[0]; e.Bytes == 0 || !e.Message.Time.Equal(time.Unix(0, e.Stored)) || e.Message.Type != "t" {
			t.Errorf("got %+v", e)
		}
		stop(t, n)
		_, err := w.Next(t.Context(), 1)
		wantReason(t, err, edda.Draining)
		_, err = walk(n, "s", at).Next(t.Context(), 1)
		wantReason(t, err, edda.Draining)
		_, err = node.Streams(n).End(t.Context(), edda.DefaultNamespace, "s")
		wantReason(t, err, edda.Draining)
	}, func() []*edda.Service { return nil })
}

// What is trimmed, or goes with its stream, before a walker comes to it is a gap, and
// nothing else is.
func TestWalkGaps(t *testing.T) {
	bubble(t, "gaps", func(t *testing.T) {
		n := start(t, node.Options{})
		putIn(t, n, "a", "1", "2")
		putIn(t, n, "b", "3")
		w := walk(n, "s", live.Place{})
		w.comesBy(t, "a:0=1 a:1=2 b:0=3")
		first, last := live.Place{Time: w.got[0].Stored, At: []live.ShardPlace{{Shard: "a", Offset: 1}}}, w.Place()
		trim(t, n, "a", "1")
		putIn(t, n, "a", "4")
		w.comesBy(t, "a:2=4")
		w.missing(t, false) // it had come by what is gone
		w = walk(n, "s", first)
		w.comesBy(t, "a:1=2 b:0=3 a:2=4")
		w.missing(t, false)
		trim(t, n, "a", "2")
		w = walk(n, "s", first)
		w.comesBy(t, "b:0=3 a:2=4")
		w.missing(t, true)
		w = walk(n, "s", last)
		w.comesBy(t, "a:2=4")
		w.missing(t, false)
		w = walk(n, "s", live.Place{})
		w.comesBy(t, "b:0=3 a:2=4")
		w.missing(t, false) // the start is what there is

		live := walk(n, "s", end(t, n, "s"))
		live.comesBy(t, "")
		if err := n.DeleteStream(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		putIn(t, n, "a", "5")
		for _, w := range []*walkOf{live, walk(n, "s", last)} {
			w.comesBy(t, "a:0=5")
			w.missing(t, true)
		}
	})
}

// That there was no stream at a place is no gap once there is one, also after a restart. That
// there was another one is, which nobody has come by.
func TestWalkFromBeforeTheStream(t *testing.T) {
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		putAll(t, n, &edda.Append{Stream: "other", Messages: messages("1")})
		w := walk(n, "s", live.Place{Time: 1})
		w.comesBy(t, "")
		first, absent := end(t, n, "s"), w.Place()
		if err := n.DeleteStream(t.Context(), "", "other"); err != nil {
			t.Fatal(err)
		}
		putIn(t, n, "b", "1")
		var inside live.Place
		for range 2 {
			for _, from := range []live.Place{{Time: 1}, first, absent} {
				w := walk(n, "s", from)
				w.comesBy(t, "b:0=1")
				w.missing(t, false)
				inside = live.Place{Time: w.got[0].Stored, At: []live.ShardPlace{{Shard: "b", Offset: 1}}}
			}
			n = restart(n)
		}
		old := end(t, n, "s")
		if err := n.DeleteStream(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		n = restart(n)
		late, again := end(t, n, "s"), walk(n, "s", old)
		again.comesBy(t, "")
		again.missing(t, true)
		putIn(t, n, "b", "2", "3")
		for range 2 {
			for _, from := range []live.Place{first, absent, inside, old} {
				w := walk(n, "s", from)
				w.comesBy(t, "b:0=2 b:1=3")
				w.missing(t, true)
			}
			for _, from := range []live.Place{{}, late, again.Place()} {
				w := walk(n, "s", from)
				w.comesBy(t, "b:0=2 b:1=3")
				w.missing(t, false)
			}
			n = restart(n)
		}
		unaware := walk(n, "t", end(t, n, "t"))
		unaware.comesBy(t, "")
		for _, payload := range []string{"1", "2"} {
			putAll(t, n, &edda.Append{Stream: "t", Messages: messages(payload)})
			if payload == "1" {
				if err := n.DeleteStream(t.Context(), "", "t"); err != nil {
					t.Fatal(err)
				}
			}
		}
		unaware.comesBy(t, edda.DefaultShard+":0=2")
		unaware.missing(t, true) // there was one in between
	}, func() []*edda.Service { return nil })
}

func trim(t *testing.T, n *node.Node, shard string, before edda.From) {
	t.Helper()
	if _, err := n.TrimStream(t.Context(), "", "s", shard, before); err != nil {
		t.Fatal(err)
	}
}

// At its end a walker asks nobody while nothing changes.
func TestWalkerAtItsEndAsksNobody(t *testing.T) {
	bubble(t, "end", func(t *testing.T) {
		n := start(t, node.Options{})
		putIn(t, n, "a", "1")
		there, absent := walk(n, "s", live.Place{}), walk(n, "t", live.Place{})
		there.comesBy(t, "a:0=1")
		absent.comesBy(t, "")
		release := []func(){node.HoldStream(n, "s"), node.HoldStream(n, "t")}
		there.comesBy(t, "")
		absent.comesBy(t, "")
		for _, f := range release {
			f()
		}
		ctx := t.Context()
		if allocs := testing.AllocsPerRun(100, func() {
			if entries, err := there.Next(ctx, 100); len(entries) > 0 || err != nil {
				t.Errorf("got %v, %v", entries, err)
			}
		}); allocs > 0 {
			t.Errorf("to see that nothing has changed allocates %v times", allocs)
		}
	})
}

// Who watches a stream is told of what happens to it, and nobody else is.
func TestWatch(t *testing.T) {
	bubble(t, "watch", func(t *testing.T) {
		n := open(t, node.Options{})
		var rung [3]atomic.Int32
		watch := func(i int, stream string) func() {
			return node.Streams(n).Watch(edda.DefaultNamespace, stream, func() { rung[i].Add(1) })
		}
		told := func(want ...int32) {
			t.Helper()
			synctest.Wait()
			for i := range want {
				if got := rung[i].Swap(0); got != want[i] {
					t.Errorf("watch %d was told %d times, want %d", i, got, want[i])
				}
			}
		}
		stopFirst, stopSecond, stopOther := watch(0, "s"), watch(1, "s"), watch(2, "t")
		told(0, 0, 0)
		if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "s"}); err != nil {
			t.Fatal(err)
		}
		told(1, 1, 0)
		put(t, n, "s", "1", "2")
		told(1, 1, 0)
		stopSecond()
		put(t, n, "s", "3")
		told(1, 0, 0)
		if err := n.DeleteStream(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		told(1, 0, 0)
		put(t, n, "s", "1")
		put(t, n, "t", "1")
		told(1, 0, 1)
		stopFirst()
		if got := node.Watched(t, n); got != 1 {
			t.Errorf("%d streams are watched, want 1", got)
		}
		stop(t, n)
		told(0, 0, 1)
		stopOther()
		watch(0, "s")() // who comes too late is told so
		told(1, 0, 0)
	})
}

// Many shards are walked, from memory and from the table, without the partition's help
// for each.
func TestWalkOverManyShards(t *testing.T) {
	bubble(t, "shards", func(t *testing.T) {
		n := start(t, node.Options{})
		const shards = 3000
		for i := range shards {
			putIn(t, n, fmt.Sprint("s", i), "x")
			if i%10 == 0 {
				putIn(t, n, "much", "1", "2", "3")
			}
		}
		for _, stored := range []bool{false, true} {
			if stored {
				if err := node.Checkpoint(n); err != nil {
					t.Fatal(err)
				}
			}
			w := walk(n, "s", live.Place{})
			w.next(t, 4<<10)
			if len(w.got) != shards+shards/10*3 {
				t.Fatalf("came by %d messages", len(w.got))
			}
			if !slices.IsSortedFunc(w.got, func(a, b live.Entry) int { return int(a.Stored - b.Stored) }) {
				t.Error("they are not in order")
			}
		}
	})
}

// Producers append to many shards, themselves and through handlers in other partitions,
// while the node is lost again and again and walkers follow. Each comes by every message
// once, in the order in which all were stored, and by nothing that is lost.
func TestWalkManyCrashes(t *testing.T) {
	bubble(t, "crashes", func(t *testing.T) {
		services := []*edda.Service{ordered("h", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			return nil, ctx.Append(&edda.Append{Stream: "s", Shard: m.To.Key, Messages: messages(m.ID.String() + "=h")})
		})}
		o := node.Options{CheckpointBytes: 10_000, Partitions: 4}
		d := newDisk()
		rng := randFor(t)
		walkers := make([]*follower, 4)
		for i := range walkers {
			walkers[i] = &follower{bytes: []int{1, 300, 100_000, 10_000}[i], breaks: i == 3}
		}
		for round := range 6 {
			n := d.open(t, o, services...)
			until := time.Now().Add(time.Duration(1+rng.IntN(2000)) * time.Microsecond)
			var producers, readers sync.WaitGroup
			for i := range 6 {
				producers.Go(func() { spread(t, n, i, round, until.Add(time.Millisecond)) })
			}
			for _, f := range walkers {
				readers.Go(func() { f.follow(t, n, until) })
			}
			readers.Wait()
			left := &disk{d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})}
			producers.Wait()
			_ = n.Stop(ended(t))
			d = left
		}
		n := d.open(t, o, services...)
		defer stop(t, n)
		synctest.Wait()
		all := walk(n, "s", live.Place{})
		all.next(t, 1<<20)
		checkWalk(t, n, all.got)
		for i, f := range walkers {
			f.follow(t, n, time.Now())
			if f.gap {
				t.Errorf("walker %d says that something is missing", i)
			}
			if !slices.EqualFunc(f.got, all.got, func(a, b live.Entry) bool {
				return a.Stored == b.Stored && a.Message.Shard == b.Message.Shard && a.Message.Offset == b.Message.Offset && a.Message.ID == b.Message.ID
			}) {
				t.Errorf("walker %d came by %d messages, want %d, all in order", i, len(f.got), len(all.got))
			}
		}
		if len(all.got) < 100 {
			t.Errorf("%d messages: nothing was tested", len(all.got))
		}
	})
}

// follower follows a stream across restarts.
type follower struct {
	place  live.Place
	got    []live.Entry
	gap    bool
	bytes  int
	breaks bool // it begins anew all the time
}

// follow follows until it is time, and to the end if it is that already.
func (f *follower) follow(t *testing.T, n *node.Node, until time.Time) {
	w := walk(n, "s", f.place)
	once := !time.Now().Before(until)
	for once || time.Now().Before(until) {
		entries, err := w.Next(t.Context(), f.bytes)
		if err != nil {
			t.Error(err)
			return
		}
		f.got = append(f.got, entries...)
		f.gap = f.gap || w.Gap()
		f.place = w.Place()
		if len(entries) == 0 {
			if once {
				return
			}
			time.Sleep(17 * time.Microsecond)
		}
		if f.breaks {
			w = walk(n, "s", f.place)
		}
	}
}

// spread appends to many shards until it is time.
func spread(t *testing.T, n *node.Node, by, round int, until time.Time) {
	for i := 0; time.Now().Before(until); i++ {
		shard := fmt.Sprint("s", (by*7+i*i)%23)
		if by == 0 {
			_, _ = n.Client().Send(t.Context(), msg("h/"+shard, "h", ""))
		} else {
			var m []edda.StreamMessage
			for k := range 1 + i%3 {
				m = append(m, edda.StreamMessage{ID: fmt.Sprintf("%d-%d-%d-%d", round, by, i, k), Payload: make([]byte, 10*by)})
			}
			_, _ = n.Append(t.Context(), &edda.Append{Stream: "s", Shard: shard, Messages: m})
		}
		time.Sleep(time.Duration(by+1) * 11 * time.Microsecond)
	}
}

// checkWalk compares what a walker came by with what the shards have.
func checkWalk(t *testing.T, n *node.Node, got []live.Entry) {
	t.Helper()
	s, err := n.Stream(t.Context(), "", "s")
	if err != nil {
		t.Fatal(err)
	}
	next, total := map[string]uint64{}, 0
	for i := range got {
		m := &got[i].Message
		if m.Offset != next[m.Shard] || i > 0 && got[i].Stored < got[i-1].Stored {
			t.Fatalf("message %d of shard %s, of %d, comes after message %d", m.Offset, m.Shard, got[i].Stored, next[m.Shard])
		}
		next[m.Shard]++
	}
	for _, o := range s.Offsets {
		total += int(o.End)
	}
	if total != len(got) {
		t.Errorf("came by %d messages of %d", len(got), total)
	}
}
