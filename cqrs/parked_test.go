package cqrs

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestParkedSetLetsTheFirstOfAnAggregateGo(t *testing.T) {
	now := time.Unix(1000, 0)
	a, b := aggregate{"User", "a"}, aggregate{"User", "b"}
	row := func(seq int64, state string, next time.Time, held ...aggregate) *parkedRow {
		return &parkedRow{Position: Position{Seq: seq}, State: state, NextAt: next, held: held}
	}
	for name, c := range map[string]struct {
		rows []*parkedRow
		want []int64
		next time.Time
	}{
		"nothing":                   {},
		"due now":                   {rows: []*parkedRow{row(1, parkedWaiting, now, a)}, want: []int64{1}},
		"due later":                 {rows: []*parkedRow{row(1, parkedWaiting, now.Add(time.Second), a)}, next: now.Add(time.Second)},
		"behind one of later":       {rows: []*parkedRow{row(1, parkedWaiting, now.Add(time.Second), a), row(2, parkedWaiting, time.Time{}, a)}, next: now.Add(time.Second)},
		"behind nothing":            {rows: []*parkedRow{row(2, parkedWaiting, time.Time{}, a)}, want: []int64{2}},
		"others go on":              {rows: []*parkedRow{row(1, parkedWaiting, now.Add(time.Second), a), row(2, parkedWaiting, now, b)}, want: []int64{2}, next: now.Add(time.Second)},
		"behind a dead letter":      {rows: []*parkedRow{row(1, parkedStopped, now, a), row(2, parkedWaiting, time.Time{}, a)}},
		"a dead letter goes on":     {rows: []*parkedRow{row(1, parkedDead, now, a), row(2, parkedWaiting, time.Time{}, a)}, want: []int64{2}},
		"a list waits for any":      {rows: []*parkedRow{row(1, parkedStopped, now, b), row(2, parkedWaiting, now, a, b)}},
		"a list is waited for":      {rows: []*parkedRow{row(1, parkedStopped, now, a, b), row(2, parkedWaiting, now, b)}},
		"behind one that waits too": {rows: []*parkedRow{row(1, parkedStopped, now, a), row(2, parkedWaiting, now, a, b), row(3, parkedWaiting, now, b)}},
		"the earliest time": {rows: []*parkedRow{row(1, parkedWaiting, now.Add(3*time.Second), a), row(2, parkedWaiting, now.Add(2*time.Second), b)},
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
	keys := []aggregate{{"User", "a"}, {"User", "b"}, {"Entry", "a"}}
	var s parkedSet
	there := map[int64]*parkedRow{}
	for range 5000 {
		seq := r.Int64N(20)
		if r.IntN(2) == 0 {
			s.remove(Position{Seq: seq})
			delete(there, seq)
		} else {
			state := []string{parkedWaiting, parkedStopped, parkedDead}[r.IntN(3)]
			row := &parkedRow{Position: Position{Seq: seq}, State: state, held: []aggregate{keys[r.IntN(3)]}}
			before := s.clone()
			s.put(row)
			if n := len(before.rows); n != len(there) {
				t.Fatalf("a clone has %d rows, want %d", n, len(there))
			}
			if there[seq] = row; state == parkedDead {
				delete(there, seq)
			}
		}
		for _, k := range keys {
			want := false
			for _, row := range there {
				want = want || row.held[0] == k
			}
			if got := s.holds(&Event{Object: k.object, Key: k.key}); got != want {
				t.Fatalf("%v is held: %v, want %v", k, got, want)
			}
		}
		if len(s.rows) != len(there) || !slices.IsSortedFunc(s.rows, func(a, b *parkedRow) int { return a.Position.compare(b.Position) }) {
			t.Fatalf("the set has %d rows, want %d in order", len(s.rows), len(there))
		}
	}
}
