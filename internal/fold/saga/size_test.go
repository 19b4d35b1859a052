package saga

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// counting stands in for the request machine where requests are many.
type counting struct{ admitted []uint32 }

func (c *counting) AdmitStep(a *record.Accepted, _ *edda.Message, _ bool) (bool, error) {
	c.admitted = append(c.admitted, a.Step.Index)
	return true, nil
}

func (c *counting) CancelStep(edda.ID) error { return nil }

func newMachine() (*Machine, *counting, *fold.Env) {
	env := &fold.Env{Table: store.NewTree(), Partition: 0, Partitions: 1}
	c := &counting{}
	return New(env, outbox.New(env), c), c, env
}

func apply(tb testing.TB, m *Machine, env *fold.Env, rec []byte) {
	tb.Helper()
	r, err := record.Parse(rec)
	if err != nil {
		tb.Fatal(err)
	}
	env.Position++
	env.Time++
	if err := m.Apply(r); err != nil {
		tb.Fatal(err)
	}
	m.Effects()
}

func created(tb testing.TB, id string, steps []edda.StepSpec) []byte {
	tb.Helper()
	spec := &edda.SagaSpec{ID: id, Name: "name", Start: true, Steps: steps}
	if err := spec.Validate(); err != nil {
		tb.Fatal(err)
	}
	c := record.NewSagaCreated(spec)
	c.Secret, c.Keep = secret, time.Hour
	return c.AppendTo(nil)
}

// rows returns steps in rows, each of which depends on so many of the row before.
func rows(n, wide, each int) []edda.StepSpec {
	out := make([]edda.StepSpec, n)
	for i := range out {
		out[i] = edda.StepSpec{ID: fmt.Sprintf("s%d", i), Task: edda.Task{Service: "svc", Method: "do"}, Compensate: &edda.Task{Service: "svc", Method: "undo"}}
		if row := i / wide; row > 0 {
			for k := range each {
				out[i].After = append(out[i].After, fmt.Sprintf("s%d", (row-1)*wide+(i+k)%wide))
			}
		}
	}
	return out
}

// runAll ends every request as it comes, and fails the last one.
func runAll(tb testing.TB, m *Machine, c *counting, env *fold.Env, id string, n int) (ended int) {
	tb.Helper()
	ok := encodeReply(&edda.Reply{Payload: []byte("1")})
	undo := false
	for len(c.admitted) > 0 {
		next := c.admitted
		c.admitted = nil
		for _, i := range next {
			e := record.StepEnded{
				Namespace: edda.DefaultNamespace, Step: record.Step{Saga: id, Index: i, Undo: undo}, State: edda.StateSucceeded, Reply: ok, Attempts: 1,
			}
			if ended++; ended == n {
				e.State, undo = edda.StateDead, true
			}
			env.Position++
			env.Time++
			if err := m.StepEnded(&e, nil); err != nil {
				tb.Fatal(err)
			}
			m.Effects()
		}
	}
	return ended
}

// The cost of a step is that of its dependencies, however many steps there are.
func TestManySteps(t *testing.T) {
	for _, each := range []int{1, 100} {
		m, c, env := newMachine()
		const n = 10_000
		rec := created(t, "big", rows(n, 100, each))
		if len(rec) > edda.MaxSagaBytes {
			t.Errorf("the record has %d bytes", len(rec))
		}
		began := time.Now()
		apply(t, m, env, rec)
		if got := runAll(t, m, c, env, "big", n); got != 2*n-1 {
			t.Errorf("%d requests have ended, want %d", got, 2*n-1)
		}
		s, err := m.Get(edda.DefaultNamespace, "big", env.Time)
		if err != nil || s.State != edda.SagaCompensated {
			t.Errorf("saga is %v, %v", s.State, err)
		}
		t.Logf("%d dependencies each: %s, %d bytes", each, time.Since(began), len(rec))
	}
}

// Sagas that wait take about a kilobyte until the second checkpoint, and almost
// nothing after it.
func TestWaitingSagasAreSmall(t *testing.T) {
	const n = 20_000
	m, c, env := newMachine()
	before := heap()
	for i := range n {
		apply(t, m, env, created(t, fmt.Sprintf("waiting-%d", i), rows(2, 1, 1)))
		c.admitted = c.admitted[:0]
	}
	each := (heap() - before) / n
	runtime.KeepAlive(m)
	if each > 1300 { // 1,194, and 1,224 with -race
		t.Errorf("a saga of two steps takes %d bytes", each)
	}
	t.Logf("%d bytes each", each)
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func BenchmarkSaga(b *testing.B) {
	m, c, env := newMachine()
	specs := rows(3, 2, 2)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		id := fmt.Sprintf("s%d", i)
		apply(b, m, env, created(b, id, specs))
		runAll(b, m, c, env, id, -1)
		if i%1000 == 0 {
			m.Committed()
		}
	}
}
