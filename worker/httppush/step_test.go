package httppush

import (
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

// An endpoint that is a step of a saga leaves it pending, and adds steps to it.
func TestSteps(t *testing.T) {
	const one = `{"id":"a","service":"cars","method":"rent","args":[1],"after":["b"]}`
	const two = `[` + one + `,{"id":"b","service":"cars","key":"x","method":"rent","compensate":{"service":"cars","method":"cancel"}}]`
	step, undo := &edda.StepRef{SagaID: "trip"}, &edda.StepRef{SagaID: "trip", Undo: true}
	for _, tc := range []struct {
		name    string
		spec    func(string) edda.EndpointSpec
		body    string
		headers []string
		step    *edda.StepRef
		pending bool
		added   int
		changes int
		wrong   string
	}{
		{name: "plain", spec: users, headers: []string{"Edda-Pending", "true"}, step: step, pending: true},
		{name: "plain, refused", spec: users, headers: []string{"Edda-Pending", "true"}, wrong: "only a step of a saga may be"},
		{name: "plain compensation", spec: users, headers: []string{"Edda-Pending", "TRUE"}, step: undo, wrong: "a compensation was left pending"},
		{name: "not pending", spec: users, body: "1", headers: []string{"Edda-Pending", "false"}, step: step},
		{name: "envelope by its header", spec: enveloped, body: "no envelope", headers: []string{"Edda-Pending", "true"}, step: step, pending: true},
		{
			name: "envelope", spec: enveloped, body: `{"pending":true,"state":{"set":{"x":1}},"send":[{"service":"s","method":"m"}],"addSteps":` + two + `}`,
			step: step, pending: true, added: 2, changes: 2,
		},
		{name: "one step", spec: enveloped, body: `{"data":1,"addSteps":` + one + `}`, step: step, added: 1},
		{name: "no steps", spec: enveloped, body: `{"addSteps":[]}`, step: step},
		{name: "pending compensation", spec: enveloped, body: `{"pending":true}`, step: undo, wrong: "a compensation was left pending"},
		{name: "steps of a compensation", spec: enveloped, body: `{"addSteps":` + one + `}`, step: undo, wrong: "its saga is being undone"},
		{name: "an unknown member", spec: enveloped, body: `{"addSteps":{"id":"a","service":"cars","method":"rent","args":[],"needs":["b"]}}`, step: step, wrong: "needs"},
		{name: "no service", spec: enveloped, body: `{"addSteps":{"id":"a"}}`, step: step, wrong: "service is missing"},
		{name: "no step", spec: enveloped, body: `{"addSteps":1}`, step: step, wrong: "addSteps"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := tryStep(t, tc.spec(server(t, answerWith(200, tc.body, tc.headers...))), &edda.Message{}, state{}, tc.step)
			if tc.wrong != "" {
				if out.Err == nil || !strings.Contains(out.Err.Error(), tc.wrong) {
					t.Errorf("got %v, want a failed attempt that says %q", out.Err, tc.wrong)
				}
				return
			}
			if out.Err != nil || out.Pending != tc.pending || len(out.Steps) != tc.added || len(out.Set)+len(out.Sends) != tc.changes {
				t.Errorf("got %+v", out)
			}
		})
	}
}

func enveloped(url string) edda.EndpointSpec { return envelope(users(url)) }
