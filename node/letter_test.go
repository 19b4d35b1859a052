package node_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// fussy returns a service that fails what is called "bad" until it is mended, and
// tries twice.
func fussy(name string, then edda.OnDead, mended *atomic.Bool, j *journal) *edda.Service {
	s := ordered(name, func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		j.addf("%s%d", m.Payload, ctx.Attempt())
		if string(m.Payload) == "bad" && !mended.Load() {
			return nil, errHandler
		}
		return echo(ctx, m)
	})
	s.OnDead, s.Retry = then, edda.RetryPolicy{Max: 2, Delay: time.Second, Backoff: 1, Jitter: -1}
	return s
}

// The policy says what becomes of the rest after a dead letter.
func TestOnDead(t *testing.T) {
	bubble(t, "continue", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{}, fussy("s", edda.Continue, new(atomic.Bool), &j))
		bad := calling(t, n, msg("s/k", "m", "bad"))
		next := calling(t, n, msg("s/k", "m", "x"))
		(<-bad).refused(t, edda.Dead)
		(<-next).replied(t, 200, "x")
		j.want(t, "bad1 bad2 x1")
	})
	bubble(t, "stop-key", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{}, fussy("s", edda.StopKey, new(atomic.Bool), &j))
		bad := calling(t, n, msg("s/k", "m", "bad"))
		begun := time.Now()
		next := calling(t, n, msg("s/k", "m", "x"))
		sent := send(t, n, msg("s/k", "m", "y"))
		watched := waiting(t, n, sent.ID)
		(<-bad).refused(t, edda.Dead)
		// Who waits hears of it at once, who comes then too; a send is taken.
		first := stored(t, now(t, next).refused(t, edda.KeyStopped))
		second := stored(t, call(t, n, msg("s/k", "m", "z")).refused(t, edda.KeyStopped))
		send(t, n, msg("s/k", "m", "w"))
		third := calling(t, n, after(msg("s/k", "m", "v"), 2*time.Second))
		pending(t, third)
		call(t, n, msg("s/other", "m", "x")).replied(t, 200, "x")
		if took := time.Since(begun); took != time.Second {
			t.Errorf("it took %v, want 1s", took)
		}
		stored(t, (<-third).refused(t, edda.KeyStopped)) // once it has joined the queue
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("it took %v, want 3s", took)
		}
		j.want(t, "bad1 bad2 x1")
		pending(t, watched)
		info, err := n.Service(t.Context(), "", "s")
		if err != nil || !slices.Equal(info.StoppedKeys, []string{"k"}) || info.StoppedKeyCount != 1 || info.Queued != 5 {
			t.Errorf("got %+v, %v, want key k stopped, 5 queued", info, err)
		}
		for range 2 { // again does no harm
			if info, err = n.ResumeKey(t.Context(), "", "s", "k"); err != nil || info.StoppedKeyCount != 0 {
				t.Errorf("got %+v, %v, want no key stopped", info, err)
			}
		}
		now(t, watched).replied(t, 200, "y")
		for _, id := range []edda.ID{first, second} {
			inState(t, n, id, edda.StateSucceeded)
		}
		j.want(t, "bad1 bad2 x1 x1 y1 z1 w1 v1")
	})
	bubble(t, "pause", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{}, fussy("s", edda.Pause, new(atomic.Bool), &j), ordered("other", echo))
		gone := calling(t, n, after(msg("s/x", "m", "x"), time.Second+time.Millisecond))
		(<-calling(t, n, msg("s/k", "m", "bad"))).refused(t, edda.Dead)
		stored(t, now(t, gone).refused(t, edda.ServicePaused))
		id := stored(t, call(t, n, msg("s/k", "m", "y")).refused(t, edda.ServicePaused))
		send(t, n, msg("s/k", "m", "z"))
		call(t, n, msg("other/k", "m", "x")).replied(t, 200, "x")
		time.Sleep(time.Hour)
		j.want(t, "bad1 bad2")
		if info, err := n.Service(t.Context(), "", "s"); err != nil || !info.Paused {
			t.Errorf("got %+v, %v, want paused", info, err)
		}
		if info, err := n.ResumeService(t.Context(), "", "s"); err != nil || info.Paused {
			t.Errorf("got %+v, %v, want not paused", info, err)
		}
		inState(t, n, id, edda.StateSucceeded)
	})
}

// A paused service lets what runs finish, starts nothing, and tells who waits.
func TestPauseAndResume(t *testing.T) {
	for _, to := range []string{"s/k", "b"} {
		bubble(t, to, func(t *testing.T) {
			gate := make(chan struct{})
			h := func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				if string(m.Payload) == "retry" && ctx.Attempt() == 1 {
					<-gate
					return nil, errHandler
				}
				return waitFor(gate)(ctx, m)
			}
			s, b := ordered("s", h), balanced("b", h)
			s.Concurrency, b.Concurrency = 2, 2
			s.Retry, b.Retry = everySecond, everySecond
			n := start(t, node.Options{}, s, b)
			name := msg(to, "m", "").To.Name
			running, queued := calling(t, n, msg(to, "m", "a")), calling(t, n, msg(to, "m", "c"))
			other := to
			if to != "b" {
				other = "s/other"
			}
			if to == "b" { // both slots are taken by a and c
				queued = calling(t, n, msg(to, "m", "d"))
			}
			retried := calling(t, n, msg(other, "m", "retry"))
			if info, err := n.PauseService(t.Context(), "", name); err != nil || !info.Paused {
				t.Fatalf("got %+v, %v, want paused", info, err)
			}
			stored(t, now(t, queued).refused(t, edda.ServicePaused))
			pending(t, running)
			if to != "b" {
				pending(t, retried)
			}
			close(gate)
			now(t, running).replied(t, 200, "a")
			id := stored(t, now(t, retried).refused(t, edda.ServicePaused)) // its next attempt waits
			time.Sleep(time.Hour)
			if q := request(t, n, id); q.State.Ended() {
				t.Errorf("got state %s in a paused service, want one that goes on", q.State)
			}
			if _, err := n.ResumeService(t.Context(), "", name); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			inState(t, n, id, edda.StateSucceeded)
			call(t, n, msg(to, "m", "e")).replied(t, 200, "e")
		})
	}
	bubble(t, "nobody knows it", func(t *testing.T) {
		n := start(t, node.Options{})
		_, err := n.PauseService(t.Context(), "", "s")
		wantReason(t, err, edda.UnknownService)
		_, err = n.ResumeService(t.Context(), "", "s")
		wantReason(t, err, edda.UnknownService)
		_, err = n.ResumeKey(t.Context(), "", "s", "k")
		wantReason(t, err, edda.UnknownService)
		_, err = n.Service(t.Context(), "", "s")
		wantReason(t, err, edda.UnknownService)
		wantReason(t, n.DeleteService(t.Context(), "", "s", true), edda.UnknownService)
	})
}

// Dead letters can be listed in pages, filtered and shown.
func TestDeadLetters(t *testing.T) {
	bubble(t, "list", func(t *testing.T) {
		var j journal
		s := fussy("s", edda.Continue, new(atomic.Bool), &j)
		slow := ordered("slow", waitFor(nil))
		slow.AttemptTimeout, slow.Retry = time.Second, once
		other := ordered("s", fail)
		other.Namespace, other.Retry = "other", once
		n := start(t, node.Options{}, s, slow, other)
		want := map[edda.ID]bool{}
		for i := range 25 {
			m := msg(fmt.Sprintf("s/k%d", i%5), "m", "bad")
			m.Headers = edda.Headers{{Name: "X-N", Value: fmt.Sprint(i)}}
			want[send(t, n, m).ID] = true
		}
		timedOut := send(t, n, msg("slow/k", "m", "z")).ID
		elsewhere := send(t, n, with(msg("s/k", "m", ""), func(m *edda.Message) { m.To.Namespace = "other" })).ID
		time.Sleep(time.Hour)
		for _, limit := range []int{1, 3, 5, 7, 25, 100} {
			got := map[edda.ID]bool{}
			page := node.Page{Limit: limit}
			for {
				letters, next, err := n.DeadLetters(t.Context(), node.DeadLetterFilter{Service: "s"}, page)
				// Every page but the last is full, and there is none after the last letter.
				if left := len(want) - len(got); err != nil || len(letters) != min(limit, left) || (next == "") != (left <= limit) {
					t.Fatalf("limit %d: got %d letters, next %q and %v with %d left", limit, len(letters), next, err, left)
				}
				for _, l := range letters {
					if got[l.ID] || !want[l.ID] {
						t.Errorf("limit %d: got letter %s twice, or one that is none", limit, l.ID)
					}
					got[l.ID] = true
				}
				if next == "" {
					break
				}
				page.After = next
			}
			if len(got) != len(want) {
				t.Errorf("limit %d: got %d letters, want %d", limit, len(got), len(want))
			}
		}
		if got := deadLetters(t, n, node.DeadLetterFilter{Service: "s", Key: "k3"}); len(got) != 5 {
			t.Errorf("got %d letters of a key, want 5", len(got))
		}
		if got := deadLetters(t, n, node.DeadLetterFilter{Reason: edda.Timeout}); len(got) != 1 || got[0].ID != timedOut {
			t.Errorf("got %v, want %s", got, timedOut)
		}
		if got := deadLetters(t, n, node.DeadLetterFilter{Namespace: "other"}); len(got) != 1 || got[0].ID != elsewhere {
			t.Errorf("got %v, want %s", got, elsewhere)
		}
		l := deadLetters(t, n, node.DeadLetterFilter{Key: "k2"})[0]
		one, err := n.DeadLetter(t.Context(), "", l.ID)
		if err != nil || one.ID != l.ID || one.Service != "s" || one.Key != "k2" || one.Method != "m" || one.Reason != edda.Failed ||
			one.Detail != errHandler.Error() || one.Attempts != 2 || one.DiedAt.IsZero() || one.ContentType != "text/plain" ||
			string(one.Payload) != "bad" || one.Headers.Get("x-n") != "2" {
			t.Errorf("got %+v, %v, want the whole letter", one, err)
		}
		for _, p := range []node.Page{{Limit: -1}, {Limit: 1001}, {After: "x"}, {After: "1"}, {After: "-1.0"}} {
			_, _, err := n.DeadLetters(t.Context(), node.DeadLetterFilter{}, p)
			wantReason(t, err, edda.BadValue)
		}
	})
	bubble(t, "what is none", func(t *testing.T) {
		n := start(t, node.Options{}, ordered("s", echo))
		alive := send(t, n, msg("s/k", "m", "x")).ID
		synctest.Wait()
		for _, id := range []edda.ID{alive, edda.NewID(1, time.Now())} {
			_, err := n.DeadLetter(t.Context(), "", id)
			wantReason(t, err, edda.NoDeadLetter)
			_, err = n.RetryDeadLetter(t.Context(), "", id)
			wantReason(t, err, edda.NoDeadLetter)
			wantReason(t, n.DropDeadLetter(t.Context(), "", id), edda.NoDeadLetter)
		}
	})
}

// A dead letter that is retried is the same request again, at the end of its
// key's queue, and counts its attempts on.
func TestRetryDeadLetter(t *testing.T) {
	bubble(t, "retry", func(t *testing.T) {
		var j journal
		var mended atomic.Bool
		n := start(t, node.Options{}, fussy("s", edda.Continue, &mended, &j))
		m := keyed(msg("s/k", "m", "bad"), "key")
		ack := send(t, n, m)
		answerOf(n.Client().Wait(t.Context(), ack.ID)).refused(t, edda.Dead)
		// Not mended: it dies again at once, its attempts are spent.
		if q, err := n.RetryDeadLetter(t.Context(), "", ack.ID); err != nil || q.ID != ack.ID {
			t.Fatalf("got %+v, %v, want the request again", q, err)
		}
		e := answerOf(n.Client().Wait(t.Context(), ack.ID)).refused(t, edda.Dead)
		if e.Attempts != 3 {
			t.Errorf("got %d attempts, want 3", e.Attempts)
		}
		mended.Store(true)
		if _, err := n.PauseService(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		send(t, n, msg("s/k", "m", "x"))
		if _, err := n.RetryDeadLetter(t.Context(), "", ack.ID); err != nil {
			t.Fatal(err)
		}
		_, err := n.DeadLetter(t.Context(), "", ack.ID)
		wantReason(t, err, edda.NoDeadLetter)
		_, err = n.RetryDeadLetter(t.Context(), "", ack.ID)
		wantReason(t, err, edda.NoDeadLetter)
		if joined := send(t, n, m); !joined.Joined || joined.Done || joined.ID != ack.ID {
			t.Errorf("got %+v, want joined to the request that runs again", joined)
		}
		send(t, n, msg("s/k", "m", "y"))
		if _, err := n.ResumeService(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		r := answerOf(n.Client().Wait(t.Context(), ack.ID)).replied(t, 200, "bad")
		if r.Attempts != 4 || r.Position != ack.Position {
			t.Errorf("got %d attempts at %s, want 4 at %s", r.Attempts, r.Position, ack.Position)
		}
		j.want(t, "bad1 bad2 bad3 x1 bad4 y1")
		if r := call(t, n, m).replied(t, 200, "bad"); !r.Replayed || r.Attempts != 4 {
			t.Errorf("got %+v, want the outcome replayed", r)
		}
	})
	bubble(t, "drop", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{}, fussy("s", edda.Continue, new(atomic.Bool), &j))
		id := send(t, n, msg("s/k", "m", "bad")).ID
		time.Sleep(48 * time.Hour) // a dead letter is kept until somebody looks after it
		inState(t, n, id, edda.StateDead)
		if err := n.DropDeadLetter(t.Context(), "", id); err != nil {
			t.Fatal(err)
		}
		wantReason(t, n.DropDeadLetter(t.Context(), "", id), edda.NoDeadLetter)
		if letters := deadLetters(t, n, node.DeadLetterFilter{}); len(letters) != 0 {
			t.Errorf("got %v, want none", letters)
		}
		if q := inState(t, n, id, edda.StateDead); q.Error == nil || q.Error.Reason != edda.Dead {
			t.Errorf("got error %+v, want DEAD", q.Error)
		}
		time.Sleep(25 * time.Hour)
		unknown(t, n, id)
	})
}

// A service that nobody hosts can be forgotten, with force also when work is
// left, which then is dead (NO_SERVICE).
func TestDeleteService(t *testing.T) {
	bubble(t, "delete", func(t *testing.T) {
		d := newDisk()
		stop(t, d.open(t, node.Options{}, ordered("s", echo), balanced("b", echo), ordered("hosted", echo)))
		n := d.open(t, node.Options{}, ordered("hosted", echo))
		wantReason(t, n.DeleteService(t.Context(), "", "hosted", true), edda.Conflict)
		if err := n.DeleteService(t.Context(), "", "b", false); err != nil {
			t.Fatal(err)
		}
		call(t, n, msg("b", "m", "")).refused(t, edda.NoService)
		var ids []edda.ID
		for i := range 10 {
			ids = append(ids, send(t, n, msg(fmt.Sprint("s/k", i%3), "m", "x")).ID)
		}
		ids = append(ids, send(t, n, after(msg("s/k", "m", "x"), time.Hour)).ID)
		waiter := waiting(t, n, ids[0])
		wantReason(t, n.DeleteService(t.Context(), "", "s", false), edda.Conflict)
		inState(t, n, ids[0], edda.Accepted)
		if err := n.DeleteService(t.Context(), "", "s", true); err != nil {
			t.Fatal(err)
		}
		letters, _, err := n.DeadLetters(t.Context(), node.DeadLetterFilter{Reason: edda.NoService}, node.Page{})
		if err != nil || len(letters) != len(ids) {
			t.Errorf("got %d dead letters, %v, once the service was deleted, want %d", len(letters), err, len(ids))
		}
		now(t, waiter).refused(t, edda.Dead)
		call(t, n, msg("s/k", "m", "")).refused(t, edda.NoService)
		// Somebody hosts it again: what died can be retried then, not before.
		if q, err := n.RetryDeadLetter(t.Context(), "", ids[0]); err != nil {
			t.Errorf("got %+v, %v", q, err)
		}
		synctest.Wait()
		inState(t, n, ids[0], edda.StateDead)
		stop(t, n)
		n = d.open(t, node.Options{}, ordered("s", echo))
		defer stop(t, n)
		for _, id := range ids {
			if _, err := n.RetryDeadLetter(t.Context(), "", id); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range ids {
			answerOf(n.Client().Wait(t.Context(), id)).replied(t, 200, "x")
		}
	})
}

// A service changes its kind only when nothing of it is left to do, and nothing
// runs before that is known.
func TestKindInUse(t *testing.T) {
	bubble(t, "kind", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{}, ordered("s", echo))
		if _, err := n.PauseService(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		send(t, n, msg("s/k", "m", "x"))
		if _, err := n.ResumeService(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		stop(t, n)
		n = d.open(t, node.Options{})
		id := send(t, n, msg("s/k", "m", "x")).ID
		stop(t, n)
		var j journal
		b := balanced("s", func(*edda.Context, *edda.Message) (*edda.Reply, error) { j.addf("ran"); return nil, nil })
		for range 10 {
			o := withDefaults(node.WithoutGather(node.Options{Dir: "data", FS: d.fs, SegmentBytes: 1 << 20}), b)
			bad, err := node.Open(t.Context(), o)
			if err == nil {
				stop(t, bad)
			}
			wantReason(t, err, edda.KindInUse)
		}
		j.want(t, "")
		n = d.open(t, node.Options{}, ordered("s", echo))
		answerOf(n.Client().Wait(t.Context(), id)).replied(t, 200, "x")
		stop(t, n)
		n = d.open(t, node.Options{}, b)
		defer stop(t, n)
		call(t, n, msg("s", "m", "")).replied(t, 204, "")
		if info, err := n.Service(t.Context(), "", "s"); err != nil || info.Kind != edda.Balanced {
			t.Errorf("got %+v, %v, want balanced", info, err)
		}
	})
}

// Every page of a list but the last is full, and there is none after the last
// item, whichever partition that is in.
func TestPagesOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, node.Options{}, ordered("s", fail))
		if _, err := n.PauseService(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		const all, keys = 4, 10
		for i := range all * keys {
			send(t, n, msg(fmt.Sprintf("s/k%d", i%keys), "m", ""))
		}
		for i := range keys {
			f := node.RequestFilter{Service: "s", Key: fmt.Sprintf("k%d", i)}
			for _, limit := range []int{1, 2, 3, all, 100} {
				got := map[edda.ID]bool{}
				page := node.Page{Limit: limit}
				for more := true; more; more = page.After != "" {
					items, next, err := n.Requests(t.Context(), f, page)
					if left := all - len(got); err != nil || len(items) != min(limit, left) || (next == "") != (left <= limit) {
						t.Fatalf("%s, limit %d: got %d requests, next %q and %v with %d left", f.Key, limit, len(items), next, err, left)
					}
					for _, r := range items {
						got[r.ID] = true
					}
					page.After = next
				}
				if len(got) != all {
					t.Errorf("%s, limit %d: got %d requests, want %d", f.Key, limit, len(got), all)
				}
			}
		}
	})
}
