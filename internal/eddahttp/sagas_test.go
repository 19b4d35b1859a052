package eddahttp_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

func TestSagas(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for _, s := range []struct {
		name       string
		do         func(context.Context, *eddahttp.Client) error
		want, body string
	}{
		{"show", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Saga(ctx, "trip~car", time.Second)
			return err
		}, "GET /v1/sagas/trip~car?wait=1s", ""},
		{"list", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Sagas(ctx, eddahttp.SagaQuery{
				Name: "trip", State: edda.SagaRunning, Since: at, Until: at.Add(time.Hour), Limit: 5, After: "x",
			})
			return err
		}, "GET /v1/sagas?after=x&limit=5&name=trip&since=2026-01-02T02%3A04%3A05Z&state=running&until=2026-01-02T03%3A04%3A05Z", ""},
		{"start", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.StartSaga(ctx, "t1")
			return err
		}, "POST /v1/sagas/t1/start", ""},
		{"cancel", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.CancelSaga(ctx, "t1")
			return err
		}, "POST /v1/sagas/t1/cancel", ""},
		{"add steps", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.AddSteps(ctx, "t1", json.RawMessage(`[{"id":"a"}]`))
			return err
		}, "POST /v1/sagas/t1/steps", `[{"id":"a"}]`},
		{"complete", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.CompleteStep(ctx, "t1", "a", json.RawMessage(`{"n":1}`), "")
			return err
		}, "POST /v1/sagas/t1/steps/a/complete", `{"result":{"n":1}}`},
		{"complete by key", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.CompleteStep(ctx, "t1", "a", nil, "k+y")
			return err
		}, "POST /v1/sagas/t1/steps/a/complete?completionKey=k%2By", `{"result":null}`},
		{"fail", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.FailStep(ctx, "t1", "a", `no "funds"`, "")
			return err
		}, "POST /v1/sagas/t1/steps/a/fail", `{"error":{"message":"no \"funds\""}}`},
		{"retry", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Compensate(ctx, "t1", "a", edda.RetryCompensation)
			return err
		}, "POST /v1/sagas/t1/steps/a/compensation/retry", ""},
		{"prune", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.PruneSagas(ctx, eddahttp.SagaQuery{State: edda.SagaCompensated, Until: at})
			return err
		}, "DELETE /v1/sagas?state=compensated&until=2026-01-02T02%3A04%3A05Z", ""},
		{"remove", func(ctx context.Context, c *eddahttp.Client) error { return c.RemoveSaga(ctx, "t1") },
			"DELETE /v1/sagas/t1", ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			c, g := fakeNode(t, eddahttp.Options{}, respond(200, `{}`))
			if err := s.do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if got := g.method + " " + g.uri; got != s.want || g.body != s.body {
				t.Errorf("node got %s %s, want %s %s", got, g.body, s.want, s.body)
			}
			if got := g.header.Get("Content-Type"); s.body != "" && got != "application/json" {
				t.Errorf("node got Content-Type %q, want application/json", got)
			}
		})
	}
}

func TestCreateSaga(t *testing.T) {
	spec := json.RawMessage(`{"name":"trip","steps":[]}`)
	const made = `{"id":"t1","name":"trip","state":"running","createdAt":"2026-01-02T03:04:05Z","later":1,"steps":[{"id":"a","state":"ready"}]}`
	c, g := fakeNode(t, eddahttp.Options{Namespace: "blue"}, respond(201, made))
	s, replayed, err := c.CreateSaga(t.Context(), eddahttp.NewSaga{Spec: spec, IdempotencyKey: "k1", CorrelationID: "story"})
	if err != nil || replayed || s.ID != "t1" || s.State != edda.SagaRunning || len(s.Steps) != 1 || s.Steps[0].State != edda.StepReady {
		t.Errorf("got %+v, %v, %v, want saga t1 as it was made", s, replayed, err)
	}
	if g.method != "POST" || g.uri != "/v1/ns/blue/sagas" || g.body != string(spec) || g.header.Get("Idempotency-Key") != "k1" ||
		g.header.Get("Edda-Correlation-Id") != "story" || g.header.Get("Content-Type") != "application/json" {
		t.Errorf("node got %+v", g)
	}

	c, _ = fakeNode(t, eddahttp.Options{}, respond(200, made, "Idempotency-Replayed", "true"))
	if s, replayed, err = c.CreateSaga(t.Context(), eddahttp.NewSaga{Spec: spec}); err != nil || !replayed || s.ID != "t1" {
		t.Errorf("again: got %+v, %v, %v, want the same, replayed", s, replayed, err)
	}

	c, _ = fakeNode(t, eddahttp.Options{}, respond(409, `{"status":409,"code":"already_exists","reason":"EXISTS","detail":"saga t1 exists"}`,
		"Content-Type", "application/problem+json"))
	if _, _, err = c.CreateSaga(t.Context(), eddahttp.NewSaga{Spec: spec}); edda.ReasonOf(err) != edda.Exists {
		t.Errorf("got error %v, want %s", err, edda.Exists)
	}
}

func TestPruneSagasCounts(t *testing.T) {
	c, _ := fakeNode(t, eddahttp.Options{}, respond(200, `{"removed":3}`))
	if n, err := c.PruneSagas(t.Context(), eddahttp.SagaQuery{}); err != nil || n != 3 {
		t.Errorf("got %d, %v, want 3", n, err)
	}
}

func TestStepsAreFinishedWithJSON(t *testing.T) {
	c, g := fakeNode(t, eddahttp.Options{}, respond(200, `{"applied":true,"state":"succeeded"}`))
	a, err := c.CompleteStep(t.Context(), "t1", "a", json.RawMessage(`1,"x":2`), "")
	if edda.ReasonOf(err) != edda.BadJSON || g.method != "" {
		t.Errorf("got %+v, %v, want %s and nothing sent", a, err, edda.BadJSON)
	}
	if a, err = c.CompleteStep(t.Context(), "t1", "a", nil, ""); err != nil || !a.Applied || a.State != edda.StepSucceeded {
		t.Errorf("got %+v, %v, want it applied", a, err)
	}
}
