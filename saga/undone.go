package saga

import (
	"errors"

	"github.com/edda-io/edda"
)

// UndoneError is what Result returns for a saga that has ended without success. Its
// reason ([edda.ReasonOf]) is the saga's: SagaStepFailed, Cancelled or DeadlineExceeded.
type UndoneError struct {
	// Saga is what is known of the saga, with its steps. Its state says how far it was
	// undone: edda.SagaCompensated, edda.SagaCompensationFailed, or edda.SagaCancelled
	// when nothing of it had been started.
	Saga *edda.Saga
}

// Error says how the saga ended, and why.
func (e *UndoneError) Error() string {
	text := "saga " + e.Saga.ID
	if e.Saga.Name != "" {
		text = "saga " + e.Saga.Name + " (" + e.Saga.ID + ")"
	}
	switch e.Saga.State {
	case edda.SagaCancelled:
		text += " was cancelled before it started"
	case edda.SagaCompensationFailed:
		text += " could not be undone"
	default:
		text += " was undone"
	}
	return text + ": " + e.why()
}

// Unwrap returns an *edda.Error with the saga's reason.
func (e *UndoneError) Unwrap() error {
	return &edda.Error{Op: "run saga " + e.Saga.ID, Reason: e.Saga.Reason, Err: errors.New(e.why())}
}

// Step returns the step that failed first; nil when the saga was undone because it was
// cancelled or past its deadline.
func (e *UndoneError) Step() *edda.Step {
	var first *edda.Step
	for i := range e.Saga.Steps {
		s := &e.Saga.Steps[i]
		if s.State == edda.StepFailed && (first == nil || s.EndedAt.Before(first.EndedAt)) {
			first = s
		}
	}
	return first
}

func (e *UndoneError) why() string {
	if e.Saga.Reason == edda.SagaStepFailed {
		if s := e.Step(); s != nil && s.Error != nil {
			return "step " + s.ID + " failed: " + textOf(s.Error)
		}
	}
	if e.Saga.Detail != "" {
		return string(e.Saga.Reason) + ": " + e.Saga.Detail
	}
	return string(e.Saga.Reason)
}

func textOf(e *edda.StepError) string {
	if e.Message == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Message
}
