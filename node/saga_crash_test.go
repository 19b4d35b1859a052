package node_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/crashfs"
	"github.com/edda-io/edda/node"
)

// copier copies a disk before every sync, with what was known at that moment.
type copier struct {
	mem *vfs.MemFS

	mu     sync.Mutex // guards what follows
	known  map[string]edda.SagaState
	rng    *rand.Rand
	copies []diskCopy
}

// diskCopy is a disk as a power failure would have left it.
type diskCopy struct {
	fs    *vfs.MemFS
	known map[string]edda.SagaState // sagas that were acknowledged, and the state they ended in; "" before
}

func (c *copier) before(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	percent := []int{0, 100, 50}[len(c.copies)%3]
	c.copies = append(c.copies, diskCopy{c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng}), maps.Clone(c.known)})
	return nil
}

func (c *copier) note(id string, s edda.SagaState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[id] = s
}

// crashServices are those of the worked examples: what is made of keys is counted
// in their state.
func crashServices() []*edda.Service {
	worked := func(v any) stepFunc {
		return func(*edda.Context, *edda.StepInput) (any, error) {
			time.Sleep(time.Millisecond)
			return v, nil
		}
	}
	no := func(*edda.Context, *edda.StepInput) (any, error) { return nil, edda.Final("NO", "no") }
	s := edda.NewOrdered("book")
	count := func(name string) edda.HandlerFunc {
		return stepHandler(func(ctx *edda.Context, in *edda.StepInput) (any, error) {
			time.Sleep(time.Millisecond)
			if ctx.Attempt() == 1 && in.StepID == "hotel" {
				return nil, errHandler
			}
			v, _, err := edda.Get[int](ctx, name)
			if err != nil {
				return nil, err
			}
			return v, edda.Set(ctx, name, v+1)
		})
	}
	s.Add(edda.Method{Name: "run", Handler: count("done")})
	s.Add(edda.Method{Name: "undo", Handler: count("undone")})
	all := []*edda.Service{
		tool("head", worked(1)), tool("handle", worked(2)), tool("hammer", worked(3)), tool("broken", no), tool("destroyer", worked(nil)), s,
	}
	for _, s := range all {
		s.Retry = edda.RetryPolicy{Max: -1, Delay: time.Millisecond}
	}
	return append(all, consumes("work/makers", makes))
}

// makes finishes steps that are messages: it makes what is short.
func makes(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
	time.Sleep(time.Millisecond)
	var in edda.StepInput
	if err := json.Unmarshal(m.Payload, &in); err != nil {
		return nil, err
	}
	stream := "failed"
	if string(in.Args[0]) == `"short"` {
		stream = "done"
	}
	a := edda.StreamMessage{Headers: m.Headers, Payload: fmt.Append(nil, ctx.Attempt())}
	return nil, ctx.Append(&edda.Append{Stream: stream, Messages: []edda.StreamMessage{a}})
}

// crashSagas are a hammer, a hammer that fails, a trip without a car, one with all, and
// two with a step that is a message, which is made and is not.
func crashSagas(i int) []*edda.SagaSpec {
	book := func(id, after string) edda.StepSpec {
		s := undo(ask(id, fmt.Sprintf("book/%s%d", id, i), "", after), fmt.Sprintf("book/%s%d", id, i), "")
		s.Compensate.Method = "undo"
		return s
	}
	bad := hammerSpec()
	bad.Steps[2].Service = "broken"
	trip := sagaOf("trip", book("flight", ""), book("hotel", "flight"), book("museum", "flight"), ask("car", "broken", "", "hotel museum"))
	done := sagaOf("tour", book("train", ""), book("boat", "train"), ask("guide", "head", "", "boat"))
	made := func(args, before, after string) *edda.SagaSpec {
		q := queued("wood", before)
		q.Args[0] = json.RawMessage(args)
		return sagaOf("wood", book(before, ""), q, book(after, "wood"))
	}
	return []*edda.SagaSpec{hammerSpec(), bad, trip, done, made(`"short"`, "oak", "fire"), made(`"long"`, "elm", "smoke")}
}

// The power is cut at every sync while sagas run. Whatever was acknowledged comes to
// its end, each step of a key counts once, and is undone once, after what came later.
func TestSagaCrashAtEverySync(t *testing.T) {
	bubble(t, "many at once", func(t *testing.T) {
		var wg sync.WaitGroup
		crashSagasAtEverySync(t, 4, wg.Go, wg.Wait)
	})
	// What they send to other partitions goes there ahead of the flush most of the time.
	bubble(t, "one after the other", func(t *testing.T) {
		crashSagasAtEverySync(t, 2, func(f func()) { f() }, func() {})
	})
}

func crashSagasAtEverySync(t *testing.T, times int, run func(func()), wait func()) {
	c := &copier{mem: vfs.NewCrashableMem(), known: map[string]edda.SagaState{}, rng: randFor(t)}
	o := node.Options{
		Dir: "data", FS: crashfs.Hooked(c.mem, &c.mu, c.before), Durability: edda.Fsync, SegmentBytes: 64 << 10,
		CheckpointBytes: 10_000, Services: crashServices(),
	}
	n := open(t, node.WithoutGather(o))
	for i := range times {
		for k, sp := range crashSagas(i) {
			sp.ID = fmt.Sprintf("saga-%d-%d", i, k)
			run(func() {
				create(t, n, sp)
				c.note(sp.ID, "")
				s, err := n.WaitSaga(t.Context(), "", sp.ID)
				if err != nil {
					t.Error(err)
					return
				}
				c.note(sp.ID, s.State)
			})
		}
	}
	wait()
	stop(t, n)
	t.Logf("%d copies", len(c.copies))
	for i := range c.copies {
		if c.copies[i].check(t); t.Failed() {
			t.Fatalf("after copy %d of %d", i, len(c.copies))
		}
	}
}

// check opens the copy and lets every saga come to its end.
func (d *diskCopy) check(t *testing.T) {
	t.Helper()
	n := (&disk{d.fs}).open(t, node.Options{SegmentBytes: 64 << 10}, crashServices()...)
	defer stop(t, n)
	for id, state := range d.known {
		s, err := n.Saga(t.Context(), "", id)
		if err != nil || state != "" && s.State != state {
			t.Errorf("saga %s was %q: got %+v, %v", id, state, s, err)
		}
	}
	want := map[string]edda.SagaState{
		"0": edda.SagaSucceeded, "1": edda.SagaCompensated, "2": edda.SagaCompensated, "3": edda.SagaSucceeded, "4": edda.SagaSucceeded, "5": edda.SagaCompensated,
	}
	for _, id := range listed(t, n, edda.SagaFilter{}, 100) {
		s := endsAs(t, n, id, want[id[strings.LastIndex(id, "-")+1:]])
		checkUndoOrder(t, s)
		for i := range s.Steps {
			if s.Steps[i].Service == "book" {
				checkBook(t, n, &s.Steps[i])
			}
		}
	}
	synctest.Wait()
	checkQueue(t, n)
	noSlotIsLost(t, n, "head", "handle", "hammer", "broken", "destroyer", "book", "work/makers", "done/edda.sagas", "failed/edda.sagas")
}

// checkQueue checks that each step that is a message was appended once, and answered.
func checkQueue(t *testing.T, n *node.Node) {
	t.Helper()
	times := map[string]int{}
	for _, stream := range []string{"work", "done", "failed"} {
		page, err := n.ReadStream(t.Context(), edda.Read{Stream: stream, Limit: edda.MaxReadLimit})
		if edda.ReasonOf(err) == edda.NoStream {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Messages {
			times[strings.ReplaceAll(stream, "failed", "done")+" "+page.Messages[i].Headers.Get("ce-sagaid")]++
		}
	}
	for what, n := range times {
		if n != 1 {
			t.Errorf("%s: %d messages, want one", what, n)
		}
	}
	for _, stream := range []string{"done", "failed"} {
		if ls := letters(t, n, stream+"/edda.sagas"); len(ls) != 0 {
			t.Errorf("dead letters: %+v", ls)
		}
	}
}

// checkBook checks that a step was done once, and undone once if it was undone.
func checkBook(t *testing.T, n *node.Node, st *edda.Step) {
	t.Helper()
	e, err := n.State(t.Context(), edda.Address{Name: "book", Key: st.Key}, "")
	if err != nil {
		t.Error(err)
	}
	got := ""
	for _, v := range e {
		got += v.Name + string(v.Value)
	}
	want := map[edda.StepState]string{edda.StepSucceeded: "done1", edda.StepCompensated: "done1undone1"}[st.State]
	if got != want {
		t.Errorf("key %s has %q, want %q: its step is %s", st.Key, got, want, st.State)
	}
}

// checkUndoOrder checks that a step was undone after it was done, and before what it
// depended on.
func checkUndoOrder(t *testing.T, s *edda.Saga) {
	t.Helper()
	byID := map[string]*edda.Step{}
	for i := range s.Steps {
		byID[s.Steps[i].ID] = &s.Steps[i]
	}
	for _, st := range byID {
		if st.State != edda.StepCompensated {
			continue
		}
		if st.Compensation.StartedAt.Before(st.EndedAt) {
			t.Errorf("saga %s: step %s was undone at %v, done at %v", s.ID, st.ID, st.Compensation.StartedAt, st.EndedAt)
		}
		for _, d := range st.After {
			if c := byID[d].Compensation; c != nil && c.StartedAt.Before(st.Compensation.EndedAt) {
				t.Errorf("saga %s: step %s was undone at %v, before %s, which came later, at %v", s.ID, d, c.StartedAt, st.ID, st.Compensation.EndedAt)
			}
		}
	}
}

// The node is lost again and again while sagas run, and comes back on what its disk
// has kept. What was acknowledged comes to its end.
func TestSagaManyCrashes(t *testing.T) {
	bubble(t, "crashes", func(t *testing.T) {
		o := node.Options{CheckpointBytes: 20_000}
		d := newDisk()
		n := d.open(t, o, crashServices()...)
		rng := randFor(t)
		known := map[string]edda.SagaState{}
		i := 0
		for range 12 {
			for range 5 {
				for k, sp := range crashSagas(i) {
					sp.ID = fmt.Sprintf("saga-%d-%d", i, k)
					create(t, n, sp)
					known[sp.ID] = ""
				}
				i++
				time.Sleep(time.Duration(rng.IntN(5000)) * time.Microsecond)
			}
			for id := range known {
				if s := look(t, n, id); s.State.Ended() {
					known[id] = s.State
				}
			}
			left := &disk{d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})}
			ctx := ended(t) // what runs is not waited for
			_ = n.Stop(ctx)
			d = left
			n = d.open(t, o, crashServices()...)
		}
		stop(t, n)
		(&diskCopy{d.fs, known}).check(t)
	})
}
