// Package eddahttp is a client of a node's HTTP surface, for the command line.
//
// A Client is immutable and safe for concurrent use. What it sends is delivered
// at most once per method call; nothing is repeated behind the caller's back.
//
// Errors that the node answers with are *edda.Error, with the reason the node
// gave. So are those of the way there: Unavailable means that no node answered
// and nothing was stored, OutcomeUnknown that the request may have been.
package eddahttp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/certwhy"
)

// maxAnswer bounds what is read of an answer. A reply has at most
// edda.MaxOutcomeBytes; a page of dead letters may have more.
const maxAnswer = 1 << 30

// shortAnswer is how much is looked at of an answer that no node gave.
const shortAnswer = 512

// Options are what a client needs besides the node's URL.
type Options struct {
	// Token is the bearer token; none when empty.
	Token string
	// Namespace is edda.DefaultNamespace when empty.
	Namespace string
	// Transport is http.DefaultTransport when nil.
	Transport http.RoundTripper
}

// Client speaks to one node about one namespace.
type Client struct {
	base   string // without a slash at the end
	host   string // of base, with its port where it names one
	prefix string // "/v1", or "/v1/ns/{namespace}"
	// namespace is what the prefix names.
	namespace string
	token     string
	http      http.Client
}

// New returns a client of the node at the URL, such as http://127.0.0.1:7400. It
// does not connect.
func New(nodeURL string, o Options) (*Client, error) {
	u, err := url.Parse(nodeURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the node's URL is %q, must be like http://127.0.0.1:7400", nodeURL)
	}
	c := &Client{base: strings.TrimRight(nodeURL, "/"), host: u.Host, prefix: "/v1", namespace: cmp.Or(o.Namespace, edda.DefaultNamespace), token: o.Token}
	if c.namespace != edda.DefaultNamespace {
		if err := edda.CheckName("namespace", c.namespace); err != nil {
			return nil, err
		}
		c.prefix += "/ns/" + c.namespace
	}
	// A redirect is an answer, not an order to send the request elsewhere.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http.Transport = o.Transport
	return c, nil
}

// URL returns the node's URL.
func (c *Client) URL() string { return c.base }

// Path returns the path of the parts below the namespace, each one escaped.
func (c *Client) Path(parts ...string) string {
	var b strings.Builder
	b.WriteString(c.prefix)
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// exchange is one request to the node.
type exchange struct {
	// op says what is being done, for errors.
	op     string
	method string
	// path is escaped and begins with a slash.
	path    string
	query   url.Values
	header  http.Header
	payload []byte
	// unsure says that after a broken connection something may have been stored.
	unsure bool
}

// response is what came back, read to its end.
type response struct {
	status int
	header http.Header
	body   []byte
}

// do sends the request and returns what came back, whatever its status.
func (c *Client) do(ctx context.Context, x exchange) (*response, error) {
	res, err := c.send(ctx, x)
	if err != nil {
		return nil, err
	}
	return c.whole(x, res)
}

// incoming is what comes back, its body still on the way.
type incoming struct {
	status int
	header http.Header
	body   io.ReadCloser
}

// send sends the request and returns the answer, whose body the caller closes.
func (c *Client) send(ctx context.Context, x exchange) (*incoming, error) {
	target := c.base + x.path
	if len(x.query) > 0 {
		target += "?" + x.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, x.method, target, bytes.NewReader(x.payload))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", x.op, err)
	}
	if x.header != nil {
		req.Header = x.header
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req) //nolint:bodyclose // whoever gets the answer closes it
	if err != nil {
		return nil, c.broken(x, err)
	}
	return &incoming{res.StatusCode, res.Header, res.Body}, nil
}

// whole reads an answer to its end.
func (c *Client) whole(x exchange, res *incoming) (*response, error) {
	defer func() { _ = res.body.Close() }() // it was read to its end, or its error is known
	body, err := io.ReadAll(io.LimitReader(res.body, maxAnswer))
	if err != nil {
		return nil, c.broken(x, err)
	}
	return &response{res.status, res.header, body}, nil
}

// broken says what a request without an answer means.
func (c *Client) broken(x exchange, err error) error {
	reason := edda.Unavailable
	dial, ok := errors.AsType[*net.OpError](err)
	connected := !ok || dial.Op != "dial"
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the URL, which is said once
	}
	err = interrupted(err)
	if why := c.mismatch(err); why != "" {
		err, connected = &explained{why, err}, false
	}
	if x.unsure && connected {
		reason = edda.OutcomeUnknown
	}
	return &edda.Error{Op: x.op, Reason: reason, Err: fmt.Errorf("no answer from %s: %w", c.base, err)}
}

// explained is an error in other words.
type explained struct {
	text string
	error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.error }

// mismatch says which of TLS or the certificate keeps the two sides apart; it is empty
// when neither does.
func (c *Client) mismatch(err error) string {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return "it does not speak TLS: its URL begins with http://"
	}
	text, _, _ := certwhy.Explain(c.host, err)
	return text
}

// get sends the request and decodes a 2xx answer into out, unless out is nil.
func (c *Client) get(ctx context.Context, x exchange, out any) error {
	x.method = cmp.Or(x.method, http.MethodGet)
	res, err := c.do(ctx, x)
	if err != nil {
		return err
	}
	if res.status < 200 || res.status > 299 {
		return c.refusal(x.op, res)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(res.body, out); err != nil {
		return fmt.Errorf("%s: %s answered something else than its JSON: %w", x.op, c.base, err)
	}
	return nil
}

// refusal returns the error that an answer which is no success stands for.
func (c *Client) refusal(op string, res *response) error {
	if e := problem(op, res); e != nil {
		return e
	}
	if strings.HasPrefix(c.base, "http://") && certwhy.WantsTLS(res.body[:min(len(res.body), shortAnswer)]) {
		return &edda.Error{Op: op, Reason: edda.Unavailable, Err: &explained{c.base + " speaks TLS: its URL begins with https://", http.ErrSchemeMismatch}}
	}
	return fmt.Errorf("%s: %s answered %d %s: is it an Edda node?", op, c.base, res.status, http.StatusText(res.status))
}

// problem returns the error that the node answered with, or nil when the answer
// is none of its problem documents. A handler's reply can have the same content
// type; what tells the node's own is that code, reason and status are there.
func problem(op string, res *response) *edda.Error {
	if t, _, err := mime.ParseMediaType(res.header.Get("Content-Type")); err != nil || t != "application/problem+json" {
		return nil
	}
	e, status := decodeProblem(op, res.body)
	if e == nil || status != res.status {
		return nil
	}
	e.Position = res.header.Get("Edda-Position")
	e.Attempts = number(res.header.Get("Edda-Attempts"))
	e.Replayed = res.header.Get("Idempotency-Replayed") == "true"
	e.RetryAfter = time.Duration(number(res.header.Get("Retry-After"))) * time.Second
	if e.Reason == edda.ExpectedOffset {
		if last := lastOffset(res.header["Etag"]); last != nil {
			e.Err = last
		}
	}
	return e
}

// decodeProblem reads a problem document of a node; nil when it is none.
func decodeProblem(op string, b []byte) (e *edda.Error, status int) {
	var doc struct {
		Status    int         `json:"status"`
		Code      edda.Code   `json:"code"`
		Reason    edda.Reason `json:"reason"`
		Title     string      `json:"title"`
		Detail    string      `json:"detail"`
		RequestID edda.ID     `json:"requestId"`
	}
	if json.Unmarshal(b, &doc) != nil || doc.Code == "" || doc.Reason == "" {
		return nil, 0
	}
	return &edda.Error{
		Op: op, Reason: doc.Reason, RequestID: doc.RequestID, Err: errors.New(cmp.Or(doc.Detail, doc.Title, string(doc.Reason))),
	}, doc.Status
}

// number reads a number that may be missing.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// interruptedError is a context that was cancelled, in words for whoever did so.
type interruptedError struct{}

func (interruptedError) Error() string        { return "interrupted" }
func (interruptedError) Is(target error) bool { return target == context.Canceled }

// interrupted says that the caller wanted no more, where that is what ended err.
func interrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return interruptedError{}
	}
	return err
}
