package channel

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

func wantSaid(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("the record brings about\n%s, want\n%s", got, want)
	}
}

// A channel comes with its stream, keeps what its history says, and goes with it.
func TestChannelAndItsStream(t *testing.T) {
	w := newWorld(t)
	if w.env.RowsVersion != fold.RowsAtFirst {
		t.Errorf("without a channel the rows have version %d", w.env.RowsVersion)
	}
	none := `stream refused NO_CHANNEL: there is no channel "floor" in the namespace "default"`
	wantSaid(t, w.publish(t, "floor", "a"), none)
	wantSaid(t, w.remove(t, "floor"), `refused NO_CHANNEL: there is no channel "floor" in the namespace "default"`)
	spec := edda.ChannelSpec{Name: "floor", From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"order.*"}}}, History: edda.History{Count: 2}}
	wantSaid(t, w.set(t, spec), "created floor, stream created edda.channel.floor")
	c := w.m.Channel(edda.DefaultNamespace, "floor")
	if want := spec.WithDefaults(); !reflect.DeepEqual(c.Spec, want) || c.CreatedAt != w.now {
		t.Errorf("the channel is %+v, want %+v", c, want)
	}
	own := w.streams.Stream(edda.DefaultNamespace, "edda.channel.floor")
	if want := (edda.Retention{Count: 2, Age: edda.DefaultHistoryAge}); own.Spec.Retention != want || own.Spec.Dedupe != edda.DefaultDedupe {
		t.Errorf("its stream is %+v, want to keep %+v", own.Spec, want)
	}
	wantSaid(t, w.publish(t, "floor", "a", "b", "c"),
		"stream appended edda.channel.floor 0+3, stream answered edda.channel.floor [{Offset:0 Position:4 Shard:0 Replayed:false Unknown:false} {Offset:1 Position:4 Shard:0 Replayed:false Unknown:false} {Offset:2 Position:4 Shard:0 Replayed:false Unknown:false}]")
	if sh := own.Shards()[0]; sh.First != 1 || sh.End != 3 {
		t.Errorf("it keeps %d to %d", sh.First, sh.End)
	}
	wantSaid(t, w.publish(t, "floor", "b"), "stream answered edda.channel.floor [{Offset:1 Position:4 Shard:0 Replayed:true Unknown:false}]")
	w.now += int64(time.Second)
	spec.History, spec.From = edda.History{Count: 1, Age: time.Hour}, nil
	wantSaid(t, w.set(t, spec), "changed floor, stream changed edda.channel.floor")
	if sh := own.Shards()[0]; sh.First != 2 || own.Spec.Retention.Age != time.Hour || c.CreatedAt == w.now || c.Spec.From != nil {
		t.Errorf("after a change it keeps %d to %d: %+v, %+v", sh.First, sh.End, own.Spec, c)
	}
	wantSaid(t, w.remove(t, "floor"), "removed floor true, stream removed edda.channel.floor")
	wantSaid(t, w.publish(t, "floor", "a"), none)
	wantSaid(t, w.set(t, spec), "created floor, stream created edda.channel.floor")
	wantSaid(t, w.publish(t, "floor", "a"), "stream appended edda.channel.floor 0+1, stream answered edda.channel.floor [{Offset:0 Position:10 Shard:0 Replayed:false Unknown:false}]")
	before := w.state(t)
	w.checkpoint(t)
	if w.load(t); w.state(t) != before || w.env.RowsVersion != fold.RowsOfChannels {
		t.Errorf("rows of version %d read as\n%s, want\n%s", w.env.RowsVersion, w.state(t), before)
	}
}

// What handlers publish, here or elsewhere, is dropped where there is no channel.
func TestPublishedByHandlers(t *testing.T) {
	w := newWorld(t)
	away := "x"
	for home(away) == testHome {
		away += "x"
	}
	c := record.Completed{Seq: 1, Appends: []record.StreamAppended{*published("floor", "a"), *published(away, "b"), *published("floor", "c")}}
	const gone = `stream dropped NO_CHANNEL: there is no channel "floor" in the namespace "default"`
	wantSaid(t, w.apply(t, c.AppendTo(nil)), gone+", "+gone)
	if to := w.box.Touched(); len(to) != 1 || to[0] != home(away) {
		t.Errorf("something goes to %v, want to %d", to, home(away))
	}
	a := published("floor", "d")
	a.Origin = record.Origin{From: 3, Number: 1}
	wantSaid(t, w.apply(t, a.AppendTo(nil)), gone)
	w.set(t, edda.ChannelSpec{Name: "floor"})
	wantSaid(t, w.apply(t, c.AppendTo(nil)), "stream appended edda.channel.floor 0+1, stream appended edda.channel.floor 1+1")
	a.Origin.Number = 2
	wantSaid(t, w.apply(t, a.AppendTo(nil)), "stream appended edda.channel.floor 2+1")
	if s := w.streams.Stream(edda.DefaultNamespace, "edda.channel."+away); s != nil {
		t.Errorf("there is a stream %+v", s.Spec)
	}
}

// A channel's name may have as many bytes as any; nothing in its namespace is like it.
func TestChannelNames(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("n", edda.MaxNameBytes)
	for _, ns := range []string{"", "shop", strings.Repeat("m", edda.MaxNameBytes)} {
		for _, name := range []string{"floor", long, "a"} {
			w.set(t, edda.ChannelSpec{Namespace: ns, Name: name})
		}
	}
	w.publish(t, long, "a")
	w.checkpoint(t)
	w.load(t)
	wantSaid(t, w.publish(t, long, "a", ""), "stream appended edda.channel."+long+" 1+1, stream answered edda.channel."+long+
		" [{Offset:0 Position:10 Shard:0 Replayed:true Unknown:false} {Offset:1 Position:11 Shard:0 Replayed:false Unknown:false}]")
	var names []string
	for c := range w.m.From("default", "b") {
		names = append(names, fmt.Sprintf("%.1s:%.1s", c.Spec.Namespace, c.Spec.Name))
	}
	if got, want := fmt.Sprint(names), "[d:f d:n m:a m:f m:n s:a s:f s:n]"; got != want {
		t.Errorf("from b on there are %s, want %s", got, want)
	}
}

// Fields of a later release stay in the rows.
func TestRowsKeepUnknownFields(t *testing.T) {
	w := newWorld(t)
	w.set(t, edda.ChannelSpec{Name: "floor"})
	w.checkpoint(t)
	later := wire.AppendString(wire.AppendUint(nil, 1000, 1), 1001, "later")
	key := channelRow(edda.DefaultNamespace, "floor")
	b := w.batch(t)
	v, _, _ := w.tree.Get(key)
	b.Set(key, append(v, later...))
	if err := w.tree.Commit(b, w.tree.Applied()); err != nil {
		t.Fatal(err)
	}
	w.load(t)
	w.set(t, edda.ChannelSpec{Name: "floor", History: edda.History{Count: 1}})
	w.checkpoint(t)
	if v, _, _ := w.tree.Get(key); !bytes.HasSuffix(v, later) {
		t.Errorf("the row is %x", v)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, row := range map[string][2]string{
		"no name": {"Cshop\x00", ""}, "no namespace": {"C\x00floor", ""}, "no zero byte": {"Cfloor", ""}, "malformed": {"Cshop\x00floor", "\xff"},
		"malformed spec": {"Cshop\x00floor", string(wire.AppendBytes(nil, cSpec, []byte{0xff}))}, "no stream of a source": {"Cshop\x00floor", string(wire.AppendBytes(nil, cSpec, wire.AppendString(nil, 3, "\x12\x00")))},
	} {
		w := newWorld(t)
		b := &store.Batch{}
		b.Set([]byte(row[0]), []byte(row[1]))
		if err := w.tree.Commit(b, w.tree.Applied()); err != nil {
			t.Fatal(err)
		}
		env := &fold.Env{Table: w.tree, Partitions: testPartitions}
		if _, err := fold.New(env, 0, New(env, stream.New(env, nil))); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

func TestRefusesOthersRecords(t *testing.T) {
	w := newWorld(t)
	if err := w.m.Apply(record.Record{Type: record.TypeDue}); err == nil {
		t.Error("a record of requests is taken")
	}
	for _, typ := range w.m.Types() {
		if err := w.m.Apply(record.Record{Type: typ, Body: []byte{0xff}}); err == nil {
			t.Errorf("a malformed %s record is taken", typ)
		}
	}
}
