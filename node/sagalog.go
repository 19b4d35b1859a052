package node

import (
	"context"
	"log/slog"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
)

// logSaga says how a saga has ended: aloud when it waits for a person, else to who
// looks for a mistake.
func (p *partition) logSaga(s *sagafold.Saga) {
	level, text := slog.LevelDebug, "saga ended"
	if s.State == edda.SagaCompensationFailed {
		level, text = slog.LevelWarn, "saga waits for a person: a step could not be undone"
	}
	ctx := context.Background()
	if !p.n.log.Enabled(ctx, level) {
		return // before what is said of it is put together
	}
	p.n.log.Log(ctx, level, text, "saga", s.ID, "namespace", s.Namespace, "name", s.Name, "state", s.State, "reason", s.Reason, "detail", s.Detail)
}

// logStep says how a step, or its compensation, has ended.
func (p *partition) logStep(e *sagafold.Effect) {
	ctx := context.Background()
	if !p.n.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	step := e.Saga.StepView(e.Step)
	text, state, why, attempts := "step ended", string(e.StepState), step.Error, step.Attempts
	if c := step.Compensation; e.Undone != "" && c != nil {
		text, state, why, attempts = "compensation ended", string(e.Undone), c.Error, c.Attempts
	}
	message := ""
	if why != nil {
		message = why.Message
	}
	p.n.log.Log(ctx, slog.LevelDebug, text, "saga", e.Saga.ID, "namespace", e.Saga.Namespace, "step", step.ID, "state", state, "attempts", attempts, "error", message)
}
