package record

import (
	"fmt"
	"math"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// Owned says that a node has taken the partition.
type Owned struct {
	Epoch uint64
	Node  string
}

// AppendTo appends the whole record.
func (o *Owned) AppendTo(b []byte) []byte {
	b = wire.AppendUint(AppendHeader(b, TypeOwned), 1, o.Epoch)
	return wire.AppendString(b, 2, o.Node)
}

// Decode reads the body of a record.
func (o *Owned) Decode(body []byte) error {
	*o = Owned{}
	return fields(TypeOwned, body, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			o.Epoch = f.Uint
		case 2:
			o.Node = string(f.Bytes)
		}
		return nil
	})
}

// OutboxAcked says that the partition To has everything up to Number.
type OutboxAcked struct {
	To     uint64
	Number uint64
}

// AppendTo appends the whole record.
func (o *OutboxAcked) AppendTo(b []byte) []byte {
	b = wire.AppendUint(AppendHeader(b, TypeOutboxAcked), 1, o.To+1)
	return wire.AppendUint(b, 2, o.Number)
}

// Decode reads the body of a record.
func (o *OutboxAcked) Decode(body []byte) error {
	*o = OutboxAcked{}
	return fields(TypeOutboxAcked, body, func(f *wire.Field) (err error) {
		switch f.Num {
		case 1:
			o.To, err = readPartition(f.Uint)
		case 2:
			o.Number = f.Uint
		}
		return err
	})
}

// KeyResumed lets a stopped key go on.
type KeyResumed struct{ Address edda.Address }

// AppendTo appends the whole record.
func (k *KeyResumed) AppendTo(b []byte) []byte {
	return appendAddress(AppendHeader(b, TypeKeyResumed), k.Address)
}

// Decode reads the body of a record.
func (k *KeyResumed) Decode(body []byte) error {
	*k = KeyResumed{}
	return fields(TypeKeyResumed, body, func(f *wire.Field) error {
		readAddressField(&k.Address, f)
		return nil
	})
}

// ServiceSet registers a service or changes it.
type ServiceSet struct {
	Address edda.Address // Key is empty
	Kind    edda.Kind
	// Methods are empty when the service takes any.
	Methods []string
	// Schemas are the JSON Schemas of methods that have one, as JSON text.
	Schemas []Schema
	// Concurrency, AttemptTimeout, Retry and OnDead are those of edda.ServiceSpec,
	// with their zero values.
	Concurrency    int
	AttemptTimeout time.Duration
	Retry          edda.RetryPolicy
	OnDead         edda.OnDead
	// Endpoint is nil unless the service is behind a plain HTTP endpoint.
	Endpoint *Endpoint
}

// Endpoint is a plain HTTP endpoint: the fields of edda.EndpointSpec.
type Endpoint struct {
	URL            string
	Protocol       edda.Protocol
	HealthPath     string
	HealthInterval time.Duration
	Secret         string
}

// Schema is the JSON Schema of a method's payload.
type Schema struct {
	Method string
	JSON   []byte
}

// AppendTo appends the whole record.
func (s *ServiceSet) AppendTo(b []byte) []byte {
	b = appendAddress(AppendHeader(b, TypeServiceSet), s.Address)
	b = wire.AppendUint(b, 4, kindNumber(s.Kind))
	for _, m := range s.Methods {
		b = wire.AppendString(b, 5, m)
	}
	for _, sc := range s.Schemas {
		inner := wire.AppendString([]byte{}, 1, sc.Method)
		b = wire.AppendBytes(b, 6, wire.AppendBytes(inner, 2, sc.JSON))
	}
	b = wire.AppendUint(b, 7, uint64(s.Concurrency))
	b = wire.AppendUint(b, 8, uint64(s.AttemptTimeout))
	if s.Retry != (edda.RetryPolicy{}) {
		b = wire.AppendBytes(b, 9, appendRetry([]byte{}, &s.Retry))
	}
	b = wire.AppendString(b, 10, string(s.OnDead))
	if s.Endpoint != nil {
		b = wire.AppendBytes(b, 11, s.Endpoint.appendTo([]byte{}))
	}
	return b
}

func (e *Endpoint) appendTo(b []byte) []byte {
	b = wire.AppendString(b, 1, e.URL)
	b = wire.AppendString(b, 2, string(e.Protocol))
	b = wire.AppendString(b, 3, e.HealthPath)
	b = wire.AppendUint(b, 4, uint64(e.HealthInterval))
	return wire.AppendString(b, 5, e.Secret)
}

func readEndpoint(b []byte) (*Endpoint, error) {
	e := &Endpoint{}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			e.URL = string(f.Bytes)
		case 2:
			e.Protocol = edda.Protocol(f.Bytes)
		case 3:
			e.HealthPath = string(f.Bytes)
		case 4:
			e.HealthInterval = time.Duration(f.Uint)
		case 5:
			e.Secret = string(f.Bytes)
		}
	}
	return e, r.Err()
}

func appendRetry(b []byte, p *edda.RetryPolicy) []byte {
	b = wire.AppendUint(b, 1, uint64(p.Max+1))
	b = wire.AppendUint(b, 2, uint64(p.Delay))
	b = wire.AppendUint(b, 3, uint64(p.MaxDelay))
	b = wire.AppendFixed(b, 4, math.Float64bits(p.Backoff))
	return wire.AppendFixed(b, 5, math.Float64bits(p.Jitter))
}

func readRetry(b []byte) (edda.RetryPolicy, error) {
	p := edda.RetryPolicy{Max: -1}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			p.Max = int(f.Uint) - 1
		case 2:
			p.Delay = time.Duration(f.Uint)
		case 3:
			p.MaxDelay = time.Duration(f.Uint)
		case 4:
			p.Backoff = math.Float64frombits(f.Uint)
		case 5:
			p.Jitter = math.Float64frombits(f.Uint)
		}
	}
	if err := r.Err(); err != nil {
		return p, err
	}
	if math.IsNaN(p.Backoff) || math.IsNaN(p.Jitter) {
		return p, fmt.Errorf("retry policy has backoff %v and jitter %v, both must be numbers", p.Backoff, p.Jitter)
	}
	return p, nil
}

// Decode reads the body of a record.
func (s *ServiceSet) Decode(body []byte) error {
	*s = ServiceSet{}
	err := fields(TypeServiceSet, body, func(f *wire.Field) (err error) {
		readAddressField(&s.Address, f)
		switch f.Num {
		case 4:
			s.Kind, err = readKind(f.Uint)
		case 5:
			s.Methods = append(s.Methods, string(f.Bytes))
		case 6:
			var ch Change
			ch, err = readChange(f.Bytes)
			s.Schemas = append(s.Schemas, Schema{Method: ch.Name, JSON: ch.Value})
		case 7:
			s.Concurrency = int(f.Uint)
		case 8:
			s.AttemptTimeout = time.Duration(f.Uint)
		case 9:
			s.Retry, err = readRetry(f.Bytes)
		case 10:
			s.OnDead = edda.OnDead(f.Bytes)
		case 11:
			s.Endpoint, err = readEndpoint(f.Bytes)
		}
		return err
	})
	if err == nil && s.Kind == "" {
		return fmt.Errorf("%s record without a kind", TypeServiceSet)
	}
	return err
}

// ServiceChanged removes, pauses or resumes a service; the record's type says
// which.
type ServiceChanged struct {
	Address edda.Address // Key is empty
	Paused  bool
	Origin  Origin
}

// AppendTo appends the whole record.
func (s *ServiceChanged) AppendTo(b []byte, t Type) []byte {
	b = appendAddress(AppendHeader(b, t), s.Address)
	b = appendBool(b, 4, s.Paused)
	return appendOrigin(b, s.Origin)
}

// Decode reads the body of a record.
func (s *ServiceChanged) Decode(body []byte) error {
	*s = ServiceChanged{}
	return fields(TypeServicePaused, body, func(f *wire.Field) (err error) {
		readAddressField(&s.Address, f)
		switch f.Num {
		case 4:
			s.Paused = f.Uint != 0
		case 6, 7:
			err = readOrigin(&s.Origin, f)
		}
		return err
	})
}

// appendAddress appends an address as fields 1 to 3.
func appendAddress(b []byte, a edda.Address) []byte {
	b = wire.AppendString(b, 1, a.Namespace)
	b = wire.AppendString(b, 2, a.Name)
	return wire.AppendString(b, 3, a.Key)
}

func readAddressField(a *edda.Address, f *wire.Field) {
	switch f.Num {
	case 1:
		a.Namespace = string(f.Bytes)
	case 2:
		a.Name = string(f.Bytes)
	case 3:
		a.Key = string(f.Bytes)
	}
}
