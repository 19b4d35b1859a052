package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// TestRandomLives has many things happen to many requests at the same time:
// failures, timeouts, deadlines, delays, cancellations, pauses, stopped keys and
// dead letters. In the end every request has one outcome, and no slot is lost.
func TestRandomLives(t *testing.T) {
	for seed := range uint64(8) {
		bubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) {
			l := &lives{t: t, rng: rand.New(rand.NewPCG(seed, 7)), services: []string{"s", "b"}}
			l.n = start(t, node.Options{}, l.service(edda.Ordered, "s"), l.service(edda.Balanced, "b"))
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(l.sender)
			}
			wg.Go(l.meddler)
			wg.Wait()
			l.settle()
		})
	}
}

const slots = 4 // of each service of a random life

// lives is one run of TestRandomLives.
type lives struct {
	t        *testing.T
	n        *node.Node
	services []string
	probes   atomic.Pointer[watch] // of the service that is probed

	mu  sync.Mutex // guards what follows
	rng *rand.Rand
	ids []edda.ID
}

func (l *lives) intN(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rng.IntN(n)
}

// service returns a service whose handlers do anything.
func (l *lives) service(kind edda.Kind, name string) *edda.Service {
	s := &edda.Service{
		Name: name, Kind: kind, Concurrency: slots, AttemptTimeout: 50 * time.Millisecond,
		Retry: edda.RetryPolicy{Max: 3, Delay: 5 * time.Millisecond}, OnDead: edda.StopKey,
	}
	if kind == edda.Balanced {
		s.OnDead = edda.Pause
	}
	s.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if m.Type == "probe" {
			w := l.probes.Load()
			w.enter(m.ID.String())
			defer w.leave(m.ID.String())
			time.Sleep(10 * time.Millisecond)
			return nil, nil
		}
		select {
		case <-time.After(time.Duration(l.intN(8)) * time.Millisecond):
		case <-ctx.Done():
		}
		switch l.intN(12) {
		case 0:
			return nil, errHandler
		case 1:
			return nil, edda.Final("NO", "no")
		case 2:
			panic("sometimes")
		case 3:
			<-ctx.Done()
			return nil, ctx.Err()
		case 4:
			time.Sleep(70 * time.Millisecond) // does not care
		case 5:
			return nil, ctx.Send(msg(l.address(), "m", "sent"))
		}
		return nil, nil
	})
	return s
}

// address is one of few, so that requests meet.
func (l *lives) address() string {
	if l.intN(4) == 0 {
		return "b"
	}
	return fmt.Sprint("s/k", l.intN(6))
}

func (l *lives) sender() {
	for range 60 {
		m := msg(l.address(), "m", "x")
		if l.intN(4) == 0 {
			before(m, time.Duration(1+l.intN(60))*time.Millisecond)
		}
		if l.intN(4) == 0 {
			after(m, time.Duration(l.intN(40))*time.Millisecond)
		}
		if l.intN(4) == 0 {
			keyed(m, fmt.Sprint(l.intN(10)))
		}
		if l.intN(3) == 0 {
			ctx, cancel := context.WithTimeout(l.t.Context(), time.Duration(l.intN(40))*time.Millisecond)
			_, err := l.n.Client().Call(ctx, m)
			cancel()
			if r := edda.ReasonOf(err); r == edda.Internal || r == edda.Unavailable {
				l.t.Errorf("call: %v", err)
			}
		} else if ack, err := l.n.Client().Send(l.t.Context(), m); err == nil {
			l.mu.Lock()
			l.ids = append(l.ids, ack.ID)
			l.mu.Unlock()
		} else if r := edda.ReasonOf(err); r != edda.DeadlineExceeded && r != edda.IdempotencyMismatch {
			l.t.Errorf("send: %v", err)
		}
		time.Sleep(time.Duration(l.intN(3)) * time.Millisecond)
	}
}

// meddler cancels, pauses, resumes and retries.
func (l *lives) meddler() {
	ctx := l.t.Context()
	for range 150 {
		time.Sleep(time.Duration(l.intN(4)) * time.Millisecond)
		name := l.services[l.intN(2)]
		var err error
		switch l.intN(6) {
		case 0, 1:
			l.mu.Lock()
			var id edda.ID
			if len(l.ids) > 0 {
				id = l.ids[l.rng.IntN(len(l.ids))]
			}
			l.mu.Unlock()
			_, err = l.n.Client().Cancel(ctx, id)
		case 2:
			_, err = l.n.PauseService(ctx, "", name)
		case 3:
			_, err = l.n.ResumeService(ctx, "", name)
		case 4:
			_, err = l.n.ResumeKey(ctx, "", "s", fmt.Sprint("k", l.intN(6)))
		case 5:
			var letters []edda.DeadLetter
			if letters, _, err = l.n.DeadLetters(ctx, node.DeadLetterFilter{}, node.Page{Limit: 1}); err == nil && len(letters) == 1 {
				_, err = l.n.RetryDeadLetter(ctx, "", letters[0].ID)
			}
		}
		if r := edda.ReasonOf(err); r != "" && r != edda.NoRequest && r != edda.NoDeadLetter {
			l.t.Errorf("meddle: %v", err)
		}
	}
}

// settle lets everything end, and looks at what is left.
func (l *lives) settle() {
	ctx := l.t.Context()
	for range 200 {
		l.resume()
		time.Sleep(time.Second)
		if items, _, err := l.n.Requests(ctx, node.RequestFilter{}, node.Page{}); err != nil || len(items) == 0 {
			break
		}
	}
	l.resume() // the last one may have died
	items, _, err := l.n.Requests(ctx, node.RequestFilter{}, node.Page{})
	if err != nil || len(items) != 0 {
		l.t.Errorf("got %d unfinished requests, %v, want none: %+v", len(items), err, items)
	}
	for _, id := range l.ids {
		if q := request(l.t, l.n, id); !q.State.Ended() {
			l.t.Errorf("got state %s of %s, want one that is final", q.State, id)
		}
	}
	for _, name := range l.services {
		w := new(watch)
		l.probes.Store(w)
		for i := range 3 * slots {
			to := name
			if name == "s" {
				to = fmt.Sprint("s/probe", i)
			}
			send(l.t, l.n, msg(to, "probe", ""))
		}
		synctest.Wait()
		if got := w.peak(); got != slots {
			l.t.Errorf("service %s runs %d handlers at a time, want %d", name, got, slots)
		}
		time.Sleep(time.Second)
	}
}

// resume resumes whatever is stopped.
func (l *lives) resume() {
	ctx := l.t.Context()
	for _, name := range l.services {
		if _, err := l.n.ResumeService(ctx, "", name); err != nil {
			l.t.Fatal(err)
		}
	}
	for i := range 6 {
		if _, err := l.n.ResumeKey(ctx, "", "s", fmt.Sprint("k", i)); err != nil {
			l.t.Fatal(err)
		}
	}
}

// A handler that hangs while it lists its state keeps the node from nothing.
func TestStopWhileHandlerLists(t *testing.T) {
	bubble(t, "list", func(t *testing.T) {
		d := newDisk()
		forever := make(chan struct{})
		service := func() *edda.Service {
			return ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				if m.Type == "set" {
					for i := range 10 {
						if err := ctx.Set(fmt.Sprint(i), []byte("v")); err != nil {
							return nil, err
						}
					}
					return nil, nil
				}
				for range ctx.List("") {
					<-forever
				}
				return nil, nil
			})
		}
		n := d.open(t, node.Options{}, service())
		call(t, n, msg("s/k", "set", "")).replied(t, 204, "")
		stop(t, n) // the state is in the store
		n = d.open(t, node.Options{}, service())
		send(t, n, msg("s/k", "list", ""))
		synctest.Wait()
		go func() {
			time.Sleep(time.Hour)
			close(forever)
		}()
		begun := time.Now()
		stop(t, n)
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("it took %v to stop, want the minute that handlers have", took)
		}
		time.Sleep(2 * time.Hour)
	})
}
