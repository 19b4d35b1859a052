package httpgw

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/edda-io/edda"
)

// A saga with many steps is written piece by piece, and reads the same.
func TestLargeSagaIsWritten(t *testing.T) {
	for _, n := range []int{manySteps, manySteps + 1, 20 * manySteps} {
		s := (&fakeSagas{}).trip("shop")
		some := s.Steps
		s.Steps = nil
		for i := range n {
			st := some[i%len(some)]
			st.ID = fmt.Sprint("s", i)
			s.Steps = append(s.Steps, st)
		}
		want, err := json.Marshal(shown(s))
		if err != nil {
			t.Fatal(err)
		}
		for method, body := range map[string]string{"GET": string(want), "HEAD": ""} {
			w := httptest.NewRecorder()
			x := &exchange{w: w, r: httptest.NewRequest(method, "/v1/sagas/trip", nil)}
			if err := x.saga(201, s); err != nil {
				t.Fatal(err)
			}
			if w.Code != 201 || w.Header().Get("Content-Type") != "application/json" || w.Body.String() != body {
				t.Errorf("%s of %d steps: got %d %s and %d bytes, want %d", method, n, w.Code, w.Header(), w.Body.Len(), len(body))
			}
		}
	}
}

func shown(s *edda.Saga) *edda.Saga {
	doc := *s
	sagaInUTC(&doc)
	doc.Steps = append([]edda.Step(nil), s.Steps...)
	for i := range doc.Steps {
		stepInUTC(&doc.Steps[i])
	}
	return &doc
}
