package auth

import (
	"context"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
)

// AdmitKey is Admit for a call that finishes a step of a saga with its completion
// key. The key is the right to that, which the backend checks, and CheckFinish need
// not be asked. Whoever shows no credential beside it is nobody: the grant has no
// principal and no right. A credential that is shown must be valid nevertheless.
func AdmitKey(ctx context.Context, a Authenticator, c Credential) (*Grant, error) {
	if a == nil || !c.IsZero() {
		return Admit(ctx, a, c)
	}
	return keyHolder, nil
}

// keyHolder is not edda.Anonymous, who may have sagas of its own.
var keyHolder = new(Grant)

// CheckSteps returns NOT_ALLOWED unless the principal may call every service that
// the steps name, what undoes them and the steps of nested sagas among it, and append to
// every stream that a step's message goes to. So it is
// for a saga to create, and for steps to add to one. A task that names no service is
// left to the backend, which refuses it.
func (g *Grant) CheckSteps(namespace string, steps []edda.StepSpec) error {
	for i := range steps {
		s := &steps[i]
		err := g.checkTask(namespace, &s.Task)
		if err == nil && s.Queue != nil && s.Queue.Stream != "" { // else it is malformed
			err = g.CheckAppend(namespace, s.Queue.Stream)
		}
		if err == nil && s.Compensate != nil {
			err = g.checkTask(namespace, s.Compensate)
		}
		if err == nil && s.Saga != nil {
			err = g.CheckSteps(namespace, s.Saga.Steps)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkTask passes over a task that names no service: a nested saga has none, and
// whatever else has none is malformed.
func (g *Grant) checkTask(namespace string, t *edda.Task) error {
	if t.Service == "" {
		return nil
	}
	return g.CheckCall(namespace, t.Service)
}

// CheckSaga returns NOT_ALLOWED unless the principal may see a saga, start and
// cancel it, add steps to it and finish them: its own, or with the right to manage
// everybody's. To act on compensations, and to prune, is managing.
func (g *Grant) CheckSaga(s *edda.Saga) error {
	if g.Manage || g.Principal != "" && s.Principal == g.Principal {
		return nil
	}
	return &edda.Error{Reason: edda.NotAllowed, Err: fmt.Errorf("the saga is not one of %q", g.Principal)}
}

// CheckFinish returns NOT_ALLOWED unless the principal may finish a step without
// its completion key: it may act on the saga, or may host the step's service.
// The saga is one with its steps. A step that it does not have is left to the
// backend, but only for who may act on the saga.
func (g *Grant) CheckFinish(s *edda.Saga, step string) error {
	err := g.CheckSaga(s)
	if err == nil {
		return nil
	}
	i := slices.IndexFunc(s.Steps, func(t edda.Step) bool { return t.ID == step })
	if i >= 0 && s.Steps[i].Service != "" && matches(g.Host, s.Namespace, s.Steps[i].Service) {
		return nil
	}
	return err
}

// VisibleSagas returns the part of a filter that the principal may see: without
// the right to manage its own sagas alone, and NOT_ALLOWED for a filter that names
// somebody else.
func (g *Grant) VisibleSagas(f edda.SagaFilter) (edda.SagaFilter, error) {
	if g.Manage {
		return f, nil
	}
	if g.Principal == "" || f.Principal != "" && f.Principal != g.Principal {
		return f, &edda.Error{Reason: edda.NotAllowed, Err: fmt.Errorf("%q may not see the sagas of %q", g.Principal, f.Principal)}
	}
	f.Principal = g.Principal
	return f, nil
}
