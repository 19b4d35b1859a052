package eventual

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/edda-io/edda/cqrs/internal/ledger"
)

func TestParkedSetLetsTheFirstOfAnAggregateGo(t *testing.T) {
	now := time.Unix(1000, 0)
	a, b := ledger.Aggregate{Object: "User", Key: "a"}, ledger.Aggregate{Object: "User", Key: "b"}
	row := func(seq int64, state string, next time.Time, held ...ledger.Aggregate) *ledger.Parked {
		return &ledger.Parked{Position: ledger.Position{Seq: seq}, State: state, NextAt: next, Held: held}
	}
	for name, c := range map[string]struct {
		rows []*ledger.Parked
		want []int64
		next time.Time
	}{
		"nothing":                   {},
		"due now":                   {rows: []*ledger.Parked{row(1, ledger.Waiting, now, a)}, want: []int64{1}},
		"due later":                 {rows: []*ledger.Parked{row(1, ledger.Waiting, now.Add(time.Second), a)}, next: now.Add(time.Second)},
		"behind one of later":       {rows: []*ledger.Parked{row(1, ledger.Waiting, now.Add(time.Second), a), row(2, ledger.Waiting, time.Time{}, a)}, next: now.Add(time.Second)},
		"behind nothing":            {rows: []*ledger.Parked{row(2, ledger.Waiting, time.Time{}, a)}, want: []int64{2}},
		"others go on":              {rows: []*ledger.Parked{row(1, ledger.Waiting, now.Add(time.Second), a), row(2, ledger.Waiting, now, b)}, want: []int64{2}, next: now.Add(time.Second)},
		"behind a dead letter":      {rows: []*ledger.Parked{row(1, ledger.Stopped, now, a), row(2, ledger.Waiting, time.Time{}, a)}},
		"a dead letter goes on":     {rows: []*ledger.Parked{row(1, ledger.Dead, now, a), row(2, ledger.Waiting, time.Time{}, a)}, want: []int64{2}},
		"a list waits for any":      {rows: []*ledger.Parked{row(1, ledger.Stopped, now, b), row(2, ledger.Waiting, now, a, b)}},
		"a list is waited for":      {rows: []*ledger.Parked{row(1, ledger.Stopped, now, a, b), row(2, ledger.Waiting, now, b)}},
		"behind one that waits too": {rows: []*ledger.Parked{row(1, ledger.Stopped, now, a), row(2, ledger.Waiting, now, a, b), row(3, ledger.Waiting, now, b)}},
		"the earliest time": {rows: []*ledger.Parked{row(1, ledger.Waiting, now.Add(3*time.Second), a), row(2, ledger.Waiting, now.Add(2*time.Second), b)},
			next: now.Add(2 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			var s parkedSet
			for _, r := range c.rows {
				s.put(r)
			}
			due, next := s.due(now, 10)
			var got []int64
			for _, r := range due {
				got = append(got, r.Position.Seq)
			}
			if !slices.Equal(got, c.want) || !next.Equal(c.next) {
				t.Errorf("due are %v, the next at %v, want %v and %v", got, next, c.want, c.next)
			}
		})
	}
}

func TestParkedSetForgetsWhatIsRemoved(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	keys := []ledger.Aggregate{{Object: "User", Key: "a"}, {Object: "User", Key: "b"}, {Object: "Entry", Key: "a"}}
	var s parkedSet
	there := map[int64]*ledger.Parked{}
	for range 5000 {
		seq := r.Int64N(20)
		if r.IntN(2) == 0 {
			s.remove(ledger.Position{Seq: seq})
			delete(there, seq)
		} else {
			state := []string{ledger.Waiting, ledger.Stopped, ledger.Dead}[r.IntN(3)]
			row := &ledger.Parked{Position: ledger.Position{Seq: seq}, State: state, Held: []ledger.Aggregate{keys[r.IntN(3)]}}
			before := s.clone()
			s.put(row)
			if n := len(before.rows); n != len(there) {
				t.Fatalf("a clone has %d rows, want %d", n, len(there))
			}
			if there[seq] = row; state == ledger.Dead {
				delete(there, seq)
			}
		}
		for _, k := range keys {
			want := false
			for _, row := range there {
				want = want || row.Held[0] == k
			}
			if got := s.holds(&ledger.Event{Object: k.Object, Key: k.Key}); got != want {
				t.Fatalf("%v is held: %v, want %v", k, got, want)
			}
		}
		if len(s.rows) != len(there) || !slices.IsSortedFunc(s.rows, func(a, b *ledger.Parked) int { return ledger.Compare(a.Position, b.Position) }) {
			t.Fatalf("the set has %d rows, want %d in order", len(s.rows), len(there))
		}
	}
}
