package node

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/inputschema"
	"github.com/edda-io/edda/internal/record"
)

// schemas checks the payloads of a service's methods at the edge. It is
// immutable.
type schemas struct {
	methods map[string]*schema
}

type schema struct {
	json  []byte
	check func(contentType string, payload []byte) error
}

// schemasOf derives the schemas of each service from its methods' Go types.
func schemasOf(services []*edda.Service) ([]*schemas, error) {
	all := make([]*schemas, len(services))
	for i, s := range services {
		all[i] = &schemas{methods: map[string]*schema{}}
		if s.Group != nil {
			continue // what is on a stream is the consumer's business
		}
		for _, name := range s.Methods() {
			sc, err := schemaOf(s.Method(name))
			if err != nil {
				return nil, &edda.Error{Op: "register service " + s.Name, Reason: edda.BadValue,
					Err: fmt.Errorf("the payload of method %s has no JSON Schema: %w", name, err)}
			}
			if sc != nil {
				all[i].methods[name] = sc
			}
		}
	}
	return all, nil
}

func schemaOf(m *edda.Method) (*schema, error) {
	if m.Check != nil {
		return &schema{check: func(contentType string, payload []byte) error {
			return guard("the method's check", func() error { return m.Check(contentType, payload) })
		}}, nil
	}
	if m.Input == nil {
		return nil, nil
	}
	s, err := inputschema.Of(m.Input)
	if err != nil {
		return nil, err
	}
	checker, err := inputschema.NewChecker(s)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return &schema{json: text, check: func(contentType string, payload []byte) error {
		if err := checker.Check(contentType, payload); err != nil {
			return err
		}
		return guard("decoding the payload", func() error { return checkType(m.Input, payload) })
	}}, nil
}

// compileSchemas reads schemas that are given as JSON text.
func compileSchemas(texts map[string]string) (*schemas, error) {
	all := &schemas{methods: map[string]*schema{}}
	for method, text := range texts {
		checker, err := inputschema.Compile([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("the schema of method %s: %w", method, err)
		}
		all.methods[method] = &schema{json: []byte(text), check: checker.Check}
	}
	return all, nil
}

// schemasFrom reads the schemas that the log has of a service. They were compiled
// before they were written; one that this release cannot read guards nothing.
func schemasFrom(recs []record.Schema) *schemas {
	texts := map[string]string{}
	for _, r := range recs {
		if _, err := compileSchemas(map[string]string{r.Method: string(r.JSON)}); err == nil {
			texts[r.Method] = string(r.JSON)
		}
	}
	all, _ := compileSchemas(texts)
	return all
}

func sameSchemas(a, b []record.Schema) bool {
	return slices.EqualFunc(a, b, func(x, y record.Schema) bool {
		return x.Method == y.Method && string(x.JSON) == string(y.JSON)
	})
}

// checkType checks what no schema says: that a number is in the range of its Go
// type and written as it wants it, that base64 is base64. A handler could not
// read the payload either.
func checkType(t reflect.Type, payload []byte) error {
	if len(payload) == 0 {
		return nil
	}
	err := json.Unmarshal(payload, reflect.New(t).Interface())
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		err = fmt.Errorf("%q is a %s, which is no %s", e.Field, e.Value, e.Type)
	}
	return &edda.Error{Reason: edda.BadSchema, Err: fmt.Errorf("payload does not fit: %w", err)}
}

// records are the schemas as they stand in the log.
func (s *schemas) records() []record.Schema {
	var all []record.Schema
	for method, sc := range s.methods {
		if sc.json != nil {
			all = append(all, record.Schema{Method: method, JSON: sc.json})
		}
	}
	slices.SortFunc(all, func(a, b record.Schema) int { return cmp.Compare(a.Method, b.Method) })
	return all
}

// refuseCall is why a call is refused.
func refuseCall(to edda.Address, reason edda.Reason, format string, args ...any) *edda.Error {
	return &edda.Error{Op: "call " + to.String(), Reason: reason, Key: to.Key, Err: fmt.Errorf(format, args...)}
}

// checkKind decides whether a registered service has such a method, and a key exactly
// if it should.
func checkKind(to edda.Address, method string, v *view) *edda.Error {
	switch {
	case v.kind == edda.Ordered && to.Key == "":
		return refuseCall(to, edda.WrongKind, "service %s is ordered: a call names a key", to.Name)
	case v.kind == edda.Balanced && to.Key != "":
		return refuseCall(to, edda.WrongKind, "service %s is balanced: a call names no key", to.Name)
	case !v.knows(method):
		return refuseCall(to, edda.NoMethod, "service %s has no method %s, only %s", to.Name, method, strings.Join(v.methods, ", "))
	}
	return nil
}

// checkAgainst decides whether a message fits a registered service.
func (n *Node) checkAgainst(m *edda.Message, v *view) *edda.Error {
	bad := func(reason edda.Reason, format string, args ...any) *edda.Error {
		return refuseCall(m.To, reason, format, args...)
	}
	if err := edda.CheckName("method", m.Type); err != nil {
		return bad(edda.BadName, "%w", err)
	}
	if err := checkKind(m.To, m.Type, v); err != nil {
		return err
	}
	switch {
	case len(m.IdempotencyKey) > edda.MaxIdempotencyKeyBytes:
		return bad(edda.BadValue, "idempotency key has %d bytes, at most %d are allowed", len(m.IdempotencyKey), edda.MaxIdempotencyKeyBytes)
	case !m.Deadline.IsZero() && !m.Deadline.After(time.Now()):
		return bad(edda.DeadlineExceeded, "the deadline %s has passed already", m.Deadline.UTC().Format(time.RFC3339Nano))
	}
	if m.Due.After(lastTime) || m.Deadline.After(lastTime) {
		return bad(edda.BadValue, "due time and deadline must be before %s", lastTime.Format(time.RFC3339))
	}
	if payload, headers := sizes(m); payload > n.opts.Limits.PayloadBytes {
		return bad(edda.TooLarge, "the payload has %d bytes, at most %d are allowed", payload, n.opts.Limits.PayloadBytes)
	} else if headers > maxHeaderBytes {
		return bad(edda.TooLarge, "the headers have %d bytes, at most %d are allowed", headers, maxHeaderBytes)
	}
	return checkSchema(m, v)
}

// checkSchema decides whether a message's payload is what its method takes.
func checkSchema(m *edda.Message, v *view) *edda.Error {
	if v.schemas == nil {
		return nil
	}
	sc := v.schemas.methods[m.Type]
	if sc == nil {
		return nil
	}
	err := sc.check(m.ContentType, m.Payload)
	if err == nil {
		return nil
	}
	e := refuseCall(m.To, edda.BadSchema, "%w", err)
	if own, ok := errors.AsType[*edda.Error](err); ok {
		e.Reason = own.Reason
	}
	return e
}

// lastTime is the last time that fits Unix nanoseconds, in which the log keeps
// times.
var lastTime = time.Unix(0, math.MaxInt64).UTC()

// maxHeaderBytes bounds the headers of one message.
const maxHeaderBytes = 64 << 10

// sizes returns the bytes of a message's payload and of its headers.
func sizes(m *edda.Message) (payload, headers int) {
	payload = len(m.Payload)
	for _, f := range m.Frames {
		payload += len(f)
	}
	for _, h := range m.Headers {
		headers += len(h.Name) + len(h.Value)
	}
	return payload, headers
}
