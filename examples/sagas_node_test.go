package examples_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddatest"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/saga"
)

// run starts a saga on a node that hosts the services, and returns it when it has
// ended, and the node.
func run(t *testing.T, def *saga.Definition, services ...*edda.Service) (*edda.Saga, *eddatest.Node) {
	t.Helper()
	n := eddatest.Start(t, services...)
	return runOn(t, n, def), n
}

func runOn(t *testing.T, n *eddatest.Node, def *saga.Definition) *edda.Saga {
	t.Helper()
	client := saga.NewClient(n.Node)
	started, err := client.Start(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := client.Wait(t.Context(), started.ID)
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

// states lists the steps as id state, and id compensation state.
func states(s *edda.Saga) []string {
	var all []string
	for _, step := range s.Steps {
		all = append(all, step.ID+" "+string(step.State))
		if step.Compensation != nil {
			all = append(all, step.ID+"' "+string(step.Compensation.State))
		}
	}
	return all
}

func wantSaga(t *testing.T, s *edda.Saga, state edda.SagaState, steps ...string) {
	t.Helper()
	if s.State != state || !slices.Equal(states(s), steps) {
		t.Errorf("got %s (%s %s), %q, want %s, %q", s.State, s.Reason, s.Detail, states(s), state, steps)
	}
}

func TestPDFSaga(t *testing.T) {
	s, _ := run(t, examples.PDFSaga("MyPDF", "Lorem ipsum..."), examples.Printer())
	wantSaga(t, s, edda.SagaSucceeded, "pdf succeeded")
	if got, want := string(s.Steps[0].Result), `"MyPDF.pdf (14 characters)"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHammerSaga(t *testing.T) {
	s, n := run(t, examples.HammerSaga("assemble"), examples.Smithy())
	wantSaga(t, s, edda.SagaSucceeded, "head succeeded", "head' waiting", "handle succeeded", "hammer succeeded")
	got, err := saga.Result[examples.Hammer](t.Context(), saga.NewClient(n.Node), s.ID, "hammer")
	want := examples.Hammer{
		HammerID: "hammer-" + s.ID,
		Head:     examples.Head{HeadID: "head-" + s.ID, Kind: "ThunderBestowed"},
		Handle:   examples.Handle{HandleID: "handle-" + s.ID, Size: "short"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("got %v (-want +got)\n%s", err, diff)
	}
}

// The head is melted down again, once, with what it was and why; nothing undoes the
// handle. No slot is held, and all of it can be looked up afterwards.
func TestHammerSagaIsUndone(t *testing.T) {
	smithy := examples.Smithy()
	def := examples.HammerSaga("broken")
	n := eddatest.Start(t, smithy)
	client := saga.NewClient(n.Node)
	s := runOn(t, n, def)
	wantSaga(t, s, edda.SagaCompensated, "head compensated", "head' succeeded", "handle not_compensated", "hammer failed")
	again, err := client.Saga(t.Context(), s.ID)
	if diff := cmp.Diff(s, again); err != nil || diff != "" {
		t.Errorf("asked again: %v (-first +again)\n%s", err, diff)
	}
	if c := s.Steps[0].Compensation; c.Attempts != 1 || string(c.Args[0]) != `"anExampleArg"` {
		t.Errorf("got compensation %+v, want one attempt", c)
	}
	if e := s.Steps[2].Error; e == nil || e.Reason != edda.Failed || e.Message != "COLD: the fire is out" {
		t.Errorf("got error %+v", e)
	}
	_, err = saga.Result[examples.Hammer](t.Context(), client, s.ID, "hammer")
	if undone, ok := errors.AsType[*saga.UndoneError](err); !ok || undone.Step().ID != "hammer" {
		t.Errorf("got %v, want that the hammer failed", err)
	}
	services, err := n.Node.Service(t.Context(), "", "smithy")
	if err != nil || services.InFlight != 0 || services.Queued != 0 {
		t.Errorf("got %+v, %v, want an idle service", services, err)
	}
}

// The car fails; the places of flight and hotel are there again.
func TestTripSagaIsUndone(t *testing.T) {
	n := eddatest.Start(t, examples.Trip()...)
	open := func(address string, places int) {
		t.Helper()
		if _, err := edda.Call[examples.Places](t.Context(), n.Client(), address, "open", examples.Places{Places: places}); err != nil {
			t.Fatal(err)
		}
	}
	left := func(want map[string]int) {
		t.Helper()
		for address, places := range want {
			if got, _ := eddatest.Get[int](n, address, "places"); got != places {
				t.Errorf("%s has %d places, want %d", address, got, places)
			}
		}
	}
	open("flights/LH1", 5)
	open("hotels/ritz", 3)
	open("cars/beetle", 1)
	s := runOn(t, n, examples.TripSaga("LH1", "ritz", "beetle", 2))
	wantSaga(t, s, edda.SagaCompensated, "flight compensated", "flight' succeeded", "hotel compensated", "hotel' succeeded",
		"car failed", "car' waiting")
	if e := s.Steps[2].Error; e == nil || e.Message != "FULL: cars/beetle has 1 places left, not 2" {
		t.Errorf("got error %+v", e)
	}
	left(map[string]int{"flights/LH1": 5, "hotels/ritz": 3, "cars/beetle": 1})

	open("cars/beetle", 4)
	s = runOn(t, n, examples.TripSaga("LH1", "ritz", "beetle", 2))
	wantSaga(t, s, edda.SagaSucceeded, "flight succeeded", "flight' waiting", "hotel succeeded", "hotel' waiting",
		"car succeeded", "car' waiting")
	left(map[string]int{"flights/LH1": 3, "hotels/ritz": 1, "cars/beetle": 2})
}

// Whoever fails after a sibling is done, or while one runs, has the sibling undone.
func TestSiblings(t *testing.T) {
	for _, c := range []struct {
		name  string
		first time.Duration // when the step is done that is to be undone; the other fails after a minute
	}{{"done before", time.Second}, {"still running", time.Hour}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := edda.NewBalanced("work")
				s.AttemptTimeout = 2 * time.Hour
				saga.Handle(s, "do", func(*saga.Context, saga.None) (string, error) {
					time.Sleep(c.first)
					return "done", nil
				})
				saga.Handle(s, "fail", func(*saga.Context, saga.None) (saga.None, error) {
					time.Sleep(time.Minute)
					return saga.None{}, edda.Final("NO", "no")
				})
				var undone []string
				saga.Compensator(s, "undo", func(_ *saga.Context, result string) error {
					undone = append(undone, result)
					return nil
				})
				def := saga.New("siblings")
				def.AddStep("a", "work", "do").CompensateWith("work", "undo")
				def.AddStep("b", "work", "fail")
				ended, _ := run(t, def, s)
				wantSaga(t, ended, edda.SagaCompensated, "a compensated", "a' succeeded", "b failed")
				if !slices.Equal(undone, []string{"done"}) {
					t.Errorf("undone %q, want once", undone)
				}
			})
		})
	}
}

// A handler that breaks, at once or later, is tried again by the policy, and fails its
// step when no attempt is left. Nothing else is held up by it.
func TestHandlersThatBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := edda.NewBalanced("work")
		saga.Handle(s, "panic", func(*saga.Context, saga.None) (saga.None, error) { panic("at once") })
		saga.Handle(s, "reject", func(*saga.Context, saga.None) (saga.None, error) {
			time.Sleep(time.Second)
			return saga.None{}, errors.New("later")
		})
		n := eddatest.Start(t, s, examples.Printer())
		for method, message := range map[string]string{"panic": "handler panicked: at once", "reject": "later"} {
			def := saga.New("broken")
			step := def.AddStep("a", "work", method)
			step.Retry = edda.RetryPolicy{Max: 3}
			ended := runOn(t, n, def)
			wantSaga(t, ended, edda.SagaCompensated, "a failed")
			if a := ended.Steps[0]; a.Attempts != 3 || a.Error == nil || a.Error.Message != message {
				t.Errorf("%s: got %d attempts and %+v, want 3 and %q", method, a.Attempts, a.Error, message)
			}
		}
		wantSaga(t, runOn(t, n, examples.PDFSaga("a", "b")), edda.SagaSucceeded, "pdf succeeded")
	})
}

// Who comes late, or twice, is told what holds, and changes nothing.
func TestLateCompletions(t *testing.T) {
	refs := make(chan saga.Ref, 2)
	s := edda.NewBalanced("work")
	saga.Handle(s, "later", func(ctx *saga.Context, _ saga.None) (saga.None, error) {
		refs <- ctx.Ref()
		return saga.None{}, saga.Pending
	})
	saga.Compensator(s, "undo", func(*saga.Context, string) error { return nil })
	n := eddatest.Start(t, s)
	client := saga.NewClient(n.Node)
	def := saga.New("later")
	a := def.AddStep("a", "work", "later").CompensateWith("work", "undo")
	def.AddStep("b", "work", "later").DependsOn(a)
	started, err := client.Start(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	answered := func(answer *edda.StepAnswer, err error) func(bool, edda.StepState) {
		return func(applied bool, state edda.StepState) {
			t.Helper()
			if err != nil || answer.Applied != applied || answer.State != state {
				t.Errorf("got %+v, %v, want %v, %s", answer, err, applied, state)
			}
		}
	}
	first := <-refs
	answered(client.StepFinished(t.Context(), first, "one"))(true, edda.StepSucceeded)
	answered(client.StepFinished(t.Context(), first, "two"))(false, edda.StepSucceeded)
	answered(client.StepFailed(t.Context(), first, errors.New("no")))(false, edda.StepSucceeded)
	second := <-refs
	answered(client.StepFailed(t.Context(), second, errors.New("no wood")))(true, edda.StepFailed)
	ended, err := client.Wait(t.Context(), started.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantSaga(t, ended, edda.SagaCompensated, "a compensated", "a' succeeded", "b failed")
	answered(client.StepFinished(t.Context(), second, "now"))(false, edda.StepFailed)
	answered(client.StepFinished(t.Context(), first, "now"))(false, edda.StepCompensated)
	if got := string(ended.Steps[0].Result); got != `"one"` {
		t.Errorf("got result %s, want the first", got)
	}
	wrong := second
	wrong.CompletionKey = first.CompletionKey
	if _, err := client.StepFinished(t.Context(), wrong, "x"); edda.ReasonOf(err) != edda.NotAllowed {
		t.Errorf("with another step's key: got %v, want NOT_ALLOWED", err)
	}
	unknown := saga.Ref{Saga: started.ID, Step: "c"}
	if _, err := client.StepFinished(t.Context(), unknown, "x"); edda.ReasonOf(err) != edda.NoStep {
		t.Errorf("got %v, want NO_STEP", err)
	}
}
