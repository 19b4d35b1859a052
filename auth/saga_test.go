package auth_test

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

func TestCheckSteps(t *testing.T) {
	g := &auth.Grant{Principal: "ada", Rights: auth.Rights{Call: []auth.Pattern{"flights", "trips:hotels", "undo"}, Append: []auth.Pattern{"rooms"}, Manage: true}}
	queued := func(stream string) edda.StepSpec {
		return edda.StepSpec{Queue: &edda.QueueSpec{Stream: stream, Success: "s", Failure: "f"}}
	}
	call := func(service string) edda.StepSpec { return edda.StepSpec{Task: edda.Task{Service: service}} }
	undone := func(s edda.StepSpec, service string) edda.StepSpec {
		s.Compensate = &edda.Task{Service: service}
		return s
	}
	nested := func(steps ...edda.StepSpec) edda.StepSpec { return edda.StepSpec{Saga: &edda.SagaSpec{Steps: steps}} }
	for _, tc := range []struct {
		name, namespace string
		steps           []edda.StepSpec
		refuse          string // the service that may not be called
	}{
		{name: "nothing"},
		{name: "all allowed", steps: []edda.StepSpec{undone(call("flights"), "undo"), nested(call("flights"))}},
		{name: "the default namespace by its name", namespace: edda.DefaultNamespace, steps: []edda.StepSpec{call("flights")}},
		{name: "another namespace", namespace: "trips", steps: []edda.StepSpec{call("hotels")}},
		{name: "not there", namespace: "trips", steps: []edda.StepSpec{call("flights")}, refuse: "trips:flights"},
		{name: "a step", steps: []edda.StepSpec{call("flights"), call("cars")}, refuse: "cars"},
		{name: "a compensation", steps: []edda.StepSpec{undone(call("flights"), "cars")}, refuse: "cars"},
		{name: "nested", steps: []edda.StepSpec{nested(nested(call("flights"), call("cars")))}, refuse: "cars"},
		{name: "a nested compensation", steps: []edda.StepSpec{nested(undone(call("flights"), "cars"))}, refuse: "cars"},
		{name: "of a nested saga itself", steps: []edda.StepSpec{undone(nested(call("flights")), "cars")}, refuse: "cars"},
		{name: "both", steps: []edda.StepSpec{{Task: edda.Task{Service: "cars"}, Saga: new(edda.SagaSpec)}}, refuse: "cars"},
		{name: "no service", steps: []edda.StepSpec{call("")}},
		{name: "messages", steps: []edda.StepSpec{undone(queued("rooms"), "undo"), nested(queued("rooms")), queued("")}},
		{name: "a message", steps: []edda.StepSpec{nested(queued("beds"))}, refuse: "beds"},
		{name: "what undoes a message", steps: []edda.StepSpec{undone(queued("rooms"), "cars")}, refuse: "cars"},
	} {
		err := g.CheckSteps(tc.namespace, tc.steps)
		if tc.refuse != "" {
			wantReason(t, tc.name, err, edda.NotAllowed, `"ada" may not `, tc.refuse)
		} else if err != nil {
			t.Errorf("%s: got %v, want to be allowed", tc.name, err)
		}
	}
}

func TestCheckSaga(t *testing.T) {
	s := &edda.Saga{
		Principal: "ada", Namespace: edda.DefaultNamespace,
		Steps: []edda.Step{{ID: "fly", Service: "flights"}, {ID: "nested", SagaID: "s~nested"}},
	}
	ada, bob := &auth.Grant{Principal: "ada"}, &auth.Grant{Principal: "bob", Rights: auth.Rights{Call: []auth.Pattern{"*:*"}}}
	host := &auth.Grant{Principal: "host", Rights: auth.Rights{Host: []auth.Pattern{"*"}}}
	elsewhere := &auth.Grant{Principal: "host", Rights: auth.Rights{Host: []auth.Pattern{"trips:*", "cars"}}}
	manager := &auth.Grant{Principal: "ops", Rights: auth.Rights{Manage: true}}
	for what, err := range map[string]error{
		"own": ada.CheckSaga(s), "everybody's": manager.CheckSaga(s),
		"own step": ada.CheckFinish(s, "fly"), "own step that is not there": ada.CheckFinish(s, "none"),
		"everybody's step": manager.CheckFinish(s, "fly"), "step of a service that it hosts": host.CheckFinish(s, "fly"),
	} {
		if err != nil {
			t.Errorf("%s: got %v, want to be allowed", what, err)
		}
	}
	for what, err := range map[string]error{
		"another's": bob.CheckSaga(s), "hosting a service of its steps": host.CheckSaga(s),
		"another's step": bob.CheckFinish(s, "fly"), "step of a service hosted by others": elsewhere.CheckFinish(s, "fly"),
		"a step that is a saga": host.CheckFinish(s, "nested"), "a step that is not there": host.CheckFinish(s, "none"),
	} {
		wantReason(t, what, err, edda.NotAllowed, "the saga is not one of")
	}
}

func TestVisibleSagas(t *testing.T) {
	ada, manager := &auth.Grant{Principal: "ada"}, &auth.Grant{Principal: "ops", Rights: auth.Rights{Manage: true}}
	for _, tc := range []struct {
		g          *auth.Grant
		asks, gets edda.Principal
	}{{ada, "", "ada"}, {ada, "ada", "ada"}, {manager, "", ""}, {manager, "ada", "ada"}} {
		f, err := tc.g.VisibleSagas(edda.SagaFilter{Name: "trip", Principal: tc.asks})
		if err != nil || f != (edda.SagaFilter{Name: "trip", Principal: tc.gets}) {
			t.Errorf("%s asks for those of %q: got %+v, %v, want those of %q", tc.g.Principal, tc.asks, f, err, tc.gets)
		}
	}
	_, err := ada.VisibleSagas(edda.SagaFilter{Principal: "bob"})
	wantReason(t, "another's", err, edda.NotAllowed, `"ada" may not see the sagas of "bob"`)
}

func TestAdmitKey(t *testing.T) {
	a, err := auth.NewTokens(token(t, "ada", "one", auth.Everything()))
	if err != nil {
		t.Fatal(err)
	}
	g, err := auth.AdmitKey(t.Context(), a, auth.Credential{})
	if err != nil || g.CheckManage() == nil || g.CheckCall("", "users") == nil || g.CheckHost("", "users") == nil {
		t.Errorf("with the key alone: got %+v, %v, want no right", g, err)
	}
	for _, p := range []edda.Principal{"", edda.Anonymous} {
		wantReason(t, "with the key alone, a saga", g.CheckSaga(&edda.Saga{Principal: p}), edda.NotAllowed)
	}
	_, err = g.VisibleSagas(edda.SagaFilter{})
	wantReason(t, "with the key alone, all sagas", err, edda.NotAllowed)
	if g, err := auth.AdmitKey(t.Context(), a, auth.Credential{Token: "one"}); err != nil || g.Principal != "ada" {
		t.Errorf("with a token: got %+v, %v, want ada", g, err)
	}
	_, err = auth.AdmitKey(t.Context(), a, auth.Credential{Token: "two"})
	wantReason(t, "with a wrong token", err, edda.NoCredentials)
	if g, err := auth.AdmitKey(t.Context(), nil, auth.Credential{}); err != nil || g.CheckManage() != nil {
		t.Errorf("without an authenticator: got %+v, %v, want every right", g, err)
	}
}
