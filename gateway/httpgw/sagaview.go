package httpgw

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// manySteps are written one after the other.
const manySteps = 1000

// saga answers with a saga, which may be shared with others who asked.
func (x *exchange) saga(status int, s *edda.Saga) error {
	if len(s.Steps) > manySteps {
		return x.largeSaga(status, s)
	}
	doc := *s
	sagaInUTC(&doc)
	doc.Steps = slices.Clone(s.Steps)
	for i := range doc.Steps {
		stepInUTC(&doc.Steps[i])
	}
	return x.json(status, &doc)
}

// largeSaga is saga for one with many steps, of which each answer would take as much
// memory again as the steps do, three times.
func (x *exchange) largeSaga(status int, s *edda.Saga) error {
	doc := *s
	sagaInUTC(&doc)
	doc.Steps = nil // which come last
	b, err := json.Marshal(&doc)
	if err != nil {
		return err
	}
	h := x.w.Header()
	h["Content-Type"] = httpio.TypeJSON
	h["Cache-Control"] = httpio.NoStore
	x.status = status
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return nil
	}
	c := http.NewResponseController(x.w)
	if c.SetWriteDeadline(time.Now().Add(httpio.BodyTimeout)) == nil {
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	}
	b = append(b[:len(b)-1], `,"steps":[`...)
	for i := range s.Steps {
		st := s.Steps[i]
		stepInUTC(&st)
		one, err := json.Marshal(&st)
		if err != nil {
			return errBroken
		}
		if i > 0 {
			b = append(b, ',')
		}
		if b = append(b, one...); len(b) >= httpio.LargeBody {
			if _, err := x.w.Write(b); err != nil {
				return errBroken // the caller is gone
			}
			b = b[:0]
		}
	}
	_, _ = x.w.Write(append(b, ']', '}'))
	return nil
}

// sagaInUTC puts the times of a saga itself into UTC.
func sagaInUTC(s *edda.Saga) {
	s.CreatedAt, s.StartedAt = s.CreatedAt.UTC(), s.StartedAt.UTC()
	s.EndedAt, s.Deadline = s.EndedAt.UTC(), s.Deadline.UTC()
}

// stepInUTC puts the times of a step into UTC, and those of its compensation in a
// copy of that.
func stepInUTC(s *edda.Step) {
	s.StartedAt, s.EndedAt = s.StartedAt.UTC(), s.EndedAt.UTC()
	if s.Compensation == nil {
		return
	}
	c := *s.Compensation
	c.StartedAt, c.EndedAt = c.StartedAt.UTC(), c.EndedAt.UTC()
	s.Compensation = &c
}

// sagaPath returns where a saga is found.
func (x *exchange) sagaPath(id string) string {
	if x.namespace == edda.DefaultNamespace {
		return "/v1/sagas/" + id
	}
	return "/v1/ns/" + x.namespace + "/sagas/" + id
}
