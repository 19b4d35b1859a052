// Package service keeps which services are registered. It is part of partition
// 0 alone: the node shows its content to the other partitions.
package service

import (
	"cmp"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// The rows of this package: namespace, a zero byte, name.
const (
	rowService = 'r' // the body of a service-set record
	rowPaused  = 'R' // nothing
)

// Service is a registered service.
type Service struct {
	record.ServiceSet
	Paused bool
}

// Machine keeps the registered services.
type Machine struct {
	env      *fold.Env
	outbox   *outbox.Machine
	services map[edda.Address]*entry
	gone     map[edda.Address]struct{}
	changed  bool
}

type entry struct {
	Service
	body  []byte
	dirty bool
}

// New returns a machine without services.
func New(env *fold.Env, box *outbox.Machine) *Machine {
	return &Machine{env: env, outbox: box, services: map[edda.Address]*entry{}, gone: map[edda.Address]struct{}{}}
}

// Types are the record types the machine owns.
func (m *Machine) Types() []record.Type {
	return []record.Type{record.TypeServiceSet, record.TypeServiceRemoved, record.TypeServicePaused}
}

// Changed reports whether a service changed since the last call.
func (m *Machine) Changed() bool {
	c := m.changed
	m.changed = false
	return c
}

// Services returns the registered services in order of namespace and name.
func (m *Machine) Services() []Service {
	all := make([]Service, 0, len(m.services))
	for _, e := range m.services {
		all = append(all, e.Service)
	}
	slices.SortFunc(all, func(a, b Service) int {
		return cmp.Or(cmp.Compare(a.Address.Namespace, b.Address.Namespace), cmp.Compare(a.Address.Name, b.Address.Name))
	})
	return all
}

// Apply changes the registered services.
func (m *Machine) Apply(r record.Record) error {
	if r.Type == record.TypeServiceSet {
		var s record.ServiceSet
		if err := s.Decode(r.Body); err != nil {
			return err
		}
		s.Address = named(s.Address)
		m.set(s, r.Body)
		return nil
	}
	var c record.ServiceChanged
	if err := c.Decode(r.Body); err != nil {
		return err
	}
	if c.Origin.Number != 0 && !m.outbox.Receive(c.Origin) {
		return nil
	}
	c.Address = named(c.Address)
	e := m.services[c.Address]
	if e == nil {
		return nil
	}
	m.changed = true
	if r.Type == record.TypeServiceRemoved {
		delete(m.services, c.Address)
		m.gone[c.Address] = struct{}{}
		return nil
	}
	e.Paused, e.dirty = c.Paused, true
	return nil
}

func (m *Machine) set(s record.ServiceSet, body []byte) {
	e := m.services[s.Address]
	if e == nil {
		e = &entry{}
		m.services[s.Address] = e
	}
	e.ServiceSet, e.body, e.dirty = s, body, true
	delete(m.gone, s.Address)
	m.changed = true
}

// Checkpoint adds what changed to b.
func (m *Machine) Checkpoint(b *store.Batch) error {
	for a := range m.gone {
		b.Delete(row(rowService, a))
		b.Delete(row(rowPaused, a))
	}
	for a, e := range m.services {
		if !e.dirty {
			continue
		}
		b.Set(row(rowService, a), e.body)
		if e.Paused {
			b.Set(row(rowPaused, a), nil)
		} else {
			b.Delete(row(rowPaused, a))
		}
	}
	return nil
}

// Committed notes what the table now has.
func (m *Machine) Committed() {
	clear(m.gone)
	for _, e := range m.services {
		e.dirty = false
	}
}

// Load reads the services from the table.
func (m *Machine) Load() error {
	for p, err := range m.env.Table.Scan([]byte{rowService}, fold.RowEnd(rowService)) {
		if err != nil {
			return err
		}
		e := &entry{body: append([]byte(nil), p.Value...)}
		if err := e.Decode(e.body); err != nil {
			return err
		}
		e.Address = named(e.Address)
		if _, e.Paused, err = m.env.Table.Get(row(rowPaused, e.Address)); err != nil {
			return err
		}
		m.services[e.Address] = e
	}
	m.changed = true
	return nil
}

// named returns the address with its namespace spelled out.
func named(a edda.Address) edda.Address {
	a.Namespace = cmp.Or(a.Namespace, edda.DefaultNamespace)
	return a
}

func row(kind byte, a edda.Address) []byte {
	return fold.Row(kind, []byte(a.Namespace), []byte{0}, []byte(a.Name))
}
