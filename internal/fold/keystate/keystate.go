// Package keystate keeps the state of keys: named values that handlers of
// ordered services read and change.
//
// What changed since the last checkpoint lies in layers above the table. A layer
// never changes once it is there, so a handler can read a view from its own
// goroutine while the fold goes on; small layers are merged into their like, so
// that a key that changes often stays cheap to read.
package keystate

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// rowState begins the rows of this package: address, a zero byte, name.
const rowState = 's'

// Keys is the state of all keys of a partition. It belongs to the fold's
// goroutine; the views it returns are safe for concurrent use.
type Keys struct {
	table store.Table
	dirty map[string]*layer
}

// New returns the state that the table holds.
func New(table store.Table) *Keys {
	return &Keys{table: table, dirty: map[string]*layer{}}
}

// layer is a set of changes above the next one; a nil value is a deletion.
type layer struct {
	changes map[string][]byte
	next    *layer
}

// Apply changes the state of the key whose address is given in its flat form.
func (k *Keys) Apply(addr string, changes []record.Change) {
	if len(changes) == 0 {
		return
	}
	top := &layer{changes: make(map[string][]byte, len(changes)), next: k.dirty[addr]}
	for _, c := range changes {
		top.changes[c.Name] = c.Value
	}
	for top.next != nil && len(top.next.changes) <= 2*len(top.changes) {
		merged := maps.Clone(top.next.changes)
		maps.Copy(merged, top.changes)
		top = &layer{changes: merged, next: top.next.next}
	}
	k.dirty[addr] = top
}

// View returns the state of a key as it is now.
func (k *Keys) View(addr string) *View {
	return &View{table: k.table, addr: addr, top: k.dirty[addr]}
}

// Checkpoint adds what changed to b.
func (k *Keys) Checkpoint(b *store.Batch) {
	for addr, top := range k.dirty {
		for name, v := range flatten(top, "") {
			row := stateRow(addr, name)
			if v == nil {
				b.Delete(row)
			} else {
				b.Set(row, v)
			}
		}
	}
}

// Committed lets go of what the table now has.
func (k *Keys) Committed() { k.dirty = map[string]*layer{} }

// flatten returns the newest change of each name under prefix.
func flatten(top *layer, prefix string) map[string][]byte {
	all := map[string][]byte{}
	for l := top; l != nil; l = l.next {
		for name, v := range l.changes {
			if _, newer := all[name]; !newer && strings.HasPrefix(name, prefix) {
				all[name] = v
			}
		}
	}
	return all
}

func stateRow(addr, name string) []byte {
	row := make([]byte, 0, len(addr)+len(name)+2)
	row = append(row, rowState)
	row = append(row, addr...)
	row = append(row, 0)
	return append(row, name...)
}

// View is the state of one key at one time. It implements edda.StateReader.
type View struct {
	table store.Table
	addr  string
	top   *layer
}

var _ edda.StateReader = (*View)(nil)

// Get returns the value, which nobody changes, and whether there is one.
func (v *View) Get(_ context.Context, name string) ([]byte, bool, error) {
	for l := v.top; l != nil; l = l.next {
		if value, ok := l.changes[name]; ok {
			return value, value != nil, nil
		}
	}
	return v.table.Get(stateRow(v.addr, name))
}

// List yields the names that begin with prefix, ascending, with their values.
func (v *View) List(ctx context.Context, prefix string) iter.Seq2[edda.StateEntry, error] {
	return func(yield func(edda.StateEntry, error) bool) {
		recent := sorted(flatten(v.top, prefix))
		from := stateRow(v.addr, prefix)
		for p, err := range v.table.Scan(from, prefixEnd(from)) {
			if err = cmp.Or(err, ctx.Err()); err != nil {
				yield(edda.StateEntry{}, err)
				return
			}
			e := edda.StateEntry{Name: string(p.Key[len(v.addr)+2:]), Value: bytes.Clone(p.Value)}
			for len(recent) > 0 && recent[0].Name < e.Name {
				if recent[0].Value != nil && !yield(recent[0], nil) {
					return
				}
				recent = recent[1:]
			}
			if len(recent) > 0 && recent[0].Name == e.Name {
				continue // the newer value comes in its turn
			}
			if !yield(e, nil) {
				return
			}
		}
		for _, e := range recent {
			if e.Value != nil && !yield(e, nil) {
				return
			}
		}
	}
}

func sorted(changes map[string][]byte) []edda.StateEntry {
	es := make([]edda.StateEntry, 0, len(changes))
	for name, v := range changes {
		es = append(es, edda.StateEntry{Name: name, Value: v})
	}
	slices.SortFunc(es, func(a, b edda.StateEntry) int { return cmp.Compare(a.Name, b.Name) })
	return es
}

// prefixEnd returns the first key after every key that begins with p. The row's
// first byte is not 0xff, so there is one.
func prefixEnd(p []byte) []byte {
	end := bytes.Clone(p)
	for i := len(end) - 1; ; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
}
