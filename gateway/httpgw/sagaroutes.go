package httpgw

import (
	"net/http"

	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
)

// sagaRoutes are those about sagas. Most ask each operation for itself what the
// principal may do, because that depends on whose saga it is.
func sagaRoutes() []*route {
	routes := []*route{
		named("/v1/sagas",
			post((*Gateway).createSaga, apidoc.Operation{
				ID: "createSaga", Summary: "Create a saga, which starts at once unless it says otherwise",
				Header: []string{"Idempotency-Key", "Edda-Correlation-Id", "traceparent", "tracestate"},
				Body:   "SagaSpec", Schema: "Saga", Creates: true,
			}).needs(toAsk),
			get((*Gateway).listSagas, apidoc.Operation{
				ID: "listSagas", Summary: "Sagas without their steps, the latest first",
				Query: []string{"name", "saga.state", "principal", "since", "until", "limit", "after"}, Schema: "SagaList",
			}).needs(toAsk),
			op{method: http.MethodDelete, handle: (*Gateway).pruneSagas, doc: apidoc.Operation{
				ID: "pruneSagas", Summary: "Remove sagas that have ended; those with a failed compensation only by their state",
				Query: []string{"name", "saga.state", "since", "until"}, Schema: "Pruned",
			}},
		),
		named("/v1/sagas/{id}",
			get((*Gateway).getSaga, apidoc.Operation{
				ID: "getSaga", Summary: "A saga, with wait once it has ended", Query: []string{"wait"}, Schema: "Saga",
			}).needs(toAsk),
			op{method: http.MethodDelete, handle: (*Gateway).removeSaga, doc: apidoc.Operation{
				ID: "removeSaga", Summary: "Remove a saga that has ended", Success: http.StatusNoContent,
			}},
		),
		named("/v1/sagas/{id}/start", post((*Gateway).startSaga, apidoc.Operation{
			ID: "startSaga", Summary: "Start a saga; one that has started stays as it is", Schema: "Saga",
		}).needs(toAsk)),
		named("/v1/sagas/{id}/cancel", post((*Gateway).cancelSaga, apidoc.Operation{
			ID: "cancelSaga", Summary: "Undo a saga; one that has ended stays as it is", Schema: "Saga",
		}).needs(toAsk)),
		named("/v1/sagas/{id}/steps", post((*Gateway).addSteps, apidoc.Operation{
			ID: "addSteps", Summary: "Add a step to a saga, or an array of them, all or none",
			Body: "SagaSteps", Schema: "Saga", Success: http.StatusCreated,
		}).needs(toAsk)),
		byKey(named("/v1/sagas/{id}/steps/{step}/complete", post((*Gateway).completeStep, apidoc.Operation{
			ID: "completeStep", Summary: "Finish a running step; with its completion key no credentials are needed",
			Query: []string{reqhead.CompletionKey}, Body: "StepResult", Schema: "StepAnswer", Optional: true,
		}).needs(toAsk))),
		byKey(named("/v1/sagas/{id}/steps/{step}/fail", post((*Gateway).failStep, apidoc.Operation{
			ID: "failStep", Summary: "Fail a running step; with its completion key no credentials are needed",
			Query: []string{reqhead.CompletionKey}, Body: "StepFailure", Schema: "StepAnswer", Optional: true,
		}).needs(toAsk))),
		named("/v1/sagas/{id}/steps/{step}/compensation/retry", post((*Gateway).retryCompensation, apidoc.Operation{
			ID: "retryCompensation", Summary: "Run a compensation that has failed again", Schema: "Saga",
		})),
		named("/v1/sagas/{id}/steps/{step}/compensation/skip", post((*Gateway).skipCompensation, apidoc.Operation{
			ID: "skipCompensation", Summary: "Let a step stand whose compensation has failed", Schema: "Saga",
		})),
		named("/v1/sagas/{id}/steps/{step}/compensation/resolve", post((*Gateway).resolveCompensation, apidoc.Operation{
			ID: "resolveCompensation", Summary: "Say that a step was undone otherwise", Schema: "Saga",
		})),
	}
	for _, rt := range routes {
		rt.checkID = checkSagaID
	}
	return routes
}

// byKey returns the route, to which a completion key opens the way.
func byKey(rt *route) *route {
	rt.keyed = true
	return rt
}
