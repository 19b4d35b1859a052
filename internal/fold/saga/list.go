package saga

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/wire"
)

// List returns at most n sagas that a filter chooses and that come after a cursor,
// the latest first. Sagas that are not in memory come without their steps.
func (m *Machine) List(f *edda.SagaFilter, before Cursor, n int, now int64) ([]*Saga, error) {
	l := lister{m: m, f: *f, before: before, n: n, now: now}
	l.f.Namespace = cmp.Or(f.Namespace, edda.DefaultNamespace)
	if f.ID != "" {
		return l.one()
	}
	for _, s := range m.sagas {
		if err := l.add(s); err != nil {
			return nil, err
		}
	}
	for i := 1; i < len(states); i++ {
		if f.State == "" || f.State == states[i] {
			if err := l.scan(byte(i)); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(l.found, func(a, b *Saga) int { return CursorOf(a).Compare(CursorOf(b)) })
	return l.found[:min(n, len(l.found))], nil
}

// lister gathers the sagas of a list.
type lister struct {
	m      *Machine
	f      edda.SagaFilter
	before Cursor
	n      int
	now    int64
	found  []*Saga
}

// one finds the saga whose id the filter names.
func (l *lister) one() ([]*Saga, error) {
	s, err := l.m.Get(l.f.Namespace, l.f.ID, l.now)
	if err == nil && s != nil {
		err = l.add(s)
	}
	return l.found, err
}

// add adds a saga if it is meant.
func (l *lister) add(s *Saga) error {
	if s.Namespace != l.f.Namespace || l.f.State != "" && s.State != l.f.State || !l.wants(s.Name, s.Principal, CursorOf(s)) {
		return nil
	}
	hidden, err := l.m.hidden(s, l.now)
	if err == nil && !hidden {
		l.found = append(l.found, s)
	}
	return err
}

func (l *lister) wants(name string, p edda.Principal, c Cursor) bool {
	f := &l.f
	return (f.Name == "" || name == f.Name) && (f.Principal == "" || p == f.Principal) &&
		(f.Since.IsZero() || c.Created >= f.Since.UnixNano()) && (f.Until.IsZero() || c.Created < f.Until.UnixNano()) &&
		(l.before == Cursor{} || l.before.Compare(c) < 0)
}

// scan adds sagas of a state that are in the table alone.
func (l *lister) scan(state byte) error {
	m := l.m
	prefix := append(fold.Row(rowList, []byte(l.f.Namespace)), 0, state)
	from, end := prefix, append(slices.Clone(prefix[:len(prefix)-1]), state+1)
	if l.before != (Cursor{}) {
		from = append(listRow(l.f.Namespace, state, l.before), 0)
	}
	if !l.f.Until.IsZero() {
		until := listRow(l.f.Namespace, state, Cursor{Created: l.f.Until.UnixNano() - 1})
		from = slices.MaxFunc([][]byte{from, until}, slices.Compare)
	}
	left := l.n
	for p, err := range m.env.Table.Scan(from, end) {
		if err != nil {
			return err
		}
		if len(p.Key) < len(prefix)+8 {
			return fmt.Errorf("list row of %d bytes, want more than %d", len(p.Key), len(prefix)+8)
		}
		c := Cursor{Created: int64(^binary.BigEndian.Uint64(p.Key[len(prefix):])), ID: string(p.Key[len(prefix)+8:])}
		if !l.f.Since.IsZero() && c.Created < l.f.Since.UnixNano() {
			return nil
		}
		s, err := l.row(c, p.Value)
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		l.found = append(l.found, s)
		if left--; left == 0 {
			return nil
		}
	}
	return nil
}

// row returns the saga of a list's row if it is meant, and not in memory.
func (l *lister) row(c Cursor, value []byte) (*Saga, error) {
	var name, principal []byte
	var keepUntil int64
	rd := wire.NewReader(value)
	for f := (wire.Field{}); rd.Next(&f); {
		switch f.Num {
		case jName:
			name = f.Bytes
		case jPrincipal:
			principal = f.Bytes
		case jKeepUntil:
			keepUntil = int64(f.Uint)
		}
	}
	if err := rd.Err(); err != nil {
		return nil, fmt.Errorf("list row of saga %q: %w", c.ID, err)
	}
	ref := Ref{l.f.Namespace, c.ID}
	if keepUntil != 0 && keepUntil <= l.now || l.m.sagas[ref] != nil || !l.wants(string(name), edda.Principal(principal), c) {
		return nil, nil
	}
	s, err := l.m.readWithoutSteps(ref)
	if err != nil || s == nil {
		return nil, err
	}
	if hidden, err := l.m.hidden(s, l.now); err != nil || hidden {
		return nil, err
	}
	return s, nil
}
