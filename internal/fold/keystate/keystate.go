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
	table   store.Table
	dirty   map[string]*layer
	dropped []string // prefixes of addresses of which the table's rows count no more
	// stored says, of services that were asked about, whether the table may have state
	// of theirs. Most have none, and need not be looked for in it at each dispatch.
	stored map[string]bool
}

// New returns the state that the table holds.
func New(table store.Table) *Keys {
	return &Keys{table: table, dirty: map[string]*layer{}, stored: map[string]bool{}}
}

// layer is a set of changes above the next one, in order of the name and each
// name once. A nil value is a deletion.
type layer struct {
	changes []record.Change
	next    *layer
}

// Apply changes the state of the key whose address is given in its flat form. It
// keeps the slice and its values, and may change their order.
func (k *Keys) Apply(addr string, changes []record.Change) {
	if len(changes) == 0 {
		return
	}
	top := &layer{changes: inOrder(changes), next: k.dirty[addr]}
	for top.next != nil && len(top.next.changes) <= 2*len(top.changes) {
		top.changes, top.next = merge(top.changes, top.next.changes), top.next.next
	}
	k.dirty[addr] = top
}

// Drop removes the state of all keys whose address begins with a prefix.
func (k *Keys) Drop(prefix string) {
	for addr := range k.dirty {
		if strings.HasPrefix(addr, prefix) {
			delete(k.dirty, addr)
		}
	}
	k.dropped = append(k.dropped, prefix)
}

// inOrder sorts changes by name; of those with one name the last counts.
func inOrder(changes []record.Change) []record.Change {
	if len(changes) == 1 {
		return changes
	}
	slices.SortStableFunc(changes, func(a, b record.Change) int { return strings.Compare(a.Name, b.Name) })
	kept := changes[:0]
	for i, c := range changes {
		if i+1 == len(changes) || changes[i+1].Name != c.Name {
			kept = append(kept, c)
		}
	}
	return kept
}

// merge returns the changes of both in order; of one name the newer counts.
func merge(newer, older []record.Change) []record.Change {
	if len(older) == 0 {
		return newer
	}
	if len(older) == 1 && len(newer) == 1 && older[0].Name == newer[0].Name {
		return newer // the one value that a key has, most of the time
	}
	all := make([]record.Change, 0, len(newer)+len(older))
	for len(newer) > 0 && len(older) > 0 {
		switch c := strings.Compare(newer[0].Name, older[0].Name); {
		case c > 0:
			all = append(all, older[0])
			older = older[1:]
			continue
		case c == 0:
			older = older[1:]
		}
		all = append(all, newer[0])
		newer = newer[1:]
	}
	return append(append(all, newer...), older...)
}

// View returns the state of a key as it is now.
func (k *Keys) View(addr string) View {
	return View{
		table: k.table, addr: addr, top: k.dirty[addr],
		bare: slices.ContainsFunc(k.dropped, func(prefix string) bool { return strings.HasPrefix(addr, prefix) }) || !k.keeps(serviceOf(addr)),
	}
}

// serviceOf returns what the addresses of a service's keys begin with: the namespace,
// a zero byte, and the name. What comes after begins with a byte that no name has.
func serviceOf(addr string) string {
	end := strings.IndexByte(addr, 0) + 1
	for end < len(addr) && addr[end] >= ' ' {
		end++
	}
	return addr[:end]
}

// keeps reports whether the table may have state of a service.
func (k *Keys) keeps(service string) bool {
	may, asked := k.stored[service]
	if !asked {
		for _, err := range k.table.Scan([]byte(string(rowState)+service+"\x00"), []byte(string(rowState)+service+" ")) {
			if err != nil {
				return true // whoever reads the state will meet the error, too
			}
			may = true
			break
		}
		k.stored[strings.Clone(service)] = may
	}
	return may
}

// Checkpoint adds what changed to b.
func (k *Keys) Checkpoint(b *store.Batch) {
	for _, prefix := range k.dropped {
		from := append([]byte{rowState}, prefix...)
		b.DeleteRange(from, prefixEnd(from))
	}
	for addr, top := range k.dirty {
		k.stored[serviceOf(addr)] = true
		for _, c := range flatten(top, "") {
			row := stateRow(addr, c.Name)
			if c.Value == nil {
				b.Delete(row)
			} else {
				b.Set(row, c.Value)
			}
		}
	}
}

// Committed lets go of what the table now has.
func (k *Keys) Committed() { k.dirty, k.dropped = map[string]*layer{}, nil }

// flatten returns the newest change of each name under prefix, in order.
func flatten(top *layer, prefix string) []record.Change {
	var all []record.Change
	for l := top; l != nil; l = l.next {
		from, _ := l.find(prefix)
		to := from
		for to < len(l.changes) && strings.HasPrefix(l.changes[to].Name, prefix) {
			to++
		}
		all = merge(all, l.changes[from:to:to])
	}
	return all
}

// find returns where a name is, or would be.
func (l *layer) find(name string) (int, bool) {
	return slices.BinarySearchFunc(l.changes, name, func(c record.Change, name string) int { return strings.Compare(c.Name, name) })
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
	bare  bool // the table has nothing that counts
}

var _ edda.StateReader = View{}

// Get returns the value, which nobody changes, and whether there is one.
func (v View) Get(_ context.Context, name string) ([]byte, bool, error) {
	for l := v.top; l != nil; l = l.next {
		if i, ok := l.find(name); ok {
			value := l.changes[i].Value
			return value, value != nil, nil
		}
	}
	if v.bare {
		return nil, false, nil
	}
	return v.table.Get(stateRow(v.addr, name))
}

// List yields the names that begin with prefix, ascending, with their values.
func (v View) List(ctx context.Context, prefix string) iter.Seq2[edda.StateEntry, error] {
	return func(yield func(edda.StateEntry, error) bool) {
		recent := flatten(v.top, prefix)
		for e, err := range v.stored(prefix) {
			if err = cmp.Or(err, ctx.Err()); err != nil {
				yield(edda.StateEntry{}, err)
				return
			}
			for len(recent) > 0 && recent[0].Name < e.Name {
				if recent[0].Value != nil && !yield(edda.StateEntry(recent[0]), nil) {
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
			if e.Value != nil && !yield(edda.StateEntry(e), nil) {
				return
			}
		}
	}
}

// pageBytes is about how much is read of the table at a time.
const pageBytes = 64 << 10

// stored yields what the table has. The table is left alone while yield runs,
// because a handler may stay there for as long as it likes, and a table that is
// being read cannot be closed.
func (v View) stored(prefix string) iter.Seq2[edda.StateEntry, error] {
	return func(yield func(edda.StateEntry, error) bool) {
		if v.bare {
			return
		}
		from := stateRow(v.addr, prefix)
		end := prefixEnd(from)
		for {
			page, more, err := v.page(from, end)
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				yield(edda.StateEntry{}, err)
			}
			if err != nil || !more {
				return
			}
			from = append(stateRow(v.addr, page[len(page)-1].Name), 0)
		}
	}
}

// page returns the next entries, and whether there may be more after them.
func (v View) page(from, end []byte) (page []edda.StateEntry, more bool, err error) {
	size := 0
	for p, err := range v.table.Scan(from, end) {
		if err != nil {
			return page, false, err
		}
		page = append(page, edda.StateEntry{Name: string(p.Key[len(v.addr)+2:]), Value: bytes.Clone(p.Value)})
		if size += len(p.Key) + len(p.Value); size > pageBytes {
			return page, true, nil
		}
	}
	return page, false, nil
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
