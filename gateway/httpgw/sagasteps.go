package httpgw

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/jsonbody"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/internal/specjson"
)

// addSteps adds a step, or an array of them, and answers with the saga.
func (g *Gateway) addSteps(x *exchange) error {
	b, err := g.jsonBody(x)
	if err != nil {
		return err
	}
	steps, err := specjson.Steps(b)
	if err != nil {
		return err
	}
	if err := g.ownSaga(x); err != nil {
		return err
	}
	if err := x.grant.CheckSteps(x.namespace, steps); err != nil {
		return err
	}
	s, err := g.sagas.AddSteps(x.r.Context(), x.namespace, x.args[0], steps)
	if err != nil {
		return err
	}
	x.w.Header()["Location"] = []string{x.sagaPath(s.ID)}
	return x.saga(http.StatusCreated, s)
}

// completeStep finishes a step with a result, null where there is none.
func (g *Gateway) completeStep(x *exchange) error {
	var r edda.StepResult
	return g.finishStep(x, &r, jsonbody.Members{"result": func(v json.RawMessage) error {
		r.Result = v
		return nil
	}})
}

// failStep fails a step.
func (g *Gateway) failStep(x *exchange) error {
	r := edda.StepResult{Error: &edda.StepError{Reason: edda.Failed}}
	return g.finishStep(x, &r, jsonbody.Members{
		"error": jsonbody.Within("error", jsonbody.Members{"message": jsonbody.String("error.message", &r.Error.Message)}),
	})
}

// finishStep reads the body into the result and applies it. The answer says what
// became of that.
func (g *Gateway) finishStep(x *exchange, r *edda.StepResult, known jsonbody.Members) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	if err := g.objectOrNothing(x, known); err != nil {
		return err
	}
	if err := g.mayFinish(x, q, r); err != nil {
		return err
	}
	a, err := g.sagas.FinishStep(x.r.Context(), x.namespace, x.args[0], x.args[1], *r)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, a)
}

// mayFinish checks that the principal may finish the path's step, or hands the
// completion key on to the backend, which knows whether it is right.
func (g *Gateway) mayFinish(x *exchange, q url.Values, r *edda.StepResult) error {
	if q.Has(reqhead.CompletionKey) {
		if r.CompletionKey = q.Get(reqhead.CompletionKey); r.CompletionKey == "" {
			return refuse(edda.NotAllowed, reqhead.CompletionKey+" is empty")
		}
		return nil
	}
	if len(x.grant.Host) == 0 || x.grant.Manage {
		return g.ownSaga(x)
	}
	s, err := g.sagaAlone(x)
	if err != nil {
		return err
	}
	if x.grant.CheckSaga(s) == nil {
		return nil
	}
	s, err = g.sagas.Saga(x.r.Context(), x.namespace, x.args[0])
	if err != nil {
		return err
	}
	return x.grant.CheckFinish(s, x.args[1])
}

func (g *Gateway) retryCompensation(x *exchange) error {
	return g.compensate(x, edda.RetryCompensation)
}

func (g *Gateway) skipCompensation(x *exchange) error { return g.compensate(x, edda.SkipCompensation) }

func (g *Gateway) resolveCompensation(x *exchange) error {
	return g.compensate(x, edda.ResolveCompensation)
}

// compensate acts on the compensation of a step and answers with the saga.
func (g *Gateway) compensate(x *exchange, a edda.CompensationAction) error {
	if err := g.noBody(x); err != nil {
		return err
	}
	s, err := g.sagas.Compensate(x.r.Context(), x.namespace, x.args[0], x.args[1], a)
	if err != nil {
		return err
	}
	return x.saga(http.StatusOK, s)
}
