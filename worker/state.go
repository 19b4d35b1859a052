package worker

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// state reads what is kept for an attempt's key. What came with the dispatch is
// read when the handler first asks; the rest of a large state is asked for.
type state struct {
	a     *attempt
	raw   []byte // as it came
	known bool   // some came

	once    sync.Once
	entries []edda.StateEntry
	partial bool
	err     error
}

var _ edda.StateReader = (*state)(nil)

// load reads what came with the dispatch.
func (s *state) load() error {
	s.once.Do(func() {
		if !s.known {
			s.partial = true
			return
		}
		r := wire.NewReader(s.raw)
		var f wire.Field
		for r.Next(&f) {
			switch f.Num {
			case 1:
				e, err := readEntry(f.Bytes)
				if err != nil {
					s.err = err
					return
				}
				s.entries = append(s.entries, e)
			case 2:
				s.partial = f.Uint != 0
			}
		}
		s.err = r.Err()
	})
	return s.err
}

// find returns where the name is or would be, and whether it is there.
func (s *state) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s.entries, name, func(e edda.StateEntry, name string) int { return cmp.Compare(e.Name, name) })
}

// Get returns the value of a name.
func (s *state) Get(ctx context.Context, name string) ([]byte, bool, error) {
	if err := s.load(); err != nil {
		return nil, false, err
	}
	if i, ok := s.find(name); ok {
		return s.entries[i].Value, true, nil
	}
	if !s.partial || !utf8.ValidString(name) {
		return nil, false, nil
	}
	v, err := s.a.s.ask(ctx, &query{attempt: s.a.id, name: name})
	if err != nil || len(v.entries) == 0 {
		return nil, false, err
	}
	return v.entries[0].Value, true, nil
}

// List yields what begins with the prefix, in order.
func (s *state) List(ctx context.Context, prefix string) iter.Seq2[edda.StateEntry, error] {
	return func(yield func(edda.StateEntry, error) bool) {
		if err := s.load(); err != nil {
			yield(edda.StateEntry{}, err)
			return
		}
		if s.partial {
			s.listAll(ctx, prefix, yield)
			return
		}
		i, _ := s.find(prefix)
		for _, e := range s.entries[i:] {
			if !strings.HasPrefix(e.Name, prefix) || !yield(e, nil) {
				return
			}
		}
	}
}

// errStuck: a list that does not end.
var errStuck = errors.New("the node has more state, but sends none")

// listAll asks the node for all of it, page by page.
func (s *state) listAll(ctx context.Context, prefix string, yield func(edda.StateEntry, error) bool) {
	if !utf8.ValidString(prefix) {
		return
	}
	q := query{attempt: s.a.id, name: prefix, list: true}
	for {
		v, err := s.a.s.ask(ctx, &q)
		if err == nil && v.more && len(v.entries) == 0 {
			err = errStuck
		}
		if err != nil {
			yield(edda.StateEntry{}, err)
			return
		}
		for _, e := range v.entries {
			if !yield(e, nil) {
				return
			}
		}
		if !v.more {
			return
		}
		q.after = v.entries[len(v.entries)-1].Name
	}
}
