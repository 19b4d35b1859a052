package eddahttp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// Page is one page of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// Next is the cursor of the next page, "" at the end.
	Next string `json:"next,omitempty"`
}

// Query narrows a list. Empty members do not.
type Query struct {
	Service string
	Key     string
	// State is for requests, Reason for dead letters.
	State  edda.State
	Reason edda.Reason
	// IdempotencyKey is for requests, with Service.
	IdempotencyKey string
	// Limit is 100 when zero; After is a cursor.
	Limit int
	After string
}

func (q Query) values() url.Values {
	v := url.Values{}
	for _, p := range []struct{ name, value string }{
		{"service", q.Service},
		{"key", q.Key},
		{"state", string(q.State)},
		{"reason", string(q.Reason)},
		{"idempotencyKey", q.IdempotencyKey},
		{"after", q.After},
	} {
		if p.value != "" {
			v.Set(p.name, p.value)
		}
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// DeadLetter is a request whose retries are spent.
type DeadLetter struct {
	ID          edda.ID          `json:"id"`
	Service     string           `json:"service"`
	Key         string           `json:"key,omitempty"`
	Method      string           `json:"method"`
	Reason      edda.Reason      `json:"reason"`
	Detail      string           `json:"detail,omitempty"`
	Attempts    int              `json:"attempts"`
	DiedAt      time.Time        `json:"diedAt"`
	Headers     jsondata.Headers `json:"headers,omitempty"`
	ContentType string           `json:"contentType,omitempty"`
	jsondata.Data
}

// Request returns what is known of a request, once it has ended or the wait is
// over. Zero does not wait.
func (c *Client) Request(ctx context.Context, id edda.ID, wait time.Duration) (*edda.Request, error) {
	r := &edda.Request{}
	return r, c.get(ctx, exchange{
		op: "show request " + id.String(), path: c.Path("requests", id.String()), query: waiting(wait),
	}, r)
}

// Requests lists requests that have not succeeded.
func (c *Client) Requests(ctx context.Context, q Query) (*Page[edda.Request], error) {
	p := &Page[edda.Request]{}
	return p, c.get(ctx, exchange{op: "list requests", path: c.Path("requests"), query: q.values()}, p)
}

// Cancel ends a request at once.
func (c *Client) Cancel(ctx context.Context, id edda.ID) (*edda.Request, error) {
	r := &edda.Request{}
	return r, c.get(ctx, exchange{
		op: "cancel request " + id.String(), method: http.MethodPost, path: c.Path("requests", id.String(), "cancel"),
		unsure: true,
	}, r)
}

// DeadLetters lists dead letters.
func (c *Client) DeadLetters(ctx context.Context, q Query) (*Page[DeadLetter], error) {
	p := &Page[DeadLetter]{}
	return p, c.get(ctx, exchange{op: "list dead letters", path: c.Path("deadletters"), query: q.values()}, p)
}

// DeadLetter returns one dead letter with its payload.
func (c *Client) DeadLetter(ctx context.Context, id edda.ID) (*DeadLetter, error) {
	d := &DeadLetter{}
	return d, c.get(ctx, exchange{
		op: "show dead letter " + id.String(), path: c.Path("deadletters", id.String()),
	}, d)
}

// RetryDeadLetter puts a dead request at the end of its key's queue, under the
// same id.
func (c *Client) RetryDeadLetter(ctx context.Context, id edda.ID) error {
	return c.get(ctx, exchange{
		op: "retry dead letter " + id.String(), method: http.MethodPost, path: c.Path("deadletters", id.String(), "retry"),
		unsure: true,
	}, nil)
}

// DropDeadLetter removes a dead letter; the request stays dead.
func (c *Client) DropDeadLetter(ctx context.Context, id edda.ID) error {
	return c.get(ctx, exchange{
		op: "drop dead letter " + id.String(), method: http.MethodDelete, path: c.Path("deadletters", id.String()),
		unsure: true,
	}, nil)
}

// Services lists services.
func (c *Client) Services(ctx context.Context, q Query) (*Page[edda.ServiceInfo], error) {
	p := &Page[edda.ServiceInfo]{}
	return p, c.get(ctx, exchange{op: "list services", path: c.Path("services"), query: q.values()}, p)
}

// Service returns what is known of a service.
func (c *Client) Service(ctx context.Context, name string) (*edda.ServiceInfo, error) {
	return c.service(ctx, "show", http.MethodGet, name)
}

// PutService sets a plain HTTP endpoint as the worker of a service. The document
// is the body as the HTTP surface describes it.
func (c *Client) PutService(ctx context.Context, name string, doc map[string]any) (*edda.ServiceInfo, error) {
	op := "put service " + name
	payload, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	s := &edda.ServiceInfo{}
	return s, c.get(ctx, exchange{
		op: op, method: http.MethodPut, path: c.Path("services", name), payload: payload,
		header: http.Header{"Content-Type": {"application/json"}}, unsure: true,
	}, s)
}

// PauseService makes a service start nothing new.
func (c *Client) PauseService(ctx context.Context, name string) (*edda.ServiceInfo, error) {
	return c.service(ctx, "pause", http.MethodPost, name, "pause")
}

// ResumeService lets a paused service go on.
func (c *Client) ResumeService(ctx context.Context, name string) (*edda.ServiceInfo, error) {
	return c.service(ctx, "resume", http.MethodPost, name, "resume")
}

// ResumeKey lets a stopped key go on with its next request.
func (c *Client) ResumeKey(ctx context.Context, name, key string) (*edda.ServiceInfo, error) {
	return c.service(ctx, "resume a key of", http.MethodPost, name, "keys", key, "resume")
}

// DeleteService removes a service. With work pending it is refused, unless force
// makes dead letters of that.
func (c *Client) DeleteService(ctx context.Context, name string, force bool) error {
	x := exchange{op: "remove service " + name, method: http.MethodDelete, path: c.Path("services", name), unsure: true}
	if force {
		x.query = url.Values{"force": {"true"}}
	}
	return c.get(ctx, x, nil)
}

func (c *Client) service(ctx context.Context, verb, method, name string, below ...string) (*edda.ServiceInfo, error) {
	s := &edda.ServiceInfo{}
	return s, c.get(ctx, exchange{
		op: verb + " service " + name, method: method, path: c.Path(append([]string{"services", name}, below...)...),
		unsure: method != http.MethodGet,
	}, s)
}

// Workers lists workers.
func (c *Client) Workers(ctx context.Context, q Query) (*Page[edda.WorkerInfo], error) {
	p := &Page[edda.WorkerInfo]{}
	return p, c.get(ctx, exchange{op: "list workers", path: c.Path("workers"), query: q.values()}, p)
}

// Worker returns what is known of a worker, with what it has.
func (c *Client) Worker(ctx context.Context, id string) (*edda.WorkerInfo, error) {
	return c.worker(ctx, "show", http.MethodGet, id)
}

// DrainWorker has a worker be given nothing more, and finish.
func (c *Client) DrainWorker(ctx context.Context, id string) (*edda.WorkerInfo, error) {
	return c.worker(ctx, "drain", http.MethodPost, id, "drain")
}

// PauseWorker has a worker be given nothing until it is resumed.
func (c *Client) PauseWorker(ctx context.Context, id string) (*edda.WorkerInfo, error) {
	return c.worker(ctx, "pause", http.MethodPost, id, "pause")
}

// ResumeWorker has a paused worker be given requests again.
func (c *Client) ResumeWorker(ctx context.Context, id string) (*edda.WorkerInfo, error) {
	return c.worker(ctx, "resume", http.MethodPost, id, "resume")
}

func (c *Client) worker(ctx context.Context, verb, method, id string, below ...string) (*edda.WorkerInfo, error) {
	w := &edda.WorkerInfo{}
	return w, c.get(ctx, exchange{
		op: verb + " worker " + id, method: method, path: c.Path(append([]string{"workers", id}, below...)...),
		unsure: method != http.MethodGet,
	}, w)
}

// Node returns what the node says of itself.
func (c *Client) Node(ctx context.Context) (*edda.NodeInfo, error) {
	n := &edda.NodeInfo{}
	return n, c.get(ctx, exchange{op: "ask the node", path: "/v1/node"}, n)
}
