package reqhead

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// callHeaders are the headers of a call that mean something only together.
type callHeaders struct {
	prefer      Preferences
	delay, at   time.Time
	traceParent []string
	traceState  []string
	accept      []string
}

// Call puts a call's headers into the message.
func Call(h http.Header, m *edda.Message) (Preferences, error) {
	var c callHeaders
	for name, values := range h {
		if err := c.read(name, values, m); err != nil {
			return c.prefer, err
		}
	}
	if !c.delay.IsZero() && !c.at.IsZero() {
		return c.prefer, refuse(edda.BadValue, "Edda-Delay and Edda-At are both given")
	}
	if m.Due = c.delay; m.Due.IsZero() {
		m.Due = c.at
	}
	if c.accept != nil {
		c.prefer.Events = AcceptsEvents(c.accept)
	}
	if c.traceParent != nil {
		m.TraceParent, m.TraceState = httpio.TraceContext(c.traceParent, c.traceState)
	}
	return c.prefer, nil
}

// Saga puts the headers that say of a saga what those of a call say of its request into
// the spec.
func Saga(h http.Header, s *edda.SagaSpec) error {
	var c callHeaders
	var m edda.Message
	for _, name := range [...]string{"Idempotency-Key", "Edda-Correlation-Id", "Traceparent", "Tracestate"} {
		if values, given := h[name]; given {
			if err := c.read(name, values, &m); err != nil {
				return err
			}
		}
	}
	s.IdempotencyKey, s.CorrelationID = m.IdempotencyKey, m.CorrelationID
	if c.traceParent != nil {
		s.TraceParent, s.TraceState = httpio.TraceContext(c.traceParent, c.traceState)
	}
	return nil
}

func (c *callHeaders) read(name string, values []string, m *edda.Message) (err error) {
	switch name {
	case "Content-Type":
		m.ContentType = values[0]
		return httpio.CheckText(name, values[0])
	case "Prefer":
		c.prefer = parsePrefer(values)
		return nil
	case "Accept":
		c.accept = values
		return nil
	case "Traceparent":
		c.traceParent = values
		return nil
	case "Tracestate":
		c.traceState = values
		return nil
	case "Idempotency-Key":
	default:
		if !strings.HasPrefix(name, "Edda-") {
			return nil
		}
		if strings.HasPrefix(name, messageHeader) {
			return messageHeaders(name, values, &m.Headers)
		}
	}
	if len(values) > 1 {
		return refuse(edda.BadValue, name+" is given more than once")
	}
	v := values[0]
	switch name {
	case "Idempotency-Key":
		m.IdempotencyKey, err = httpio.IdempotencyKey(v)
	case "Edda-Key":
		err = keyHeader(v, m)
	case "Edda-Delay":
		c.delay, err = delayHeader(v)
	case "Edda-At":
		c.at, err = timeHeader(name, v)
	case "Edda-Deadline":
		m.Deadline, err = deadlineHeader(v)
	case "Edda-Correlation-Id":
		m.CorrelationID, err = v, httpio.CheckText(name, v)
	}
	return err
}

// messageHeader begins the names of headers that are for the handler.
const messageHeader = "Edda-Header-"

// messageHeaders adds what stands behind Edda-Header- to the headers of a message.
func messageHeaders(name string, values []string, into *edda.Headers) error {
	short := name[len(messageHeader):]
	if short == "" {
		return refuse(edda.BadValue, messageHeader+" has no name after it")
	}
	for _, v := range values {
		if err := httpio.CheckText(name, v); err != nil {
			return err
		}
		*into = append(*into, edda.Header{Name: short, Value: v})
	}
	return nil
}

// keyHeader reads Edda-Key, which stands for the path's key.
func keyHeader(v string, m *edda.Message) error {
	key, err := url.PathUnescape(v)
	if err != nil {
		return refuse(edda.BadName, "Edda-Key has a bad percent-encoding")
	}
	if m.To.Key != "" && m.To.Key != key {
		return refuse(edda.BadValue, "Edda-Key is not the path's key")
	}
	m.To.Key = key
	return edda.CheckKey(key)
}

// delayHeader reads Edda-Delay. The past means now, which is a zero time to the
// node but not here.
func delayHeader(v string) (time.Time, error) {
	d, err := time.ParseDuration(v)
	if err != nil {
		return time.Time{}, refuse(edda.BadValue, "Edda-Delay must be a duration, such as 1.5s")
	}
	return inRange("Edda-Delay", time.Now().Add(d))
}

func timeHeader(name, v string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return time.Time{}, refuse(edda.BadValue, name+" must be a time, such as 2026-01-02T15:04:05Z")
	}
	return inRange(name, t)
}

// deadlineHeader reads a duration or a time.
func deadlineHeader(v string) (time.Time, error) {
	const name = "Edda-Deadline"
	if len(v) > 10 && v[10] == 'T' {
		return timeHeader(name, v)
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return time.Time{}, refuse(edda.BadValue, name+" must be a duration or a time, such as 1.5s or 2026-01-02T15:04:05Z")
	}
	return inRange(name, time.Now().Add(d))
}

// The times that a record can hold, in whole years.
var (
	firstTime = time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// inRange returns the time in UTC. What is long past stays past.
func inRange(name string, t time.Time) (time.Time, error) {
	if t.After(lastTime) {
		return time.Time{}, refuse(edda.BadValue, name+" is after the year 2261")
	}
	if t.Before(firstTime) {
		return firstTime, nil
	}
	return t.UTC(), nil
}
