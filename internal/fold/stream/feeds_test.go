package stream

import (
	"fmt"
	"slices"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// listener writes down what it is told, and what there was then.
type listener struct {
	w     *world
	heard []string
	reply bool // to what is appended to "orders", once
}

func (l *listener) Appended(s *Stream, sh *Shard, first uint64, n int, starts []record.GroupStart) error {
	seen := 0
	for e, err := range l.w.m.Scan(s, sh, first) {
		if err != nil {
			return err
		}
		if e.Offset == first+uint64(seen) {
			seen++
		}
	}
	l.heard = append(l.heard, fmt.Sprintf("%s/%s %d+%d of %d, %v", s.Spec.Name, sh.Name, first, n, seen, starts))
	if l.reply && s.Spec.Name == "orders" {
		l.reply = false
		return l.w.m.AppendHere(appending("orders", "", "reply"))
	}
	return nil
}

func (l *listener) Removed(s *Stream) error {
	there := l.w.m.BySerial(s.Serial) == s && !s.Removed()
	l.heard = append(l.heard, fmt.Sprintf("%s removed, there: %t", s.Spec.Name, there))
	return nil
}

func TestFeeds(t *testing.T) {
	w := newWorld(t)
	l := &listener{w: w}
	w.feeds = l
	w.load(t)
	want := func(want ...string) {
		t.Helper()
		if !slices.Equal(l.heard, want) {
			t.Errorf("heard %q, want %q", l.heard, want)
		}
		l.heard = nil
	}
	a := appending("orders", "", "a", "b", "a", "c")
	a.Starts = []record.GroupStart{{Group: 7, Index: 0}, {Group: 7, Index: 2}, {Group: 8, Index: 3}, {Group: 8, Index: 9}}
	w.append(t, a)
	want("orders/default 0+3 of 3, [{7 0} {8 2}]") // the third was there before, a tenth there is not
	w.append(t, a)
	want()
	wantRefused(t, w.append(t, func() *record.StreamAppended { a := appending("orders", "", ""); a.Expect = 1; return a }()), edda.ExpectedOffset, "2")
	want()
	w.apply(t, (&record.Completed{Seq: 1, Appends: []record.StreamAppended{*a, *appending("orders", "eu", "")}}).AppendTo(nil))
	want("orders/eu 0+1 of 1, []")
	w.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Count: 2}})
	w.put(t, "orders", "", "", "", "")
	want("orders/default 3+4 of 4, []") // before any of them is trimmed
	wantOffsets(t, w, [2]uint64{5, 7})
	l.reply = true
	e := w.put(t, "orders", "", "x")
	want("orders/default 7+2 of 2, []", "orders/default 9+1 of 1, []")
	if got := items(t, e); len(got) != 2 || got[0].Offset != 7 || got[1].Offset != 8 {
		t.Errorf("who appends is answered with %+v", got)
	}
	wantOffsets(t, w, [2]uint64{8, 10})
	w.remove(t, "orders")
	want("orders removed, there: true")
}
