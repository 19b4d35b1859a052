package cqrs

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// parkedSet is what a process remembers of a handler's parked events: those that wait, and the
// dead letters that their aggregates wait for. It is for one goroutine. The zero value is empty.
type parkedSet struct {
	rows []*parkedRow // by position; a row is never changed, but replaced
	held map[aggregate]int
}

// aggregates of an event: those of its items when it is about several.
func (e *Event) aggregates() []aggregate {
	object := strings.TrimSuffix(e.Object, listSuffix)
	if len(e.Items) == 0 {
		return []aggregate{{object, e.Key}}
	}
	all := make([]aggregate, len(e.Items))
	for i, item := range e.Items {
		all[i] = aggregate{object, item.Key}
	}
	return all
}

// clone returns a copy that may be changed without the original.
func (s *parkedSet) clone() parkedSet {
	return parkedSet{rows: slices.Clone(s.rows), held: maps.Clone(s.held)}
}

func (s *parkedSet) find(p Position) (int, bool) {
	return slices.BinarySearchFunc(s.rows, p, func(r *parkedRow, p Position) int { return r.Position.compare(p) })
}

// put adds a row, or puts it in place of that of the same event. One whose aggregate goes on is
// not kept.
func (s *parkedSet) put(r *parkedRow) {
	s.remove(r.Position)
	if r.State == parkedDead {
		return
	}
	i, _ := s.find(r.Position)
	s.rows = slices.Insert(s.rows, i, r)
	if s.held == nil {
		s.held = map[aggregate]int{}
	}
	for _, a := range r.held {
		s.held[a]++
	}
}

func (s *parkedSet) remove(p Position) {
	i, there := s.find(p)
	if !there {
		return
	}
	for _, a := range s.rows[i].held {
		if s.held[a]--; s.held[a] == 0 {
			delete(s.held, a)
		}
	}
	s.rows = slices.Delete(s.rows, i, i+1)
}

// holds reports whether an event must wait behind one of its aggregate.
func (s *parkedSet) holds(e *Event) bool {
	if len(s.held) == 0 {
		return false
	}
	return slices.ContainsFunc(e.aggregates(), func(a aggregate) bool { return s.held[a] > 0 })
}

// due returns the rows whose time has come, in their order, at most limit, and the time of the
// first of the others; zero when nothing waits for a time. Of an aggregate the first row alone
// counts: the others are due once it is gone.
func (s *parkedSet) due(now time.Time, limit int) (due []*parkedRow, next time.Time) {
	if len(s.rows) == 0 {
		return nil, time.Time{}
	}
	before := make(map[aggregate]bool, len(s.held))
	for _, r := range s.rows {
		first := !slices.ContainsFunc(r.held, func(a aggregate) bool { return before[a] })
		for _, a := range r.held {
			before[a] = true
		}
		switch {
		case !first || r.State != parkedWaiting:
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
