package node_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// ways are how a node may end between two starts. Each returns the disk that the
// next start finds.
var ways = map[string]func(t *testing.T, d *disk, n *node.Node) *disk{
	"stop": func(t *testing.T, d *disk, n *node.Node) *disk {
		t.Helper()
		stop(t, n)
		return d
	},
	"crash": func(t *testing.T, d *disk, n *node.Node) *disk {
		t.Helper()
		c := d.crash()
		stop(t, n)
		return c
	},
	"crash that kept some of what was not synced": func(t *testing.T, d *disk, n *node.Node) *disk {
		t.Helper()
		c := &disk{d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: randFor(t)})}
		stop(t, n)
		return c
	},
}

// restarts runs the test for each way to end and with few and many checkpoints;
// restart ends the node and starts it again.
func restarts(t *testing.T, f func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node), services func() []*edda.Service) {
	t.Helper()
	for name, end := range ways {
		for _, checkpoint := range []int{0, 500} {
			bubble(t, fmt.Sprint(name, "/", checkpoint), func(t *testing.T) {
				o := node.Options{CheckpointBytes: checkpoint}
				d := newDisk()
				f(t, d.open(t, o, services()...), func(n *node.Node) *node.Node {
					d = end(t, d, n)
					return d.open(t, o, services()...)
				})
			})
		}
	}
}

// Everything that a node has promised is there after a restart.
func TestRestartKeepsEverything(t *testing.T) {
	services := func() []*edda.Service {
		h := func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			switch m.Type {
			case "fail":
				return nil, errHandler
			case "once":
				if ctx.Attempt() == 1 {
					return nil, errHandler
				}
			case "final":
				return nil, edda.Final("NO", "no")
			case "when":
				return edda.TextReply(200, fmt.Sprint(m.Time.UTC().Format(time.TimeOnly), " ", ctx.Attempt())), nil
			}
			return &edda.Reply{Status: 201, ContentType: m.ContentType, Payload: m.Payload, Headers: m.Headers}, nil
		}
		s, stops, pauses, b := ordered("s", h), ordered("stops", h), ordered("pauses", h), balanced("b", h)
		s.Retry = edda.RetryPolicy{Max: 2, Delay: time.Hour, MaxDelay: time.Hour, Backoff: 1, Jitter: -1}
		stops.Retry, stops.OnDead = once, edda.StopKey
		pauses.Retry, pauses.OnDead = once, edda.Pause
		b.Retry = s.Retry
		return []*edda.Service{s, stops, pauses, b, stateful("state")}
	}
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		begun := time.Now()
		m := func(to, method string) *edda.Message {
			m := keyed(msg(to, method, "payload of "+to), "key of "+method)
			m.Headers = edda.Headers{{Name: "X-A", Value: "b"}}
			return m
		}
		ended := map[string]answer{}
		for _, to := range []string{"s/ok", "b"} {
			for _, method := range []string{"ok", "final"} {
				ended[to+" "+method] = call(t, n, m(to, method))
			}
		}
		sent := send(t, n, msg("s/sent", "m", ""))
		dead := send(t, n, m("stops/k", "fail"))
		dropped := send(t, n, msg("stops/dropped", "fail", ""))
		synctest.Wait()
		if err := n.DropDeadLetter(t.Context(), "", dropped.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := n.ResumeKey(t.Context(), "", "stops", "dropped"); err != nil {
			t.Fatal(err)
		}
		stopped := []*edda.Ack{send(t, n, msg("stops/k", "m", "1")), send(t, n, msg("stops/k", "m", "2"))}
		send(t, n, msg("pauses/k", "fail", ""))
		synctest.Wait()
		paused := send(t, n, msg("pauses/other", "when", ""))
		delayed := send(t, n, after(msg("s/delayed", "when", ""), 30*time.Minute))
		retrying := send(t, n, m("s/retrying", "once"))
		behind := send(t, n, msg("s/retrying", "m", "behind"))
		balancedRetrying := send(t, n, msg("b", "once", "x"))
		called := calling(t, n, msg("s/called", "once", "x"))
		do(t, n, "state/k", step{Set: map[string]string{"a": "1"}}).replied(t, 200, "")
		synctest.Wait()

		check := func() {
			t.Helper()
			for name, a := range ended {
				to, method, _ := strings.Cut(name, " ")
				again := call(t, n, m(to, method))
				if method == "ok" {
					r := again.replied(t, 201, "payload of "+to)
					if !r.Replayed || r.RequestID != a.reply.RequestID || r.Position != a.reply.Position || !slices.Equal(r.Headers, m(to, method).Headers) || r.ContentType != "text/plain" {
						t.Errorf("%s: got %+v, want %+v replayed", name, r, a.reply)
					}
				} else if e := again.refused(t, edda.Failed); !e.Replayed || e.RequestID != a.refused(t, edda.Failed).RequestID || e.Position == "" {
					t.Errorf("%s: got %+v, want %+v replayed", name, e, a.err)
				}
			}
			answerOf(n.Client().Wait(t.Context(), sent.ID)).replied(t, 201, "")
			letters := deadLetters(t, n, node.DeadLetterFilter{Service: "stops"})
			if len(letters) != 1 || letters[0].ID != dead.ID || string(letters[0].Payload) != "payload of stops/k" || letters[0].Headers.Get("X-A") != "b" {
				t.Errorf("got dead letters %+v, want one of %s", letters, dead.ID)
			}
			if q := inState(t, n, dropped.ID, edda.StateDead); q.Attempts != 1 {
				t.Errorf("got %d attempts, want 1", q.Attempts)
			}
			if e := call(t, n, m("stops/k", "fail")).refused(t, edda.Dead); !e.Replayed || e.RequestID != dead.ID {
				t.Errorf("got %+v, want the replay of %s", e, dead.ID)
			}
			info, err := n.Service(t.Context(), "", "stops")
			if err != nil || !slices.Equal(info.StoppedKeys, []string{"k"}) || info.Queued != 2 {
				t.Errorf("got %+v, %v, want key k stopped, 2 queued", info, err)
			}
			if info, err = n.Service(t.Context(), "", "pauses"); err != nil || !info.Paused || info.Queued != 1 {
				t.Errorf("got %+v, %v, want paused, 1 queued", info, err)
			}
			for _, a := range append(stopped, paused, behind) {
				inState(t, n, a.ID, edda.Accepted)
			}
			if q := inState(t, n, delayed.ID, edda.Accepted); !q.NextAttemptAt.Equal(begun.Add(30 * time.Minute)) {
				t.Errorf("got %+v, want due after half an hour", q)
			}
			for _, a := range []*edda.Ack{retrying, balancedRetrying} {
				if q := inState(t, n, a.ID, edda.Retrying); q.Attempts != 1 || !q.NextAttemptAt.Equal(begun.Add(time.Hour)) || q.Position != a.Position {
					t.Errorf("got %+v, want one attempt, the next in an hour", q)
				}
			}
			if a := send(t, n, m("s/retrying", "once")); !a.Joined || a.ID != retrying.ID || a.Done {
				t.Errorf("got %+v, want joined", a)
			}
			do(t, n, "state/k", step{Get: []string{"a"}}).replied(t, 200, "a=1/true")
		}
		check()
		for range 3 {
			n = restart(n)
			check()
			time.Sleep(time.Minute)
		}
		e := now(t, called).refused(t, edda.Timeout)
		if _, err := n.ResumeKey(t.Context(), "", "stops", "k"); err != nil {
			t.Fatal(err)
		}
		if _, err := n.ResumeService(t.Context(), "", "pauses"); err != nil {
			t.Fatal(err)
		}
		if _, err := n.RetryDeadLetter(t.Context(), "", dead.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // else a crash costs the only attempt
		n = restart(n)
		for _, a := range stopped {
			answerOf(n.Client().Wait(t.Context(), a.ID)).replied(t, 201, fmt.Sprint(slices.Index(stopped, a)+1))
		}
		answerOf(n.Client().Wait(t.Context(), dead.ID)).refused(t, edda.Dead)
		answerOf(n.Client().Wait(t.Context(), paused.ID)).replied(t, 200, "00:00:00 1")
		answerOf(n.Client().Wait(t.Context(), delayed.ID)).replied(t, 200, "00:00:00 1")
		if took := time.Since(begun); took != 30*time.Minute {
			t.Errorf("the delayed one came after %v, want half an hour", took)
		}
		for _, id := range []edda.ID{retrying.ID, balancedRetrying.ID, e.RequestID} {
			r, err := n.Client().Wait(t.Context(), id)
			if err != nil || r.Attempts != 2 || time.Since(begun) != time.Hour {
				t.Errorf("got %+v, %v after %v, want 2 attempts after an hour", r, err, time.Since(begun))
			}
		}
		answerOf(n.Client().Wait(t.Context(), behind.ID)).replied(t, 201, "behind")
		stop(t, n)
	}, services)
}

// A node that is lost while a handler runs costs that request one attempt, and a
// request that always kills its node dies like any other.
func TestLostNodeCountsOneAttempt(t *testing.T) {
	bubble(t, "killer", func(t *testing.T) {
		var j journal
		service := func() *edda.Service {
			s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				j.addf("%s%d", m.Payload, ctx.Attempt())
				if string(m.Payload) == "killer" {
					<-ctx.Done()
				}
				return nil, nil
			})
			s.Retry = edda.RetryPolicy{Max: 3, Delay: time.Minute}
			s.AttemptTimeout = time.Hour
			return s
		}
		d := newDisk()
		n := d.open(t, node.Options{}, service())
		killer, next := send(t, n, msg("s/k", "m", "killer")), send(t, n, msg("s/k", "m", "next"))
		for attempt := 1; attempt <= 3; attempt++ {
			if q := inState(t, n, killer.ID, edda.Taken); q.Attempts != attempt {
				t.Errorf("got %d attempts, want %d", q.Attempts, attempt)
			}
			crashed := d.crash()
			ctx := ended(t)
			_ = n.Stop(ctx)
			d = crashed
			n = d.open(t, node.Options{}, service())
			synctest.Wait()
		}
		defer stop(t, n)
		e := answerOf(n.Client().Wait(t.Context(), killer.ID)).refused(t, edda.Dead)
		if e.Attempts != 3 {
			t.Errorf("got %d attempts, want 3", e.Attempts)
		}
		if letters := deadLetters(t, n, node.DeadLetterFilter{}); len(letters) != 1 || letters[0].Reason != edda.NodeLost {
			t.Errorf("got %+v, want one dead letter of NODE_LOST", letters)
		}
		answerOf(n.Client().Wait(t.Context(), next.ID)).replied(t, 204, "")
		j.want(t, "killer1 killer2 killer3 next1")
	})
}

// Fences rise across restarts too, however the node ended.
func TestFencesRiseAcrossRestarts(t *testing.T) {
	var mu sync.Mutex
	last := map[string]uint64{}
	services := func() []*edda.Service {
		return []*edda.Service{ordered("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			mu.Lock()
			defer mu.Unlock()
			if ctx.Fence() <= last[ctx.Key()] {
				t.Errorf("got fence %d after %d, want a higher one", ctx.Fence(), last[ctx.Key()])
			}
			last[ctx.Key()] = ctx.Fence()
			return nil, nil
		})}
	}
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		mu.Lock()
		clear(last)
		mu.Unlock()
		for range 4 {
			for i := range 6 {
				call(t, n, msg(fmt.Sprint("s/", i%2), "m", "")).replied(t, 204, "")
			}
			n = restart(n)
		}
		stop(t, n)
	}, services)
}

// Time never goes back within a partition: what was kept stays kept as long as
// promised over a restart.
func TestExpiryAcrossRestarts(t *testing.T) {
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		id := send(t, n, msg("s/k", "m", "x")).ID
		m := keyed(msg("s/k", "m", "x"), "key")
		first := call(t, n, m).replied(t, 200, "x").RequestID
		n = restart(n)
		time.Sleep(24*time.Hour - time.Second)
		answerOf(n.Client().Wait(t.Context(), id)).replied(t, 200, "x")
		if r := call(t, n, m).replied(t, 200, "x"); r.RequestID != first {
			t.Error("the key was forgotten before its time")
		}
		time.Sleep(2 * time.Second)
		unknown(t, n, id)
		n = restart(n)
		unknown(t, n, id)
		if r := call(t, n, m).replied(t, 200, "x"); r.RequestID == first || r.Replayed {
			t.Error("the key was remembered after its time")
		}
		n = restart(n)
		if r := call(t, n, m).replied(t, 200, "x"); !r.Replayed {
			t.Error("the second use of the key is not remembered")
		}
		stop(t, n)
	}, func() []*edda.Service { return []*edda.Service{ordered("s", echo)} })
}

// Acknowledged counts add up, whatever is cut off in the middle.
func TestNothingIsLostOrDoubled(t *testing.T) {
	bubble(t, "counters", func(t *testing.T) {
		counter := func() *edda.Service {
			s := edda.NewOrdered("counter")
			edda.Handle(s, "add", func(ctx *edda.Context, n int) (int, error) {
				v, _, err := edda.Get[int](ctx, "v")
				if err != nil {
					return 0, err
				}
				if ctx.Attempt() == 1 && v%7 == 3 {
					return 0, errHandler
				}
				return v + n, edda.Set(ctx, "v", v+n)
			})
			s.Retry = edda.RetryPolicy{Max: -1, Delay: time.Millisecond}
			return s
		}
		const keys, adds = 8, 60
		o := node.Options{CheckpointBytes: 5000}
		d := newDisk()
		n := d.open(t, o, counter())
		var mu sync.Mutex // guards what follows
		current, crashes := n, 0
		var wg sync.WaitGroup
		for k := range keys {
			wg.Go(func() {
				for i := range adds {
					for {
						mu.Lock()
						c, before := current.Client(), crashes
						mu.Unlock()
						m := keyed(msg(fmt.Sprint("counter/", k), "add", "1"), fmt.Sprint(i))
						m.ContentType = "application/json"
						r, err := c.Call(t.Context(), m)
						mu.Lock()
						heard := crashes == before // else the node that said so is gone
						mu.Unlock()
						if err == nil && heard {
							if string(r.Payload) != fmt.Sprint(i+1) {
								t.Errorf("key %d: got %s, want %d", k, r.Payload, i+1)
							}
							break
						}
						time.Sleep(time.Millisecond)
					}
					time.Sleep(100 * time.Microsecond)
				}
			})
		}
		for range 15 {
			time.Sleep(2 * time.Millisecond)
			mu.Lock()
			crashes++
			mu.Unlock()
			d = d.crash()
			old := n
			n = d.open(t, o, counter())
			mu.Lock()
			current = n
			mu.Unlock()
			stop(t, old)
		}
		wg.Wait()
		stop(t, n)
	})
}
