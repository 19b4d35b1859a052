package story_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda/cmd/edda/internal/story"
	"github.com/edda-io/edda/internal/eddahttp"
)

// A story that goes well with whatever answers would be worth nothing.
func TestTellNoticesWhatIsNotAsTold(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Edda-Request-Id", "0190a5c1-7b2e-7000-8000-000000000001")
		w.Header().Set("Edda-Attempts", "1")
		w.WriteHeader(http.StatusTeapot)
	}))
	defer s.Close()
	client, err := eddahttp.New(s.URL, eddahttp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	stage := story.Stage{Out: &out, Client: client, Restart: func(context.Context) (time.Duration, error) {
		return 0, errors.New("it does not come back")
	}}
	told, err := story.Tell(t.Context(), stage)
	if err != nil {
		t.Fatal(err)
	}
	if right := strings.Count(out.String(), "✓"); told.Wrong < 20 || right > 0 {
		t.Errorf("got %d wrong steps and %d right ones, want all wrong:\n%s", told.Wrong, right, out.String())
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := story.Tell(ended, stage); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}
