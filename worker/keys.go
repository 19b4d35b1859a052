package worker

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// keys keeps account of the keys that this worker has: from the first handler of a
// key until the key belongs to another worker, or has had no request for long.
type keys struct {
	r    *runner
	wake chan struct{} // keep has something to do; has room for one

	mu      sync.Mutex // guards what follows
	held    map[edda.Address]*key
	oldest  *key // the key without requests that has had none for longest
	newest  *key
	idle    int  // how many those are
	all     bool // who owns what has changed: look at all keys
	stopped bool
}

// key is one key that the worker has.
type key struct {
	addr edda.Address
	hash uint64
	h    *hosted

	ready chan struct{} // closed once OnGain has returned
	gone  chan struct{} // closed once OnLose has returned

	// guarded by the mutex of keys
	running      int       // handlers, and those that wait for ready
	failed       bool      // OnGain panicked; it is no key of ours
	losing       bool      // OnLose is called
	foreign      bool      // it belongs to another worker
	since        time.Time // when the last handler returned
	older, newer *key      // in the list of those without requests
}

func newKeys(r *runner) *keys {
	return &keys{r: r, wake: make(chan struct{}, 1), held: map[edda.Address]*key{}}
}

// enter has the key gained, if it is not, before a handler runs. Every key that it
// returns has to be left.
func (ks *keys) enter(a *attempt) (*key, error) {
	for {
		ks.mu.Lock()
		k := ks.held[a.msg.To]
		if k == nil {
			k = &key{
				addr: a.msg.To, hash: a.msg.To.Hash(), h: a.h, running: 1,
				ready: make(chan struct{}), gone: make(chan struct{}),
			}
			ks.held[k.addr] = k
			ks.mu.Unlock()
			return k, ks.gain(k)
		}
		if k.losing {
			ks.mu.Unlock()
			if err := wait(&a.ctx, k.gone); err != nil {
				return nil, err
			}
			continue
		}
		if k.running == 0 {
			ks.unlist(k)
		}
		k.running++
		ks.mu.Unlock()
		err := wait(&a.ctx, k.ready)
		ks.mu.Lock()
		failed := k.failed
		ks.mu.Unlock()
		if err == nil && !failed {
			return k, nil
		}
		ks.leave(k)
		if err != nil {
			return nil, err
		}
	}
}

func wait(ctx *attemptContext, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	default:
	}
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// gain calls OnGain. A panic fails the attempt, and the key is not gained.
func (ks *keys) gain(k *key) (err error) {
	defer func() {
		if p := recover(); p != nil {
			ks.r.log.Error("OnGain panicked", "key", k.addr, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("OnGain panicked: %v", p)
			ks.mu.Lock()
			k.failed = true
			delete(ks.held, k.addr)
			ks.mu.Unlock()
		}
		close(k.ready)
	}()
	if ks.r.o.OnGain != nil {
		ks.r.o.OnGain(k.addr)
	}
	return nil
}

// leave notes that a handler of the key has returned.
func (ks *keys) leave(k *key) {
	foreign := !k.h.owns(k.hash)
	ks.mu.Lock()
	defer ks.mu.Unlock()
	k.running--
	if k.running > 0 || k.failed {
		return
	}
	k.since = time.Now()
	ks.list(k, foreign)
	if foreign || ks.idle == 1 || ks.idle > ks.r.o.MaxKeys {
		ks.poke()
	}
}

// list puts a key at the end of those without requests, or at the beginning when it
// belongs to another worker. The caller holds mu.
func (ks *keys) list(k *key, foreign bool) {
	ks.idle++
	k.foreign = foreign
	if foreign {
		k.newer = ks.oldest
		ks.oldest = k
		if k.newer != nil {
			k.newer.older = k
		} else {
			ks.newest = k
		}
		return
	}
	k.older = ks.newest
	ks.newest = k
	if k.older != nil {
		k.older.newer = k
	} else {
		ks.oldest = k
	}
}

// unlist takes a key from those without requests. The caller holds mu.
func (ks *keys) unlist(k *key) {
	ks.idle--
	if k.older != nil {
		k.older.newer = k.newer
	} else {
		ks.oldest = k.newer
	}
	if k.newer != nil {
		k.newer.older = k.older
	} else {
		ks.newest = k.older
	}
	k.older, k.newer = nil, nil
}

// recheck has all keys looked at: who owns what has changed.
func (ks *keys) recheck() {
	ks.mu.Lock()
	ks.all = true
	ks.mu.Unlock()
	ks.poke()
}

// stop has all keys without requests lost, and keep return.
func (ks *keys) stop() {
	ks.mu.Lock()
	ks.stopped = true
	ks.mu.Unlock()
	ks.poke()
}

func (ks *keys) poke() {
	select {
	case ks.wake <- struct{}{}:
	default:
	}
}

// keep is the goroutine that loses keys.
func (ks *keys) keep() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ks.wake:
		}
		lost, next, stopped := ks.collect(time.Now())
		for _, k := range lost {
			ks.lose(k)
		}
		if stopped {
			return
		}
		t.Reset(next)
	}
}

// collect takes out the keys that are lost, and says when to look again.
func (ks *keys) collect(now time.Time) (lost []*key, next time.Duration, stopped bool) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.all {
		ks.all = false
		for k := ks.oldest; k != nil; {
			newer := k.newer
			if !k.h.owns(k.hash) {
				lost = append(lost, ks.remove(k))
			}
			k = newer
		}
	}
	next = ks.r.o.KeyIdle
	for k := ks.oldest; k != nil; k = ks.oldest {
		left := k.since.Add(ks.r.o.KeyIdle).Sub(now)
		if !ks.stopped && !k.foreign && left > 0 && ks.idle <= ks.r.o.MaxKeys {
			next = left
			break
		}
		lost = append(lost, ks.remove(k))
	}
	return lost, next, ks.stopped
}

// remove marks a key as one that is being lost. The caller holds mu.
func (ks *keys) remove(k *key) *key {
	ks.unlist(k)
	k.losing = true
	return k
}

// lose calls OnLose, whose panic is nobody's failure, and forgets the key.
func (ks *keys) lose(k *key) {
	defer func() {
		if p := recover(); p != nil {
			ks.r.log.Error("OnLose panicked", "key", k.addr, "panic", p, "stack", string(debug.Stack()))
		}
		ks.mu.Lock()
		delete(ks.held, k.addr)
		ks.mu.Unlock()
		close(k.gone)
	}()
	if ks.r.o.OnLose != nil {
		ks.r.o.OnLose(k.addr)
	}
}
