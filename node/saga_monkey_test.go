package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// monkey does to sagas whatever comes to its mind.
type monkey struct {
	t   *testing.T
	n   *node.Node
	d   *disk
	far *farWorker // nil while it is away
	ids []string   // of sagas

	mu   sync.Mutex // guards what follows
	rng  *rand.Rand
	calm bool // handlers do as they are told
}

var monkeyOptions = node.Options{CheckpointBytes: 15_000}

func (m *monkey) roll(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rng.IntN(n)
}

func (m *monkey) isCalm() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calm
}

func (m *monkey) some() string {
	if len(m.ids) == 0 {
		return "none"
	}
	return m.ids[m.roll(len(m.ids))]
}

func (m *monkey) attachFar() {
	if m.far != nil {
		return
	}
	s := balancedSpec("far")
	s.Retry = edda.RetryPolicy{Max: 3, Delay: time.Second}
	w := &farWorker{handle: func(a *node.Attempt) {
		if !m.isCalm() {
			time.Sleep(time.Duration(m.roll(2000)) * time.Millisecond)
			switch m.roll(8) {
			case 0:
				return // never
			case 1:
				_ = a.Done(&edda.Outcome{Pending: true})
				return
			case 2:
				_ = a.Done(&edda.Outcome{Err: errHandler})
				return
			}
		}
		_ = a.Done(reply("1"))
	}}
	got, err := m.n.Attach(m.t.Context(), spec("", s), w)
	if err != nil {
		m.t.Fatalf("attach worker: %v", err)
	}
	w.Worker = got
	m.far = w
}

func (m *monkey) detachFar() {
	if m.far != nil {
		m.far.Detach()
		m.far = nil
	}
}

// restart ends the node, in order or not, and opens it on what its disk has kept.
func (m *monkey) restart(crash bool) {
	m.detachFar()
	if crash {
		left := &disk{m.d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(m.roll(1000)), 2))})}
		_ = m.n.Stop(ended(m.t))
		m.d = left
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+m.roll(5))*time.Second)
		_ = m.n.Stop(ctx)
		cancel()
	}
	m.n = m.d.open(m.t, monkeyOptions, m.services()...)
	m.attachFar()
}

// act does one thing.
func (m *monkey) act() {
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	switch m.roll(26) {
	case 0, 1, 2, 3, 4, 5:
		sp := &edda.SagaSpec{ID: fmt.Sprint("m", len(m.ids)), Name: "m", Start: m.roll(6) > 0, Steps: m.steps(1+m.roll(7), 2)}
		if m.roll(3) == 0 {
			sp.OnFailure = edda.CancelSteps
		}
		if m.roll(4) == 0 {
			sp.DeadlineAfter = time.Duration(1+m.roll(60)) * time.Second
		}
		if _, err := m.n.CreateSaga(ctx, sp); err == nil { // it may ask for what is refused
			m.ids = append(m.ids, sp.ID)
		}
	case 6:
		_, _ = m.n.CancelSaga(ctx, "", m.some())
	case 7:
		_, _ = m.n.StartSaga(ctx, "", m.some())
	case 8, 9, 10:
		m.finish(m.some(), false)
	case 11:
		_, _ = m.n.AddSteps(ctx, "", m.some(), []edda.StepSpec{m.step(fmt.Sprint("x", m.roll(1000)), nil, 1)})
	case 12:
		_, _ = m.n.PauseService(ctx, "", []string{"bal", "one", "ord", "far"}[m.roll(4)])
	case 13, 14:
		m.resume()
	case 15:
		m.detachFar()
	case 16:
		m.attachFar()
	case 17:
		m.detachFar()
		_ = m.n.DeleteService(ctx, "", "far", true)
	case 18:
		m.restart(false)
	case 19:
		m.restart(true)
	case 20:
		rs, _, err := m.n.Requests(ctx, node.RequestFilter{}, node.Page{})
		if err == nil && len(rs) > 0 {
			_, _ = m.n.Cancel(ctx, "", rs[m.roll(len(rs))].ID)
		}
	case 21:
		m.undo(m.some(), []edda.CompensationAction{edda.RetryCompensation, edda.SkipCompensation, edda.ResolveCompensation}[m.roll(3)])
	case 22:
		_, _ = m.n.PruneSagas(ctx, edda.SagaFilter{})
	default:
		time.Sleep(time.Duration(m.roll(8000)) * time.Millisecond)
	}
}

// resume resumes what was paused or stopped.
func (m *monkey) resume() {
	for _, s := range []string{"bal", "one", "ord", "far", "stop", "pause"} {
		_, _ = m.n.ResumeService(m.t.Context(), "", s)
	}
	for _, s := range []string{"ord", "stop"} {
		for _, k := range []string{"a", "b", "c"} {
			_, _ = m.n.ResumeKey(m.t.Context(), "", s, k)
		}
	}
}

// finish finishes pending steps of a saga and of those within it.
func (m *monkey) finish(id string, all bool) {
	s, err := m.n.Saga(m.t.Context(), "", id)
	if err != nil {
		return
	}
	for i := range s.Steps {
		st := &s.Steps[i]
		if st.SagaID != "" {
			if st.State == edda.StepRunning || st.State == edda.StepCompensating {
				m.finish(st.SagaID, all)
			}
			continue
		}
		if st.State == edda.StepRunning && (all && st.Pending || !all && m.roll(3) == 0) {
			r := edda.StepResult{Result: json.RawMessage("7")}
			if !all && m.roll(5) == 0 {
				r.Error = &edda.StepError{Message: "monkey"}
			}
			_, _ = m.n.FinishStep(m.t.Context(), "", id, st.ID, r)
		}
	}
}

// undo deals with the failed compensations of a saga and of those within it.
func (m *monkey) undo(id string, a edda.CompensationAction) {
	s, err := m.n.Saga(m.t.Context(), "", id)
	if err != nil {
		return
	}
	for i := range s.Steps {
		st := &s.Steps[i]
		if st.SagaID != "" {
			if st.State == edda.StepCompensating || st.State == edda.StepRunning {
				m.undo(st.SagaID, a)
			}
			continue
		}
		if st.Compensation != nil && st.Compensation.State == edda.CompensationFailed {
			_, _ = m.n.Compensate(m.t.Context(), "", id, st.ID, a)
		}
	}
}

// over reports whether all sagas have come to their end.
func (m *monkey) over() bool {
	for _, id := range m.ids {
		s, err := m.n.Saga(m.t.Context(), "", id)
		if err == nil && (!s.State.Ended() && s.State != edda.SagaCreated || s.State == edda.SagaCompensationFailed) {
			return false
		}
	}
	return true
}

// check leaves everybody in peace, and then looks at what has become of them.
func (m *monkey) check() {
	t := m.t
	m.mu.Lock()
	m.calm = true
	m.mu.Unlock()
	for range 12 {
		m.attachFar()
		m.resume()
		time.Sleep(time.Minute)
		for _, id := range m.ids {
			m.finish(id, true)
			m.undo(id, edda.RetryCompensation)
		}
		if m.over() {
			break
		}
	}
	for range 5 { // compensations that fail again: never
		for _, id := range m.ids {
			m.undo(id, edda.ResolveCompensation)
		}
		time.Sleep(time.Minute)
	}
	synctest.Wait()
	for _, id := range m.ids {
		m.checkSaga(id)
	}
	rs, _, err := m.n.Requests(t.Context(), node.RequestFilter{}, node.Page{})
	if err != nil || len(rs) > 0 {
		t.Errorf("requests are left: %+v %v", rs, err)
	}
	noSlotIsLost(t, m.n, "bal", "one", "ord", "stop", "pause", "far")
	if got := node.Strangers(m.n); got != 0 {
		t.Errorf("%d strangers", got)
	}
}

func (m *monkey) checkSaga(id string) {
	t := m.t
	s, err := m.n.Saga(t.Context(), "", id)
	if err != nil {
		return
	}
	if s.State != edda.SagaCreated && (!s.State.Ended() || s.State == edda.SagaCompensationFailed) {
		t.Errorf("saga %s has not ended: %s", id, states(s))
	}
	byID := map[string]*edda.Step{}
	for i := range s.Steps {
		byID[s.Steps[i].ID] = &s.Steps[i]
		if s.Steps[i].SagaID != "" && s.Steps[i].State != edda.StepSkipped && s.Steps[i].State != edda.StepWaiting {
			m.checkSaga(s.Steps[i].SagaID)
		}
	}
	for _, st := range byID {
		if s.State == edda.SagaSucceeded && st.State != edda.StepSucceeded {
			t.Errorf("saga %s succeeded, its step %s is %s", id, st.ID, st.State)
		}
		if st.Compensation == nil || st.Compensation.StartedAt.IsZero() {
			continue
		}
		if st.Compensation.StartedAt.Before(st.EndedAt) {
			t.Errorf("saga %s: step %s undone before done", id, st.ID)
		}
		for _, d := range st.After {
			if c := byID[d].Compensation; c != nil && !c.StartedAt.IsZero() && c.StartedAt.Before(st.Compensation.EndedAt) {
				t.Errorf("saga %s: %s undone before %s", id, d, st.ID)
			}
		}
	}
}

// Whatever services, workers, people and machines do to sagas: once they are left in
// peace each comes to its end, in order, and nothing is left of it but itself.
func TestSagaMonkey(t *testing.T) {
	for seed := range uint64(10) {
		bubble(t, fmt.Sprint(seed), func(t *testing.T) {
			m := &monkey{t: t, rng: rand.New(rand.NewPCG(seed, 1)), d: newDisk()}
			m.n = m.d.open(t, monkeyOptions, m.services()...)
			m.attachFar()
			for range 150 {
				m.act()
			}
			m.check()
			m.restart(true)
			m.check()
			m.detachFar()
			stop(t, m.n)
		})
	}
}
