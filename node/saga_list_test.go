package node_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// listed returns the ids of all pages.
func listed(t *testing.T, n *node.Node, f edda.SagaFilter, limit int) []string {
	t.Helper()
	var ids []string
	after := ""
	for {
		page, next, err := n.Sagas(t.Context(), f, limit, after)
		if err != nil {
			t.Fatalf("list sagas: %v", err)
		}
		for _, s := range page {
			if s.Steps != nil || s.StepCount == 0 || s.ID == "" {
				t.Errorf("got %+v, want a saga without its steps", s)
			}
			ids = append(ids, s.ID)
		}
		if next == "" {
			return ids
		}
		if len(page) != limit {
			t.Fatalf("got a page of %d with another behind it, want %d", len(page), limit)
		}
		after = next
	}
}

func TestSagaLists(t *testing.T) {
	bubble(t, "lists", func(t *testing.T) {
		var j journal
		var keys sync.Map
		n := start(t, node.Options{Partitions: 8}, tool("good", logged(&j, "good", 1)), tool("bad", failing(&j, "bad")), tool("later", pends(&keys)))
		begun := time.Now()
		var all, odd, done, failed, open, ada, young []string
		for i := range 40 {
			sp := sagaOf(fmt.Sprint("name", i%2), ask("a", []string{"good", "bad", "later"}[i%3], "", ""))
			sp.ID, sp.Principal = fmt.Sprintf("s%02d", i), []edda.Principal{"ada", "bob"}[i%2]
			create(t, n, sp)
			synctest.Wait()
			add := func(to *[]string, when bool) {
				if when {
					*to = slices.Insert(*to, 0, sp.ID)
				}
			}
			add(&all, true)
			add(&odd, i%2 == 1)
			add(&done, i%3 == 0)
			add(&failed, i%3 == 1)
			add(&open, i%3 == 2)
			add(&ada, i%2 == 0)
			add(&young, i >= 30)
			time.Sleep(time.Second)
		}
		shop := sagaOf("name1", ask("a", "good", "", ""))
		shop.Namespace, shop.ID = "shop", "s00"
		create(t, n, shop)
		for name, c := range map[string]struct {
			f    edda.SagaFilter
			want []string
		}{
			"all":       {edda.SagaFilter{}, all},
			"name":      {edda.SagaFilter{Name: "name1"}, odd},
			"succeeded": {edda.SagaFilter{State: edda.SagaSucceeded}, done},
			"undone":    {edda.SagaFilter{State: edda.SagaCompensated}, failed},
			"running":   {edda.SagaFilter{State: edda.SagaRunning}, open},
			"principal": {edda.SagaFilter{Principal: "ada"}, ada},
			"since":     {edda.SagaFilter{Since: begun.Add(30 * time.Second)}, young},
			"until":     {edda.SagaFilter{Until: begun.Add(30 * time.Second)}, all[10:]},
			"id":        {edda.SagaFilter{ID: "s07"}, []string{"s07"}},
			"namespace": {edda.SagaFilter{Namespace: "shop"}, []string{"s00"}},
			"nothing":   {edda.SagaFilter{Name: "other"}, nil},
		} {
			for _, limit := range []int{1, 7, 40, 1000} {
				if got := listed(t, n, c.f, limit); !slices.Equal(got, c.want) {
					t.Errorf("%s by %d: got %v, want %v", name, limit, got, c.want)
				}
			}
		}
		for _, c := range []struct {
			limit int
			after string
			f     edda.SagaFilter
		}{{-1, "", edda.SagaFilter{}}, {1001, "", edda.SagaFilter{}}, {1, "x", edda.SagaFilter{}}, {1, "", edda.SagaFilter{State: "odd"}}} {
			_, _, err := n.Sagas(t.Context(), c.f, c.limit, c.after)
			wantReason(t, err, edda.BadValue)
		}
		_, _, err := n.Sagas(t.Context(), edda.SagaFilter{Namespace: ".."}, 1, "")
		wantReason(t, err, edda.BadName)
	})
}

func TestSagaPrune(t *testing.T) {
	bubble(t, "prune", func(t *testing.T) {
		var j journal
		var keys sync.Map
		n := start(t, node.Options{Partitions: 8}, tool("good", logged(&j, "good", 1)), tool("bad", failing(&j, "bad")), tool("later", pends(&keys)))
		var last string
		for i := range 250 {
			sp := sagaOf(fmt.Sprint("name", i%2), ask("a", "good", "", ""))
			last = create(t, n, sp)
		}
		endsAs(t, n, last, edda.SagaSucceeded)
		open := create(t, n, sagaOf("", ask("a", "later", "", "")))
		stuck := create(t, n, sagaOf("", undo(ask("a", "good", "", ""), "bad", ""), ask("b", "bad", "", "a")))
		endsAs(t, n, stuck, edda.SagaCompensationFailed)
		synctest.Wait()
		prune := func(f edda.SagaFilter, want int) {
			t.Helper()
			if got, err := n.PruneSagas(t.Context(), f); err != nil || got != want {
				t.Errorf("pruned %d, %v, want %d", got, err, want)
			}
		}
		prune(edda.SagaFilter{Name: "name0"}, 125)
		prune(edda.SagaFilter{Name: "name0"}, 0)
		prune(edda.SagaFilter{State: edda.SagaRunning}, 0)
		prune(edda.SagaFilter{ID: last}, 1)
		_, err := n.Saga(t.Context(), "", last)
		wantReason(t, err, edda.NoSaga)
		prune(edda.SagaFilter{}, 124)
		if got := listed(t, n, edda.SagaFilter{}, 10); !slices.Equal(got, []string{stuck, open}) && !slices.Equal(got, []string{open, stuck}) {
			t.Errorf("got %v left, want %s and %s", got, stuck, open)
		}
		prune(edda.SagaFilter{State: edda.SagaCompensationFailed}, 1)
		finish(t, n, open, "a", edda.StepResult{Result: json.RawMessage("1")}, true, edda.StepSucceeded)
		prune(edda.SagaFilter{ID: open}, 1)
	})
}

// Sagas that have ended are kept as long as it is set, however often the node is
// started meanwhile.
func TestSagaRetention(t *testing.T) {
	bubble(t, "retention", func(t *testing.T) {
		d := newDisk()
		var j journal
		services := func() []*edda.Service {
			return []*edda.Service{tool("good", logged(&j, "good", 1)), tool("bad", failing(&j, "bad"))}
		}
		n := d.open(t, node.Options{KeepSagas: time.Hour}, services()...)
		keyed := sagaOf("", ask("a", "good", "", ""))
		keyed.ID = "mine"
		id := create(t, n, keyed)
		endsAs(t, n, id, edda.SagaSucceeded)
		stuck := create(t, n, sagaOf("", undo(ask("a", "good", "", ""), "bad", ""), ask("b", "bad", "", "a")))
		endsAs(t, n, stuck, edda.SagaCompensationFailed)
		time.Sleep(59 * time.Minute)
		stop(t, n)
		n = d.open(t, node.Options{}, services()...)
		if s := look(t, n, id); s.State != edda.SagaSucceeded {
			t.Errorf("got %+v", s)
		}
		time.Sleep(2 * time.Minute)
		_, err := n.Saga(t.Context(), "", id)
		wantReason(t, err, edda.NoSaga)
		stop(t, n)
		n = d.open(t, node.Options{}, services()...)
		defer func() { stop(t, n) }()
		if got := listed(t, n, edda.SagaFilter{}, 10); !slices.Equal(got, []string{stuck}) {
			t.Errorf("got %v, want %v", got, stuck)
		}
		again := sagaOf("", ask("a", "good", "", ""))
		again.ID = "mine"
		create(t, n, again) // the id is free again
	})
}
