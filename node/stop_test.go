package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/memlog"
	"github.com/edda-io/edda/node"
)

// Stop lets handlers finish, takes nothing new, and starts nothing more (W5).
func TestDrain(t *testing.T) {
	bubble(t, "handlers finish", func(t *testing.T) {
		gate := make(chan struct{})
		var j journal
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			j.addf("%s", m.Payload)
			return waitFor(gate)(ctx, m)
		})
		n := open(t, node.Options{}, s)
		running := calling(t, n, msg("s/k", "m", "a"))
		queued := calling(t, n, msg("s/k", "m", "b"))
		var wg sync.WaitGroup
		for range 3 { // at a time, and later again
			wg.Go(func() { stop(t, n) })
		}
		synctest.Wait()
		if wantReason(t, n.Ready(), edda.Draining); n.Err() != nil {
			t.Errorf("got %v, want no failure", n.Err())
		}
		for _, m := range []*edda.Message{msg("s/k", "m", "c"), msg("s/other", "m", "d"), msg("nobody", "m", "")} {
			notStored(t, call(t, n, m).refused(t, edda.Draining))
			_, err := n.Client().Send(t.Context(), m)
			if e := wantReason(t, err, edda.Draining); e.RetryAfter <= 0 {
				t.Errorf("got %+v, want a time to come again", e)
			}
		}
		pending(t, running)
		close(gate)
		now(t, running).replied(t, 200, "a")
		stored(t, now(t, queued).refused(t, edda.Timeout)) // it is stored, and goes on in the next start
		wg.Wait()
		stop(t, n)
		j.want(t, "a")
		select {
		case <-n.Done():
		default:
			t.Error("the node is not done")
		}
		call(t, n, msg("s/k", "m", "e")).refused(t, edda.Draining)
		_, err := n.Client().Request(t.Context(), edda.NewID(1, time.Now()))
		wantReason(t, err, edda.Draining)
		_, _, err = n.Requests(t.Context(), node.RequestFilter{}, node.Page{})
		wantReason(t, err, edda.Draining)
		_, err = n.PauseService(t.Context(), "", "s")
		wantReason(t, err, edda.Draining)
	})
	bubble(t, "in time", func(t *testing.T) {
		forever := make(chan struct{})
		n := open(t, node.Options{}, ordered("s", func(*edda.Context, *edda.Message) (*edda.Reply, error) {
			<-forever
			return nil, nil
		}), ordered("obeys", waitFor(nil)))
		send(t, n, msg("s/k", "m", ""))
		send(t, n, msg("obeys/k", "m", ""))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		begun := time.Now()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != 7*time.Second {
			t.Errorf("it took %v, want 7s", took)
		}
		close(forever)
		synctest.Wait() // its outcome is nobody's any more
	})
}

// Stopping costs no attempt, neither what runs nor what waits, and what is given
// back goes on in the next start.
func TestDrainHandsBack(t *testing.T) {
	bubble(t, "no attempt", func(t *testing.T) {
		d := newDisk()
		var j journal
		forever := make(chan struct{})
		service := func(stuck bool) *edda.Service {
			s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				j.addf("%s%d", m.Payload, ctx.Attempt())
				switch {
				case string(m.Payload) == "f":
					return nil, errHandler
				case stuck && string(m.Payload) == "stubborn":
					<-forever
				case stuck:
					return waitFor(nil)(ctx, m)
				}
				return echo(ctx, m)
			})
			s.Retry = edda.RetryPolicy{Max: 2, Delay: time.Hour, MaxDelay: time.Hour, Backoff: 1, Jitter: -1}
			s.AttemptTimeout = time.Hour
			return s
		}
		var ids []edda.ID
		n := d.open(t, node.Options{}, service(true))
		for _, m := range []*edda.Message{msg("s/a", "m", "a"), msg("s/b", "m", "stubborn"), msg("s/a", "m", "c"), after(msg("s/d", "m", "d"), time.Hour)} {
			ids = append(ids, send(t, n, m).ID)
			synctest.Wait()
		}
		failing := send(t, n, msg("s/f", "m", "f")).ID
		for round := range 4 {
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := n.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			n = d.open(t, node.Options{}, service(round < 3))
		}
		defer stop(t, n)
		if q := inState(t, n, failing, edda.Retrying); q.Attempts != 1 {
			t.Errorf("got %d attempts, want 1", q.Attempts)
		}
		for i, id := range ids {
			r := answerOf(n.Client().Wait(t.Context(), id)).replied(t, 200, []string{"a", "stubborn", "c", "d"}[i])
			if r.Attempts != 1 {
				t.Errorf("request %d: got %d attempts, want 1", i, r.Attempts)
			}
		}
		answerOf(n.Client().Wait(t.Context(), failing)).refused(t, edda.Dead)
		close(forever)
	})
}

// Whatever ends when the node stops in the middle of many calls has one clear
// answer, and what was acknowledged is there afterwards.
func TestStopUnderLoad(t *testing.T) {
	bubble(t, "load", func(t *testing.T) {
		d := newDisk()
		var total int
		for round := range 4 {
			n := d.open(t, node.Options{CheckpointBytes: 10_000}, stateful("s"), balanced("b", echo))
			var mu sync.Mutex
			var acked []edda.ID
			reasons := map[edda.Reason]int{}
			var wg sync.WaitGroup
			for c := range 20 {
				wg.Go(func() {
					for i := range 100 {
						ack, err := n.Client().Send(t.Context(), msg(fmt.Sprintf("s/%d-%d", c, i%3), "m", "{}"))
						mu.Lock()
						if reasons[edda.ReasonOf(err)]++; err == nil {
							acked = append(acked, ack.ID)
						}
						mu.Unlock()
						if err != nil {
							return
						}
						if i%10 == round%10 {
							time.Sleep(time.Millisecond)
						}
					}
				})
			}
			time.Sleep(5 * time.Millisecond)
			stop(t, n)
			wg.Wait()
			for r := range reasons {
				if r != "" && r != edda.Draining {
					t.Errorf("got %v, want acknowledgements and DRAINING alone", reasons)
				}
			}
			n = d.open(t, node.Options{}, stateful("s"))
			for _, id := range acked {
				answerOf(n.Client().Wait(t.Context(), id)).replied(t, 200, "")
			}
			stop(t, n)
			total += len(acked)
		}
		if total == 0 {
			t.Error("nothing was acknowledged")
		}
	})
}

// Nodes come and go, with work and without, in any order of Stop.
func TestStartStop(t *testing.T) {
	for i := range 20 {
		n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 1 << (i % 4), Services: []*edda.Service{balanced("b", echo)}})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					if _, err := n.Client().Call(t.Context(), msg("b", "m", "x")); err != nil {
						if r := edda.ReasonOf(err); r != edda.Draining && r != edda.Timeout {
							t.Errorf("got %v, want DRAINING, or TIMEOUT for what is stored", err)
						}
						return
					}
				}
			})
		}
		for range i % 3 {
			wg.Go(func() { stop(t, n) })
		}
		stop(t, n)
		wg.Wait()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Services: []*edda.Service{balanced("b", echo)}}); err == nil {
		stop(t, n)
	}
}

// When the log fails the node stops, and every answer says what is certain: an
// unknown outcome is unknown, what was not taken is not stored, what was accepted
// before has its place (◆6).
func TestLogFails(t *testing.T) {
	tests := []struct {
		fault  memlog.Fault
		reason edda.Reason
	}{
		{memlog.UnknownWritten, edda.OutcomeUnknown}, {memlog.UnknownLost, edda.OutcomeUnknown}, {memlog.Unavailable, edda.Unavailable},
	}
	for _, tt := range tests {
		bubble(t, string(tt.reason)+fmt.Sprint(tt.fault), func(t *testing.T) {
			gate := make(chan struct{})
			n, err := node.Open(t.Context(), withDefaults(node.Options{Partitions: 2}, ordered("s", waitFor(gate))))
			if err != nil {
				t.Fatal(err)
			}
			// Somebody waits for a request of each partition.
			var waiters []<-chan answer
			for i := range 10 {
				waiters = append(waiters, calling(t, n, msg(fmt.Sprint("s/w", i), "m", "")))
			}
			for p := range engine.Partition(2) {
				n.Memlog().Inject(p, tt.fault)
			}
			var all []<-chan answer
			for i := range 10 {
				c := make(chan answer, 1)
				go func() { c <- call(t, n, msg(fmt.Sprint("s/n", i), "m", "")) }()
				all = append(all, c)
			}
			synctest.Wait()
			hit := false
			for _, c := range all {
				a := now(t, c)
				switch e, _ := errors.AsType[*edda.Error](a.err); edda.ReasonOf(a.err) {
				case edda.OutcomeUnknown:
					if e.RequestID.IsZero() || e.Position != "" {
						t.Errorf("got %+v, want an id and no position", e)
					}
					hit = hit || tt.reason == edda.OutcomeUnknown
				case edda.Unavailable:
					notStored(t, e)
					hit = hit || tt.reason == edda.Unavailable
				default:
					t.Errorf("got %v, want OUTCOME_UNKNOWN or UNAVAILABLE", a.err)
				}
			}
			if !hit {
				t.Errorf("nobody got %s", tt.reason)
			}
			for _, c := range waiters {
				stored(t, now(t, c).refused(t, edda.Timeout))
			}
			<-n.Done()
			if n.Err() == nil || n.Ready() == nil {
				t.Error("the node does not say that it failed")
			}
			notStored(t, call(t, n, msg("s/k", "m", "")).refused(t, edda.Unavailable))
			_, err = n.Client().Request(t.Context(), edda.NewID(0, time.Now()))
			wantReason(t, err, edda.Unavailable)
			if first, second := n.Stop(t.Context()), n.Stop(t.Context()); first == nil || second == nil || first.Error() != second.Error() {
				t.Errorf("got %v, then %v from Stop, want the failure twice", first, second)
			}
			close(gate)
		})
	}
}

// The same when a handler's outcome meets the failure, or a change of a request.
func TestLogFailsUnderOutcome(t *testing.T) {
	bubble(t, "outcome", func(t *testing.T) {
		gate := make(chan struct{})
		n, err := node.Open(t.Context(), withDefaults(node.Options{Partitions: 1}, ordered("s", waitFor(gate))))
		if err != nil {
			t.Fatal(err)
		}
		c := calling(t, n, msg("s/k", "m", ""))
		n.Memlog().Inject(0, memlog.UnknownWritten)
		close(gate)
		stored(t, now(t, c).refused(t, edda.Timeout))
		<-n.Done()
	})
	bubble(t, "cancel", func(t *testing.T) {
		gate := make(chan struct{})
		n, err := node.Open(t.Context(), withDefaults(node.Options{Partitions: 1}, ordered("s", waitFor(gate))))
		if err != nil {
			t.Fatal(err)
		}
		id := send(t, n, msg("s/k", "m", "")).ID
		n.Memlog().Inject(0, memlog.UnknownLost)
		_, err = n.Client().Cancel(t.Context(), id)
		wantReason(t, err, edda.OutcomeUnknown)
		<-n.Done()
		close(gate)
	})
}
