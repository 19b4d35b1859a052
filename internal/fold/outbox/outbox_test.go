package outbox

import (
	"fmt"
	"slices"
	"testing"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

type world struct {
	*Machine
	t    *testing.T
	tree *store.Tree
	pos  engine.Position
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, tree: store.NewTree()}
	w.load()
	return w
}

func (w *world) load() {
	w.t.Helper()
	w.Machine = New(&fold.Env{Table: w.tree, Partition: 1, Partitions: 4})
	if err := w.Load(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) checkpoint() {
	w.t.Helper()
	var b store.Batch
	if err := w.Checkpoint(&b); err != nil {
		w.t.Fatal(err)
	}
	w.pos++
	if err := w.tree.Commit(&b, w.pos); err != nil {
		w.t.Fatal(err)
	}
	w.Committed()
}

func (w *world) ack(to, number uint64) error {
	o := record.OutboxAcked{To: to, Number: number}
	return w.Apply(record.Record{Type: record.TypeOutboxAcked, Body: o.AppendTo(nil)[record.HeaderBytes:]})
}

func (w *world) push(to uint64, bodies ...string) {
	for _, b := range bodies {
		w.Push(to, record.TypeAccepted, []byte(b))
	}
}

func (w *world) waiting(to, after uint64, n int) string {
	s := ""
	for _, e := range w.After(to, after, n) {
		s += fmt.Sprintf("%d%s ", e.Number, e.Body)
	}
	return s
}

func (w *world) rows(kind byte) (n int) {
	for range w.tree.Scan([]byte{kind}, fold.RowEnd(kind)) {
		n++
	}
	return n
}

func TestOutboxKeepsWhatIsNotAcknowledged(t *testing.T) {
	w := newWorld(t)
	w.push(2, "a", "b", "c")
	w.push(1, "self")
	if got := w.Touched(); !slices.Equal(got, []uint64{2, 1}) || w.Touched() != nil {
		t.Errorf("touched %v, and then %v", got, w.Touched())
	}
	for _, reload := range []bool{false, true} {
		if reload {
			w.checkpoint()
			w.load()
		}
		for _, c := range []struct {
			after uint64
			n     int
			want  string
		}{{0, 10, "1a 2b 3c "}, {0, 2, "1a 2b "}, {1, 10, "2b 3c "}, {2, 1, "3c "}, {3, 10, ""}, {99, 10, ""}} {
			if got := w.waiting(2, c.after, c.n); got != c.want {
				t.Errorf("reload %t: %d after %d are %q, want %q", reload, c.n, c.after, got, c.want)
			}
		}
		if got := w.Lanes(); !slices.Equal(got, []uint64{1, 2}) || w.Bytes() != 7 {
			t.Errorf("reload %t: lanes %v, %d bytes", reload, got, w.Bytes())
		}
	}
	if err := w.ack(2, 2); err != nil {
		t.Fatal(err)
	}
	w.push(2, "d")
	if got := w.waiting(2, 0, 10); got != "3c 4d " || w.Acked(2) != 2 || w.Bytes() != 6 {
		t.Errorf("after the acknowledgement of 2: %q, acked %d, %d bytes", got, w.Acked(2), w.Bytes())
	}
	w.checkpoint()
	w.load()
	if got := w.waiting(2, 0, 10); got != "3c 4d " || w.rows(rowEntry) != 3 {
		t.Errorf("after a reload: %q, %d rows", got, w.rows(rowEntry))
	}
	for _, a := range []struct{ to, number uint64 }{{2, 1}, {2, 4}, {2, 4}, {1, 1}} { // late and repeated ones do no harm
		if err := w.ack(a.to, a.number); err != nil {
			t.Error(err)
		}
	}
	w.checkpoint()
	if w.Lanes() != nil || w.Bytes() != 0 || w.rows(rowEntry) != 0 {
		t.Errorf("all acknowledged: lanes %v, %d bytes, %d rows", w.Lanes(), w.Bytes(), w.rows(rowEntry))
	}
	w.load()
	w.push(2, "e")
	if got := w.waiting(2, 0, 10); got != "5e " {
		t.Errorf("numbers go on with %q, want 5", got)
	}
	if err := w.ack(2, 6); err == nil {
		t.Error("an acknowledgement of what was never sent is taken")
	}
	if err := w.ack(0, 1); err == nil {
		t.Error("an acknowledgement from who was never sent to is taken")
	}
}

// What was sent and acknowledged between two checkpoints leaves nothing in the
// table.
func TestOutboxWritesOnlyWhatWaits(t *testing.T) {
	w := newWorld(t)
	w.push(2, "a", "b")
	if err := w.ack(2, 1); err != nil {
		t.Fatal(err)
	}
	w.checkpoint()
	if got := w.rows(rowEntry); got != 1 {
		t.Errorf("%d rows, want that of b alone", got)
	}
	var b store.Batch
	if err := w.Checkpoint(&b); err != nil || b.Len() != 0 {
		t.Errorf("nothing changed, and there are %d changes, %v", b.Len(), err)
	}
}

func TestReceiveTakesEachOnceInOrder(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct {
		from, number uint64
		want         bool
	}{{2, 2, false}, {2, 1, true}, {2, 1, false}, {2, 3, false}, {2, 2, true}, {1, 1, true}, {2, 3, true}, {7, 9, false}} {
		if got := w.Receive(record.Origin{From: c.from, Number: c.number}); got != c.want {
			t.Errorf("%d: number %d from %d: %t, want %t", i, c.number, c.from, got, c.want)
		}
	}
	if len(w.received) != 2 {
		t.Errorf("%d senders are remembered, want the 2 that sent something", len(w.received))
	}
	w.checkpoint()
	w.load()
	if w.Received(2) != 3 || w.Received(1) != 1 || w.Received(3) != 0 {
		t.Errorf("after a reload: %d, %d, %d, want 3, 1, 0", w.Received(2), w.Received(1), w.Received(3))
	}
	if w.Receive(record.Origin{From: 2, Number: 3}) || !w.Receive(record.Origin{From: 2, Number: 4}) {
		t.Error("after a reload the order is lost")
	}
}
