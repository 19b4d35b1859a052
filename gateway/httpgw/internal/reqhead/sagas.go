package reqhead

import (
	"net/url"
	"slices"
	"strings"

	"github.com/edda-io/edda"
)

// SagaStates are the states of sagas, those first from which one goes on. Nobody changes them.
var SagaStates = []edda.SagaState{
	edda.SagaCreated, edda.SagaRunning, edda.SagaSucceeded, edda.SagaCompensating, edda.SagaCompensated,
	edda.SagaCompensationFailed, edda.SagaCancelled,
}

// endedStates are those in which a saga has ended.
var endedStates = []edda.SagaState{
	edda.SagaSucceeded, edda.SagaCompensated, edda.SagaCompensationFailed, edda.SagaCancelled,
}

func stateNames(states []edda.SagaState) string {
	names := make([]string, len(states))
	for i, s := range states {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// Sagas reads the parameters that choose sagas of a namespace.
func Sagas(namespace string, q url.Values) (edda.SagaFilter, error) {
	f := edda.SagaFilter{Namespace: namespace, Name: q.Get("name"), State: edda.SagaState(q.Get("state"))}
	if f.State != "" && !slices.Contains(SagaStates, f.State) {
		return f, refuse(edda.BadValue, "state must be one of "+stateNames(SagaStates))
	}
	var err error
	if f.Since, err = timeOf(q, "since"); err == nil {
		f.Until, err = timeOf(q, "until")
	}
	return f, err
}

// EndedSagas reads the parameters that choose sagas to be removed.
func EndedSagas(namespace string, q url.Values) (edda.SagaFilter, error) {
	if err := onlyOf(q, "name", "state", "since", "until"); err != nil {
		return edda.SagaFilter{}, err
	}
	f, err := Sagas(namespace, q)
	if err == nil && f.State != "" && !f.State.Ended() {
		err = refuse(edda.BadValue, "state must be one in which a saga has ended: "+stateNames(endedStates))
	}
	return f, err
}
