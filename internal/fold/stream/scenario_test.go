package stream

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

func TestAppendCreatesTheStream(t *testing.T) {
	w := newWorld(t)
	w.append(t, append1("orders", "a", "b"))
	s := w.m.Stream(edda.DefaultNamespace, "orders")
	if s == nil {
		t.Fatal("no stream")
	}
	for range 2 {
		s = w.m.Stream(edda.DefaultNamespace, "orders")
		v := w.m.View(s, s.Shard(edda.DefaultShard))
		entries, next, err := v.Read(w.tree, 0, 10, 1<<20)
		if err != nil || next != 2 || len(entries) != 2 {
			t.Fatalf("read %v, next %d, %v", entries, next, err)
		}
		w.checkpoint(t)
		w.load(t)
	}
}

func append1(stream string, ids ...string) *record.StreamAppended {
	a := &record.StreamAppended{Namespace: edda.DefaultNamespace, Stream: stream, Shard: edda.DefaultShard}
	for _, id := range ids {
		a.Messages = append(a.Messages, encoded(id, "", "payload of "+id))
	}
	return a
}
