package saga

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
)

// foreseen is what Foresee says of a saga's creation, or a Rehearsal of a step's end,
// before that is applied.
type foreseen struct {
	asked bool
	none  bool // it is foreseen that nothing is sent
	sent  []string
	here  bool
	made  int // requests in the partition
	after [testPartitions]uint64
}

// foresee is asked where records have as much room as in a node.
func (w *world) foresee(s *side, rec []byte) (f foreseen) {
	w.tb.Helper()
	r, err := record.Parse(rec)
	if err != nil {
		w.tb.Fatal(err)
	}
	last := s.rehearsal
	s.rehearsal = nil
	switch {
	case w.room < 1000:
		return f
	case r.Type == record.TypeStepEnded:
		return w.rehearse(s, last, r.Body)
	case r.Type != record.TypeSagaCreated:
		return f
	}
	sent, here, err := s.m.Foresee(r.Body, w.time)
	if err != nil {
		w.tb.Fatalf("foresee: %v", err)
	}
	f.note(s, sent, here)
	return f
}

// rehearse foresees the end of a step, by the rehearsal of the last record, if that was of
// the same saga, and by one of its own. The two must agree.
func (w *world) rehearse(s *side, last *Rehearsal, body []byte) (f foreseen) {
	w.tb.Helper()
	var e record.StepEnded
	if err := e.Decode(body); err != nil || e.Origin.Number != 0 && e.Origin.Number != s.box.Received(e.Origin.From)+1 {
		return f
	}
	ref := Ref{e.Namespace, e.Step.Saga}
	for _, r := range []*Rehearsal{s.m.Rehearse(ref, e.Step.Index), last} {
		if r == nil || r.ref != ref {
			continue
		}
		sent, here, ok := r.StepEnded(&e, w.time)
		if !ok {
			continue
		}
		var one foreseen
		one.note(s, sent, here)
		one.none = len(sent) == 0
		if f.asked && !reflect.DeepEqual(one, f) {
			w.tb.Fatalf("foresaw %+v, and from the record before %+v", one, f)
		}
		f, s.rehearsal = one, r
	}
	return f
}

// note notes what was foreseen, and how things are.
func (f *foreseen) note(s *side, sent []Foreseen, here bool) {
	f.asked, f.here, f.made = true, here, s.req.made
	for _, to := range sent {
		for _, e := range to.Entries {
			f.sent = append(f.sent, fmt.Sprintf("%d: %s %q", to.To, e.Type, e.Body))
		}
	}
	for to := range f.after {
		f.after[to] = s.box.Sent(uint64(to))
	}
}

// check compares it with what the record has sent. Not to foresee is always right, and
// TestForesee and TestRehearsal say when it is not enough.
func (f *foreseen) check(tb testing.TB, s *side) {
	tb.Helper()
	if len(f.sent) == 0 && !f.none {
		return
	}
	var got []string
	for to, sent := range f.after {
		for _, e := range s.box.After(uint64(to), sent, 1<<20) {
			got = append(got, fmt.Sprintf("%d: %s %q", to, e.Type, e.Body))
		}
	}
	slices.Sort(got)
	slices.Sort(f.sent)
	if !slices.Equal(got, f.sent) {
		tb.Fatalf("sent %q, foresaw %q", got, f.sent)
	}
	if here := s.req.made > f.made; here != f.here {
		tb.Fatalf("requests here: %t, foresaw %t", here, f.here)
	}
}

// What a new saga sends is foreseen, once.
func TestForesee(t *testing.T) {
	w := newWorld(t)
	sp := saga("a b c:a")
	for i := 0; sp.Steps[0].Key == "" || fold.Home(edda.Address{Namespace: "default", Name: sp.Steps[0].Service, Key: sp.Steps[0].Key}.Hash(), testPartitions) == testHome; i++ {
		sp.Steps[0].Key = fmt.Sprint("k", i)
	}
	var f foreseen
	note := func(c *record.SagaCreated) { f = w.foresee(w.sides[0], stamped(c, w.time+1)) }
	w.create(sp, note)
	if len(f.sent) != 1 || !strings.Contains(f.sent[0], "accepted") || !f.here {
		t.Errorf("foresaw %q, here %t; want one request there, and others here", f.sent, f.here)
	}
	w.create(sp, note)
	if len(f.sent) != 0 {
		t.Errorf("foresaw %q of a saga that there is", f.sent)
	}
}

func stamped(c *record.SagaCreated, at int64) []byte {
	rec := c.AppendTo(nil)
	record.Stamp(rec, 0, at)
	return rec
}

// farKey is a key of the service "svc" in another partition than the saga.
func farKey() string {
	for i := 0; ; i++ {
		if k := fmt.Sprint("k", i); fold.Home(edda.Address{Namespace: "default", Name: "svc", Key: k}.Hash(), testPartitions) != testHome {
			return k
		}
	}
}

// What the end of a step sends is foreseen, also when others have ended before of which
// the records are not applied. What is not certain is not.
func TestRehearsal(t *testing.T) {
	well := func(*record.StepEnded) {}
	for _, c := range []struct {
		steps  string
		ends   string // by index
		change func(e *record.StepEnded)
		want   string // how many requests away each end makes, an h for those here; a dash for what is not certain
	}{
		{"a/FAR b/FAR:a c/FAR:b", "0 1 2", well, "1 1 0"},
		{"a b/FAR:a", "0", well, "1"},
		{"a b/FAR:a c:a", "0", well, "1h"},
		{"a b c/FAR:a,b", "0 1", well, "0 1"},
		{"a b c/FAR:a,b", "1 0 2", well, "0 1 0"},
		{"a/FAR b:a", "0", well, "-"}, // nothing leads away
		{"a@ b/FAR:a", "0", well, "0"},
		{"a b@:a c/FAR:a", "0", well, "-"},
		{"a b/FAR:a", "0 0", well, "1 0"}, // a second end
		{"a b/FAR:a", "0", func(e *record.StepEnded) { e.Pending = true }, "-"},
		{"a b/FAR:a", "0", func(e *record.StepEnded) { e.State = edda.StateFailed }, "-"},
		{"a b/FAR:a", "0", func(e *record.StepEnded) { e.Step.Undo = true }, "-"},
		{"a b/FAR:a", "0", func(e *record.StepEnded) { e.ID[0]++ }, "-"},
		{"a b/FAR:a", "0", func(e *record.StepEnded) { e.Added = record.EncodeSteps(steps("d")) }, "-"},
		{"a b/FAR:a", "0", func(e *record.StepEnded) { e.Reply = encodeReply(&edda.Reply{Payload: make([]byte, maxForeseen)}) }, "-"},
		{"a b/FAR:a c/FAR", "0", func(e *record.StepEnded) { e.Reply = encodeReply(&edda.Reply{Status: 500}) }, "-"}, // c is cancelled
		{"a b/FAR:a", "0 0", func(e *record.StepEnded) { e.Reply = encodeReply(&edda.Reply{Status: 500}) }, "0 -"},
	} {
		w := newWorld(t)
		sp := saga(strings.ReplaceAll(c.steps, "FAR", farKey()))
		sp.OnFailure = edda.CancelSteps
		w.create(sp)
		s := w.m().sagas[Ref{"default", "t"}]
		var r *Rehearsal
		var got []string
		for index := range strings.FieldsSeq(c.ends) {
			i := int(index[0] - '0')
			if r == nil {
				if r = w.m().Rehearse(s.Ref(), uint32(i)); r == nil {
					got = append(got, "-")
					break
				}
			}
			e := &record.StepEnded{Namespace: "default", Step: record.Step{Saga: "t", Index: uint32(i)}, State: edda.StateSucceeded, ID: s.requestID(i, false, 0, 0)}
			c.change(e)
			got = append(got, rehearsed(r.StepEnded(e, w.time+1)))
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: the ends of %s send %s, want %s", c.steps, c.ends, got, c.want)
		}
		w.compare() // the saga itself is as it was
	}
}

// rehearsed writes down what was foreseen.
func rehearsed(sent []Foreseen, here, ok bool) string {
	n := 0
	for _, to := range sent {
		n += len(to.Entries)
	}
	switch {
	case !ok:
		return "-"
	case here:
		return fmt.Sprint(n, "h")
	default:
		return fmt.Sprint(n)
	}
}

// Sagas that are large, or have others as steps, are not copied to foresee anything.
func TestNotRehearsed(t *testing.T) {
	far := farKey()
	nested := saga("a b/" + far + ":a")
	nested.Steps = append(nested.Steps, edda.StepSpec{ID: "c", Saga: &edda.SagaSpec{Steps: steps("x y/" + far + ":x")}})
	long := saga("a b/" + far + ":a")
	for i := range maxRehearsed - 1 {
		long.Steps = append(long.Steps, steps(fmt.Sprint("s", i))...)
	}
	heavy := saga("a b/" + far + ":a")
	heavy.Steps[0].Args = []json.RawMessage{json.RawMessage(`"` + strings.Repeat("x", maxForeseen) + `"`)}
	created := saga("a b/" + far + ":a")
	created.Start = false
	for name, sp := range map[string]*edda.SagaSpec{"nested": nested, "long": long, "heavy": heavy, "created": created} {
		w := newWorld(t)
		w.create(sp)
		for _, id := range []string{"t", "t~c", "none"} {
			if w.m().Rehearse(Ref{"default", id}, 0) != nil {
				t.Errorf("%s: saga %s is rehearsed", name, id)
			}
		}
	}
	w := newWorld(t)
	w.create(saga("a b/" + far + ":a"))
	if w.m().Rehearse(Ref{"default", "t"}, 2) != nil || w.m().Rehearse(Ref{"default", "t"}, 0) == nil {
		t.Error("a saga is rehearsed for a step that there is not, or for none")
	}
}
