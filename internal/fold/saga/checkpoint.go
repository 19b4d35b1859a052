package saga

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// stored is what the table has of a saga.
type stored struct {
	state      byte // zero: nothing
	armed      bool
	unadvanced bool
	keepUntil  int64
}

// storedNow is what the table has once the saga has been written.
func (s *Saga) storedNow() stored {
	return stored{state: stateNumber(s.State), armed: s.armed, unadvanced: s.unadvanced, keepUntil: s.keepUntil()}
}

// maxExpire bounds how many expired sagas one checkpoint removes.
const maxExpire = 5000

// Checkpoint adds what changed to b. What is gone goes first: another saga may have
// its id by now.
func (m *Machine) Checkpoint(b *store.Batch) error {
	if err := m.expire(b); err != nil {
		return err
	}
	for ref := range m.gone {
		if err := m.deleteFamily(b, ref); err != nil {
			return err
		}
	}
	for _, s := range m.dirty {
		if s.dropped {
			continue
		}
		hidden, err := m.hidden(s, m.env.Time)
		switch {
		case err == nil && !hidden:
			m.write(b, s)
		case err == nil && s.stored.state != 0:
			err = m.deleteFamily(b, s.Ref())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes what changed of a saga.
func (m *Machine) write(b *store.Batch, s *Saga) {
	was, is := s.stored, s.storedNow()
	ref := s.Ref()
	b.Set(sagaRow(ref), s.row())
	for i := range s.steps {
		if s.steps[i].is(dirtyStep) {
			b.Set(stepRow(ref, i), s.steps[i].row())
		}
	}
	if was.state != is.state && was.state != 0 {
		b.Delete(listRow(s.Namespace, was.state, CursorOf(s)))
	}
	b.Set(listRow(s.Namespace, is.state, CursorOf(s)), s.listValue())
	toggle(b, was.armed, is.armed, timeRow(rowDeadline, s.Deadline, ref))
	toggle(b, was.unadvanced, is.unadvanced, fold.Row(rowAdvance, ref.key()))
	if was.keepUntil != is.keepUntil {
		toggle(b, was.keepUntil != 0, false, timeRow(rowExpiry, was.keepUntil, ref))
		toggle(b, false, is.keepUntil != 0, timeRow(rowExpiry, is.keepUntil, ref))
	}
}

// toggle sets or deletes a row that says nothing but that it is there.
func toggle(b *store.Batch, was, is bool, row []byte) {
	switch {
	case is && !was:
		b.Set(row, nil)
	case was && !is:
		b.Delete(row)
	}
}

func (s *Saga) listValue() []byte {
	b := wire.AppendString(nil, jName, s.Name)
	b = wire.AppendString(b, jPrincipal, string(s.Principal))
	return wire.AppendFixed(b, jKeepUntil, uint64(s.keepUntil()))
}

// expire removes ended sagas that are kept no longer: at most maxExpire at a time.
func (m *Machine) expire(b *store.Batch) error {
	n := 0
	for p, err := range m.env.Table.Scan([]byte{rowExpiry}, fold.RowNumber(rowExpiry, uint64(m.env.Time)+1)) {
		if err != nil {
			return err
		}
		if len(p.Key) < 9 {
			return fmt.Errorf("expiry row of %d bytes, want more than 9", len(p.Key))
		}
		ref := parseKey(string(p.Key[9:]))
		if m.gone[ref] {
			continue // it is removed with those
		}
		if err := m.deleteFamily(b, ref); err != nil {
			return err
		}
		if n++; n == maxExpire {
			break
		}
	}
	return nil
}

// deleteFamily deletes the rows of a saga, and of all that its steps are.
func (m *Machine) deleteFamily(b *store.Batch, ref Ref) error {
	row, found, err := m.env.Table.Get(sagaRow(ref))
	if err != nil || !found {
		return err
	}
	if err := m.deleteRows(b, ref, row); err != nil {
		return err
	}
	from := append(sagaRow(ref), nested...)
	end := slices.Clone(from)
	end[len(end)-1]++
	for p, err := range m.env.Table.Scan(from, end) {
		if err != nil {
			return err
		}
		if err := m.deleteRows(b, parseKey(string(p.Key[1:])), slices.Clone(p.Value)); err != nil {
			return err
		}
	}
	return nil
}

// manySteps are deleted as a range.
const manySteps = 16

func (m *Machine) deleteRows(b *store.Batch, ref Ref, row []byte) error {
	s, err := m.readRow(ref, row)
	if err != nil {
		return err
	}
	b.Delete(sagaRow(ref))
	if s.count > manySteps {
		b.DeleteRange(stepRow(ref, 0), stepRow(ref, s.count))
	} else {
		for i := range s.count {
			b.Delete(stepRow(ref, i))
		}
	}
	b.Delete(listRow(s.Namespace, stateNumber(s.State), CursorOf(s)))
	if s.Deadline != 0 {
		b.Delete(timeRow(rowDeadline, s.Deadline, ref))
	}
	if until := s.keepUntil(); until != 0 {
		b.Delete(timeRow(rowExpiry, until, ref))
	}
	return nil
}

// Committed lets go of what the table now has: sagas that have ended, those that
// rest, and those that were not touched since the checkpoint before.
func (m *Machine) Committed() {
	for _, s := range m.dirty {
		s.dirty = false
		m.open.move(s)
		s.stored = s.storedNow()
		for i := range s.steps {
			s.steps[i].flags &^= dirtyStep
		}
	}
	for key, s := range m.sagas {
		if !s.touched || s.State.Ended() || s.rests() {
			delete(m.sagas, key)
		}
		s.touched = false
	}
	m.dirty = nil
	clear(m.gone)
}

// rests reports whether nothing of the saga happens until somebody from outside does
// something about it, which may be days.
func (s *Saga) rests() bool {
	if s.State == edda.SagaCreated {
		return true
	}
	if s.State != edda.SagaRunning || len(s.ready) > 0 {
		return false
	}
	for i := range s.steps {
		if st := &s.steps[i]; st.state == stepRunning && !st.is(pending) {
			return false
		}
	}
	return true
}

// Load reads from the table what has to be known of all sagas.
func (m *Machine) Load() error {
	for p, err := range m.env.Table.Scan([]byte{rowDeadline}, fold.RowEnd(rowDeadline)) {
		if err != nil {
			return err
		}
		if len(p.Key) < 9 {
			return fmt.Errorf("deadline row of %d bytes, want more than 9", len(p.Key))
		}
		m.deadlines.ReplaceOrInsert(deadline{int64(binary.BigEndian.Uint64(p.Key[1:])), parseKey(string(p.Key[9:]))})
	}
	for p, err := range m.env.Table.Scan([]byte{rowAdvance}, fold.RowEnd(rowAdvance)) {
		if err != nil {
			return err
		}
		m.unadvanced[parseKey(string(p.Key[1:]))] = true
	}
	return m.loadOpen()
}
