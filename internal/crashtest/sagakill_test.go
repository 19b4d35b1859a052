package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/saga"
	"github.com/edda-io/edda/worker"
)

// TestKillSagas kills the real program again and again while clients create sagas over
// HTTP, complete their pending steps and deal with compensations that have failed.
// In the end every saga has succeeded or is compensated, as it should be, and what it
// has done to keyed state it has done once, and undone once in the right order.
func TestKillSagas(t *testing.T) {
	t.Run("fsync", func(t *testing.T) { killSagas(t, "fsync", either(2, 12)) })
	t.Run("os", func(t *testing.T) { killSagas(t, "os", either(1, 8)) })
}

const (
	sagaClients = 16
	// tripPlaces is how many places a client's flights and hotels have, carPlaces its cars:
	// the cars are soon full.
	tripPlaces = 1_000_000
	carPlaces  = 20
)

func killSagas(t *testing.T, durability string, kills int) {
	t.Helper()
	seed := newSeed(t)
	rng := newRand(seed, 0)
	ctx, cancel := killing(t)
	defer cancel()
	p := newProcess(t, durability)
	life := startLife(ctx, t, p, journals())
	load := &load{process: p, http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: sagaClients}}}
	defer load.http.CloseIdleConnections()
	tally := &sagaTally{}
	var clients []*sagaClient
	var wg sync.WaitGroup
	for i := range sagaClients {
		c := &sagaClient{load: load, tally: tally, id: i, rng: newRand(seed, uint64(i)+1), cars: carPlaces, ended: map[string]edda.SagaState{}}
		clients = append(clients, c)
		wg.Go(func() { c.err = c.run(ctx) })
	}
	for i := range kills {
		pause(ctx, time.Duration(100+rng.IntN(400))*time.Millisecond)
		if err := life.kill(p); err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		life = startLife(ctx, t, p, journals())
	}
	load.over.Store(true)
	wg.Wait()
	// What has ended is still so after one more kill.
	if err := life.kill(p); err != nil {
		t.Fatal(err)
	}
	life = startLife(ctx, t, p, journals())
	for _, c := range clients {
		if c.err == nil {
			c.err = c.compare(ctx)
		}
		if c.err != nil {
			t.Errorf("client %d: %v", c.id, c.err)
		}
	}
	if err := nothingRuns(ctx, load); err != nil {
		t.Error(err)
	}
	if err := life.kill(p); err != nil {
		t.Error(err)
	}
	t.Logf("SUMMARY kill -9 with sagas, durability %s: %d kills, %d sagas ended: %d succeeded, %d compensated, %d of them after a compensation had failed; "+
		"%d steps completed by call, %d calls repeated", durability, kills+2, tally.succeeded.Load()+tally.compensated.Load(), tally.succeeded.Load(),
		tally.compensated.Load(), tally.flagged.Load(), tally.completed.Load(), load.repeated.Load())
}

// nothingRuns asks for sagas that have not ended.
func nothingRuns(ctx context.Context, l *load) error {
	for _, state := range []edda.SagaState{edda.SagaCreated, edda.SagaRunning, edda.SagaCompensating, edda.SagaCompensationFailed} {
		a, err := l.ask(ctx, "GET", "/v1/sagas?state="+string(state), "", http.Header{})
		if err != nil {
			return err
		}
		var list struct{ Items []edda.Saga }
		if err := json.Unmarshal(a.body, &list); err != nil || a.status != http.StatusOK || len(list.Items) > 0 {
			return fmt.Errorf("sagas that are %s when all have ended: %v", state, a)
		}
	}
	return nil
}

// life is the process between two kills, with the worker that hosts services.
type life struct {
	stop context.CancelFunc
	done chan error
}

func startLife(ctx context.Context, t *testing.T, p *process, services ...*edda.Service) *life {
	t.Helper()
	if err := p.start(ctx); err != nil {
		t.Fatalf("start number %d: %v", p.lives()+1, err)
	}
	ctx, stop := context.WithCancel(ctx)
	l := &life{stop: stop, done: make(chan error, 1)}
	go func() { l.done <- worker.Options{ID: "worker", DrainTimeout: -1}.Run(ctx, p.url, services...) }()
	return l
}

// kill kills the process, and ends the worker once it has lost its node.
func (l *life) kill(p *process) error {
	err := p.kill()
	l.stop()
	return errors.Join(err, <-l.done)
}

type sagaTally struct{ succeeded, compensated, flagged, completed atomic.Int64 }

// journals returns an ordered service whose keys write down what was done, and what was
// undone, in order. A step that is done twice, though its handler may run twice,
// would be there twice.
func journals() *edda.Service {
	s := edda.NewOrdered("journals")
	s.Retry = edda.RetryPolicy{Max: -1, Delay: time.Millisecond, MaxDelay: 20 * time.Millisecond}
	write := func(ctx *edda.Context, line string) error {
		lines, _, err := edda.Get[[]string](ctx, "lines")
		if err != nil {
			return err
		}
		return edda.Set(ctx, "lines", append(lines, line))
	}
	saga.Handle(s, "write", func(ctx *saga.Context, word string) (string, error) { return word, write(ctx.Context, "do "+word) })
	saga.Handle(s, "hold", func(ctx *saga.Context, word string) (string, error) {
		if err := write(ctx.Context, "do "+word); err != nil {
			return "", err
		}
		return "", saga.Pending
	})
	saga.Handle(s, "grow", func(ctx *saga.Context, last string) (string, error) {
		journal := "journals/" + ctx.Key()
		ctx.AddStep("b", journal, "write", "b").After(ctx.StepID()).CompensateWith(journal, "strike")
		ctx.AddStep("c", journal, last, "c").After("b").CompensateWith(journal, "strike")
		return "a", write(ctx.Context, "do a")
	})
	saga.Handle(s, "refuse", func(*saga.Context, string) (string, error) {
		return "", edda.Final("TOLD", "refused, as it was told to")
	})
	saga.Compensator(s, "strike", func(ctx *saga.Context, word string) error { return write(ctx.Context, "undo "+word) })
	saga.Compensator(s, "stick", func(ctx *saga.Context, word string) error {
		if free, _, err := edda.Get[bool](ctx.Context, "free"); err != nil || !free {
			return errors.Join(err, edda.Final("STUCK", "nobody has freed it"))
		}
		return write(ctx.Context, "undo "+word)
	})
	edda.Handle(s, "free", func(ctx *edda.Context, _ []byte) (bool, error) { return true, edda.Set(ctx, "free", true) })
	edda.Handle(s, "read", func(ctx *edda.Context, _ []byte) ([]string, error) {
		lines, _, err := edda.Get[[]string](ctx, "lines")
		return lines, err
	})
	return s
}

// sagaClient creates sagas, one after the other.
type sagaClient struct {
	load   *load
	tally  *sagaTally
	id     int
	rng    *rand.Rand
	serial int
	booked int // places of flights and hotels
	cars   int // places left
	ended  map[string]edda.SagaState
	err    error
}

func (c *sagaClient) run(ctx context.Context) error {
	for service, n := range map[string]int{"flights": tripPlaces, "hotels": tripPlaces, "cars": carPlaces} {
		a, err := c.load.ask(ctx, "POST", fmt.Sprintf("/v1/call/%s/c%d/open", service, c.id), fmt.Sprintf(`{"places":%d}`, n), c.headers())
		if err != nil {
			return err
		}
		if a.status != http.StatusOK {
			return fmt.Errorf("open %s: got %v", service, a)
		}
	}
	for !c.load.over.Load() {
		if err := c.one(ctx); err != nil {
			return fmt.Errorf("saga %d: %w", c.serial, err)
		}
	}
	return nil
}

func (c *sagaClient) headers() http.Header {
	c.serial++
	return http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {fmt.Sprintf("s%d-%d", c.id, c.serial)}}
}

// one creates a saga of some kind and sees it to its end.
func (c *sagaClient) one(ctx context.Context) error {
	switch c.rng.IntN(10) {
	case 0:
		return c.hammer(ctx, "assemble", edda.SagaSucceeded)
	case 1:
		return c.hammer(ctx, "broken", edda.SagaCompensated)
	case 2:
		return c.trip(ctx)
	case 3:
		return c.journal(ctx, false)
	case 4:
		return c.journal(ctx, true)
	case 5:
		return c.stuck(ctx)
	case 6:
		return c.grows(ctx)
	case 7:
		return c.nested(ctx)
	case 8:
		return c.cancelled(ctx)
	default:
		return c.late(ctx)
	}
}

// spec is a step of a saga to create. What is lost with its node is tried again, as
// often as that happens.
func spec(id, service, key, method string, arg any, after []string, undo string) map[string]any {
	retry := map[string]any{"max": -1, "delay": "1ms", "maxDelay": "20ms"}
	s := map[string]any{"id": id, "service": service, "method": method, "args": []any{arg}, "after": append([]string{}, after...), "retry": retry}
	u := map[string]any{"service": service, "method": undo, "args": []any{"it failed"}, "retry": retry}
	if key != "" {
		s["key"], u["key"] = key, key
	}
	if undo != "" {
		s["compensate"] = u
	}
	return s
}

// create creates a saga, and returns its id.
func (c *sagaClient) create(ctx context.Context, kind string, steps ...map[string]any) (string, error) {
	return c.createFrom(ctx, map[string]any{"name": kind, "start": true, "steps": steps})
}

// createFrom is create for a saga of which more is to be said.
func (c *sagaClient) createFrom(ctx context.Context, doc map[string]any) (string, error) {
	if c.rng.IntN(2) == 0 {
		doc["onFailure"] = "cancel"
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return "", err
	}
	a, err := c.load.ask(ctx, "POST", "/v1/sagas", string(body), c.headers())
	if err != nil {
		return "", err
	}
	var s edda.Saga
	if err := json.Unmarshal(a.body, &s); err != nil || a.status != http.StatusCreated && a.status != http.StatusOK || s.ID == "" {
		return "", fmt.Errorf("create a %s: got %v", doc["name"], a)
	}
	return s.ID, nil
}

func (c *sagaClient) get(ctx context.Context, id, query string) (*edda.Saga, error) {
	a, err := c.load.ask(ctx, "GET", "/v1/sagas/"+id+query, "", http.Header{})
	if err != nil {
		return nil, err
	}
	s := &edda.Saga{}
	if err := json.Unmarshal(a.body, s); err != nil || a.status != http.StatusOK {
		return nil, fmt.Errorf("saga %s, which was acknowledged: got %v", id, a)
	}
	return s, nil
}

// end waits for a saga's end, which must be one of the wanted ones, in an order that
// makes sense.
func (c *sagaClient) end(ctx context.Context, id string, wanted ...edda.SagaState) (*edda.Saga, error) {
	for {
		s, err := c.get(ctx, id, "?wait=10s")
		if err != nil {
			return nil, err
		}
		if !s.State.Ended() {
			continue
		}
		if !slices.Contains(wanted, s.State) {
			return nil, fmt.Errorf("saga %s %s is %s, reason %s: %s; want %s", s.Name, id, s.State, s.Reason, s.Detail, wanted)
		}
		switch s.State {
		case edda.SagaSucceeded:
			c.tally.succeeded.Add(1)
		case edda.SagaCompensated:
			c.tally.compensated.Add(1)
		default:
			c.tally.flagged.Add(1)
			return s, inOrder(s)
		}
		c.ended[id] = s.State
		return s, inOrder(s)
	}
}

// inOrder checks that every compensation began when those of all steps that depend on
// its step had ended, and no step before what it depends on had.
func inOrder(s *edda.Saga) error {
	for i := range s.Steps {
		st := &s.Steps[i]
		for _, id := range st.After {
			d := &s.Steps[slices.IndexFunc(s.Steps, func(d edda.Step) bool { return d.ID == id })]
			switch {
			case !st.StartedAt.IsZero() && (d.EndedAt.IsZero() || st.StartedAt.Before(d.EndedAt)):
				return fmt.Errorf("saga %s: %s started at %v, it depends on %s, which ended at %v", s.ID, st.ID, st.StartedAt, id, d.EndedAt)
			case begun(d.Compensation) && begun(st.Compensation) && d.Compensation.StartedAt.Before(st.Compensation.EndedAt):
				return fmt.Errorf("saga %s: the compensation of %s began before that of %s was over", s.ID, id, st.ID)
			case begun(d.Compensation) && (st.State == edda.StepSucceeded || st.State == edda.StepRunning):
				return fmt.Errorf("saga %s: %s is undone while %s, which depends on it, is %s", s.ID, id, st.ID, st.State)
			}
		}
	}
	return nil
}

func begun(c *edda.Compensation) bool { return c != nil && !c.StartedAt.IsZero() }

// compare looks once more at all that has ended, and at the places of trips.
func (c *sagaClient) compare(ctx context.Context) error {
	for id, want := range c.ended {
		s, err := c.get(ctx, id, "")
		if err != nil {
			return err
		}
		if s.State != want {
			return fmt.Errorf("saga %s was %s, is %s", id, want, s.State)
		}
	}
	for service, want := range map[string]int{"flights": tripPlaces - c.booked, "hotels": tripPlaces - c.booked, "cars": c.cars} {
		a, err := c.load.ask(ctx, "POST", fmt.Sprintf("/v1/call/%s/c%d/left", service, c.id), `{}`, http.Header{"Content-Type": {"application/json"}})
		if err != nil {
			return err
		}
		var got struct{ Places int }
		if err := json.Unmarshal(a.body, &got); err != nil || got.Places != want {
			return fmt.Errorf("%s have %v places left, want %d", service, a, want)
		}
	}
	return nil
}
