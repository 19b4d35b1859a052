package saga

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "make testdata that is missing")

// goldenWorld has a row of every kind, and every field of them.
func goldenWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	s := nest(saga("a b/key:a c:b d! e"), "d", inner("x"))
	s.Name, s.OnFailure, s.Principal, s.CorrelationID, s.IdempotencyKey = "trip", edda.CancelSteps, "ada", "story", "key"
	s.TraceParent, s.TraceState = "parent", "state"
	w.create(s, func(c *record.SagaCreated) { c.Deadline, c.Fingerprint = 1<<60, []byte("print") })
	w.ok("t.a", `{"a":1}`)
	w.ok("t~d.x", "7")
	w.end("t.e", func(e *record.StepEnded) {
		e.Pending, e.Added = true, [][]byte{record.AppendStepSpec(nil, &steps("f:a,e")[0])}
	})
	w.cancel("t", edda.Cancelled)
	w.ok("t.b", "2")
	w.dies("-t.b")

	for _, id := range []string{"full", "ended"} {
		s = saga("a b!:a")
		s.ID = id
		w.room = map[string]int{"ended": 9}[id]
		w.create(s, func(c *record.SagaCreated) { c.Deadline = 1 << 61 })
	}
	w.end("ended.a", func(e *record.StepEnded) { e.Pending = true })
	w.finishStep("ended", "a", "1")
	w.ok("ended.b", "1")
	return w
}

// A table that any release has written must be read for ever: the file, rows and then
// what they mean, is never changed.
func TestGoldenTableIsRead(t *testing.T) {
	const file = "testdata/table-v1.hex"
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) && *rewrite {
		s := goldenWorld(t).sides[0]
		s.checkpoint(t)
		text = append(s.rows(), "----\n"+toJSON(s.seen(t))+"\n"...)
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, want, _ := strings.Cut(string(text), "----\n")
	s := &side{tree: store.NewTree(), env: &fold.Env{Partition: testHome}, req: &requests{}, sent: &queue{tb: t}}
	var b store.Batch
	for line := range strings.Lines(rows) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		b.Set(unhex(t, k), unhex(t, v))
	}
	if err := s.tree.Commit(&b, 1); err != nil {
		t.Fatal(err)
	}
	s.load(t)
	got := s.seen(t)
	before := goldenWorld(t).sides[0].seen(t)
	got.Requests, before.Requests = nil, nil
	meant, _, _ := strings.Cut(want, `"Requests"`)
	if now, _, _ := strings.Cut(toJSON(got), `"Requests"`); now != meant {
		t.Errorf("the table means\n%s\nwant\n%s", now, meant)
	}
	if toJSON(before) != toJSON(got) {
		t.Errorf("it was\n%s", toJSON(before))
	}
	// Written again, it is the same.
	for _, one := range got.Sagas {
		l, err := s.m.load(Ref{one.Namespace, one.ID})
		if err != nil {
			t.Fatal(err)
		}
		for i := range l.steps {
			s.m.touchStep(l, i)
		}
	}
	s.checkpoint(t)
	if again := string(s.rows()); again != rows {
		t.Errorf("the rows are written as\n%s, were\n%s", again, rows)
	}
}

// rows are all rows of sagas.
func (s *side) rows() (text []byte) {
	for p := range s.tree.Scan(nil, nil) {
		if strings.IndexByte("ghjklt", p.Key[0]) >= 0 {
			text = fmt.Appendf(text, "%x %x\n", p.Key, p.Value)
		}
	}
	return text
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Fields of a later release survive when rows are written anew.
func TestUnknownFieldsAreKept(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b:a"))
	s := w.sides[1]
	later := wire.AppendString(nil, 1000, "later")
	var b store.Batch
	for p := range s.tree.Scan([]byte("g"), []byte("i")) {
		b.Set(p.Key, append(slices.Clone(p.Value), later...))
	}
	if err := s.tree.Commit(&b, engine.Position(s.env.Position)); err != nil {
		t.Fatal(err)
	}
	s.load(t)
	w.ok("t.a", "1")
	w.dies("t.b")
	n := 0
	for p := range s.tree.Scan([]byte("g"), []byte("i")) {
		n++
		if !bytes.Contains(p.Value, later) {
			t.Errorf("row %q has lost what it does not know", p.Key)
		}
	}
	if n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}

// Rows that make no sense are an error, and nothing worse.
func TestMalformedRows(t *testing.T) {
	w := goldenWorld(t)
	for _, side := range w.sides {
		side.checkpoint(t)
	}
	whole := w.sides[0].tree
	for _, key := range [][]byte{sagaRow(Ref{"default", "t"}), stepRow(Ref{"default", "t"}, 1), stepRow(Ref{"default", "t"}, 5)} {
		value, found, _ := whole.Get(key)
		if !found {
			t.Fatalf("no row %q", key)
		}
		damaged := [][]byte{nil, {0xff}, value[:len(value)-1], wire.AppendUint(slices.Clone(value), gState, 99), wire.AppendUint(nil, hState, 99)}
		for _, v := range damaged {
			s := &side{tree: store.NewTree(), env: &fold.Env{Partition: testHome}, req: &requests{open: map[edda.ID]*asked{}}}
			var b store.Batch
			for p := range whole.Scan(nil, nil) {
				b.Set(p.Key, p.Value)
			}
			b.Set(key, v)
			if err := s.tree.Commit(&b, whole.Applied()); err != nil {
				t.Fatal(err)
			}
			s.load(t)
			if got, err := s.m.Get("default", "t", 0); err == nil && got != nil && len(v) < len(value)-1 {
				t.Errorf("row %q of %x is read as %s", key, v, toJSON(got.View(true)))
			}
		}
	}
}

func FuzzReadStep(f *testing.F) {
	m, _, _ := newMachine()
	for _, spec := range steps("a b/key:a c!:a,b") {
		st := step{spec: record.AppendStepSpec(nil, &spec), state: stepCompensating, undo: &undoing{run: 1}}
		f.Add(st.row())
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		var st, again step
		if m.readStep(&st, row) != nil {
			return
		}
		if err := m.readStep(&again, st.row()); err != nil {
			t.Fatalf("%+v: encoded, it is refused: %v", st, err)
		}
	})
}

// Whatever records come, in whatever order, nothing worse than an error comes of
// them, and the state is the same when it is loaded anew.
func FuzzRecords(f *testing.F) {
	for _, rec := range [][]byte{
		created(f, "t", steps("a b:a")), (&record.SagaChanged{Namespace: "default", ID: "t"}).AppendTo(nil, record.TypeSagaAdvanced),
		(&record.StepFinished{Namespace: "default", ID: "t", Step: "a"}).AppendTo(nil),
		(&record.StepEnded{Namespace: "default", Step: record.Step{Saga: "t"}, State: edda.StateDead}).AppendTo(nil),
		(&record.SagaCancelled{Namespace: "default", ID: "t"}).AppendTo(nil),
		(&record.SagaStepsAdded{Namespace: "default", ID: "t", Steps: record.EncodeSteps(steps("c"))}).AppendTo(nil),
	} {
		f.Add(rec[0], rec[record.HeaderBytes:])
	}
	ready := func(t *testing.T) *world {
		t.Helper()
		w := newWorld(t)
		w.create(nest(saga("a b:a c:b"), "c", inner("x")))
		w.ok("t.a", "1")
		return w
	}
	f.Fuzz(func(t *testing.T, typ byte, body []byte) {
		rec := append(record.AppendHeader(nil, record.Type(typ)), body...)
		if r, err := record.Parse(rec); err != nil || !slices.Contains(ready(t).m().Types(), r.Type) || ready(t).m().Apply(r) != nil {
			return
		}
		w := ready(t)
		w.do(rec)
		w.cancel("t", edda.DeadlineExceeded)
	})
}

// A table that has held a saga is refused by releases that know none; one that has
// not is as it was.
func TestRowsVersion(t *testing.T) {
	w := newWorld(t)
	w.changed(record.TypeSagaStarted, "none")
	if got := w.sides[2].env.RowsVersion; got != fold.RowsAtFirst {
		t.Errorf("without sagas the rows have version %d", got)
	}
	w.create(saga("a"))
	w.ok("t.a", "1")
	w.changed(record.TypeSagaRemoved, "t")
	for i, s := range w.sides {
		s.checkpoint(t)
		if s.load(t); s.env.RowsVersion != fold.RowsOfSagas {
			t.Errorf("after a saga the rows of side %d have version %d", i, s.env.RowsVersion)
		}
	}
}
