package httppush

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
	"github.com/edda-io/edda/internal/specjson"
)

const (
	// maxState is how much state an envelope holds, names and values together.
	maxState = 1 << 20
	// maxDelay bounds the delay of a send, so that its time can be written down.
	maxDelay = 100 * 365 * 24 * time.Hour
)

// maxEnvelope is the largest JSON of an envelope whose payload may have limit
// bytes: base64 makes it a third larger.
func maxEnvelope(limit int64) int64 { return limit + limit/2 + 64<<10 }

// envelopeOf returns the JSON that an attempt is posted as.
func (t *target) envelopeOf(c *edda.Context) ([]byte, error) {
	m := c.Message()
	headers, err := jsondata.Headers(m.Headers).MarshalJSON()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 512+len(headers)+len(m.Payload)*3/2)
	b = append(b, `{"id":`...)
	b = jsondata.AppendString(b, m.ID.String())
	if t.ordered {
		b = append(b, `,"key":`...)
		b = jsondata.AppendString(b, m.To.Key)
	}
	b = append(b, `,"method":`...)
	b = jsondata.AppendString(b, m.Type)
	b = append(b, `,"attempt":`...)
	b = strconv.AppendInt(b, int64(c.Attempt()), 10)
	if t.ordered {
		b = append(b, `,"fence":`...)
		b = strconv.AppendUint(b, c.Fence(), 10)
	}
	b = append(b, `,"headers":`...)
	b = append(b, headers...)
	if m.ContentType != "" {
		b = append(b, `,"contentType":`...)
		b = jsondata.AppendString(b, m.ContentType)
	}
	switch d := jsondata.Encode(m.ContentType, m.Payload); {
	case d.Value != nil:
		b = append(b, `,"data":`...)
		b = append(b, d.Value...)
	case d.Base64 != nil:
		b = append(b, `,"dataBase64":`...)
		b = appendBase64(b, d.Base64)
	}
	if t.ordered {
		if b, err = appendState(b, c); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendState appends the key's whole state: in "state" values that are JSON, in
// "stateBase64" all others.
func appendState(b []byte, c *edda.Context) ([]byte, error) {
	b = append(b, `,"state":{`...)
	var other []edda.StateEntry
	size, first := 0, true
	for e, err := range c.List("") {
		if err != nil {
			return nil, fmt.Errorf("read the key's state: %w", err)
		}
		if size += len(e.Name) + len(e.Value); size > maxState {
			return nil, fmt.Errorf("the key's state has more than %d bytes, which is all that an envelope holds", maxState)
		}
		if !utf8.ValidString(e.Name) {
			return nil, fmt.Errorf("the key's state has the name %q, which is not UTF-8 and cannot stand in an envelope", e.Name)
		}
		if !json.Valid(e.Value) || !utf8.Valid(e.Value) {
			other = append(other, e)
			continue
		}
		b = append(appendMember(b, e.Name, first), e.Value...)
		first = false
	}
	b = append(b, '}')
	if other == nil {
		return b, nil
	}
	b = append(b, `,"stateBase64":{`...)
	for i, e := range other {
		b = appendBase64(appendMember(b, e.Name, i == 0), e.Value)
	}
	return append(b, '}'), nil
}

func appendMember(b []byte, name string, first bool) []byte {
	if !first {
		b = append(b, ',')
	}
	return append(jsondata.AppendString(b, name), ':')
}

func appendBase64(b, data []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(b, '"'), data), '"')
}

// reply is the JSON that an attempt is answered with.
type reply struct {
	Status      int               `json:"status"`
	Headers     *jsondata.Headers `json:"headers"`
	ContentType string            `json:"contentType"`
	jsondata.Data
	State    *change         `json:"state"`
	Send     []send          `json:"send"`
	Append   []appendTo      `json:"append"`
	AddSteps json.RawMessage `json:"addSteps"`
	Pending  bool            `json:"pending"`
	Error    *declare        `json:"error"`
}

// change is what becomes of the key's state.
type change struct {
	Set       map[string]json.RawMessage `json:"set"`
	SetBase64 map[string][]byte          `json:"setBase64"`
	Delete    []string                   `json:"delete"`
}

// send is a message to another service.
type send struct {
	Service     string            `json:"service"`
	Key         string            `json:"key"`
	Method      string            `json:"method"`
	Headers     *jsondata.Headers `json:"headers"`
	ContentType string            `json:"contentType"`
	jsondata.Data
	Delay          string `json:"delay"`
	IdempotencyKey string `json:"idempotencyKey"`
}

// declare is an error instead of a reply.
type declare struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Final   bool   `json:"final"`
}

// opened makes an envelope the outcome of the attempt.
func (t *target) opened(c *edda.Context, body []byte) (*edda.Reply, error) {
	var r reply
	if err := decode(body, &r); err != nil {
		return nil, fmt.Errorf("the endpoint's answer is no envelope: %w", err)
	}
	switch {
	case r.Error != nil:
		return nil, &edda.HandlerError{Reason: r.Error.Reason, Message: r.Error.text(), Final: r.Error.Final}
	case r.Status != 0 && (r.Status < 200 || r.Status > 599):
		return nil, inEnvelope(fmt.Errorf("status is %d, must be 200 to 599", r.Status))
	}
	payload, contentType, err := payloadOf(r.Data, r.ContentType)
	if err == nil && int64(len(payload)) > t.maxReply {
		err = fmt.Errorf("data has %d bytes, at most %d are allowed", len(payload), t.maxReply)
	}
	if err == nil {
		err = r.apply(c)
	}
	switch {
	case err != nil:
		return nil, inEnvelope(err)
	case r.Pending:
		return nil, edda.ErrPending
	}
	return &edda.Reply{Status: r.Status, Headers: headersOf(r.Headers), ContentType: contentType, Payload: payload}, nil
}

// apply asks for what is kept beside the reply.
func (r *reply) apply(c *edda.Context) error {
	if err := r.State.apply(c); err != nil {
		return err
	}
	for i := range r.Send {
		if err := r.Send[i].apply(c); err != nil {
			return fmt.Errorf("send[%d]: %w", i, err)
		}
	}
	for i := range r.Append {
		if err := r.Append[i].apply(c); err != nil {
			return fmt.Errorf("append[%d]: %w", i, err)
		}
	}
	return addSteps(c, r.AddSteps)
}

// addSteps adds steps to the saga of the step that was handled.
func addSteps(c *edda.Context, b json.RawMessage) error {
	if b == nil || string(b) == "null" {
		return nil
	}
	steps, err := specjson.Steps(b)
	if err == nil {
		err = c.AddSteps(steps...)
	}
	if err != nil {
		return fmt.Errorf("addSteps: %w", err)
	}
	return nil
}

func inEnvelope(err error) error { return fmt.Errorf("the endpoint's envelope: %w", err) }

// decode reads exactly one JSON object that has no members but those of v. An
// unknown one would be something that the endpoint asked for and did not get.
func decode(body []byte, v any) error {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return errors.New("it is not a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

func (e *declare) text() string {
	if e.Message == "" && e.Reason == "" {
		return "the endpoint declared an error and did not say which"
	}
	return e.Message
}

// headersOf returns the headers of an envelope, which may be left out.
func headersOf(h *jsondata.Headers) edda.Headers {
	if h == nil {
		return nil
	}
	return edda.Headers(*h)
}

// payloadOf returns the payload of data and its content type. Where none is given
// a string is text, and any other value is JSON.
func payloadOf(d jsondata.Data, contentType string) ([]byte, string, error) {
	if contentType == "" && len(d.Value) > 0 && d.Value[0] != '"' {
		contentType = "application/json"
	}
	payload, err := d.Decode(contentType)
	return payload, contentType, err
}

// apply changes the key's state.
func (s *change) apply(c *edda.Context) error {
	if s == nil {
		return nil
	}
	for name, v := range s.Set {
		if err := c.Set(name, v); err != nil {
			return fmt.Errorf("state.set: %w", err)
		}
	}
	for name, v := range s.SetBase64 {
		if _, twice := s.Set[name]; twice {
			return fmt.Errorf("state.set and state.setBase64 both have %q", name)
		}
		if err := c.Set(name, v); err != nil {
			return fmt.Errorf("state.setBase64: %w", err)
		}
	}
	for _, name := range s.Delete {
		_, set := s.Set[name]
		_, setBase64 := s.SetBase64[name]
		if set || setBase64 {
			return fmt.Errorf("state sets and deletes %q", name)
		}
		if err := c.Delete(name); err != nil {
			return fmt.Errorf("state.delete: %w", err)
		}
	}
	return nil
}

// apply sends the message with the outcome.
func (s *send) apply(c *edda.Context) error {
	payload, contentType, err := payloadOf(s.Data, s.ContentType)
	if err != nil {
		return err
	}
	m := &edda.Message{
		To: edda.Address{Name: s.Service, Key: s.Key}, Type: s.Method, Headers: headersOf(s.Headers),
		ContentType: contentType, Payload: payload, IdempotencyKey: s.IdempotencyKey,
	}
	if s.Delay != "" {
		d, err := time.ParseDuration(s.Delay)
		if err != nil || d < 0 || d > maxDelay {
			return fmt.Errorf("delay is %q, must be a duration from 0s to %v, such as 1.5s", s.Delay, maxDelay)
		}
		m.Due = time.Now().Add(d)
	}
	return c.Send(m)
}
