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
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/streamjson"
)

// Streams and groups are those of the client's namespace: what a specification, an
// append or a reference says of the namespace does not count.

// SetStream creates a stream, or changes one that there is; created says which.
func (c *Client) SetStream(ctx context.Context, s edda.StreamSpec) (st *edda.Stream, created bool, err error) {
	var doc streamjson.Stream
	created, err = c.put(ctx, "set stream "+s.Name, streamjson.NewSpec(&s), &doc, "streams", s.Name)
	if err != nil {
		return nil, false, err
	}
	st, err = doc.Stream(c.namespace)
	return st, created, err
}

// put sends a document, and reads the one that comes back; created says that it was
// made, not changed.
func (c *Client) put(ctx context.Context, op string, doc, out any, path ...string) (created bool, err error) {
	res, err := c.do(ctx, c.document(op, http.MethodPut, doc, path...))
	switch {
	case err != nil:
		return false, err
	case res.status < 200 || res.status > 299:
		return false, c.refusal(op, res)
	}
	return res.status == http.StatusCreated, c.decode(op, res, out)
}

// document is an exchange that sends a document.
func (c *Client) document(op, method string, doc any, path ...string) exchange {
	payload, err := json.Marshal(doc)
	if err != nil {
		payload = nil // documents of this package can be written
	}
	return exchange{
		op: op, method: method, path: c.Path(path...), header: http.Header{"Content-Type": {"application/json"}}, payload: payload, unsure: true,
	}
}

func (c *Client) decode(op string, res *response, out any) error {
	if err := json.Unmarshal(res.body, out); err != nil {
		return fmt.Errorf("%s: %s answered something else than its JSON: %w", op, c.base, err)
	}
	return nil
}

// Stream returns what is known of a stream.
func (c *Client) Stream(ctx context.Context, name string) (*edda.Stream, error) {
	return c.streamOf(ctx, exchange{op: "show stream " + name, path: c.Path("streams", name)})
}

func (c *Client) streamOf(ctx context.Context, x exchange) (*edda.Stream, error) {
	var doc streamjson.Stream
	if err := c.get(ctx, x, &doc); err != nil {
		return nil, err
	}
	return doc.Stream(c.namespace)
}

// Streams lists streams in order of their names. Limit is 100 when zero; after is a
// cursor.
func (c *Client) Streams(ctx context.Context, limit int, after string) (*Page[edda.Stream], error) {
	var docs Page[streamjson.Stream]
	if err := c.get(ctx, exchange{op: "list streams", path: c.Path("streams"), query: Query{Limit: limit, After: after}.values()}, &docs); err != nil {
		return nil, err
	}
	p := &Page[edda.Stream]{Next: docs.Next}
	for i := range docs.Items {
		s, err := docs.Items[i].Stream(c.namespace)
		if err != nil {
			return nil, err
		}
		p.Items = append(p.Items, *s)
	}
	return p, nil
}

// DeleteStream removes a stream with its messages and groups.
func (c *Client) DeleteStream(ctx context.Context, name string) error {
	return c.get(ctx, exchange{op: "remove stream " + name, method: http.MethodDelete, path: c.Path("streams", name), unsure: true}, nil)
}

// ReadStream returns messages that are there, or the first to come within Wait. Bytes
// does not count.
func (c *Client) ReadStream(ctx context.Context, r edda.Read) (*edda.StreamPage, error) {
	q := places(r.Shard, cmp.Or(r.From, edda.FromStart)) // without any parameter it would be what the stream is
	if r.Limit != 0 {
		q.Set("limit", strconv.Itoa(r.Limit))
	}
	if r.Wait > 0 {
		q.Set("wait", r.Wait.String())
	}
	var doc streamjson.Page
	if err := c.get(ctx, exchange{op: "read stream " + r.Stream, path: c.Path("streams", r.Stream), query: q}, &doc); err != nil {
		return nil, err
	}
	p := &edda.StreamPage{First: doc.First, Next: doc.Next, End: doc.End, Messages: make([]edda.StreamMessage, len(doc.Items))}
	for i := range doc.Items {
		m, err := doc.Items[i].Message(c.namespace)
		if err != nil {
			return nil, err
		}
		p.Messages[i] = m
	}
	return p, nil
}

// places are the parameters that say where in a stream.
func places(shard string, from edda.From) url.Values {
	q := url.Values{}
	if shard != "" {
		q.Set("shard", shard)
	}
	if from != "" {
		q.Set("from", string(from))
	}
	return q
}

// AwaitMessage returns the message to which its producer gave the id, once it is there
// or the wait is over. Zero does not wait.
func (c *Client) AwaitMessage(ctx context.Context, stream, id string, wait time.Duration) (*edda.StreamMessage, error) {
	op := "await message " + id + " of stream " + stream
	if err := segment(op, id); err != nil {
		return nil, err
	}
	var doc streamjson.Item
	if err := c.get(ctx, exchange{op: op, path: c.Path("streams", stream, "messages", id), query: waiting(wait)}, &doc); err != nil {
		return nil, err
	}
	m, err := doc.Message(c.namespace)
	return &m, err
}

// segment refuses what cannot stand in a path, however it is encoded.
func segment(op, id string) error {
	switch id {
	case "", ".", "..":
		return &edda.Error{Op: op, Reason: edda.BadName, Err: fmt.Errorf("the id is %q, which cannot stand in a URL", id)}
	}
	return nil
}

// TrimStream removes the messages before an offset or a time. Without a shard a time
// counts for all of them, an offset for the default one.
func (c *Client) TrimStream(ctx context.Context, stream, shard string, before edda.From) (*edda.Stream, error) {
	doc := struct {
		Before edda.From `json:"before"`
		Shard  string    `json:"shard,omitempty"`
	}{before, shard}
	return c.streamOf(ctx, c.document("trim stream "+stream, http.MethodPost, doc, "streams", stream, "trim"))
}

// lastOffset is what the tag of a refused append says of the shard: its last offset, or
// nothing for one that is empty; nil when there is no tag.
func lastOffset(tags []string) *edda.OffsetError {
	if len(tags) != 1 {
		return nil
	}
	if tags[0] == `""` {
		return &edda.OffsetError{Empty: true}
	}
	n, err := strconv.ParseUint(strings.Trim(tags[0], `"`), 10, 64)
	if err != nil {
		return nil
	}
	return &edda.OffsetError{Last: n}
}

// errNoItems: an answer to an append does not say where the messages are.
var errNoItems = errors.New("the answer does not say where each message is")

// errNoIDs: an answer to what was published does not say what the messages are called.
var errNoIDs = errors.New("the answer does not have an id for each message")
