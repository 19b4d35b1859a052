package saga

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
)

// foreseen is what Foresee says of a saga's creation before that is applied.
type foreseen struct {
	asked bool
	sent  []string
	here  bool
	open  int // requests in the partition
	after [testPartitions]uint64
}

// foresee is asked where records have as much room as in a node.
func (w *world) foresee(s *side, rec []byte) (f foreseen) {
	w.tb.Helper()
	r, err := record.Parse(rec)
	if err != nil || r.Type != record.TypeSagaCreated || w.room < 1000 {
		return f
	}
	sent, here, err := s.m.Foresee(r.Body, w.time)
	if err != nil {
		w.tb.Fatalf("foresee: %v", err)
	}
	f.asked, f.here, f.open = true, here, len(s.req.open)
	for _, to := range sent {
		for _, e := range to.Entries {
			f.sent = append(f.sent, fmt.Sprintf("%d: %s %q", to.To, e.Type, e.Body))
		}
	}
	for to := range f.after {
		f.after[to] = s.box.Sent(uint64(to))
	}
	return f
}

// check compares it with what the record has sent. To foresee nothing is always right,
// and TestForesee says when it is not enough.
func (f *foreseen) check(tb testing.TB, s *side) {
	tb.Helper()
	if len(f.sent) == 0 {
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
	if here := len(s.req.open) > f.open; here != f.here {
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
