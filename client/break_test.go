package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
)

// wire is a way to a node that can be cut, and that can lose all that is sent on
// it without a word.
type wire struct {
	l  net.Listener
	to string
	wg sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]bool
	stuck chan struct{} // when not nil, nothing passes until it is closed
}

func newWire(t *testing.T, url string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{l: l, to: strings.TrimPrefix(url, "http://"), conns: map[net.Conn]bool{}}
	w.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.join(c) })
		}
	})
	t.Cleanup(func() {
		w.stick(false)
		l.Close()
		w.cut()
		w.wg.Wait()
	})
	return w
}

func (w *wire) url() string { return "http://" + w.l.Addr().String() }

// join copies between a connection and one to the node.
func (w *wire) join(c net.Conn) {
	n, err := net.Dial("tcp", w.to)
	if err != nil {
		c.Close()
		return
	}
	w.mu.Lock()
	w.conns[c], w.conns[n] = true, true
	w.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, n}, {n, c}} {
		both.Go(func() {
			_, _ = io.Copy(gate{w, way[0]}, way[1])
			c.Close()
			n.Close()
		})
	}
	both.Wait()
	w.mu.Lock()
	delete(w.conns, c)
	delete(w.conns, n)
	w.mu.Unlock()
}

// gate holds up what is written while the wire is stuck.
type gate struct {
	w *wire
	net.Conn
}

func (g gate) Write(b []byte) (int, error) {
	g.w.mu.Lock()
	stuck := g.w.stuck
	g.w.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	return g.Conn.Write(b)
}

// cut ends all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}

// stick has nothing pass any more, or all again.
func (w *wire) stick(stuck bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case stuck && w.stuck == nil:
		w.stuck = make(chan struct{})
	case !stuck && w.stuck != nil:
		close(w.stuck)
		w.stuck = nil
	}
}

// Whatever breaks between node, worker and client, a request with an idempotency
// key is done once; and one without a key at most once, which its caller knows or
// knows not to know.
func TestConnectionsBreak(t *testing.T) {
	url := serve(t, open(t))
	w := newWire(t, url)
	host(t, w.url(), counter())
	c := dial(t, w.url(), client.Options{}).Client()
	stop := make(chan struct{})
	var cutting sync.WaitGroup
	var answers atomic.Int64
	cutting.Go(func() {
		for last := int64(0); ; {
			select {
			case <-stop:
				return
			case <-time.After(60 * time.Millisecond):
			}
			if now := answers.Load(); now > last { // however slow the machine is, something gets through
				last = now
				w.cut()
			}
		}
	})
	const callers, calls = 8, 20
	var wg sync.WaitGroup
	sure, perhaps := make([]int, callers), make([]int, callers)
	for k := range callers {
		wg.Go(func() {
			for i := range calls {
				m := msg(fmt.Sprint("counter/", k), "add", `{"n":1}`)
				m.ContentType = "application/json"
				if i%2 == 0 {
					m.IdempotencyKey = strconv.Itoa(i)
				}
				_, err := c.Call(t.Context(), m)
				for m.IdempotencyKey != "" && retriable(err) {
					_, err = c.Call(t.Context(), m)
				}
				switch reason := edda.ReasonOf(err); {
				case err == nil, reason == edda.NoWorker: // stored, and done when there is a worker
					sure[k]++
					answers.Add(1)
				case reason == edda.OutcomeUnknown:
					perhaps[k]++
				case reason != edda.Unavailable:
					t.Errorf("call %d of key %d: %v", i, k, err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	cutting.Wait()
	for k := range callers {
		got, err := edda.Call[number](t.Context(), c, fmt.Sprint("counter/", k), "add", number{})
		for retriable(err) || edda.ReasonOf(err) == edda.NoWorker {
			got, err = edda.Call[number](t.Context(), c, fmt.Sprint("counter/", k), "add", number{})
		}
		if err != nil || got.N < sure[k] || got.N > sure[k]+perhaps[k] {
			t.Errorf("key %d: the sum is %d, %v, want %d to %d", k, got.N, err, sure[k], sure[k]+perhaps[k])
		}
	}
}

// retriable reports whether a request may be repeated with its idempotency key.
func retriable(err error) bool {
	reason := edda.ReasonOf(err)
	return reason == edda.OutcomeUnknown || reason == edda.Unavailable
}

// A connection that is dead without a word holds up nobody beyond his patience, and
// is found out.
func TestSilentConnection(t *testing.T) {
	if os.Getenv("EDDA_LONG") == "" {
		t.Skip("takes 20 s, as long as a silent connection is trusted; set EDDA_LONG=1")
	}
	url := serve(t, open(t))
	w := newWire(t, url)
	host(t, w.url(), counter())
	conn := dial(t, w.url(), client.Options{})
	add := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := edda.Call[number](ctx, conn.Client(), "counter/a", "add", number{1})
		return err
	}
	if err := add(patience); err != nil {
		t.Fatal(err)
	}
	w.stick(true)
	start := time.Now()
	wantReason(t, add(200*time.Millisecond), edda.OutcomeUnknown)
	if took := time.Since(start); took > patience/2 {
		t.Errorf("a caller with 200 ms of patience waits for %v", took)
	}
	wantReason(t, add(2*patience), edda.OutcomeUnknown)
	if took := time.Since(start); took > patience {
		t.Errorf("the connection is found dead after %v", took)
	}
	w.cut()
	w.stick(false)
	for {
		err := add(patience)
		if err == nil {
			break
		}
		if !retriable(err) && !errors.Is(err, &edda.Error{Reason: edda.NoWorker}) {
			t.Fatal(err)
		}
	}
}
