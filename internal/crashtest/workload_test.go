package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// workload sends random requests to a node from several callers.
type workload struct {
	seed     uint64
	callers  int
	requests int // of each caller
	ledger   *ledger
	watch    *stopwatch
}

// keys are the accounts of a workload: few, so that requests meet.
var keys = []string{"a", "b", "c", "d", "e"}

// run returns when all callers have had their answers, errors included.
func (w *workload) run(client *edda.Client) {
	var wg sync.WaitGroup
	for i := range w.callers {
		wg.Go(func() {
			c := caller{rng: newRand(w.seed, uint64(i)+100), client: client, ledger: w.ledger, watch: w.watch}
			for range w.requests {
				c.request()
			}
			c.late.Wait()
		})
	}
	wg.Wait()
}

// caller is one caller of a workload.
type caller struct {
	rng    *rand.Rand
	client *edda.Client
	ledger *ledger
	watch  *stopwatch
	late   sync.WaitGroup // of those that wait for what was sent
}

// callBound is how long a caller waits for an answer before that counts as a hang. Where
// many nodes share few cores each of the answer's steps may wait for one.
const callBound = time.Minute

// patience returns a context that ends when a caller may not be kept waiting any
// longer; that is noted as a lie.
func (c *caller) patience(e *entry) (context.Context, func()) {
	ctx, cancel := c.watch.timeout(callBound)
	return ctx, func() {
		if ctx.Err() != nil {
			c.ledger.lie(fmt.Errorf("%s: a caller waited for %v", e.task.Name, callBound))
		}
		cancel()
	}
}

// request sends one request and notes what comes of it.
func (c *caller) request() {
	e := c.random()
	ctx, leave := c.patience(e)
	defer leave()
	c.ledger.submit(e)
	defer c.ledger.over(e)
	if e.idem != "" && c.rng.IntN(3) == 0 {
		// The same request from two sides at once.
		c.ledger.again(e)
		c.late.Go(func() { c.call(e) })
	}
	switch {
	case e.sent:
		c.send(ctx, e)
	case c.rng.IntN(8) == 0:
		// The caller does not wait long enough.
		hurry, cancel := context.WithTimeout(ctx, time.Duration(c.rng.IntN(2000))*time.Microsecond)
		r, err := c.client.Call(hurry, e.message())
		cancel()
		c.ledger.replied(e, r, err)
	default:
		r, err := c.client.Call(ctx, e.message())
		c.ledger.replied(e, r, err)
	}
	if e.idem != "" && c.rng.IntN(3) == 0 {
		c.ledger.again(e)
		c.call(e)
	}
}

// call repeats a request.
func (c *caller) call(e *entry) {
	defer c.ledger.over(e)
	ctx, leave := c.patience(e)
	defer leave()
	r, err := c.client.Call(ctx, e.message())
	c.ledger.replied(e, r, err)
}

// send sends a request that is kept, and then waits for it, cancels it, or
// leaves it alone.
func (c *caller) send(ctx context.Context, e *entry) {
	a, err := c.client.Send(ctx, e.message())
	c.ledger.sent(e, a, err)
	if err != nil {
		return
	}
	switch c.rng.IntN(3) {
	case 0:
		if e.far {
			return
		}
		c.late.Go(func() {
			ctx, leave := c.patience(e)
			defer leave()
			r, err := c.client.Wait(ctx, a.ID)
			c.ledger.replied(e, r, err)
		})
	case 1:
		if r, err := c.client.Cancel(ctx, a.ID); err == nil {
			c.ledger.seen(e, r)
		}
	}
}

// random makes up a request.
func (c *caller) random() *entry {
	rng := c.rng
	e := &entry{service: accounts, key: keys[rng.IntN(len(keys))], sent: rng.IntN(2) == 0}
	switch rng.IntN(12) {
	case 0:
		e.service = graves
	case 1, 2:
		e.service, e.key = workers, ""
		e.task.To = targets(rng)
	case 3, 4, 5:
		e.task.To = targets(rng)
		if rng.IntN(3) == 0 {
			e.task.DelayMicros = rng.IntN(3000)
		}
	case 6:
		e.task.Fail = 1 + rng.IntN(2)
	case 7:
		e.task.Final = true
	case 8:
		e.due = true
		e.task.DelayMicros = rng.IntN(4000)
	case 9:
		e.due, e.far, e.sent = true, true, true
	case 10:
		e.task.HoldMicros = rng.IntN(2000)
	}
	if rng.IntN(3) == 0 && !e.far {
		e.idem = fmt.Sprintf("i%x", rng.Uint64())
	}
	e.keep = e.sent || e.idem != ""
	return e
}

func targets(rng *rand.Rand) []string {
	n := 1 + rng.IntN(3)
	var to []string
	for _, i := range rng.Perm(len(keys))[:n] {
		to = append(to, keys[i])
	}
	return to
}
