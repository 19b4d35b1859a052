package stream

import (
	"fmt"
	"testing"

	"github.com/edda-io/edda/internal/store"
)

// A stream that is made again has later times than the one before it, also when the clock
// stands still, whatever was removed since, and after a restart; and it is known that there
// was one.
func TestTimesOfAStreamMadeAgain(t *testing.T) {
	for name, between := range map[string]func(*testing.T, *world){
		"at once":     func(*testing.T, *world) {},
		"crash":       func(t *testing.T, w *world) { w.crash(t) },
		"checkpoint":  func(t *testing.T, w *world) { w.checkpoint(t); w.load(t) },
		"clock back":  func(_ *testing.T, w *world) { w.now -= 1_000_000 },
		"much after":  func(_ *testing.T, w *world) { w.now += 1_000_000 },
		"many others": func(t *testing.T, w *world) { removeOthers(t, w); w.checkpoint(t); w.load(t) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			start := w.m.End("default", "orders")
			for i := range 10 { // each has a time of its own, the clock does not move
				w.put(t, "orders", fmt.Sprint(i))
			}
			old := w.stream("orders")
			if old.earlierUntil != 0 || old.CreatedAt < start {
				t.Errorf("the first one was made at %d, after one that was there until %d", old.CreatedAt, old.earlierUntil)
			}
			end := w.m.End("default", "orders")
			if end <= old.LastAt() {
				t.Errorf("the end is %d, the last message of %d", end, old.LastAt())
			}
			between(t, w)
			w.remove(t, "orders")
			between(t, w)
			absent := w.m.End("default", "orders")
			w.put(t, "orders", "a")
			between(t, w)
			s := w.stream("orders")
			first := w.read(t, s, "default")[0].Time
			switch {
			case s.CreatedAt < absent || first < s.CreatedAt:
				t.Errorf("it was made at %d, its first message is of %d, before %d", s.CreatedAt, first, absent)
			case absent <= s.earlierUntil || s.earlierUntil < end || end <= old.LastAt():
				t.Errorf("the one before had its last message at %d and was removed at %d, the ends were %d and %d", old.LastAt(), s.earlierUntil, end, absent)
			}
		})
	}
}

// removeOthers makes and removes so many streams that the names of those that went before
// them are forgotten.
func removeOthers(t *testing.T, w *world) {
	for i := range keptRemovals + 1 {
		name := fmt.Sprint("other-", i)
		w.put(t, name, "1")
		w.remove(t, name)
	}
	if got := len(w.m.removals.latest); got != keptRemovals {
		t.Fatalf("%d removals are kept", got)
	}
}

// What is removed does not concern other names, until so much was that they are forgotten.
func TestRemovalsAreOfAName(t *testing.T) {
	w := newWorld(t)
	for range 3 * keptRemovals {
		w.put(t, "orders", "1")
		w.remove(t, "orders")
	}
	w.checkpoint(t)
	w.load(t)
	w.put(t, "o", "1")
	if s := w.stream("o"); s.earlierUntil != 0 {
		t.Errorf("there was one before it until %d", s.earlierUntil)
	}
	removeOthers(t, w)
	w.put(t, "p", "1")
	if s := w.stream("p"); s.earlierUntil == 0 {
		t.Error("it is known that there was none before it")
	}
}

func TestRemovalsRefuseToLoad(t *testing.T) {
	for _, size := range []int{0, 7, 16, 8 + 16*(keptRemovals+1)} {
		w := newWorld(t)
		w.put(t, "orders", "1")
		b := w.batch(t)
		b.Set(removalsRow(), make([]byte, size))
		if err := w.tree.Commit(b, 1); err != nil {
			t.Fatal(err)
		}
		var r removals
		if err := r.load(w.tree); err == nil {
			t.Errorf("a row of %d bytes was loaded", size)
		}
	}
	if err := new(removals).load(store.NewTree()); err != nil {
		t.Error(err)
	}
}
