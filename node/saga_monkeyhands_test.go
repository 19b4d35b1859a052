package node_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/edda-io/edda"
)

// handle does what a handler may do, and what it had better not.
func (m *monkey) handle(ctx *edda.Context, msg *edda.Message) (*edda.Reply, error) {
	var in edda.StepInput
	if err := json.Unmarshal(msg.Payload, &in); err != nil {
		return nil, err
	}
	ok := &edda.Reply{Payload: []byte(strconv.Quote(in.StepID))}
	if m.isCalm() {
		return ok, nil
	}
	if m.roll(2) == 0 {
		time.Sleep(time.Duration(m.roll(3000)) * time.Millisecond)
	}
	switch m.roll(24) {
	case 0:
		return nil, edda.Final("NO", "no")
	case 1, 2:
		return nil, errHandler
	case 3:
		panic("monkey")
	case 4:
		<-ctx.Done()
		return nil, ctx.Err()
	case 5:
		time.Sleep(20 * time.Second) // hears nothing
		return ok, nil
	case 6, 7, 8:
		return nil, edda.ErrPending
	case 9:
		return &edda.Reply{Status: 503, Payload: []byte("busy")}, nil
	case 10:
		return &edda.Reply{Payload: []byte("{not json")}, nil
	case 11:
		for i := range 2 {
			ctx.AddSteps(m.step(fmt.Sprintf("%s-%d-%d", in.StepID, i, m.roll(100)), []string{in.StepID}, 1))
		}
		return ok, nil
	case 12:
		ctx.AddSteps(m.step("added", []string{"nobody"}, 1))
		return ok, nil
	default:
		return ok, nil
	}
}

// services are of every kind, with what follows a dead letter.
func (m *monkey) services() []*edda.Service {
	bal := balanced("bal", m.handle)
	bal.Concurrency, bal.Retry, bal.AttemptTimeout = 3, edda.RetryPolicy{Max: 3, Delay: time.Second}, 10*time.Second
	one := balanced("one", m.handle)
	one.Concurrency, one.Retry, one.AttemptTimeout = 1, edda.RetryPolicy{Max: 2, Delay: time.Second}, 10*time.Second
	ord := ordered("ord", m.handle)
	ord.Retry, ord.AttemptTimeout = edda.RetryPolicy{Max: 2, Delay: time.Second}, 10*time.Second
	stop := ordered("stop", m.handle)
	stop.Retry, stop.AttemptTimeout, stop.OnDead = edda.RetryPolicy{Max: 2, Delay: time.Second}, 10*time.Second, edda.StopKey
	pause := balanced("pause", m.handle)
	pause.Retry, pause.AttemptTimeout, pause.OnDead = edda.RetryPolicy{Max: 1, Delay: time.Second}, 10*time.Second, edda.Pause
	return []*edda.Service{bal, one, ord, stop, pause}
}

func (m *monkey) task() edda.Task {
	all := []string{"bal", "bal", "bal", "one", "one", "ord/a", "ord/b", "ord/c", "stop/a", "stop/b", "pause", "far", "far", "never"}
	to := all[m.roll(len(all))]
	if to == "never" && m.roll(3) > 0 {
		to = "bal"
	}
	t := task(to, "")
	if to == "never" {
		t.Retry = edda.RetryPolicy{Max: 2, Delay: time.Second}
	}
	return t
}

// step is a request, or a saga.
func (m *monkey) step(id string, after []string, depth int) edda.StepSpec {
	if depth > 0 && m.roll(8) == 0 {
		sp := &edda.SagaSpec{Steps: m.steps(1+m.roll(4), depth-1)}
		if m.roll(3) == 0 {
			sp.OnFailure = edda.CancelSteps
		}
		if m.roll(5) == 0 {
			sp.DeadlineAfter = time.Duration(1+m.roll(30)) * time.Second
		}
		return edda.StepSpec{ID: id, After: after, Saga: sp}
	}
	s := edda.StepSpec{ID: id, After: after, Task: m.task()}
	if m.roll(3) > 0 {
		c := m.task()
		s.Compensate = &c
	}
	return s
}

func (m *monkey) steps(n, depth int) []edda.StepSpec {
	var all []edda.StepSpec
	for i := range n {
		var after []string
		for d := range i {
			if m.roll(3) == 0 {
				after = append(after, fmt.Sprint("s", d))
			}
		}
		all = append(all, m.step(fmt.Sprint("s", i), after, depth))
	}
	return all
}
