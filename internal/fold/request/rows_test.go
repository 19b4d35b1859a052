package request

import (
	"slices"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// What a principal or a key is called cannot move the border between the two.
func TestScopesAreApart(t *testing.T) {
	a := edda.Address{Name: "users", Key: "1"}
	seen := map[string]string{}
	for _, c := range []struct{ principal, key string }{
		{"bob", "k"}, {"bob\x00k", ""}, {"bob", "\x00k"}, {"", "bob\x00k"}, {"bob\x00", "k"}, {"b", "ob\x00k"},
	} {
		s := Scope(a, edda.Principal(c.principal), c.key)
		if before, ok := seen[s]; ok {
			t.Errorf("principal %q with key %q has the scope of %s", c.principal, c.key, before)
		}
		seen[s] = c.principal + " with " + c.key
	}
}

// Fields of a later release outlive a rewrite of the row.
func TestRowKeepsUnknownFields(t *testing.T) {
	later := wire.AppendString(wire.AppendUint(nil, 77, 5), 78, "later")
	r := &Request{Seq: 1 << seqBits, ID: testID(1), Kind: edda.Ordered, State: edda.Accepted, AcceptedAt: 1, order: 1}
	r.setAddress(edda.Address{Name: "users", Key: "1"})
	row := append(r.row(), later...)
	w := newWorld(t)
	var b store.Batch
	b.Set(fold.RowNumber(rowOpen, r.Seq), row)
	b.Set(fold.RowNumber(rowMessage, r.Seq), mustEncode(&edda.Message{ID: r.ID, To: r.To}))
	if err := w.tree.Commit(&b, 1); err != nil {
		t.Fatal(err)
	}
	w.log = append(w.log, nil)
	w.load()
	w.req.touch(w.req.Open(r.Seq))
	w.checkpoint()
	got, _, err := w.tree.Get(fold.RowNumber(rowOpen, r.Seq))
	if err != nil || !slices.Equal(got, row) {
		t.Errorf("the row is %x, %v, want %x", got, err, row)
	}
}

// A row that is damaged stops the fold, with what is wrong.
func TestLoadRefusesDamage(t *testing.T) {
	good := &Request{Seq: 1 << seqBits, ID: testID(1), Kind: edda.Ordered, State: edda.Accepted}
	for _, c := range []struct {
		name       string
		key, value []byte
	}{
		{"meta", []byte("m"), []byte{1}},
		{"no version", []byte("m"), wire.AppendUint(nil, 2, 7)},
		{"later version", []byte("m"), wire.AppendUint(nil, 1, fold.RowsVersion+1)},
		{"fence", []byte{rowFence}, []byte{1}},
		{"request", fold.RowNumber(rowOpen, 1), []byte{0xff}},
		{"state", fold.RowNumber(rowOpen, 1), wire.AppendUint(nil, qState, 99)},
		{"no state", fold.RowNumber(rowOpen, good.Seq), wire.AppendUint(nil, qSeq, good.Seq)},
		{"id", fold.RowNumber(rowOpen, 1), wire.AppendString(nil, qID, "short")},
		{"seq", fold.RowNumber(rowOpen, 1), good.row()},
		{"lane", fold.RowNumber('O', 1), []byte{1}},
		{"received", fold.RowNumber('I', 1), []byte{1}},
		{"entry", fold.RowNumber('o', 1), []byte{1}},
		{"service", fold.Row('r', []byte("x")), []byte{0xff}},
	} {
		tree := store.NewTree()
		var b store.Batch
		b.Set(c.key, c.value)
		if err := tree.Commit(&b, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := loadFold(tree); err == nil {
			t.Errorf("%s: the row %x = %x is taken for good", c.name, c.key, c.value)
		}
	}
}
