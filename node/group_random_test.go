package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// seen is what a test has seen of the messages of a group: that those of a key come one
// at a time, in order, and none after it was acknowledged.
type seen struct {
	mu    sync.Mutex // guards what follows
	rng   *rand.Rand
	done  map[string]bool // by place: false while somebody is about to say that it is done with
	wrong []string
	again int // deliveries that were not the first
}

func newSeen(seed uint64) *seen {
	return &seen{rng: rand.New(rand.NewPCG(seed, 7)), done: map[string]bool{}}
}

func (s *seen) chance(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

// place is where a message is.
func place(shard string, offset uint64) string { return fmt.Sprint(shard, "/", offset) }

// begun notes a delivery. The message before of its key, whose place is the payload, has
// to be done with.
func (s *seen) begun(at string, attempt int, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if attempt > 1 {
		s.again++
	}
	if s.done[at] {
		s.wrong = append(s.wrong, at+" comes after it was acknowledged")
	}
	if before := string(payload); before != "" {
		if _, done := s.done[before]; !done {
			s.wrong = append(s.wrong, fmt.Sprintf("%s comes before %s of its key is done with", at, before))
		}
	}
}

// ending notes that somebody is about to say that a message is done with.
func (s *seen) ending(at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.done[at]; !known {
		s.done[at] = false
	}
}

// ended notes that a message is done with.
func (s *seen) ended(at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[at] = true
}

// feedRandom appends messages of some keys to two shards. The payload of each is the
// place of the one before of its key.
func feedRandom(t *testing.T, n *node.Node, s *seen, many int) {
	t.Helper()
	last := map[string]string{}
	next := map[string]uint64{}
	for sent := 0; sent < many; {
		a := &edda.Append{Stream: "s", Shard: []string{"default", "eu"}[s.chance(2)]}
		for range 1 + s.chance(5) {
			key := []string{"", "a", "b", "c"}[s.chance(4)]
			m := edda.StreamMessage{Key: key, Payload: []byte(last[a.Shard+"/"+key])}
			if key != "" {
				last[a.Shard+"/"+key] = place(a.Shard, next[a.Shard])
			}
			next[a.Shard]++
			a.Messages = append(a.Messages, m)
			sent++
		}
		if _, err := n.Append(t.Context(), a); err != nil {
			t.Errorf("append: %v", err)
			return
		}
		time.Sleep(time.Duration(s.chance(30)) * time.Millisecond)
	}
}

// poll reads as a member until the context ends, and does with what it gets what comes
// to its mind.
func poll(ctx context.Context, t *testing.T, n *node.Node, s *seen, name string) {
	for ctx.Err() == nil {
		ds, err := n.ReadGroup(ctx, edda.GroupRead{
			GroupRef: groupRef("s/g"), Member: name, Max: 1 + s.chance(5), Wait: time.Duration(s.chance(200)) * time.Millisecond,
		})
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("read: %v", err)
			}
			return
		}
		for i := range ds {
			s.begun(place(ds[i].Shard, ds[i].Offset), ds[i].Attempt, ds[i].Payload)
		}
		for i := range ds {
			settleRandom(ctx, t, n, s, &ds[i])
		}
		if s.chance(20) == 0 {
			time.Sleep(time.Duration(s.chance(3000)) * time.Millisecond) // it may be gone then
		}
	}
}

// settleRandom does with a message what members do.
func settleRandom(ctx context.Context, t *testing.T, n *node.Node, s *seen, d *edda.Delivery) {
	time.Sleep(time.Duration(s.chance(20)) * time.Millisecond)
	one, at, what := settleOf("s/g", []edda.Delivery{*d}), place(d.Shard, d.Offset), s.chance(10)
	var got *edda.Settled
	var err error
	switch what {
	case 0:
		return // it is forgotten
	case 1, 2:
		one.For = time.Duration(s.chance(2)) * 50 * time.Millisecond
		_, err = n.Reject(ctx, one)
	default:
		if what == 3 {
			_, err = n.Extend(ctx, one)
			time.Sleep(time.Duration(s.chance(150)) * time.Millisecond)
		}
		s.ending(at)
		if err == nil {
			got, err = n.Ack(ctx, one)
		}
		if err == nil && got.Done == 1 {
			s.ended(at)
		}
	}
	if err != nil && ctx.Err() == nil {
		t.Errorf("settle: %v", err)
	}
}

// work is a worker that comes and goes, and whose handlers may fail, or never return.
func work(ctx context.Context, t *testing.T, n *node.Node, s *seen, id string) {
	for ctx.Err() == nil {
		spec := consumes("s/g", echo).Spec()
		spec.Concurrency, spec.Group = 1+s.chance(3), &edda.GroupSpec{Stream: "s", Name: "g"}
		w := &farWorker{handle: func(a *node.Attempt) {
			d := a.Dispatch()
			at := place(d.Delivery.Shard, d.Delivery.Offset)
			s.begun(at, d.Attempt, d.Message.Payload)
			a.Taken()
			time.Sleep(time.Duration(s.chance(30)) * time.Millisecond)
			switch s.chance(8) {
			case 0: // it never returns
			case 1:
				_ = a.Done(&edda.Outcome{Err: errRefused})
			case 2:
				a.HandBack()
			default:
				s.ending(at)
				_ = a.Done(&edda.Outcome{})
			}
		}}
		got, err := n.Attach(ctx, node.WorkerSpec{ID: id, Transport: "test", Services: []edda.ServiceSpec{spec}}, w)
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("attach: %v", err)
			}
			return
		}
		time.Sleep(time.Duration(s.chance(2000)) * time.Millisecond)
		got.Detach()
	}
}

// However members come, go, fail and fall silent: each message is done with, those of a
// key in order, and none comes after it was acknowledged.
func TestRandomMembers(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) { randomMembers(t, seed) })
	}
}

func randomMembers(t *testing.T, seed uint64) {
	n := start(t, node.Options{Partitions: 1})
	s := newSeen(seed)
	group(t, n, "s/g", func(g *edda.GroupSpec) {
		g.ProcessingTimeout, g.IdleTimeout = 200*time.Millisecond, time.Second
		g.Retry = edda.RetryPolicy{Max: -1, Delay: 20 * time.Millisecond, Backoff: 1}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var members, feeds sync.WaitGroup
	for i := range 3 {
		members.Go(func() { poll(ctx, t, n, s, fmt.Sprint("m", i/2)) }) // two of one name
	}
	for i := range 2 {
		members.Go(func() { work(ctx, t, n, s, fmt.Sprint("w", i)) })
	}
	feeds.Go(func() { feedRandom(t, n, s, 300) })
	feeds.Wait()
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		if g, err := n.Group(t.Context(), groupRef("s/g")); err != nil || g.Lag == 0 {
			break
		}
	}
	lag(t, n, "s/g", 0, 0)
	cancel()
	members.Wait()
	time.Sleep(time.Minute)
	noSlotIsLost(t, n, "s/g")
	for _, w := range s.wrong {
		t.Error(w)
	}
	if s.again == 0 {
		t.Error("nothing was delivered again: the test tries too little")
	}
	if ls := letters(t, n, "s/g"); len(ls) > 0 {
		t.Errorf("%d dead letters", len(ls))
	}
}

// A group is deleted, made again and reset again and again while members read, work and
// settle: nobody hangs, and the last one works.
func TestGroupsComeAndGo(t *testing.T) {
	for seed := range uint64(10) {
		bubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) { comeAndGo(t, newSeen(seed)) })
	}
}

func comeAndGo(t *testing.T, s *seen) {
	n := start(t, node.Options{Partitions: 1})
	few := func(g *edda.GroupSpec) { g.MinMembers, g.IdleTimeout = s.chance(3), time.Second }
	group(t, n, "s/g", few)
	ctx, cancel := context.WithCancel(t.Context())
	var members sync.WaitGroup
	for i := range 4 {
		members.Go(func() {
			for ctx.Err() == nil {
				ds, err := n.ReadGroup(ctx, edda.GroupRead{
					GroupRef: groupRef("s/g"), Member: fmt.Sprint("m", i/2), Max: 3, Wait: time.Duration(s.chance(100)) * time.Millisecond,
				})
				if err != nil || len(ds) == 0 || s.chance(4) == 0 {
					time.Sleep(time.Duration(s.chance(20)) * time.Millisecond)
					continue
				}
				_, _ = n.Ack(ctx, settleOf("s/g", ds))
			}
		})
	}
	members.Go(func() { work(ctx, t, n, newSeen(1), "w") })
	for i := range 200 {
		feed(t, n, "s", fmt.Sprintf("k%d=", i%5))
		switch s.chance(6) {
		case 0:
			_ = n.DeleteGroup(t.Context(), groupRef("s/g"))
		case 1:
			_, _ = n.ResetGroup(t.Context(), groupRef("s/g"), "", edda.FromStart)
		case 2, 3:
			group(t, n, "s/g", few)
		}
		time.Sleep(time.Duration(s.chance(20)) * time.Millisecond)
	}
	cancel()
	members.Wait()
	time.Sleep(time.Minute) // the members are gone, and so are leases
	group(t, n, "s/g", func(g *edda.GroupSpec) { g.MinMembers = 1 })
	for {
		ds := readGroup(t, n, "s/g", "last", 1000, time.Minute)
		if len(ds) == 0 {
			break
		}
		settles(t, n.Ack, settleOf("s/g", ds), len(ds))
	}
	lag(t, n, "s/g", 0, 0)
	noSlotIsLost(t, n, "s/g")
}
