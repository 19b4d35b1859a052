package logcmd

import (
	"cmp"
	"fmt"

	"github.com/edda-io/edda/internal/record"
)

// sagaText says what a record of a saga is about.
func (d *dumpedRecord) sagaText(r *record.Record) (string, error) {
	switch r.Type {
	case record.TypeSagaCreated:
		var c record.SagaCreated
		err := c.Decode(r.Body)
		held := ""
		if !c.Start {
			held = ", not started"
		}
		return fmt.Sprintf("saga %s %s from %s, %d steps%s", inNamespace(c.Namespace, c.ID), cmp.Or(c.Name, "-"), c.Principal, len(c.Steps), held), err
	case record.TypeSagaStarted, record.TypeSagaAdvanced, record.TypeSagaRemoved:
		var c record.SagaChanged
		err := c.Decode(r.Body)
		return "saga " + inNamespace(c.Namespace, c.ID), err
	case record.TypeSagaStepsAdded:
		var a record.SagaStepsAdded
		err := a.Decode(r.Body)
		return fmt.Sprintf("saga %s, %d steps", inNamespace(a.Namespace, a.ID), len(a.Steps)), err
	case record.TypeSagaCancelled:
		var c record.SagaCancelled
		err := c.Decode(r.Body)
		return "saga " + inNamespace(c.Namespace, c.ID) + failure(c.Failure), err
	default:
		return d.stepText(r)
	}
}

// stepText says what a record of a saga's step is about.
func (d *dumpedRecord) stepText(r *record.Record) (string, error) {
	switch r.Type {
	case record.TypeStepEnded:
		var e record.StepEnded
		err := e.Decode(r.Body)
		how := string(e.State)
		if e.Pending {
			how = "pending"
		}
		return fmt.Sprintf("%s %s%s, attempts %d", stepName(e.Namespace, &e.Step), how, failure(e.Failure), e.Attempts), err
	case record.TypeStepFinished:
		var s record.StepFinished
		err := s.Decode(r.Body)
		how := "succeeded"
		if s.Error != nil {
			how = "failed"
		}
		return fmt.Sprintf("saga %s step %s %s", inNamespace(s.Namespace, s.ID), s.Step, how), err
	case record.TypeCompensationChanged:
		var c record.CompensationChanged
		err := c.Decode(r.Body)
		return fmt.Sprintf("saga %s step %s %s", inNamespace(c.Namespace, c.ID), c.Step, c.Action), err
	case record.TypeStepCancelled:
		var c record.StepCancelled
		err := c.Decode(r.Body)
		d.ID = c.ID
		return "", err
	default:
		return d.streamText(r)
	}
}

// stepName names a step by its number, which is all that its requests know of it.
func stepName(namespace string, s *record.Step) string {
	what := "step"
	if s.Undo {
		what = "compensation"
	}
	return fmt.Sprintf("saga %s %s %d", inNamespace(namespace, s.Saga), what, s.Index)
}
