package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
)

// registers are keys with one number: set replies the one before, add the new
// one, get the one that is there.
func registers() *edda.Service {
	s := edda.NewOrdered("register")
	s.Retry = edda.RetryPolicy{Max: -1, Delay: 100 * time.Microsecond, MaxDelay: time.Millisecond}
	type number struct {
		N int `json:"n"`
	}
	method := func(name string, next func(have, in int) (keep, reply int)) {
		edda.Handle(s, name, func(ctx *edda.Context, in number) (number, error) {
			have, _, err := edda.Get[int](ctx, "n")
			if err != nil {
				return number{}, err
			}
			if ctx.Attempt() == 1 && in.N%7 == 6 {
				return number{}, errors.New("fails once")
			}
			keep, reply := next(have, in.N)
			return number{reply}, edda.Set(ctx, "n", keep)
		})
	}
	method("set", func(have, in int) (int, int) { return in, have })
	method("add", func(have, in int) (int, int) { return have + in, have + in })
	method("get", func(have, _ int) (int, int) { return have, have })
	return s
}

// operation is one call of a register, as its caller sees it.
type operation struct {
	key, method string
	n           int
	idem        string
	client      int
	call        int64
	back        int64 // 0 while it is not known how it ended
	result      int
	void        bool // it is known not to have happened
}

// registerModel says what a register may answer.
var registerModel = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		have, in := state.(int), input.(*operation)
		keep, reply := have, have
		switch in.method {
		case "set":
			keep = in.n
		case "add":
			keep, reply = have+in.n, have+in.n
		}
		return output == nil || output.(int) == reply, keep
	},
	DescribeOperation: func(input, output any) string {
		in := input.(*operation)
		return fmt.Sprintf("%s %d -> %v", in.method, in.n, output)
	},
}

// history collects operations across restarts. What comes back after the moment
// of a crash comes from a node that does not exist any more.
type history struct {
	mu    sync.Mutex // guards what follows, and what is in the operations
	clock int64
	life  int
	ops   []*operation
}

// begin notes a call.
func (h *history) begin(o *operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	if o.call == 0 {
		o.call = h.clock
		h.ops = append(h.ops, o)
	}
}

// end notes the answer, unless the node has crashed since. It is false when it
// is still not known what became of the call.
func (h *history) end(o *operation, life int, r *edda.Reply, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	if life != h.life {
		return false
	}
	if err == nil {
		var got struct{ N int }
		if err := json.Unmarshal(r.Payload, &got); err != nil {
			panic(err)
		}
		o.back, o.result = h.clock, got.N
		return true
	}
	f, ok := errors.AsType[*edda.Error](err)
	if ok && f.Position == "" && f.Reason != edda.OutcomeUnknown && o.idem == "" {
		o.void = true
		return true
	}
	return false
}

// crash makes a copy of the disk; no answer from before counts any more that has
// not been noted.
func (h *history) crash(mem *vfs.MemFS, cfg vfs.CrashCloneCfg) *vfs.MemFS {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.life++
	return mem.CrashClone(cfg)
}

// checkBound is how long the checker may take for one key.
const checkBound = 3 * time.Minute

// linearizable checks that the operations of each key fit one order, and returns
// how many of them have no answer.
func linearizable(t *testing.T, seed uint64, all []*operation) (unknown int) {
	t.Helper()
	byKey := map[string][]porcupine.Operation{}
	for _, o := range all {
		if o.void {
			continue
		}
		p := porcupine.Operation{ClientId: o.client, Input: o, Call: o.call, Return: math.MaxInt64}
		if o.back != 0 {
			p.Output, p.Return = o.result, o.back
		} else {
			unknown++
		}
		byKey[o.key] = append(byKey[o.key], p)
	}
	for key, ops := range byKey {
		switch porcupine.CheckOperationsTimeout(registerModel, ops, checkBound) {
		case porcupine.Illegal:
			t.Errorf("seed %d: the history of %s is not linearizable:", seed, key)
			for _, p := range ops {
				t.Errorf("  client %d, %d to %d: %s", p.ClientId, p.Call, p.Return, registerModel.DescribeOperation(p.Input, p.Output))
			}
		case porcupine.Unknown:
			t.Errorf("seed %d: the history of %s takes too long to check", seed, key)
		case porcupine.Ok:
		}
	}
	return unknown
}

// TestLinear has several clients use the same registers, with time-outs, repeated
// calls, loss of power and restarts in between, and has porcupine decide whether
// the answers fit one order. What has no answer may happen at any time, or never.
func TestLinear(t *testing.T) {
	seed := newSeed(t)
	total, open := 0, 0
	for i := range either(uint64(40), 600) {
		h := linearRun(t, seed+i)
		open += linearizable(t, seed+i, h.ops)
		total += len(h.ops)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d operations, %d of them without an answer", total, open)
}

func linearRun(t *testing.T, seed uint64) *history {
	t.Helper()
	rng := newRand(seed, 0)
	h := &history{}
	mem := newDisk(t)
	clients := make([]*linearClient, 5)
	for i := range clients {
		clients[i] = &linearClient{id: i, rng: newRand(seed, uint64(i)+1), h: h}
	}
	const lives = 4
	for life := range lives {
		o := small(mem, edda.Fsync)
		o.Services = []*edda.Service{registers()}
		n, err := opened(t, o)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() { c.run(n.Client(), life, 12) })
		}
		cut := vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[rng.IntN(3)], RNG: rng}
		if rng.IntN(3) == 0 {
			wg.Wait()
		} else {
			h.await(len(h.operations()) + rng.IntN(40))
		}
		next := h.crash(mem, cut)
		if err := stopped(t, n); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		wg.Wait()
		mem = next
	}
	return h
}

func (h *history) operations() []*operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ops
}

// await returns when there are so many operations, or soon.
func (h *history) await(n int) {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for range 100 {
		if len(h.operations()) >= n {
			return
		}
		<-tick.C
	}
}

// linearClient makes one call after the other. A call with an idempotency key is
// repeated until it has an answer, in the next life of the node if need be.
type linearClient struct {
	id      int
	serial  int
	rng     *rand.Rand
	h       *history
	pending *operation
}

func (c *linearClient) run(client *edda.Client, life, n int) {
	for range n {
		o := c.pending
		if o == nil {
			c.serial++
			o = &operation{
				key: string(rune('a' + c.rng.IntN(3))), method: []string{"set", "add", "add", "get"}[c.rng.IntN(4)], n: 1 + c.rng.IntN(20), client: c.id,
			}
			if c.rng.IntN(2) == 0 {
				o.idem = fmt.Sprintf("%d-%d", c.id, c.serial)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), callBound)
		if c.rng.IntN(10) == 0 {
			cancel()
			ctx, cancel = context.WithTimeout(context.Background(), time.Duration(c.rng.IntN(500))*time.Microsecond)
		}
		c.h.begin(o)
		r, err := client.Call(ctx, &edda.Message{
			To: edda.Address{Name: "register", Key: o.key}, Type: o.method, Payload: fmt.Appendf(nil, `{"n":%d}`, o.n), IdempotencyKey: o.idem,
		})
		cancel()
		known := c.h.end(o, life, r, err)
		c.pending = nil
		if !known && o.idem != "" {
			c.pending = o
		}
	}
}
