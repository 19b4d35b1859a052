package keystate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

const addr = "default\x00users\x001"

func set(name, value string) record.Change { return record.Change{Name: name, Value: []byte(value)} }
func del(name string) record.Change        { return record.Change{Name: name} }

// list returns all that a view shows under a prefix, and checks it with Get.
func list(t *testing.T, v View, prefix string) string {
	t.Helper()
	var s strings.Builder
	for e, err := range v.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&s, "%s=%s ", e.Name, e.Value)
		if got, found, err := v.Get(t.Context(), e.Name); err != nil || !found || string(got) != string(e.Value) {
			t.Errorf("%s is listed as %q, got as %q, %t, %v", e.Name, e.Value, got, found, err)
		}
	}
	return s.String()
}

func commit(t *testing.T, k *Keys, tree *store.Tree) {
	t.Helper()
	var b store.Batch
	k.Checkpoint(&b)
	if err := tree.Commit(&b, tree.Applied()+1); err != nil {
		t.Fatal(err)
	}
	k.Committed()
}

// Random changes and checkpoints: the newest value counts, names are in order,
// and views show for ever what held when they were made, as long as nobody
// changes the key.
func TestRandomChangesFollowTheMap(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		tree := store.NewTree()
		k := New(tree)
		model := map[string]string{}
		for step := range 60 {
			var changes []record.Change
			for range rng.IntN(4) {
				name := fmt.Sprintf("%c%d", 'a'+rng.IntN(2), rng.IntN(6))
				if rng.IntN(3) == 0 {
					changes = append(changes, del(name))
					delete(model, name)
				} else {
					v := fmt.Sprint(step)
					changes = append(changes, set(name, v))
					model[name] = v
				}
			}
			k.Apply(addr, changes)
			if rng.IntN(12) == 0 {
				k.Drop(addr[:len("default\x00users\x00")])
				clear(model)
			}
			view := k.View(addr)
			if rng.IntN(6) == 0 {
				commit(t, k, tree)
				if rng.IntN(2) == 0 {
					k = New(tree) // as after a restart
				}
			}
			for _, prefix := range []string{"", "a", "b1", "c"} {
				want := ""
				for _, name := range slices.Sorted(maps.Keys(model)) {
					if strings.HasPrefix(name, prefix) {
						want += name + "=" + model[name] + " "
					}
				}
				for _, v := range []View{view, k.View(addr)} {
					if got := list(t, v, prefix); got != want {
						t.Fatalf("seed %d step %d: under %q is %q, want %q", seed, step, prefix, got, want)
					}
				}
			}
			if n := depth(k.dirty[addr]); n > 12 {
				t.Fatalf("seed %d step %d: %d layers", seed, step, n)
			}
		}
	}
}

// scans counts how often a table is scanned.
type scans struct {
	store.Table
	n int
}

func (s *scans) Scan(from, to []byte) iter.Seq2[store.Pair, error] {
	s.n++
	return s.Table.Scan(from, to)
}

// The table is asked once whether it has state of a service; of one that has none it is
// not read again until there is some, whatever the others have.
func TestServicesWithoutStateAreNotRead(t *testing.T) {
	tree := store.NewTree()
	table := &scans{Table: tree}
	k := New(table)
	const alike, shard = "default\x00users2\x001", "default\x00users\x01shard\x001"
	k.Apply(alike, []record.Change{set("stored", "1")})
	commit(t, k, tree)
	for _, a := range []string{addr, "default\x00users\x002", shard} {
		list(t, k.View(a), "")
	}
	if table.n != 1 {
		t.Errorf("a service without state was looked for %d times, want 1", table.n)
	}
	k.Apply(shard, []record.Change{set("name", "1")})
	commit(t, k, tree)
	for _, k := range []*Keys{k, New(table)} {
		for a, want := range map[string]string{addr: "", shard: "name=1 ", alike: "stored=1 "} {
			if got := list(t, k.View(a), ""); got != want {
				t.Errorf("%q has %q, want %q", a, got, want)
			}
		}
	}
}

// failing is a table that cannot be scanned.
type failing struct {
	store.Table
	why error
}

func (f failing) Scan(_, _ []byte) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) { yield(store.Pair{}, f.why) }
}

// What cannot be read is no reason to take it that nothing is there.
func TestServicesThatCannotBeLookedFor(t *testing.T) {
	why := errors.New("broken")
	k := New(failing{store.NewTree(), why})
	for _, err := range k.View(addr).List(t.Context(), "") {
		if !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
		return
	}
	t.Error("got nothing, want an error")
}

func depth(l *layer) (n int) {
	for ; l != nil; l = l.next {
		n++
	}
	return n
}

// What is dropped is gone from then on, for those whose address begins so and for nobody
// else; the table has it until the checkpoint, and what comes after counts.
func TestDrop(t *testing.T) {
	tree := store.NewTree()
	k := New(tree)
	const other = "default\x00users2\x001"
	for _, a := range []string{addr, other} {
		k.Apply(a, []record.Change{set("stored", "1")})
	}
	commit(t, k, tree)
	for _, a := range []string{addr, other} {
		k.Apply(a, []record.Change{set("recent", "1")})
	}
	k.Drop("default\x00users\x00")
	if got := list(t, k.View(addr), ""); got != "" {
		t.Errorf("left is %q", got)
	}
	k.Apply(addr, []record.Change{set("new", "2")})
	for range 2 {
		if got := list(t, k.View(addr), ""); got != "new=2 " {
			t.Errorf("it has %q", got)
		}
		if got := list(t, k.View(other), ""); got != "recent=1 stored=1 " {
			t.Errorf("another has %q", got)
		}
		commit(t, k, tree)
	}
}

// A key that changes often stays cheap to read, and a view of it is never
// changed by what comes later.
func TestLayersStayFew(t *testing.T) {
	k := New(store.NewTree())
	for i := range 1000 {
		k.Apply(addr, []record.Change{set(fmt.Sprint("n", i), "1")})
		if n := depth(k.dirty[addr]); n > 11 {
			t.Fatalf("%d layers after %d changes", n, i)
		}
	}
	view := k.View(addr)
	before := slices.Clone(flatten(view.top, ""))
	k.Apply(addr, []record.Change{del("n1"), set("n2", "2")})
	if after := flatten(view.top, ""); len(after) != 1000 || !slices.EqualFunc(before, after, same) {
		t.Error("a view was changed")
	}
}

func same(a, b record.Change) bool { return a.Name == b.Name && string(a.Value) == string(b.Value) }

// Keys whose addresses begin alike have nothing in common.
func TestKeysAreApart(t *testing.T) {
	tree := store.NewTree()
	k := New(tree)
	for i, a := range []string{"d\x00s\x001", "d\x00s\x0011", "d\x00s\x00", "d\x00s2\x001"} {
		k.Apply(a, []record.Change{set("name", fmt.Sprint(i)), set("\xff", "last"), set("empty", "")})
	}
	for range 2 {
		for i, a := range []string{"d\x00s\x001", "d\x00s\x0011", "d\x00s\x00", "d\x00s2\x001"} {
			want := fmt.Sprintf("empty= name=%d \xff=last ", i)
			if got := list(t, k.View(a), ""); got != want {
				t.Errorf("state of %q is %q, want %q", a, got, want)
			}
			if got := list(t, k.View(a), "\xff"); got != "\xff=last " {
				t.Errorf("state of %q under \\xff is %q", a, got)
			}
		}
		commit(t, k, tree)
	}
	if v, found, err := k.View("d\x00s\x001").Get(t.Context(), "none"); v != nil || found || err != nil {
		t.Errorf("a name without a value: %q, %t, %v", v, found, err)
	}
}

func TestListEnds(t *testing.T) {
	tree := store.NewTree()
	k := New(tree)
	k.Apply(addr, []record.Change{set("c", "0"), set("a", "1"), del("c"), set("c", "1")}) // the last one counts
	commit(t, k, tree)
	k.Apply(addr, []record.Change{set("b", "2"), set("d", "2")})
	for most := 1; most <= 4; most++ {
		n := 0
		for range k.View(addr).List(t.Context(), "") {
			if n++; n == most {
				break
			}
		}
		if n != most {
			t.Errorf("%d entries, want %d", n, most)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range k.View(addr).List(ctx, "") {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		break
	}
}

func BenchmarkApplyOneName(b *testing.B) {
	k := New(store.NewTree())
	changes := []record.Change{set("value", "12345678")}
	b.ReportAllocs()
	for b.Loop() {
		k.Apply(addr, changes[:1:1])
	}
}
