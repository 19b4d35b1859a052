package request

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// What a handler appends is handed on once, with its outcome and after what it sends.
func TestAppendsAreHandedOn(t *testing.T) {
	w := newWorld(t)
	var got []string
	w.req.SetAppends(func(a *record.StreamAppended) error {
		if w.req.Count() != 1 {
			t.Errorf("%d requests are open, want what was sent alone", w.req.Count())
		}
		got = append(got, a.Namespace+"/"+a.Stream+"/"+a.Shard+" "+string(slices.Concat(a.Messages...)))
		return nil
	})
	appends := func(names ...string) (all []record.StreamAppended) {
		for _, name := range names {
			all = append(all, record.StreamAppended{
				Namespace: edda.DefaultNamespace, Stream: name, Shard: edda.DefaultShard, Messages: [][]byte{[]byte("of "), []byte(name)},
			})
		}
		return all
	}
	apply := func(seq, fence uint64, appends []record.StreamAppended, sends ...record.Accepted) error {
		c := record.Completed{Seq: seq, Fence: fence, Reply: []byte{}, Appends: appends, Sends: sends}
		return w.fold.Apply(w.env.Position+1, c.AppendTo(nil))
	}
	accepted, _ := pair(1, "42", 0)
	w.do(accepted)
	seq, fence := w.env.Position<<seqBits, w.req.fence
	if err := apply(seq, fence-1, appends("stale")); err != nil || got != nil {
		t.Errorf("an outcome that comes too late appends %q, %v", got, err)
	}
	sent, _ := pair(2, "43", 0)
	if err := apply(seq, fence, appends("orders", "audit"), *sent.rec.(*record.Accepted)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"default/orders/default of orders", "default/audit/default of audit"}; !slices.Equal(got, want) {
		t.Errorf("appended was %q, want %q", got, want)
	}
	if err := apply(seq, fence, appends("orders")); err != nil || len(got) != 2 {
		t.Errorf("an outcome that comes twice appends %q, %v", got, err)
	}
}

func TestAppendsThatGoNowhere(t *testing.T) {
	for _, f := range []func(*record.StreamAppended) error{nil, func(*record.StreamAppended) error { return errors.New("broken stream") }} {
		w := newWorld(t)
		w.req.SetAppends(f)
		accepted, _ := pair(1, "42", 0)
		w.do(accepted)
		c := record.Completed{Seq: w.env.Position << seqBits, Fence: w.req.fence, Reply: []byte{}, Appends: []record.StreamAppended{{
			Namespace: edda.DefaultNamespace, Stream: "orders", Shard: edda.DefaultShard, Messages: [][]byte{{}},
		}}}
		if err := w.fold.Apply(w.env.Position+1, c.AppendTo(nil)); err == nil || !strings.Contains(err.Error(), "stream") {
			t.Errorf("an append that nobody takes: %v", err)
		}
	}
}
