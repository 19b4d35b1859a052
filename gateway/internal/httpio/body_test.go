package httpio_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// Over HTTP/2 whoever sends more than is taken has the answer before the stream is reset, and
// is waited for, but not for long.
func TestSenderOfTooMuchGetsItsAnswer(t *testing.T) {
	other := &edda.Error{Reason: edda.TooLarge, Err: errors.New("there are too many steps")}
	for name, tc := range map[string]struct {
		major   int
		refused *edda.Error // the body's own error when nil
		leaves  time.Duration
		took    time.Duration
	}{
		"stops":             {major: 2, leaves: 100 * time.Millisecond, took: 100 * time.Millisecond},
		"does not stop":     {major: 2, leaves: time.Hour, took: 500 * time.Millisecond},
		"HTTP/1.1":          {major: 1, leaves: time.Hour},
		"all had been read": {major: 2, refused: other, leaves: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, leave := context.WithTimeout(t.Context(), tc.leaves)
				defer leave()
				r := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader("abc"))
				r.ProtoMajor = tc.major
				w := httptest.NewRecorder()
				refused := tc.refused
				if refused == nil {
					_, err := httpio.Body(w, r, 2)
					refused, _ = errors.AsType[*edda.Error](err)
				}
				start := time.Now()
				if status := httpio.Fail(w, r, refused, ""); status != 413 {
					t.Errorf("got %d", status)
				}
				if took := time.Since(start); took != tc.took || w.Flushed != (tc.took > 0) {
					t.Errorf("it took %v, sent off %v, want %v", took, w.Flushed, tc.took)
				}
				if length := w.Header().Get("Content-Length"); w.Flushed && length != strconv.Itoa(w.Body.Len()) {
					t.Errorf("Content-Length is %q for %d bytes", length, w.Body.Len())
				}
				if !strings.Contains(w.Body.String(), refused.Err.Error()) {
					t.Errorf("got %s", w.Body)
				}
			})
		})
	}
}
