package examples_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/saga"
)

// stopped notes what a service has done, and holds up one of its methods the first
// time.
type stopped struct {
	hold string
	held chan struct{} // closed when it is held up
	once sync.Once

	mu   sync.Mutex // guards done
	done []string
}

// service has the methods do and fail, and undo for what do has done.
func (s *stopped) service() *edda.Service {
	work := edda.NewBalanced("work")
	do := func(ctx *saga.Context, method, what string) error {
		first := false
		if method == s.hold {
			s.once.Do(func() { first = true })
		}
		if first {
			close(s.held)
			<-ctx.Done()
			return context.Cause(ctx)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.done = append(s.done, method+" "+what)
		return nil
	}
	saga.Handle(work, "do", func(ctx *saga.Context, what string) (string, error) { return what, do(ctx, "do", what) })
	saga.Compensator(work, "undo", func(ctx *saga.Context, what string) error { return do(ctx, "undo", what) })
	saga.Handle(work, "fail", func(*saga.Context, saga.None) (saga.None, error) {
		return saga.None{}, edda.Final("NO", "no")
	})
	return work
}

// A node that is stopped while a step runs, or while a compensation does, goes on
// with it when it is back.
func TestSagasOutliveTheNode(t *testing.T) {
	for _, hold := range []string{"do", "undo"} {
		t.Run(hold, func(t *testing.T) {
			s := &stopped{hold: hold, held: make(chan struct{})}
			options := node.Options{Dir: t.TempDir(), Partitions: 4, Services: []*edda.Service{s.service()}}
			n, err := node.Open(t.Context(), options)
			if err != nil {
				t.Fatal(err)
			}
			def := saga.New("trip")
			a := def.AddStep("a", "work", "do", "x").CompensateWith("work", "undo")
			def.AddStep("b", "work", "fail").DependsOn(a)
			started, err := saga.NewClient(n).Start(t.Context(), def)
			if err != nil {
				t.Fatal(err)
			}
			<-s.held
			atOnce, cancel := context.WithCancel(t.Context())
			cancel()
			n.Stop(atOnce) // says that a handler was cut off

			if n, err = node.Open(t.Context(), options); err != nil {
				t.Fatal(err)
			}
			defer n.Stop(t.Context())
			ended, err := saga.NewClient(n).Wait(t.Context(), started.ID)
			if err != nil {
				t.Fatal(err)
			}
			wantSaga(t, ended, edda.SagaCompensated, "a compensated", "a' succeeded", "b failed")
			if want := []string{"do x", "undo x"}; !slices.Equal(s.done, want) {
				t.Errorf("done %q, want %q", s.done, want)
			}
		})
	}
}

// Two processes host one service; each step is done by one of them, once.
func TestTwoProcesses(t *testing.T) {
	url, _ := serveNode(t, t.TempDir())
	s := &stopped{}
	for range 2 {
		runWorker(t, url, s.service())
	}
	conn, err := client.Dial(url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	def := saga.New("many")
	var want []string
	for i := range 100 {
		what := fmt.Sprintf("%02d", i)
		def.AddStep("s"+what, "work", "do", what)
		want = append(want, "do "+what)
	}
	sagas := saga.NewClient(conn)
	started, err := sagas.Start(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	if ended, err := sagas.Wait(t.Context(), started.ID); err != nil || ended.State != edda.SagaSucceeded {
		t.Fatalf("got %+v, %v", ended, err)
	}
	slices.Sort(s.done)
	if !slices.Equal(s.done, want) {
		t.Errorf("done %q, want each once", s.done)
	}
}
