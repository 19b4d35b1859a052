package request

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
)

// Open returns an unfinished request, or nil.
func (m *Machine) Open(seq uint64) *Request { return m.open[seq] }

// Lookup returns what is known of a request at a time, or nil. One that has
// ended is read from the table unless it ended since the last checkpoint; it is
// then a copy.
func (m *Machine) Lookup(id edda.ID, now int64) (*Request, error) {
	r := m.byID[id]
	if r == nil {
		var err error
		if r, err = m.endedRow(id); err != nil || r == nil {
			return nil, err
		}
	}
	if r.expired(now) {
		return nil, nil
	}
	return r, nil
}

// endedRow reads an ended request from the table.
func (m *Machine) endedRow(id edda.ID) (*Request, error) {
	if _, gone := m.gone[id]; gone {
		return nil, nil
	}
	row, found, err := m.env.Table.Get(fold.Row(rowEnded, id[:]))
	if err != nil || !found {
		return nil, err
	}
	r, err := readRow(row)
	if err != nil {
		return nil, err
	}
	r.msgStored = r.Letter
	return r, nil
}

// expired reports whether the request has ended and is kept no longer.
func (r *Request) expired(now int64) bool {
	return r.State.Ended() && !r.Letter && r.KeepUntil <= now
}

// ByScope returns the request that used an idempotency key, or nil.
func (m *Machine) ByScope(scope string, now int64) (*Request, error) {
	if r := m.scope[scope]; r != nil {
		if r.expired(now) {
			return nil, nil
		}
		return r, nil
	}
	id, found, err := m.env.Table.Get(fold.Row(rowScope, []byte(scope)))
	if err != nil || !found {
		return nil, err
	}
	if len(id) != len(edda.ID{}) {
		return nil, fmt.Errorf("scope row of %d bytes, want %d", len(id), len(edda.ID{}))
	}
	r, err := m.Lookup(edda.ID(id), now)
	if r != nil && r.scope != scope {
		return nil, err
	}
	return r, err
}

// forgetEnded has the rows of an ended request removed, because it lives on
// differently, or another one under its id.
func (m *Machine) forgetEnded(r *Request) {
	if m.byID[r.ID] == r {
		return // it ended since the last checkpoint, and has no such rows yet
	}
	m.gone[r.ID] = stored{seq: r.Seq, scope: r.scope, reply: r.keptBytes(), keepUntil: r.KeepUntil, letter: r.Letter}
}

// forget lets go of a request that has ended.
func (m *Machine) forget(r *Request) {
	if m.byID[r.ID] == r {
		delete(m.byID, r.ID)
	}
	if r.scope != "" && m.scope[r.scope] == r {
		delete(m.scope, r.scope)
	}
}

// All yields every unfinished request, in order of Seq.
func (m *Machine) All() iter.Seq[*Request] {
	return func(yield func(*Request) bool) {
		seqs := make([]uint64, 0, len(m.open))
		for seq := range m.open {
			seqs = append(seqs, seq)
		}
		slices.Sort(seqs)
		for _, seq := range seqs {
			if !yield(m.open[seq]) {
				return
			}
		}
	}
}

// Count returns the number of unfinished requests.
func (m *Machine) Count() int { return len(m.open) }

// ServiceKeys yields the keys of a service that have requests or are stopped.
func (m *Machine) ServiceKeys(namespace, name string) iter.Seq[*Key] {
	return func(yield func(*Key) bool) {
		for addr, k := range m.keys {
			if service(addr, namespace, name) && !yield(k) {
				return
			}
		}
	}
}

// Letters yields the dead letters whose Seq is above after, in order.
func (m *Machine) Letters(after uint64) iter.Seq2[*Request, error] {
	return func(yield func(*Request, error) bool) {
		var recent []*Request
		for _, r := range m.ended {
			if r.Letter && r.Seq > after {
				recent = append(recent, r)
			}
		}
		slices.SortFunc(recent, func(a, b *Request) int { return cmp.Compare(a.Seq, b.Seq) })
		recent = slices.Compact(recent)
		for p, err := range m.env.Table.Scan(fold.RowNumber(rowLetter, after+1), fold.RowEnd(rowLetter)) {
			if err != nil {
				yield(nil, err)
				return
			}
			r, err := m.letter(p.Key, p.Value)
			if err != nil {
				yield(nil, err)
				return
			}
			if r == nil {
				continue
			}
			for len(recent) > 0 && recent[0].Seq < r.Seq {
				if !yield(recent[0], nil) {
					return
				}
				recent = recent[1:]
			}
			if len(recent) > 0 && recent[0].Seq == r.Seq {
				continue
			}
			if !yield(r, nil) {
				return
			}
		}
		for _, r := range recent {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// letter returns the request of a letter row if it still is a dead letter.
func (m *Machine) letter(key, value []byte) (*Request, error) {
	if len(key) != 9 || len(value) != len(edda.ID{}) {
		return nil, fmt.Errorf("letter row of %d and %d bytes, want 9 and %d", len(key), len(value), len(edda.ID{}))
	}
	r, err := m.Lookup(edda.ID(value), m.env.Time)
	if err != nil || r == nil || !r.Letter || r.Seq != binary.BigEndian.Uint64(key[1:]) {
		return nil, err
	}
	return r, nil
}

// loadOpen reads the unfinished requests and puts them in their queues.
func (m *Machine) loadOpen() error {
	var queued []*Request
	for p, err := range m.env.Table.Scan([]byte{rowOpen}, fold.RowEnd(rowOpen)) {
		if err != nil {
			return err
		}
		r, err := readRow(slices.Clone(p.Value))
		if err != nil {
			return err
		}
		if r.State.Ended() || string(p.Key) != string(fold.RowNumber(rowOpen, r.Seq)) {
			return fmt.Errorf("row %x has the request %d in state %s", p.Key, r.Seq, r.State)
		}
		r.rowStored, r.msgStored = true, true
		m.open[r.Seq] = r
		m.byID[r.ID] = r
		if r.scope != "" {
			m.scope[r.scope] = r
		}
		m.bytes += r.memory()
		if r.order != 0 && r.Kind == edda.Ordered {
			queued = append(queued, r)
		}
	}
	slices.SortFunc(queued, func(a, b *Request) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Seq, b.Seq))
	})
	for _, r := range queued {
		m.keyOf(r).push(r)
	}
	return nil
}

// parseFlat is the inverse of appendFlat.
func parseFlat(addr string) (a edda.Address, shard string) {
	ns, rest, _ := strings.Cut(addr, "\x00")
	name, key, _ := strings.Cut(rest, "\x00")
	name, shard, _ = strings.Cut(name, "\x01")
	return edda.Address{Namespace: ns, Name: name, Key: key}, shard
}
