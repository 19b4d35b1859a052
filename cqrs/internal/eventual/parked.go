package eventual

import (
	"maps"
	"slices"
	"time"

	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// parkedSet is what a process remembers of a handler's parked events: those that wait, and the
// dead letters that their aggregates wait for. It is for one goroutine. The zero value is empty.
type parkedSet struct {
	rows []*ledger.Parked // by position; a row is never changed, but replaced
	held map[ledger.Aggregate]int
}

// clone returns a copy that may be changed without the original.
func (s *parkedSet) clone() parkedSet {
	return parkedSet{rows: slices.Clone(s.rows), held: maps.Clone(s.held)}
}

func (s *parkedSet) find(p ledger.Position) (int, bool) {
	return slices.BinarySearchFunc(s.rows, p, func(r *ledger.Parked, p ledger.Position) int { return ledger.Compare(r.Position, p) })
}

// put adds a row, or puts it in place of that of the same event. One whose aggregate goes on is
// not kept.
func (s *parkedSet) put(r *ledger.Parked) {
	s.remove(r.Position)
	if r.State == ledger.Dead {
		return
	}
	i, _ := s.find(r.Position)
	s.rows = slices.Insert(s.rows, i, r)
	if s.held == nil {
		s.held = map[ledger.Aggregate]int{}
	}
	for _, a := range r.Held {
		s.held[a]++
	}
}

func (s *parkedSet) remove(p ledger.Position) {
	i, there := s.find(p)
	if !there {
		return
	}
	for _, a := range s.rows[i].Held {
		if s.held[a]--; s.held[a] == 0 {
			delete(s.held, a)
		}
	}
	s.rows = slices.Delete(s.rows, i, i+1)
}

// holds reports whether an event must wait behind one of its aggregate.
func (s *parkedSet) holds(e *ledger.Event) bool {
	if len(s.held) == 0 {
		return false
	}
	return slices.ContainsFunc(e.Aggregates(), func(a ledger.Aggregate) bool { return s.held[a] > 0 })
}

// due returns the rows whose time has come, in their order, at most limit, and the time of the
// first of the others; zero when nothing waits for a time. Of an aggregate the first row alone
// counts: the others are due once it is gone.
func (s *parkedSet) due(now time.Time, limit int) (due []*ledger.Parked, next time.Time) {
	if len(s.rows) == 0 {
		return nil, time.Time{}
	}
	before := make(map[ledger.Aggregate]bool, len(s.held))
	for _, r := range s.rows {
		first := !slices.ContainsFunc(r.Held, func(a ledger.Aggregate) bool { return before[a] })
		for _, a := range r.Held {
			before[a] = true
		}
		switch {
		case !first || r.State != ledger.Waiting:
		case r.NextAt.After(now):
			if next.IsZero() || r.NextAt.Before(next) {
				next = r.NextAt
			}
		case len(due) == limit:
			return due, now
		default:
			due = append(due, r)
		}
	}
	return due, next
}
