package node_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestSagaMetrics(t *testing.T) {
	bubble(t, "metrics", func(t *testing.T) {
		var j journal
		reg := prometheus.NewRegistry()
		n := start(t, node.Options{Metrics: reg}, hammer(&j, logged(&j, "hammer", 1))...)
		for range 2 {
			endsAs(t, n, create(t, n, hammerSpec()), edda.SagaSucceeded)
		}
		later := hammerSpec()
		later.Start = false
		id := create(t, n, later)
		bad := sagaOf("bad", undo(ask("a", "head", "", ""), "destroyer", ""), ask("b", "nobody", "", "a"))
		bad.Steps[1].Retry = once
		endsAs(t, n, create(t, n, bad), edda.SagaCompensated)
		synctest.Wait()
		for _, c := range []struct {
			name, labels string
			want         float64
		}{
			{"edda_sagas_created_total", `hammer,default`, 3},
			{"edda_sagas_started_total", `hammer,default`, 2},
			{"edda_sagas_open", `hammer,default,created`, 1},
			{"edda_sagas_open", `hammer,default,running`, 0},
			{"edda_sagas_ended_total", `hammer,default,succeeded`, 2},
			{"edda_sagas_ended_total", `bad,default,compensated`, 1},
			{"edda_saga_steps_ended_total", `run,default,head,succeeded`, 3},
			{"edda_saga_steps_ended_total", `run,default,nobody,failed`, 1},
			{"edda_saga_compensations_total", `run,default,destroyer,succeeded`, 1},
		} {
			if got := metric(t, reg, c.name, c.labels); got != c.want {
				t.Errorf("%s{%s} is %v, want %v", c.name, c.labels, got, c.want)
			}
		}
		if _, err := n.StartSaga(t.Context(), "", id); err != nil {
			t.Fatal(err)
		}
		if got := metric(t, reg, "edda_sagas_started_total", `hammer,default`); got != 3 {
			t.Errorf("%v were started, want 3", got)
		}
	})
}

// However many names people make up, there are not more figures than some.
func TestSagaMetricsAreBounded(t *testing.T) {
	bubble(t, "names", func(t *testing.T) {
		var j journal
		reg := prometheus.NewRegistry()
		n := start(t, node.Options{Metrics: reg}, tool("a", logged(&j, "a", 1)))
		for i := range 600 {
			create(t, n, sagaOf(fmt.Sprint("n", i), ask("a", "a", "", "")))
		}
		synctest.Wait()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "edda_sagas_created_total" && len(f.GetMetric()) != 501 {
				t.Errorf("there are %d figures, want 501", len(f.GetMetric()))
			}
		}
		if got := metric(t, reg, "edda_sagas_created_total", `other,other`); got != 100 {
			t.Errorf("other counts %v, want 100", got)
		}
	})
}

// A saga and all attempts at its steps are one trace.
func TestSagaTrace(t *testing.T) {
	bubble(t, "trace", func(t *testing.T) {
		var j journal
		provider, recorded := traced()
		n := start(t, node.Options{TracerProvider: provider}, tool("a", logged(&j, "a", 1)), shelf("shelf", logged(&j, "s", 1)))
		sp := sagaOf("two", ask("a", "a", "", ""), ask("b", "shelf/"+keyIn(n, "shelf", 0), "", "a"), ask("c", "shelf/"+keyIn(n, "shelf", 1), "", "b"))
		sp.TraceParent, sp.TraceState = callersOwn, "vendor=1"
		id := create(t, n, sp)
		endsAs(t, n, id, edda.SagaSucceeded)
		_, err := n.CreateSaga(t.Context(), sagaOf("none"))
		wantReason(t, err, edda.BadSchema)
		got := spans(recorded)
		created, a, b, c, refused := got["create saga two"], got["attempt a.run"], got["attempt shelf.run"], got["attempt shelf.run 2"], got["create saga none"]
		if len(got) != 5 || created == nil || a == nil || b == nil || c == nil || refused == nil {
			t.Fatalf("got spans %v", got)
		}
		if created.Parent().SpanID().String() != callersSpan || attr(created, "edda.saga.id") != id {
			t.Errorf("got parent %s, %v", created.Parent().SpanID(), created.Attributes())
		}
		for _, s := range got {
			if parent := s.Parent().SpanID(); (s == a || s == b || s == c) && parent != created.SpanContext().SpanID() || s != refused && s.SpanContext().TraceID().String() != callersTrace {
				t.Errorf("%s: got trace %s, parent %s", s.Name(), s.SpanContext().TraceID(), parent)
			}
		}
		for _, s := range []sdktrace.ReadOnlySpan{a, b, c} { // one in the saga's partition, and at least one that came from it to its key's
			if attr(s, "edda.namespace") != edda.DefaultNamespace || attr(s, "edda.saga.id") != id {
				t.Errorf("%s: got %v, want the namespace %s and the saga %s", s.Name(), s.Attributes(), edda.DefaultNamespace, id)
			}
		}
		if attr(refused, "error.type") != string(edda.BadSchema) {
			t.Errorf("got %v", refused.Attributes())
		}
	})
}
