package httpgw

import (
	"net/http"

	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
)

// sagaRoutes are those about sagas. Most ask each operation for itself what the
// principal may do, because that depends on whose saga it is.
func sagaRoutes() []*route {
	routes := []*route{
		named("/v1/sagas",
			post((*Gateway).createSaga, opDoc{
				id: "createSaga", summary: "Create a saga, which starts at once unless it says otherwise",
				header: []string{"Idempotency-Key", "Edda-Correlation-Id", "traceparent", "tracestate"},
				body:   "SagaSpec", schema: "Saga", creates: true,
			}).needs(toAsk),
			get((*Gateway).listSagas, opDoc{
				id: "listSagas", summary: "Sagas without their steps, the latest first",
				query: []string{"name", "saga.state", "principal", "since", "until", "limit", "after"}, schema: "SagaList",
			}).needs(toAsk),
			op{method: http.MethodDelete, handle: (*Gateway).pruneSagas, doc: opDoc{
				id: "pruneSagas", summary: "Remove sagas that have ended; those with a failed compensation only by their state",
				query: []string{"name", "saga.state", "since", "until"}, schema: "Pruned",
			}},
		),
		named("/v1/sagas/{id}",
			get((*Gateway).getSaga, opDoc{
				id: "getSaga", summary: "A saga, with wait once it has ended", query: []string{"wait"}, schema: "Saga",
			}).needs(toAsk),
			op{method: http.MethodDelete, handle: (*Gateway).removeSaga, doc: opDoc{
				id: "removeSaga", summary: "Remove a saga that has ended", success: http.StatusNoContent,
			}},
		),
		named("/v1/sagas/{id}/start", post((*Gateway).startSaga, opDoc{
			id: "startSaga", summary: "Start a saga; one that has started stays as it is", schema: "Saga",
		}).needs(toAsk)),
		named("/v1/sagas/{id}/cancel", post((*Gateway).cancelSaga, opDoc{
			id: "cancelSaga", summary: "Undo a saga; one that has ended stays as it is", schema: "Saga",
		}).needs(toAsk)),
		named("/v1/sagas/{id}/steps", post((*Gateway).addSteps, opDoc{
			id: "addSteps", summary: "Add a step to a saga, or an array of them, all or none",
			body: "SagaSteps", schema: "Saga", success: http.StatusCreated,
		}).needs(toAsk)),
		byKey(named("/v1/sagas/{id}/steps/{step}/complete", post((*Gateway).completeStep, opDoc{
			id: "completeStep", summary: "Finish a running step; with its completion key no credentials are needed",
			query: []string{reqhead.CompletionKey}, body: "StepResult", schema: "StepAnswer", optional: true,
		}).needs(toAsk))),
		byKey(named("/v1/sagas/{id}/steps/{step}/fail", post((*Gateway).failStep, opDoc{
			id: "failStep", summary: "Fail a running step; with its completion key no credentials are needed",
			query: []string{reqhead.CompletionKey}, body: "StepFailure", schema: "StepAnswer", optional: true,
		}).needs(toAsk))),
		named("/v1/sagas/{id}/steps/{step}/compensation/retry", post((*Gateway).retryCompensation, opDoc{
			id: "retryCompensation", summary: "Run a compensation that has failed again", schema: "Saga",
		})),
		named("/v1/sagas/{id}/steps/{step}/compensation/skip", post((*Gateway).skipCompensation, opDoc{
			id: "skipCompensation", summary: "Let a step stand whose compensation has failed", schema: "Saga",
		})),
		named("/v1/sagas/{id}/steps/{step}/compensation/resolve", post((*Gateway).resolveCompensation, opDoc{
			id: "resolveCompensation", summary: "Say that a step was undone otherwise", schema: "Saga",
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
