package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// asked is a backend with the one service that is asked about tokens.
type asked struct {
	edda.Backend
	calls  atomic.Int64
	answer func(ctx context.Context, m *edda.Message) (*edda.Reply, error)
}

func (a *asked) Call(ctx context.Context, m *edda.Message) (*edda.Reply, error) {
	a.calls.Add(1)
	return a.answer(ctx, m)
}

// says answers every call with the text.
func says(text string) *asked {
	return &asked{answer: func(context.Context, *edda.Message) (*edda.Reply, error) { return edda.TextReply(200, text), nil }}
}

func serviceOf(t *testing.T, b edda.Backend, o auth.ServiceOptions) *auth.Service {
	t.Helper()
	o.Service = "guards"
	s, err := auth.NewService(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServiceIsAsked(t *testing.T) {
	const hash = "3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0" // of "token"
	for _, plain := range []bool{false, true} {
		b := says(`{"principal":"ada","call":["users","shop:*"],"append":["orders"],"claims":{"tenant":"acme"},"expires":"2999-01-02T15:04:05Z"}`)
		var got *edda.Message
		answer := b.answer
		b.answer = func(ctx context.Context, m *edda.Message) (*edda.Reply, error) {
			got = m
			return answer(ctx, m)
		}
		s := serviceOf(t, b, auth.ServiceOptions{Namespace: "ops", Method: "who", Plain: plain})
		for range 2 {
			g, err := auth.Admit(t.Context(), s, auth.Credential{Token: "token"})
			if err != nil {
				t.Fatal(err)
			}
			if g.Principal != "ada" || g.CheckCall("shop", "x") != nil || g.CheckCall("", "other") == nil || g.CheckAppend("", "orders") != nil || g.Manage {
				t.Errorf("got %+v", g)
			}
			if g.Claims["tenant"] != "acme" || g.Expires.Year() != 2999 {
				t.Errorf("got claims %v, expires %v", g.Claims, g.Expires)
			}
		}
		want := `{"sha256":"` + hash + `"}`
		if plain {
			want = `{"token":"token"}`
		}
		if n := b.calls.Load(); n != 1 || string(got.Payload) != want || got.To != (edda.Address{Namespace: "ops", Name: "guards"}) || got.Type != "who" {
			t.Errorf("got %d calls, the last %+v with %s, want %s", n, got, got.Payload, want)
		}
		if got.Principal != "edda.auth" || got.Deadline.IsZero() || got.IdempotencyKey != "" {
			t.Errorf("got %+v", got)
		}
	}
}

// Nobody is let in but by an answer, whatever goes wrong.
func TestServiceFailsClosed(t *testing.T) {
	reply := func(status int, body string) func(context.Context, *edda.Message) (*edda.Reply, error) {
		return func(context.Context, *edda.Message) (*edda.Reply, error) {
			return &edda.Reply{Status: status, Payload: []byte(body)}, nil
		}
	}
	for name, tc := range map[string]struct {
		answer func(context.Context, *edda.Message) (*edda.Reply, error)
		reason edda.Reason
	}{
		"unknown":               {reply(404, ""), edda.NoCredentials},
		"unauthorized":          {reply(401, `{"principal":"ada","manage":true}`), edda.NoCredentials},
		"forbidden":             {reply(403, "go away"), edda.NoCredentials},
		"empty":                 {reply(0, ""), edda.NoCredentials},
		"no principal":          {reply(200, `{}`), edda.NoCredentials},
		"null":                  {reply(200, `null`), edda.NoCredentials},
		"expired":               {reply(200, `{"principal":"ada","expires":"2001-01-01T00:00:00Z"}`), edda.NoCredentials},
		"no JSON":               {reply(200, `ada`), edda.Unavailable},
		"two documents":         {reply(200, `{"principal":"ada"}{"manage":true}`), edda.Unavailable},
		"a misspelt right":      {reply(200, `{"principal":"ada","calls":["*"]}`), edda.Unavailable},
		"a malformed pattern":   {reply(200, `{"principal":"ada","call":["a:b:c*d"]}`), edda.Unavailable},
		"a malformed principal": {reply(200, `{"principal":"a\nb"}`), edda.Unavailable},
		"a long principal":      {reply(200, `{"principal":"`+strings.Repeat("a", 256)+`"}`), edda.Unavailable},
		"an error's status":     {reply(500, `{"principal":"ada"}`), edda.Unavailable},
		"a redirection":         {reply(302, `{"principal":"ada"}`), edda.Unavailable},
		"no service": {func(context.Context, *edda.Message) (*edda.Reply, error) {
			return nil, &edda.Error{Reason: edda.NoService}
		}, edda.Unavailable},
		"not allowed, as if by the service": {func(context.Context, *edda.Message) (*edda.Reply, error) {
			return nil, &edda.Error{Reason: edda.NotAllowed}
		}, edda.Unavailable},
	} {
		s := serviceOf(t, &asked{answer: tc.answer}, auth.ServiceOptions{})
		g, err := auth.Admit(t.Context(), s, auth.Credential{Token: "t"})
		if g != nil || edda.ReasonOf(err) != tc.reason {
			t.Errorf("%s: got %+v, %v, want %s", name, g, err, tc.reason)
		}
	}
}

func TestServiceIsAskedAboutTokensAlone(t *testing.T) {
	b := says(`{"principal":"ada"}`)
	s := serviceOf(t, b, auth.ServiceOptions{})
	for _, c := range []auth.Credential{{}, {Token: strings.Repeat("t", auth.MaxTokenBytes+1)}} {
		if _, err := s.Authenticate(t.Context(), c); !errors.Is(err, auth.ErrUnknown) {
			t.Errorf("got %v, want ErrUnknown", err)
		}
	}
	if b.calls.Load() != 0 {
		t.Error("the service was asked")
	}
}

func TestServiceAnswersAreRemembered(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		keep         time.Duration
		steps        []time.Duration // between requests
		calls        []int64         // after each
	}{
		{"for a minute", `{"principal":"ada"}`, 0, []time.Duration{0, 59 * time.Second, time.Second}, []int64{1, 1, 2}},
		{"as long as is said", `{"principal":"ada"}`, time.Second, []time.Duration{0, time.Second - 1, 1}, []int64{1, 1, 2}},
		{"until they expire", `{"principal":"ada","expires":"2000-01-01T00:00:10Z"}`, 0, []time.Duration{0, 9 * time.Second, time.Second}, []int64{1, 1, 2}},
		{"refusals for 5 s", `{}`, 0, []time.Duration{0, 5*time.Second - 1, 1}, []int64{1, 1, 2}},
		{"failures never", `what`, 0, []time.Duration{0, 0, 0}, []int64{1, 2, 3}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := says(tc.answer)
			s := serviceOf(t, b, auth.ServiceOptions{Keep: tc.keep})
			for i, d := range tc.steps {
				time.Sleep(d)
				_, _ = s.Authenticate(t.Context(), auth.Credential{Token: "t"})
				if got := b.calls.Load(); got != tc.calls[i] {
					t.Errorf("%s: %d calls after step %d, want %d", tc.name, got, i, tc.calls[i])
				}
			}
		})
	}
}

func TestServiceIsAskedOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		go1 := make(chan struct{})
		b := &asked{answer: func(ctx context.Context, _ *edda.Message) (*edda.Reply, error) {
			select {
			case <-go1:
				return edda.TextReply(200, `{"principal":"ada"}`), nil
			case <-ctx.Done():
				return nil, &edda.Error{Reason: edda.Timeout}
			}
		}}
		s := serviceOf(t, b, auth.ServiceOptions{Calls: 2})
		var wg sync.WaitGroup
		ask := func(ctx context.Context, token string, want edda.Reason) {
			wg.Go(func() {
				if _, err := s.Authenticate(ctx, auth.Credential{Token: token}); edda.ReasonOf(err) != want {
					t.Errorf("%s: got %v, want %q", token, err, want)
				}
			})
			synctest.Wait()
		}
		impatient, leave := context.WithCancel(t.Context())
		ask(impatient, "a", "") // whose question it is, gone or not
		ask(t.Context(), "a", "")
		ask(impatient, "a", edda.Unavailable)
		ask(t.Context(), "b", "")
		ask(t.Context(), "c", edda.Unavailable) // one too many
		leave()
		synctest.Wait()
		close(go1)
		wg.Wait()
		if n := b.calls.Load(); n != 2 {
			t.Errorf("the service was asked %d times, want twice", n)
		}
	})
}

func TestServiceTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asked{answer: func(ctx context.Context, _ *edda.Message) (*edda.Reply, error) {
			<-ctx.Done()
			return nil, &edda.Error{Reason: edda.Timeout, Err: ctx.Err()}
		}}
		s := serviceOf(t, b, auth.ServiceOptions{})
		start := time.Now()
		_, err := s.Authenticate(t.Context(), auth.Credential{Token: "t"})
		if edda.ReasonOf(err) != edda.Unavailable || time.Since(start) != auth.DefaultServiceTimeout {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

// Invented tokens drive out none that are good, and take no more room than is bounded.
func TestServiceUnderInventedTokens(t *testing.T) {
	b := &asked{answer: func(_ context.Context, m *edda.Message) (*edda.Reply, error) {
		if string(m.Payload) == `{"token":"good"}` {
			return edda.TextReply(200, `{"principal":"ada"}`), nil
		}
		return edda.TextReply(404, "who?"), nil
	}}
	s := serviceOf(t, b, auth.ServiceOptions{Plain: true, Keep: time.Hour})
	for i := range 10_000 {
		if i%1000 == 0 {
			if _, err := s.Authenticate(t.Context(), auth.Credential{Token: "good"}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Authenticate(t.Context(), auth.Credential{Token: fmt.Sprint("bad", i)}); !errors.Is(err, auth.ErrUnknown) {
			t.Fatal(err)
		}
	}
	if n := b.calls.Load(); n != 10_001 {
		t.Errorf("got %d calls, want 10001: one about the good token", n)
	}
}

func TestServiceOptions(t *testing.T) {
	for name, o := range map[string]auth.ServiceOptions{
		"no service": {}, "a bad name": {Service: "a/b"}, "a bad method": {Service: "a", Method: "/"}, "a bad namespace": {Service: "a", Namespace: "/"},
		"Timeout": {Service: "a", Timeout: -1}, "Keep": {Service: "a", Keep: -1}, "Calls": {Service: "a", Calls: -1},
	} {
		if _, err := auth.NewService(says(""), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
