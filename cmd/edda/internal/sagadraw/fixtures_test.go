package sagadraw

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/edda-io/edda"
)

// start is when all sagas of the tests began.
var start = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

// step is a step that has succeeded.
func step(id, service, method string, from, to int, after ...string) edda.Step {
	return edda.Step{
		ID: id, Service: service, Method: method, State: edda.StepSucceeded, After: after, Attempts: 1,
		StartedAt: at(from), EndedAt: at(to), Result: json.RawMessage(`{}`),
	}
}

// waiting is a step that has not started.
func waiting(id, service, method string, state edda.StepState, after ...string) edda.Step {
	return edda.Step{ID: id, Service: service, Method: method, State: state, After: after}
}

func in(t edda.Step, state edda.StepState) edda.Step {
	t.State = state
	return t
}

func failing(t edda.Step, attempts int, reason edda.Reason, status int, message string) edda.Step {
	t.State, t.Attempts, t.Result = edda.StepFailed, attempts, nil
	t.Error = &edda.StepError{Reason: reason, Status: status, Message: message}
	return t
}

func undoing(t edda.Step, service, method string, state edda.CompensationState, from, to int) edda.Step {
	t.Compensation = &edda.Compensation{Service: service, Method: method, State: state, Attempts: 1, StartedAt: at(from), EndedAt: at(to)}
	return t
}

// fixtures are the sagas that are drawn.
func fixtures() map[string]*edda.Saga {
	return map[string]*edda.Saga{
		"one":            {ID: "pdf-1", State: edda.SagaSucceeded, Steps: []edda.Step{step("pdf", "press", "print", 0, 180)}},
		"hammer":         hammer(),
		"hammer-fails":   hammerFails(),
		"trip":           trip(),
		"diamond":        diamond(),
		"nested":         nested(),
		"wide":           wideSaga(),
		"large":          large(),
		"person":         person(),
		"chain":          chain(),
		"crossed":        crossed(),
		"running":        runningSaga(),
		"text-of-others": textOfOthers(),
	}
}

func hammer() *edda.Saga {
	return &edda.Saga{ID: "hammer-1", State: edda.SagaSucceeded, Steps: []edda.Step{
		step("head", "forge", "cast", 1, 43),
		step("handle", "wood", "turn", 1, 31),
		step("hammer", "forge", "join", 44, 62, "head", "handle"),
	}}
}

func hammerFails() *edda.Saga {
	return &edda.Saga{ID: "hammer-2", State: edda.SagaCompensated, Reason: edda.SagaStepFailed, Steps: []edda.Step{
		undoing(in(step("head", "forge", "cast", 1, 43), edda.StepCompensated), "forge", "melt", edda.CompensationSucceeded, 300, 312),
		in(step("handle", "wood", "turn", 1, 31), edda.StepNotCompensated),
		failing(step("hammer", "forge", "join", 44, 299, "head", "handle"), 3, edda.Failed, 409, "the head does not fit the handle"),
	}}
}

func trip() *edda.Saga {
	flight := undoing(in(step("flight", "flights", "book", 1, 120), edda.StepCompensated), "flights", "cancel", edda.CompensationSucceeded, 910, 1000)
	flight.Key = "LH-1207"
	hotel := undoing(in(step("hotel", "hotels", "book", 121, 300, "flight"), edda.StepCompensating), "hotels", "cancel", edda.CompensationRunning, 900, 0)
	hotel.Compensation.EndedAt = time.Time{}
	car := failing(step("car", "cars", "book", 121, 890, "flight"), 5, edda.Failed, 0, "no car is left in Trondheim on that day")
	car = undoing(car, "cars", "cancel", edda.CompensationWaiting, 0, 0)
	return &edda.Saga{ID: "trip-1", State: edda.SagaCompensating, Reason: edda.SagaStepFailed, Steps: []edda.Step{
		flight, hotel, car, waiting("mail", "mail", "send", edda.StepSkipped, "hotel", "car"),
	}}
}

// diamond has an edge that skips levels.
func diamond() *edda.Saga {
	return &edda.Saga{ID: "diamond-1", State: edda.SagaSucceeded, Steps: []edda.Step{
		step("order", "orders", "take", 0, 5),
		step("pay", "bank", "charge", 5, 1200, "order"),
		step("stock", "stock", "reserve", 5, 30, "order"),
		step("pack", "packers", "pack", 1200, 9000, "pay", "stock"),
		step("ship", "post", "ship", 9000, 99_000, "pack", "order"),
	}}
}

func nested() *edda.Saga {
	tour := edda.Step{ID: "tour", SagaID: "holiday~tour", State: edda.StepRunning, StartedAt: at(40), After: []string{"visa"}}
	return &edda.Saga{ID: "holiday", State: edda.SagaRunning, Steps: []edda.Step{
		step("visa", "consulate", "ask", 1, 40),
		tour,
		undoing(waiting("pay", "bank", "charge", edda.StepWaiting, "tour"), "bank", "refund", edda.CompensationWaiting, 0, 0),
	}}
}

func runningSaga() *edda.Saga {
	sign := waiting("sign", "lawyers", "sign", edda.StepRunning, "draft")
	sign.Pending, sign.StartedAt = true, at(-86_400_000)
	call := waiting("call", "phones", "ring", edda.StepRunning, "draft")
	call.StartedAt = at(-3_000)
	draft := step("draft", "lawyers", "write", -90_000_000, -86_400_000)
	draft.Attempts = 2
	return &edda.Saga{ID: "contract-9", State: edda.SagaRunning, Steps: []edda.Step{
		draft, sign, call,
		waiting("archive", "files", "keep", edda.StepWaiting, "sign", "call"),
		waiting("stamp", "files", "stamp", edda.StepReady),
	}}
}

// person waits for somebody to decide.
func person() *edda.Saga {
	s := trip()
	s.ID, s.State = "trip-2", edda.SagaCompensationFailed
	s.Steps[1] = undoing(in(s.Steps[1], edda.StepCompensating), "hotels", "cancel", edda.CompensationFailed, 900, 5900)
	s.Steps[1].Compensation.Attempts = 5
	s.Steps[1].Compensation.Error = &edda.StepError{Reason: edda.Failed, Status: 503, Message: "the hotel does not pick up"}
	s.Steps[0] = undoing(in(s.Steps[0], edda.StepSucceeded), "flights", "cancel", edda.CompensationWaiting, 0, 0)
	return s
}

// crossed has edges that cannot be drawn without crossings.
func crossed() *edda.Saga {
	s := &edda.Saga{ID: "crossed", State: edda.SagaSucceeded}
	for _, id := range []string{"a", "b", "c"} {
		s.Steps = append(s.Steps, step(id, "svc", "do", 0, 1))
	}
	s.Steps = append(s.Steps,
		step("ab", "svc", "do", 1, 2, "a", "b"), step("ac", "svc", "do", 1, 2, "a", "c"), step("bc", "svc", "do", 1, 2, "b", "c"),
		step("abc", "svc", "do", 2, 3, "ab", "bc", "ac", "b"))
	return s
}

func wideSaga() *edda.Saga {
	s := &edda.Saga{ID: "wide", State: edda.SagaRunning, Steps: []edda.Step{step("split", "pdf", "split", 0, 8)}}
	var pages []string
	for i := range 30 {
		id := fmt.Sprintf("page-%02d", i+1)
		pages = append(pages, id)
		t := step(id, "pdf", "render", 8, 20+7*i, "split")
		if i == 17 {
			t = failing(t, 3, edda.Failed, 500, "out of ink")
		}
		s.Steps = append(s.Steps, t)
	}
	s.Steps = append(s.Steps, waiting("join", "pdf", "join", edda.StepSkipped, pages...))
	return s
}

// large is 10,000 steps, 100 wide.
func large() *edda.Saga {
	s := &edda.Saga{ID: "large", State: edda.SagaRunning}
	for i := range 10_000 {
		level := i / 100
		var after []string
		if level > 0 {
			after = []string{fmt.Sprintf("s%d", i-100), fmt.Sprintf("s%d", (level-1)*100+(i+1)%100)}
		}
		id := fmt.Sprintf("s%d", i)
		switch {
		case level < 60:
			s.Steps = append(s.Steps, step(id, "mill", "grind", 10*level, 10*level+9, after...))
		case level == 60 && i%9 == 0:
			t := waiting(id, "mill", "grind", edda.StepRunning, after...)
			t.StartedAt = at(600)
			s.Steps = append(s.Steps, t)
		case level == 60 && i%50 == 1:
			s.Steps = append(s.Steps, failing(step(id, "mill", "grind", 600, 640, after...), 1, edda.Panicked, 0, "index out of range"))
		case level == 60:
			s.Steps = append(s.Steps, step(id, "mill", "grind", 600, 609, after...))
		default:
			s.Steps = append(s.Steps, waiting(id, "mill", "grind", edda.StepWaiting, after...))
		}
	}
	return s
}

// chain is 10,000 steps, one after the other.
func chain() *edda.Saga {
	s := &edda.Saga{ID: "chain", State: edda.SagaRunning}
	for i := range 10_000 {
		var after []string
		if i > 0 {
			after = []string{fmt.Sprintf("link-%d", i)}
		}
		t := waiting(fmt.Sprintf("link-%d", i+1), "smith", "forge", edda.StepWaiting, after...)
		switch {
		case i < 7_499:
			t.State, t.StartedAt, t.EndedAt, t.Attempts = edda.StepSucceeded, at(i), at(i+1), 1
		case i == 7_499:
			t.State, t.StartedAt = edda.StepRunning, at(i)
		}
		s.Steps = append(s.Steps, t)
	}
	return s
}

// textOfOthers has what could break a drawing.
func textOfOthers() *edda.Saga {
	t := failing(step("évil", "svc", "do", 0, 4), 1, edda.Failed, 0, "\x1b[31m`red` \"quoted\" <b>#1</b> & \u6f22\u5b57\nsecond line")
	t.Key = `k"|]-->x; end`
	return &edda.Saga{ID: "evil", State: edda.SagaCompensated, Steps: []edda.Step{
		t, waiting("end", "graph", "subgraph", edda.StepSkipped, "évil", "nobody"),
	}}
}
