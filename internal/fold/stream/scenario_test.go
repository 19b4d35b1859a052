package stream

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
)

// items returns what became of the messages of an append.
func items(t *testing.T, effects []Effect) []Item {
	t.Helper()
	last := effects[len(effects)-1]
	if last.Kind != Answered {
		t.Fatalf("effects are %+v, want an answer at the end", effects)
	}
	return slices.Clone(last.Items)
}

func wantRefused(t *testing.T, effects []Effect, reason edda.Reason, detail string) {
	t.Helper()
	if len(effects) != 1 || effects[0].Kind != Refused || effects[0].Reason != reason || !strings.Contains(effects[0].Detail, detail) {
		t.Fatalf("effects are %+v, want a refusal with %s, %q", effects, reason, detail)
	}
}

// offsets are those of the first and of the next message.
func (w *world) offsets(t *testing.T, stream, shard string) [2]uint64 {
	t.Helper()
	sh := w.stream(stream).Shard(shard)
	if sh == nil {
		t.Fatalf("stream %q has no shard %q", stream, shard)
	}
	return [2]uint64{sh.First, sh.End}
}

func wantOffsets(t *testing.T, w *world, want [2]uint64) {
	t.Helper()
	if got := w.offsets(t, "orders", edda.DefaultShard); got != want {
		t.Errorf("there are the messages %v, want %v", got, want)
	}
	if got := w.read(t, w.stream("orders"), edda.DefaultShard); uint64(len(got)) != want[1]-want[0] || len(got) > 0 && got[0].Offset != want[0] {
		t.Errorf("read %d messages, want %v", len(got), want)
	}
}

func TestStreamsAreCreatedInThreeWays(t *testing.T) {
	w := newWorld(t)
	if w.env.RowsVersion != fold.RowsAtFirst {
		t.Errorf("without a stream the rows have version %d", w.env.RowsVersion)
	}
	explicit := edda.StreamSpec{Name: "explicit", Shards: []string{"eu"}, Retention: edda.Retention{Count: 5}, Dedupe: time.Hour}
	if e := w.set(t, explicit); len(e) != 1 || e[0].Kind != Created || e[0].Stream != w.stream("explicit") {
		t.Errorf("a new stream is %+v", e)
	}
	e := w.put(t, "orders", "")
	if len(e) != 3 || e[0].Kind != Created || e[1].Kind != Appended || e[2].Kind != Answered || e[1].Stream != w.stream("orders") || e[1].N != 1 {
		t.Errorf("a first message is %+v", e)
	}
	ensured := w.m.Ensure(edda.DefaultNamespace, "ensured")
	if again := w.m.Ensure(edda.DefaultNamespace, "ensured"); again != ensured {
		t.Error("a stream is made twice")
	}
	if e := w.m.Effects(); len(e) != 1 || e[0].Kind != Created {
		t.Errorf("an ensured stream is %+v", e)
	}
	if ensured.Serial>>serialBits != w.env.Position || ensured.Serial == w.stream("orders").Serial || ensured.CreatedAt != w.now {
		t.Errorf("an ensured stream has the number %d at position %d, created at %d", ensured.Serial, w.env.Position, ensured.CreatedAt)
	}
	for range 2 {
		var names []string
		for s := range w.m.All() {
			names = append(names, s.Spec.Name)
			if s.Spec.Namespace != edda.DefaultNamespace || s.Spec.Dedupe == 0 {
				t.Errorf("stream %+v lacks defaults", s.Spec)
			}
		}
		if want := []string{"ensured", "explicit", "orders"}; !slices.Equal(names, want) {
			t.Errorf("there are the streams %q, want %q", names, want)
		}
		explicit.Namespace = edda.DefaultNamespace
		if got := w.stream("explicit"); !reflect.DeepEqual(got.Spec, explicit) {
			t.Errorf("a stream is %+v, want %+v", got.Spec, explicit)
		}
		for s := range w.m.From(edda.DefaultNamespace, "explicit") {
			if s.Spec.Name != "explicit" {
				t.Errorf("from explicit on the first one is %q", s.Spec.Name)
			}
			break
		}
		w.checkpoint(t)
		if w.load(t); w.env.RowsVersion != fold.RowsOfStreams {
			t.Errorf("with a stream the rows have version %d", w.env.RowsVersion)
		}
	}
}

func TestOnlyListedShards(t *testing.T) {
	w := newWorld(t)
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"} // more than are looked through one by one
	for _, n := range []int{2, len(names)} {
		w.set(t, edda.StreamSpec{Name: "orders", Shards: names[:n]})
		wantRefused(t, w.append(t, appending("orders", "us", "x")), edda.NoShard, `"us" is not one of them`)
		for i, name := range names[:n] {
			got := items(t, w.append(t, appending("orders", name, "")))
			if got[0].Shard != uint32(i) {
				t.Errorf("a message is in %+v", got[0])
			}
		}
	}
	wantRefused(t, w.set(t, edda.StreamSpec{Name: "orders", Shards: names[1:]}), edda.Conflict, `shard "a"`)
	if s := w.stream("orders"); !s.May("a") || s.May("us") || len(s.Spec.Shards) != len(names) {
		t.Errorf("a refused change has left %+v", s.Spec)
	}
	w.trim(t, record.StreamTrimmed{Name: "orders", Shard: "a", Offset: 100})
	wantRefused(t, w.set(t, edda.StreamSpec{Name: "orders", Shards: names[1:]}), edda.Conflict, `shard "a"`) // it has had some
	wantRefused(t, w.trim(t, record.StreamTrimmed{Name: "orders", Shard: "us", Offset: 1}), edda.NoShard, `"us" is not one of them`)
	if e := w.set(t, edda.StreamSpec{Name: "orders"}); e[0].Kind != Changed {
		t.Errorf("a change is %+v", e)
	}
	items(t, w.append(t, appending("orders", "us", "x")))
	if w.stream("orders").ByIndex(uint32(len(names))).Name != "us" || w.stream("orders").ByIndex(100) != nil {
		t.Error("shards are not found by their numbers")
	}
}

// An append whose ids are all known is answered, wherever it wants to go now.
func TestRepeatedIDsAreAnsweredFirst(t *testing.T) {
	w := newWorld(t)
	first := items(t, w.put(t, "orders", "a", "b"))
	want := []Item{{Offset: 0, Position: w.env.Position, Replayed: true}, {Offset: 1, Position: w.env.Position, Replayed: true}}
	if first[0].Replayed || first[1].Offset != 1 {
		t.Errorf("the first answer is %+v", first)
	}
	w.set(t, edda.StreamSpec{Name: "orders", Shards: []string{edda.DefaultShard}})
	for range 3 {
		for _, shard := range []string{edda.DefaultShard, "nowhere"} {
			for _, expect := range []uint64{0, 1, 2, 3, 77} {
				a := appending("orders", shard, "a", "b")
				a.Expect = expect
				if got := items(t, w.append(t, a)); !slices.Equal(got, want) {
					t.Errorf("a repeated append to %q that expects %d is answered with %+v, want %+v", shard, expect, got, want)
				}
			}
		}
		wantRefused(t, w.append(t, appending("orders", "nowhere", "a", "new")), edda.NoShard, "")
		wantRefused(t, w.append(t, appending("orders", "nowhere", "a", "")), edda.NoShard, "")
		w.trim(t, record.StreamTrimmed{Name: "orders", Offset: 100})
		w.checkpoint(t)
		w.load(t)
	}
	wantOffsets(t, w, [2]uint64{2, 2})
}

func TestIDsAreUniqueInTheStream(t *testing.T) {
	w := newWorld(t)
	got := items(t, w.put(t, "orders", "a", "", "a", "b", ""))
	var offsets []uint64
	for _, item := range got {
		offsets = append(offsets, item.Offset)
	}
	if want := []uint64{0, 1, 0, 2, 3}; !slices.Equal(offsets, want) || !got[2].Replayed || got[3].Replayed {
		t.Errorf("messages are at %+v, want %v", got, want)
	}
	got = items(t, w.append(t, appending("orders", "eu", "b", "c")))
	if got[0] != (Item{Offset: 2, Position: 1, Replayed: true}) || got[1] != (Item{Shard: 1, Position: 2}) {
		t.Errorf("in another shard messages are at %+v", got)
	}
	if e := w.append(t, appending("orders", "us", "b")); len(e) != 1 || e[0].Shard != nil || w.stream("orders").Shard("us") != nil {
		t.Errorf("a shard comes to be with a repeated message: %+v", e)
	}
	if p, found, err := w.m.Find(w.stream("orders"), "c"); p != (Place{Shard: 1, Position: 2}) || !found || err != nil {
		t.Errorf("c is at %+v, %t, %v", p, found, err)
	}
}

func TestIDsAreForgotten(t *testing.T) {
	w := newWorld(t)
	w.set(t, edda.StreamSpec{Name: "orders", Dedupe: time.Hour})
	w.put(t, "orders", "a", "b")
	w.checkpoint(t)
	w.now += int64(time.Hour) - 1
	if got := items(t, w.put(t, "orders", "a")); !got[0].Replayed {
		t.Errorf("within the hour a message is appended again: %+v", got)
	}
	w.now++
	if got := items(t, w.put(t, "orders", "a")); got[0].Replayed || got[0].Offset != 2 {
		t.Errorf("after an hour it is %+v", got)
	}
	if _, found, _ := w.m.Find(w.stream("orders"), "b"); found {
		t.Error("after an hour an id is found")
	}
	w.checkpoint(t)
	w.load(t)
	w.now += int64(time.Hour) - 1
	if got := items(t, w.put(t, "orders", "a")); !got[0].Replayed || got[0].Offset != 2 {
		t.Errorf("within the hour after that it is %+v", got)
	}
	w.now++
	w.put(t, "orders", "")
	w.checkpoint(t)
	if n := w.rows(rowID) + w.rows(rowForget); n != 0 {
		t.Errorf("%d rows of forgotten ids are left", n)
	}
}

func (w *world) rows(kind byte) (n int) {
	for range w.tree.Scan([]byte{kind}, fold.RowEnd(kind)) {
		n++
	}
	return n
}

// One checkpoint removes so many forgotten ids and no more, unless it adds as many.
func TestForgottenIDsGoBitByBit(t *testing.T) {
	w := newWorld(t)
	ids := func(kind string, n int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprint(kind, i)
		}
		return all
	}
	w.put(t, "orders", ids("a", 20_000)...)
	w.checkpoint(t)
	w.now += int64(edda.DefaultDedupe)
	w.put(t, "orders", "")
	for _, c := range []struct{ new, left int }{{0, 15_000}, {1, 10_001}, {4_000, 6_001}} {
		if c.new > 0 {
			w.put(t, "orders", ids(fmt.Sprint("b", c.new, "-"), c.new)...)
		}
		w.checkpoint(t)
		if got := w.rows(rowForget); got != c.left || w.rows(rowID) != c.left {
			t.Fatalf("%d rows of ids are left, want %d", got, c.left)
		}
	}
}

// An id that is given again while the rows of the first time still wait to be removed
// stays known when they are.
func TestAnIDThatIsGivenAgainStays(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for i := range 2*minExpire + 1 {
		ids = append(ids, fmt.Sprintf("id%06d", i))
	}
	w.put(t, "orders", ids...)
	w.checkpoint(t)
	w.now += int64(edda.DefaultDedupe)
	last := ids[len(ids)-1]
	if got := items(t, w.put(t, "orders", last)); got[0].Replayed {
		t.Fatalf("a forgotten id is answered with %+v", got[0])
	}
	for range 4 {
		w.checkpoint(t)
		w.load(t)
		if got := items(t, w.put(t, "orders", last)); !got[0].Replayed || got[0].Offset != uint64(len(ids)) {
			t.Fatalf("a repeated id is answered with %+v", got[0])
		}
	}
	if n := [2]int{w.rows(rowID), w.rows(rowForget)}; n != [2]int{1, 1} {
		t.Errorf("%v rows of ids are left, want one of each", n)
	}
}

func TestExpectedOffset(t *testing.T) {
	w := newWorld(t)
	expect := func(n uint64) []Effect {
		a := appending("orders", "", "")
		a.Expect = n
		return w.append(t, a)
	}
	offset := func(n uint64) uint64 { return n + 2 }
	wantRefused(t, expect(offset(0)), edda.ExpectedOffset, "")
	if w.stream("orders") != nil {
		t.Fatal("a refused append has made a stream")
	}
	items(t, expect(1))
	wantRefused(t, expect(1), edda.ExpectedOffset, "0")
	wantRefused(t, expect(offset(1)), edda.ExpectedOffset, "0")
	items(t, expect(offset(0)))
	items(t, expect(0))
	wantRefused(t, expect(offset(1)), edda.ExpectedOffset, "2")
	wantOffsets(t, w, [2]uint64{0, 3})
	w.trim(t, record.StreamTrimmed{Name: "orders", Offset: 3})
	if e := expect(offset(1)); e[0].Detail != "" || e[0].Reason != edda.ExpectedOffset || e[0].Shard == nil {
		t.Errorf("where nothing is kept it is %+v", e)
	}
	items(t, expect(offset(2))) // the last one there was: nothing has come since
	w.trim(t, record.StreamTrimmed{Name: "orders", Offset: 4})
	items(t, expect(1))
	wantOffsets(t, w, [2]uint64{4, 5})
}

func TestTrim(t *testing.T) {
	w := newWorld(t)
	wantRefused(t, w.trim(t, record.StreamTrimmed{Name: "orders", Offset: 3}), edda.NoStream, `no stream "orders"`)
	times := make([]int64, 6)
	for i := range times {
		w.now += int64(time.Minute)
		times[i] = w.now
		w.put(t, "orders", "")
		w.append(t, appending("orders", "eu", ""))
		if i == 3 {
			w.checkpoint(t)
		}
	}
	trim := func(r record.StreamTrimmed, n int, want, eu [2]uint64) {
		t.Helper()
		r.Name = "orders"
		if e := w.trim(t, r); len(e) != 1 || e[0].Kind != Trimmed || e[0].N != n || (e[0].Shard == nil) != (r.Shard == "") {
			t.Errorf("a trim is %+v, want %d messages", e, n)
		}
		wantOffsets(t, w, want)
		if got := w.offsets(t, "orders", "eu"); got != eu {
			t.Errorf("the other shard has %v, want %v", got, eu)
		}
	}
	trim(record.StreamTrimmed{Shard: "eu", Offset: 1}, 1, [2]uint64{0, 6}, [2]uint64{1, 6})
	trim(record.StreamTrimmed{Time: times[2]}, 3, [2]uint64{2, 6}, [2]uint64{2, 6})
	trim(record.StreamTrimmed{Offset: 1, Time: times[0]}, 0, [2]uint64{2, 6}, [2]uint64{2, 6})
	trim(record.StreamTrimmed{Shard: "eu", Time: times[4]}, 2, [2]uint64{2, 6}, [2]uint64{4, 6})
	trim(record.StreamTrimmed{Shard: edda.DefaultShard, Offset: 1 << 60}, 4, [2]uint64{6, 6}, [2]uint64{4, 6})
	if e := w.trim(t, record.StreamTrimmed{Name: "orders", Shard: "us", Offset: 7}); len(e) != 1 || e[0].Kind != Trimmed || e[0].N != 0 {
		t.Errorf("a trim of a shard without messages is %+v", e)
	}
	w.checkpoint(t)
	w.load(t)
	wantOffsets(t, w, [2]uint64{6, 6})
	if got := w.rows(rowMessage); got != 2 {
		t.Errorf("%d messages are in the table, want 2", got)
	}
	if sh := w.stream("orders").Shard(edda.DefaultShard); sh.Bytes != 0 || sh.LastAt != times[5] {
		t.Errorf("an empty shard is %+v", sh)
	}
	if got := items(t, w.put(t, "orders", "")); got[0].Offset != 6 {
		t.Errorf("the next message is %+v", got)
	}
}

// A stream that is made again begins anew: nothing of the old one is left.
func TestRemove(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprint("stored=", stored), func(t *testing.T) {
			w := newWorld(t)
			wantRefused(t, w.remove(t, "orders"), edda.NoStream, "")
			w.put(t, "other", "x")
			w.put(t, "orders", "a", "b")
			w.append(t, appending("orders", "eu", "c"))
			old := w.stream("orders")
			if stored {
				w.checkpoint(t)
			}
			w.put(t, "orders", "d")
			if e := w.remove(t, "orders"); len(e) != 1 || e[0].Kind != Removed || e[0].Stream != old || !old.Removed() {
				t.Errorf("a removal is %+v", e)
			}
			if w.stream("orders") != nil || w.m.BySerial(old.Serial) != nil || w.m.Len() != 1 {
				t.Error("a removed stream is there")
			}
			if got := items(t, w.put(t, "orders", "b", "a")); got[0].Replayed || got[0].Offset != 0 {
				t.Errorf("in the new stream a message is %+v", got[0])
			}
			for range 2 {
				wantOffsets(t, w, [2]uint64{0, 2})
				if s := w.stream("orders"); s.Serial == old.Serial || len(s.Shards()) != 1 || w.m.Bytes() < 0 {
					t.Errorf("the new stream is %+v", s)
				}
				w.checkpoint(t)
				w.load(t)
			}
			if got := [...]int{w.rows(rowStream), w.rows(rowShard), w.rows(rowMessage), w.rows(rowID)}; got != [...]int{2, 2, 3, 3} {
				t.Errorf("there are %v rows of streams, shards, messages and ids", got)
			}
			w.now += int64(edda.DefaultDedupe)
			w.put(t, "other", "")
			if w.checkpoint(t); w.rows(rowForget)+w.rows(rowID) != 0 {
				t.Error("rows of ids are left")
			}
		})
	}
}

// What comes from other partitions is taken in once, and nobody is told of a refusal.
func TestAppendsFromElsewhere(t *testing.T) {
	w := newWorld(t)
	w.set(t, edda.StreamSpec{Name: "orders", Shards: []string{edda.DefaultShard}})
	a := appending("orders", "", "a", "")
	a.Origin = record.Origin{From: 3, Number: 1}
	for i := range 2 {
		if e := w.append(t, a); len(e) != 1-i || i == 0 && e[0].Kind != Appended {
			t.Errorf("what comes for the %d. time is %+v", i+1, e)
		}
	}
	a = appending("orders", "us", "b")
	a.Origin = record.Origin{From: 3, Number: 2}
	if e := w.append(t, a); len(e) != 1 || e[0].Kind != Dropped || e[0].Reason != edda.NoShard {
		t.Errorf("what may not be is %+v", e)
	}
	if got := w.box.Received(3); got != 2 {
		t.Errorf("number %d was received last, want 2", got)
	}
	wantOffsets(t, w, [2]uint64{0, 2})
}

// What handlers append goes where the stream lives, as it is.
func TestAppendsOfHandlers(t *testing.T) {
	w := newWorld(t)
	away := "away"
	for n := 0; fold.Home(edda.StreamHash(edda.DefaultNamespace, away), testPartitions) == testHome; n++ {
		away = fmt.Sprint("away", n)
	}
	c := record.Completed{Seq: 1, Appends: []record.StreamAppended{*appending("orders", "", "a", "a"), *appending(away, "eu", "b"), *appending("orders", "", "c")}}
	e := w.apply(t, c.AppendTo(nil))
	if len(e) != 3 || e[0].Kind != Created || e[1].Kind != Appended || e[1].N != 1 || e[2].First != 1 {
		t.Errorf("a handler's appends are %+v", e)
	}
	wantOffsets(t, w, [2]uint64{0, 2})
	to := fold.Home(edda.StreamHash(edda.DefaultNamespace, away), testPartitions)
	sent := w.box.After(to, 0, 10)
	var got record.StreamAppended
	if len(sent) != 1 || sent[0].Type != record.TypeStreamAppended || got.Decode(sent[0].Body) != nil || got.Stream != away || got.Shard != "eu" {
		t.Fatalf("sent is %+v, %+v", sent, got)
	}
	if w.stream(away) != nil {
		t.Error("a stream is made where it does not live")
	}
}

func TestStrayRecords(t *testing.T) {
	w := newWorld(t)
	w.put(t, "orders", "a")
	for _, typ := range w.m.Types() {
		if err := w.m.Apply(record.Record{Type: typ, Body: []byte{0xff}}); err == nil {
			t.Errorf("a malformed %s record is applied", typ)
		}
	}
	a := appending("orders", "", "")
	a.Messages = append(a.Messages, []byte{0xff})
	if err := w.m.Apply(record.Record{Type: record.TypeStreamAppended, Body: a.AppendTo(nil)[record.HeaderBytes:]}); err == nil {
		t.Error("what is no message is appended")
	}
	if err := w.m.Apply(record.Record{Type: record.TypeOwned}); err == nil {
		t.Error("a record of another kind is applied")
	}
}
