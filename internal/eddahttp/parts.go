package eddahttp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// maxEvent bounds one event: a part of edda.MaxPartBytes, escaped.
const maxEvent = 8 << 20

const eventStream = "text/event-stream"

// Parts are the parts of a reply on their way. Close it.
type Parts struct {
	// RequestID is the request's.
	RequestID edda.ID

	c    *Client
	op   string
	body io.ReadCloser
}

// CallParts sends a call whose reply is wanted part by part. It returns once the
// request is durable; the call's Wait is for the first part.
func (c *Client) CallParts(ctx context.Context, call Call) (*Parts, error) {
	op := "call " + call.To.String() + " " + call.Method
	if err := call.To.Validate(); err != nil {
		return nil, err
	}
	if err := edda.CheckName("method", call.Method); err != nil {
		return nil, err
	}
	h := call.header()
	h.Set("Accept", eventStream)
	return c.stream(ctx, exchange{
		op: op, method: http.MethodPost, path: c.CallPath(call.To, call.Method), header: h, payload: call.Payload, unsure: true,
	})
}

// Parts returns the parts of a request's reply that come after one.
func (c *Client) Parts(ctx context.Context, id edda.ID, after edda.PartID) (*Parts, error) {
	h := http.Header{}
	h.Set("Accept", eventStream)
	if after != (edda.PartID{}) {
		h.Set("Last-Event-ID", after.String())
	}
	p, err := c.stream(ctx, exchange{
		op: "read the parts of request " + id.String(), method: http.MethodGet, path: c.Path("requests", id.String(), "parts"), header: h,
	})
	if err != nil {
		return nil, err
	}
	p.RequestID = id
	return p, nil
}

// stream sends a request whose answer is a stream of events.
func (c *Client) stream(ctx context.Context, x exchange) (*Parts, error) {
	res, err := c.send(ctx, x)
	if err != nil {
		return nil, err
	}
	if res.status == http.StatusOK && res.header.Get("Content-Type") == eventStream {
		p := &Parts{c: c, op: x.op, body: res.body}
		p.RequestID, _ = edda.ParseID(res.header.Get("Edda-Request-Id")) // an answer to a call has one
		return p, nil
	}
	whole, err := c.whole(x, res)
	if err != nil {
		return nil, err
	}
	return nil, c.refusal(x.op, whole)
}

// Close ends reading, also while All waits for a part.
func (p *Parts) Close() error { return p.body.Close() }

// All yields the parts as they come and ends with the request, as
// edda.Client.Parts does. Unavailable means that the connection broke before that.
// It can be called once.
func (p *Parts) All() iter.Seq2[edda.Part, error] {
	return func(yield func(edda.Part, error) bool) {
		s := bufio.NewScanner(p.body)
		s.Buffer(nil, maxEvent)
		for event, data := range events(s) {
			part, err := p.read(event, data)
			switch {
			case errors.Is(err, errEnd):
				return
			case part == nil && err == nil:
				continue // an event of a later release
			case err != nil:
				yield(edda.Part{}, err)
				return
			case !yield(*part, nil):
				return
			}
		}
		err := s.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		yield(edda.Part{}, &edda.Error{
			Op: p.op, Reason: edda.Unavailable, RequestID: p.RequestID, Err: fmt.Errorf("the connection to %s broke: %w", p.c.base, interrupted(err)),
		})
	}
}

// events yields the name and the data of each event, whose data is one line.
func events(s *bufio.Scanner) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		var event, data string
		for s.Scan() {
			name, value, _ := strings.Cut(s.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case name == "event":
				event = value
			case name == "data":
				data = value
			case s.Text() == "" && event != "":
				if !yield(event, data) {
					return
				}
				event, data = "", ""
			}
		}
	}
}

// errEnd: the request succeeded, and there are no more parts.
var errEnd = errors.New("the request has succeeded")

// read reads an event; neither a part nor an error stands for one that says
// nothing.
func (p *Parts) read(event, data string) (*edda.Part, error) {
	switch event {
	case "part", "reset":
	case "end":
		return nil, errEnd
	case "error":
		if e, _ := decodeProblem(p.op, []byte(data)); e != nil {
			return nil, e
		}
		return nil, fmt.Errorf("%s: %s broke off without a reason", p.op, p.c.base)
	default:
		return nil, nil
	}
	var item struct {
		Number      edda.PartID `json:"number"`
		Reset       bool        `json:"reset"`
		ContentType string      `json:"contentType"`
		jsondata.Data
	}
	err := json.Unmarshal([]byte(data), &item)
	if err != nil {
		return nil, fmt.Errorf("%s: %s sent something else than a part: %w", p.op, p.c.base, err)
	}
	part := &edda.Part{Attempt: item.Number.Attempt, Number: item.Number.Number, Reset: item.Reset, ContentType: item.ContentType}
	part.Payload, err = item.Decode(item.ContentType)
	return part, err
}
