package examples_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/examples"
)

// keyState is the state of one key, as a node would keep it between requests.
type keyState map[string][]byte

func (k keyState) Get(_ context.Context, name string) ([]byte, bool, error) {
	v, ok := k[name]
	return v, ok, nil
}

func (k keyState) List(_ context.Context, prefix string) iter.Seq2[edda.StateEntry, error] {
	return func(yield func(edda.StateEntry, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(k)) {
			if strings.HasPrefix(name, prefix) && !yield(edda.StateEntry{Name: name, Value: k[name]}, nil) {
				return
			}
		}
	}
}

// invoke runs one attempt of a method on the key's state and keeps its outcome.
func (k keyState) invoke(t *testing.T, s *edda.Service, attempt int, method, body string) edda.Outcome {
	t.Helper()
	m := &edda.Message{
		To: edda.Address{Name: s.Name, Key: "k"}, Type: method,
		ContentType: "application/json", Payload: []byte(body),
	}
	out := s.Invoke(t.Context(), &edda.Dispatch{Message: m, Attempt: attempt, State: k})
	for _, e := range out.Set {
		k[e.Name] = e.Value
	}
	for _, name := range out.Delete {
		delete(k, name)
	}
	return out
}

func wantReply(t *testing.T, out edda.Outcome, status int, body string) {
	t.Helper()
	if out.Err != nil {
		t.Fatalf("got error %v, want reply %d %s", out.Err, status, body)
	}
	if got := out.Reply.EffectiveStatus(); got != status || string(out.Reply.Payload) != body {
		t.Errorf("got reply %d %s, want %d %s", got, out.Reply.Payload, status, body)
	}
}

func TestServicesAreValid(t *testing.T) {
	var names []string
	for _, s := range examples.Services() {
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
		names = append(names, s.Name)
	}
	if want := []string{"users", "counter", "echo", "slow", "flaky", "smithy", "flights", "hotels", "cars"}; !slices.Equal(names, want) {
		t.Errorf("got services %v, want %v", names, want)
	}
}

func TestUsers(t *testing.T) {
	steps := []struct {
		method, body string
		status       int
		reply        string
	}{
		{"login", `{"email":"a@x"}`, 403, "forbidden"},
		{"allow", `{"email":"a@x"}`, 200, "ok"},
		{"login", `{"email":"a@x"}`, 200, "ok"},
		{"login", `{"email":"b@x"}`, 403, "forbidden"},
		{"allow", `{"email":"b@x"}`, 200, "ok"},
		{"login", `{"email":"a@x"}`, 200, "ok"},
		{"zzz", `{"email":"a@x"}`, 404, "not found"},
		{"login", ``, 400, `the body must be {"email":"..."}`},
		{"allow", `{"email":""}`, 400, `the body must be {"email":"..."}`},
		{"allow", `{"email":"` + strings.Repeat("a", 600) + `"}`, 400, `the body must be {"email":"..."}`},
	}
	s, state := examples.Users(), keyState{}
	for _, step := range steps {
		wantReply(t, state.invoke(t, s, 1, step.method, step.body), step.status, step.reply)
	}
}

func TestCounter(t *testing.T) {
	s, state := examples.Counter(), keyState{}
	wantReply(t, state.invoke(t, s, 1, "get", ""), 200, `{"value":0}`)
	wantReply(t, state.invoke(t, s, 1, "add", `{"n":1}`), 200, `{"value":1}`)
	wantReply(t, state.invoke(t, s, 1, "add", `{"n":-3}`), 200, `{"value":-2}`)
	wantReply(t, state.invoke(t, s, 1, "get", ""), 200, `{"value":-2}`)
	if got, want := s.Methods(), []string{"add", "get"}; !slices.Equal(got, want) {
		t.Errorf("got methods %v, want %v", got, want)
	}
}

func TestEcho(t *testing.T) {
	m := &edda.Message{
		Type: "anything", ContentType: "text/csv", Payload: []byte("a,b"),
		Headers: edda.Headers{{Name: "X-One", Value: "1"}, {Name: "x-one", Value: "2"}, {Name: "Other", Value: "3"}},
	}
	out := examples.Echo().Invoke(t.Context(), &edda.Dispatch{Message: m, Attempt: 1})
	wantReply(t, out, 200, "a,b")
	if out.Reply.ContentType != "text/csv" {
		t.Errorf("got content type %q, want text/csv", out.Reply.ContentType)
	}
	if want := m.Headers[:2]; !slices.Equal(out.Reply.Headers, want) {
		t.Errorf("got headers %v, want %v", out.Reply.Headers, want)
	}
}

func TestSlowTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		out := keyState{}.invoke(t, examples.Slow(), 1, "wait", `{"ms":2500}`)
		wantReply(t, out, 200, `{"ms":2500}`)
		if got, want := time.Since(start), 2500*time.Millisecond; got != want {
			t.Errorf("took %v, want %v", got, want)
		}
		wantReply(t, keyState{}.invoke(t, examples.Slow(), 1, "wait", `{"ms":-1}`), 400, `the body must be {"ms":N}, N not negative`)
	})
}

func TestSlowObeysCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancelled := errors.New("cancelled by a test")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cancelled) })
		start := time.Now()
		m := &edda.Message{Type: "wait", Payload: []byte(`{"ms":60000}`)}
		out := examples.Slow().Invoke(ctx, &edda.Dispatch{Message: m, Attempt: 1})
		if !errors.Is(out.Err, cancelled) || time.Since(start) != time.Second {
			t.Errorf("got error %v after %v, want %v after 1s", out.Err, time.Since(start), cancelled)
		}
	})
}

func TestFlaky(t *testing.T) {
	s := examples.Flaky()
	for attempt := 1; attempt <= 2; attempt++ {
		if out := (keyState{}).invoke(t, s, attempt, "try", `{"fail":2}`); out.Err == nil {
			t.Errorf("attempt %d got reply %s, want an error", attempt, out.Reply.Payload)
		}
	}
	wantReply(t, keyState{}.invoke(t, s, 3, "try", `{"fail":2}`), 200, `{"attempts":3}`)
	wantReply(t, keyState{}.invoke(t, s, 1, "try", `{"fail":0}`), 200, `{"attempts":1}`)
	if out := (keyState{}).invoke(t, s, 99, "try", `{"fail":-1}`); out.Err == nil {
		t.Errorf("got reply %s, want an error always", out.Reply.Payload)
	}
	wantReply(t, keyState{}.invoke(t, s, 1, "try", `fail`), 400, `the body must be {"fail":k}, k at least -1`)
	if s.Retry.Max != 5 || s.Retry.Delay != 20*time.Millisecond {
		t.Errorf("got retry policy %+v, want max 5 and delay 20ms", s.Retry)
	}
}
