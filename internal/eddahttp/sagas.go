package eddahttp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edda-io/edda"
)

// NewSaga is a saga to create.
type NewSaga struct {
	// Spec is the body as the HTTP surface describes it.
	Spec json.RawMessage
	// IdempotencyKey makes a repeated request answer with the first one's saga.
	IdempotencyKey string
	// CorrelationID is that of the steps' requests; the saga's id when empty.
	CorrelationID string
}

// SagaQuery chooses sagas. Empty members choose all.
type SagaQuery struct {
	Name  string
	State edda.SagaState
	// Since and Until bound when they were created: not before the one, before the
	// other.
	Since, Until time.Time
	// Limit is 100 when zero; After is a cursor. They do not count for what is pruned.
	Limit int
	After string
}

func (q SagaQuery) values() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("name", q.Name)
	set("state", string(q.State))
	if !q.Since.IsZero() {
		set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		set("until", q.Until.UTC().Format(time.RFC3339Nano))
	}
	return v
}

// CreateSaga creates a saga, which starts at once unless its specification says
// otherwise. Replayed says that the idempotency key was used before, for this
// saga.
func (c *Client) CreateSaga(ctx context.Context, n NewSaga) (s *edda.Saga, replayed bool, err error) {
	const op = "create saga"
	h := http.Header{"Content-Type": {"application/json"}}
	if n.IdempotencyKey != "" {
		h.Set("Idempotency-Key", n.IdempotencyKey)
	}
	if n.CorrelationID != "" {
		h.Set("Edda-Correlation-Id", n.CorrelationID)
	}
	res, err := c.do(ctx, exchange{
		op: op, method: http.MethodPost, path: c.Path("sagas"), header: h, payload: n.Spec, unsure: true,
	})
	if err != nil {
		return nil, false, err
	}
	if res.status < 200 || res.status > 299 {
		return nil, false, c.refusal(op, res)
	}
	s = &edda.Saga{}
	if err := json.Unmarshal(res.body, s); err != nil {
		return nil, false, fmt.Errorf("%s: %s answered something else than its JSON: %w", op, c.base, err)
	}
	return s, res.header.Get("Idempotency-Replayed") == "true", nil
}

// Saga returns what is known of a saga, once it has ended or the wait is over.
// Zero does not wait.
func (c *Client) Saga(ctx context.Context, id string, wait time.Duration) (*edda.Saga, error) {
	return c.saga(ctx, exchange{op: "show saga " + id, path: c.Path("sagas", id), query: waiting(wait)})
}

// Sagas lists sagas without their steps, the latest first.
func (c *Client) Sagas(ctx context.Context, q SagaQuery) (*Page[edda.Saga], error) {
	v := q.values()
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.After != "" {
		v.Set("after", q.After)
	}
	p := &Page[edda.Saga]{}
	return p, c.get(ctx, exchange{op: "list sagas", path: c.Path("sagas"), query: v}, p)
}

// StartSaga starts a saga that was created without being started. One that has
// started stays as it is.
func (c *Client) StartSaga(ctx context.Context, id string) (*edda.Saga, error) {
	return c.changeSaga(ctx, "start saga "+id, nil, id, "start")
}

// CancelSaga undoes a saga. One that has ended, or is being undone, stays as it
// is.
func (c *Client) CancelSaga(ctx context.Context, id string) (*edda.Saga, error) {
	return c.changeSaga(ctx, "cancel saga "+id, nil, id, "cancel")
}

// AddSteps adds a step to a saga, or an array of them, all or none, written as in
// the specification of a saga.
func (c *Client) AddSteps(ctx context.Context, id string, steps json.RawMessage) (*edda.Saga, error) {
	return c.changeSaga(ctx, "add steps to saga "+id, steps, id, "steps")
}

// CompleteStep finishes a running step with a result, which is JSON; none is
// null. With the step's completion key no credentials are needed.
func (c *Client) CompleteStep(
	ctx context.Context, id, step string, result json.RawMessage, completionKey string,
) (*edda.StepAnswer, error) {
	body := cmp.Or(string(result), "null")
	if !json.Valid([]byte(body)) {
		return nil, &edda.Error{Op: finishing("complete", id, step), Reason: edda.BadJSON, Err: errors.New("the result must be JSON")}
	}
	return c.finishStep(ctx, "complete", []byte(`{"result":`+body+`}`), id, step, completionKey)
}

// FailStep fails a running step; message is for people. With the step's
// completion key no credentials are needed.
func (c *Client) FailStep(ctx context.Context, id, step, message, completionKey string) (*edda.StepAnswer, error) {
	body, err := json.Marshal(map[string]any{"error": map[string]string{"message": message}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", finishing("fail", id, step), err)
	}
	return c.finishStep(ctx, "fail", body, id, step, completionKey)
}

func (c *Client) finishStep(ctx context.Context, verb string, body []byte, id, step, completionKey string) (*edda.StepAnswer, error) {
	x := exchange{
		op: finishing(verb, id, step), method: http.MethodPost,
		path: c.Path("sagas", id, "steps", step, verb), header: http.Header{"Content-Type": {"application/json"}},
		payload: body, unsure: true,
	}
	if completionKey != "" {
		x.query = url.Values{"completionKey": {completionKey}}
	}
	a := &edda.StepAnswer{}
	return a, c.get(ctx, x, a)
}

func finishing(verb, id, step string) string { return verb + " step " + step + " of saga " + id }

// Compensate retries, skips or resolves the compensation of a step that has
// failed. Any other stays as it is.
func (c *Client) Compensate(ctx context.Context, id, step string, action edda.CompensationAction) (*edda.Saga, error) {
	op := string(action) + " the compensation of step " + step + " of saga " + id
	return c.changeSaga(ctx, op, nil, id, "steps", step, "compensation", string(action))
}

// PruneSagas removes ended sagas and returns their number. Those with a failed
// compensation go only when the query names their state.
func (c *Client) PruneSagas(ctx context.Context, q SagaQuery) (int, error) {
	var answer struct {
		Removed int `json:"removed"`
	}
	err := c.get(ctx, exchange{
		op: "prune sagas", method: http.MethodDelete, path: c.Path("sagas"), query: q.values(), unsure: true,
	}, &answer)
	return answer.Removed, err
}

// RemoveSaga removes one saga that has ended, also with a failed compensation.
func (c *Client) RemoveSaga(ctx context.Context, id string) error {
	return c.get(ctx, exchange{
		op: "remove saga " + id, method: http.MethodDelete, path: c.Path("sagas", id), unsure: true,
	}, nil)
}

// changeSaga posts to a path of the saga and returns what it is then.
func (c *Client) changeSaga(ctx context.Context, op string, body []byte, id string, below ...string) (*edda.Saga, error) {
	x := exchange{
		op: op, method: http.MethodPost, path: c.Path(append([]string{"sagas", id}, below...)...), payload: body, unsure: true,
	}
	if len(body) > 0 {
		x.header = http.Header{"Content-Type": {"application/json"}}
	}
	return c.saga(ctx, x)
}

func (c *Client) saga(ctx context.Context, x exchange) (*edda.Saga, error) {
	s := &edda.Saga{}
	return s, c.get(ctx, x, s)
}
