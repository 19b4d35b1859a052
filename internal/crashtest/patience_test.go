package crashtest

import (
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// settleBound is how long a node may do nothing by which it comes nearer to where nothing
// is left to do.
const settleBound = 20 * time.Second

// patience is a context that ends once nothing has come nearer to its end for
// settleBound, by a stopwatch. How long all of it takes says nothing: where a dozen nodes share a core,
// each message waits its turn at every goroutine that it passes. But what goes round in
// circles, as with leases that end before they are acknowledged, gets nowhere.
//
// A nil patience is told things in vain.
type patience struct {
	context.Context

	cancel context.CancelCauseFunc
	watch  *stopwatch

	mu    sync.Mutex    // guards what follows; that of watch is taken under it
	until time.Duration // by the stopwatch
	most  map[string]int
}

// newPatience returns a patience whose end says what view shows of the node then.
func newPatience(ctx context.Context, w *stopwatch, view func(ctx context.Context) string) *patience {
	p := &patience{watch: w, until: w.elapsed() + settleBound, most: map[string]int{}}
	p.Context, p.cancel = context.WithCancelCause(ctx)
	w.at(p, func() time.Duration {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.until
	}, func() {
		stacks := stacksOnce()
		p.cancel(fmt.Errorf("nothing has come nearer to its end for %v: %s%s", settleBound, glance(view), stacks))
	})
	return p
}

// end ends the patience, and returns its error if it is over already.
func (p *patience) end() error {
	err := context.Cause(p)
	p.cancel(nil)
	return err
}

// step notes that something was done that is not done again.
func (p *patience) step() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = p.watch.elapsed() + settleBound
}

// seen notes how much there is of something; more than ever is progress.
func (p *patience) seen(what string, n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if most, known := p.most[what]; !known || n > most {
		p.most[what] = n
		p.until = p.watch.elapsed() + settleBound
	}
}

// left notes how much is left of something; less than ever is progress.
func (p *patience) left(what string, n int) { p.seen(what+" left", -n) }

// glance looks at a node that may not answer.
func glance(view func(ctx context.Context) string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return view(ctx)
}

// viewGroups says how the groups of the streams are.
func viewGroups(ctx context.Context, n edda.GroupBackend, streams ...string) string {
	var b strings.Builder
	for _, s := range streams {
		gs, err := n.Groups(ctx, "", s)
		if err != nil && edda.ReasonOf(err) != edda.NoStream {
			fmt.Fprintf(&b, "\ngroups of %s: %v", s, err)
		}
		for i := range gs {
			g := &gs[i]
			fmt.Fprintf(&b, "\ngroup %s: cursor %v, lag %d, pending %d, leases for %v", g.Service(), g.Cursor, g.Lag, g.Pending, g.ProcessingTimeout)
			for _, m := range g.Members {
				fmt.Fprintf(&b, "; member %s has %d, heard of %v ago", m.Name, m.Leases, time.Since(m.LastSeen).Round(time.Millisecond))
			}
		}
	}
	return b.String()
}

// viewRequests says which requests have not ended.
func viewRequests(ctx context.Context, n *node.Node) string {
	open, _, err := n.Requests(ctx, node.RequestFilter{}, node.Page{Limit: 20})
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, r := range open {
		fmt.Fprintf(&b, "\nrequest %v of %s/%s is %s after %d attempts", r.ID, r.Service, r.Key, r.State, r.Attempts)
	}
	return b.String()
}

var stacksShown atomic.Bool

// stacksOnce returns the stacks of all goroutines, the first time that somebody asks:
// where one node hangs the next ones often do, and the stacks are those of all.
func stacksOnce() string {
	if stacksShown.Swap(true) {
		return "\n(the stacks stand above)"
	}
	return "\n" + stacks()
}

func stacks() string {
	var b strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
	return b.String()
}

// stopwatch measures the time in which the test does not hold up the disk. Nobody can be
// told anything durable while it does.
//
// A nil stopwatch is the clock.
type stopwatch struct {
	mu    sync.Mutex    // guards what follows
	held  int           // operations that are held up
	ran   time.Duration // until since
	since time.Time     // when the last one that was held up went on
}

var started = time.Now()

func newStopwatch() *stopwatch { return &stopwatch{since: time.Now()} }

func (w *stopwatch) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == 0 {
		w.ran += time.Since(w.since)
	}
	w.held++
}

func (w *stopwatch) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held--; w.held == 0 {
		w.since = time.Now()
	}
}

// elapsed is what has been measured.
func (w *stopwatch) elapsed() time.Duration {
	if w == nil {
		return time.Since(started)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held > 0 {
		return w.ran
	}
	return w.ran + time.Since(w.since)
}

// at calls f once the stopwatch shows when, which may change meanwhile, unless the
// context ends before. It then holds nothing any more: a timer that is left would keep a whole
// node, and its disk, in memory.
func (w *stopwatch) at(ctx context.Context, when func() time.Duration, f func()) {
	var timer atomic.Pointer[time.Timer]
	stop := func() {
		if t := timer.Load(); t != nil {
			t.Stop()
		}
	}
	var look func()
	look = func() {
		switch left := when() - w.elapsed(); {
		case ctx.Err() != nil:
		case left <= 0:
			f()
		default:
			timer.Store(time.AfterFunc(max(left, 10*time.Millisecond), look))
			if ctx.Err() != nil {
				stop()
			}
		}
	}
	look()
	context.AfterFunc(ctx, stop)
}

// timeout is context.WithTimeout by the stopwatch.
func (w *stopwatch) timeout(bound time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	end := w.elapsed() + bound
	w.at(ctx, func() time.Duration { return end }, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() { cancel(nil) }
}

// What comes nearer to its end may take as long as it likes; what does not is given up,
// but for the time in which the disk is held up.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStopwatch()
		p := newPatience(t.Context(), w, func(context.Context) string { return "the view" })
		for i := range 10 {
			time.Sleep(settleBound - time.Second)
			p.left("lag", 10-i)
		}
		w.hold()
		time.Sleep(10 * settleBound)
		w.release()
		time.Sleep(settleBound - time.Second)
		p.left("lag", 1) // as before
		if err := p.Err(); err != nil {
			t.Fatalf("there was progress, and patience is over: %v", err)
		}
		time.Sleep(2 * time.Second)
		p.left("lag", 1)
		synctest.Wait()
		if err := p.end(); err == nil || !strings.Contains(err.Error(), "the view") {
			t.Errorf("got %v, want what can be seen", err)
		}
	})
	stacksShown.Store(false)
	synctest.Test(t, func(t *testing.T) {
		p := newPatience(t.Context(), nil, nil)
		time.Sleep(settleBound / 2)
		if err := p.end(); err != nil {
			t.Error(err)
		}
		time.Sleep(settleBound)
	})
}
