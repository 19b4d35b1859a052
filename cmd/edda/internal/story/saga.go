package story

import (
	"fmt"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

// trip is a saga whose three steps run at the same time. Nobody has opened the car
// rental, so that one of them fails.
func trip(t *teller) {
	flight, hotel, car := t.to("flights", "LH1"), t.to("hotels", "ritz"), t.to("cars", "beetle")
	open := func(a edda.Address, places string) {
		t.post(eddahttp.Call{To: a, Method: "open", Payload: []byte(places)}, "200 "+places)
	}
	open(flight, `{"places":5}`)
	open(hotel, `{"places":3}`)

	steps := make([]string, 0, 3)
	for _, s := range []struct {
		id string
		at edda.Address
	}{{"flight", flight}, {"hotel", hotel}, {"car", car}} {
		steps = append(steps, fmt.Sprintf(`{"id":%q,"service":%q,"key":%q,"method":"book","args":[2],`+
			`"compensate":{"service":%[2]q,"key":%[3]q,"method":"cancel"}}`, s.id, s.at.Name, s.at.Key))
	}
	spec := `{"name":"trip","steps":[` + strings.Join(steps, ",") + `]}`
	s, _, err := t.Client.CreateSaga(t.ctx, eddahttp.NewSaga{Spec: []byte(spec)})
	if err == nil {
		s, err = t.Client.Saga(t.ctx, s.ID, maxWait)
	}
	if !t.undone("POST /v1/sagas  book 2 places each of flight, hotel and car", s, err, edda.StepCompensated, edda.StepCompensated, edda.StepFailed) {
		return
	}
	left := func(a edda.Address, want string) {
		t.post(eddahttp.Call{To: a, Method: "left", Payload: []byte("{}")}, "200 "+want)
	}
	left(flight, `{"places":5}`)
	left(hotel, `{"places":3}`)
	t.sayf("A saga is a set of steps that are done all, or undone in reverse order.")
}

// undone prints a saga that was undone, and what became of its steps. It reports whether
// there is one.
func (t *teller) undone(sent string, s *edda.Saga, err error, steps ...edda.StepState) bool {
	want := string(edda.SagaCompensated)
	if err != nil {
		t.line(sent, outcome(nil, err), false, want)
		return false
	}
	t.line(sent, string(s.State), s.State == edda.SagaCompensated, want)
	for i, want := range steps {
		step := edda.Step{}
		if i < len(s.Steps) {
			step = s.Steps[i]
		}
		fact := fmt.Sprintf("step %s is %s", step.ID, step.State)
		if step.Error != nil {
			fact += ": " + step.Error.Message
		}
		t.check(step.State == want, fact, string(want))
	}
	return true
}
