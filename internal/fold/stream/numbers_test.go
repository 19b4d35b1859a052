package stream

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// numbered is an append of a producer whose numbers rise by one from first on.
func numbered(stream, shard, producer string, first uint64, ids ...string) *record.StreamAppended {
	a := appending(stream, shard, ids...)
	a.Producer = producer
	for i := range ids {
		a.Numbers = append(a.Numbers, first+uint64(i))
	}
	return a
}

// What a producer sends again is passed over, and the rest is appended, whatever has
// become of what was appended before.
func TestNumbersArePassedOver(t *testing.T) {
	w := newWorld(t)
	w.set(t, edda.StreamSpec{Name: "orders", Dedupe: time.Minute})
	w.append(t, numbered("orders", "", "relay", 1, "a", "b", "c"))
	want := []Item{{Offset: 0, Position: 2, Replayed: true}, {Offset: 1, Position: 2, Replayed: true}, {Offset: 2, Position: 2, Replayed: true}, {Offset: 3, Position: 3}}
	e := w.append(t, numbered("orders", "", "relay", 1, "a", "b", "c", "d"))
	if got := items(t, e); !slices.Equal(got, want) {
		t.Errorf("what is known by its id is at %+v, want %+v", got, want)
	}
	if got := e[len(e)-1].Last; got != (Last{Number: 4, Offset: 3, Position: 3, ID: "d"}) {
		t.Errorf("the last message is %+v", got)
	}
	for _, forget := range []func(){
		func() { w.now += int64(time.Hour) }, // the ids
		func() { w.trim(t, record.StreamTrimmed{Name: "orders", Offset: 4}) },
		func() { w.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Age: time.Second}}) },
		func() { w.checkpoint(t) },
		func() { w.crash(t) },
	} {
		forget()
		e = w.append(t, numbered("orders", "", "relay", 2, "b", "c", "d"))
		want := []Item{{Position: 3, Replayed: true, Unknown: true}, {Position: 3, Replayed: true, Unknown: true}, {Offset: 3, Position: 3, Replayed: true}}
		if got := items(t, e); len(e) != 1 || !slices.Equal(got, want) || e[0].Last.Number != 4 {
			t.Errorf("what is not known by its id is %+v, want %+v", e, want)
		}
	}
	// Each shard and producer has numbers of its own, and so has the next stream of the name.
	w.append(t, numbered("orders", "eu", "relay", 1, "e"))
	w.append(t, numbered("orders", "", "import", 1, "f"))
	wantOffsets(t, w, [2]uint64{4, 5})
	if w.offsets(t, "orders", "eu") != [2]uint64{0, 1} {
		t.Error("a number counts in another shard")
	}
	w.remove(t, "orders")
	w.append(t, numbered("orders", "", "relay", 1, "a"))
	wantOffsets(t, w, [2]uint64{0, 1})
	w.checkpoint(t)
	n := 0
	for range w.tree.Scan([]byte{rowNumber}, fold.RowEnd(rowNumber)) {
		n++
	}
	if n != 1 {
		t.Errorf("%d last numbers are kept, want that of the stream that there is", n)
	}
}

// An expectation does not count when all numbers have come before.
func TestNumbersBeforeExpectations(t *testing.T) {
	w := newWorld(t)
	w.append(t, numbered("orders", "", "relay", 1, "", ""))
	again := numbered("orders", "", "relay", 1, "", "")
	again.Expect = 1
	if got := items(t, w.append(t, again)); !got[0].Unknown || got[1].Offset != 1 || !got[1].Replayed {
		t.Errorf("what had come before is %+v", got)
	}
	more := numbered("orders", "", "relay", 2, "", "")
	more.Expect = 1
	wantRefused(t, w.append(t, more), edda.ExpectedOffset, "1")
	wantOffsets(t, w, [2]uint64{0, 2})
	more.Expect = 3
	if e := w.append(t, more); e[0].N != 1 || e[1].Last.Number != 3 {
		t.Errorf("what goes on is %+v", e)
	}
}

// A message that is there by its id raises no number: the last one is that of a message in
// the shard.
func TestIDsRaiseNoNumber(t *testing.T) {
	w := newWorld(t)
	w.append(t, appending("orders", "eu", "a"))
	for _, shard := range []string{"", "eu"} {
		e := w.append(t, numbered("orders", shard, "relay", 7, "a"))
		if got := items(t, e); len(e) != 1 || got[0].Shard != 0 || !got[0].Replayed || e[0].Last != (Last{}) {
			t.Errorf("the id that is there is %+v", e)
		}
	}
	if n := len(w.stream("orders").Shards()); n != 1 {
		t.Errorf("there are %d shards, want 1", n)
	}
}

// Only tables and records that have numbers cannot be gone back from.
func TestRowsWithNumbers(t *testing.T) {
	w := newWorld(t)
	w.put(t, "orders", "a")
	if w.env.RowsVersion != fold.RowsOfStreams {
		t.Errorf("without a producer the rows have version %d", w.env.RowsVersion)
	}
	w.append(t, numbered("orders", "", "relay", 1, "b"))
	w.checkpoint(t)
	if w.load(t); w.env.RowsVersion != fold.RowsOfProducers {
		t.Errorf("with a producer the rows have version %d", w.env.RowsVersion)
	}
	away := newWorld(t)
	c := record.Completed{Seq: 1, Appends: []record.StreamAppended{*numbered("elsewhere", "", "relay", 7, "b")}}
	away.env.Partition = testHome + 1
	if away.env.Home(edda.StreamHash(edda.DefaultNamespace, "elsewhere")) == away.env.Partition {
		away.env.Partition++
	}
	away.apply(t, c.AppendTo(nil))
	to := away.env.Home(edda.StreamHash(edda.DefaultNamespace, "elsewhere"))
	sent := away.box.After(to, 0, 1)
	if len(sent) != 1 || away.env.RowsVersion != fold.RowsOfProducers {
		t.Fatalf("%d records are on their way, the rows have version %d", len(sent), away.env.RowsVersion)
	}
	rec := record.AppendDelivery(nil, sent[0].Type, sent[0].Body, record.Origin{From: 1, Number: 1})
	var got record.StreamAppended
	if err := got.Decode(rec[record.HeaderBytes:]); err != nil || rec[1] != record.NumberedVersion || !reflect.DeepEqual(got.Numbers, []uint64{7}) || got.Producer != "relay" {
		t.Errorf("it arrives as version %d, %+v, %v", rec[1], got, err)
	}
}

func TestTooManyProducers(t *testing.T) {
	w := newWorld(t)
	w.append(t, numbered("orders", "", "relay", 1, "a"))
	w.stream("orders").producers = edda.MaxProducers // as if there were
	wantRefused(t, w.append(t, numbered("orders", "", "import", 1, "b")), edda.TooLarge, "65536 producers")
	if e := w.append(t, numbered("orders", "", "relay", 2, "b")); e[0].N != 1 {
		t.Errorf("one that is there goes on with %+v", e)
	}
}

// Damaged rows of numbers are errors where they are read.
func TestDamagedNumbers(t *testing.T) {
	for _, row := range [][]byte{{0xff}, wire.AppendUint(nil, nOffset, 1)} {
		w := newWorld(t)
		w.append(t, numbered("orders", "", "relay", 1, "a"))
		w.checkpoint(t)
		b := &store.Batch{}
		b.Set(numberRow(w.stream("orders").Serial, 0, "relay"), row)
		if err := w.tree.Commit(b, w.tree.Applied()); err != nil {
			t.Fatal(err)
		}
		again := numbered("orders", "", "relay", 1, "a").AppendTo(nil)
		if err := w.m.Apply(record.Record{Type: record.TypeStreamAppended, Body: again[record.HeaderBytes:]}); err == nil {
			t.Errorf("the row %x is read", row)
		}
	}
}
