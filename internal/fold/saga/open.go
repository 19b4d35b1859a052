package saga

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/wire"
)

// Kind is what sagas that have not ended are counted by.
type Kind struct {
	Namespace string
	Name      string
	State     edda.SagaState
}

// counts are how many sagas of a kind have not ended.
type counts map[Kind]int

// add counts sagas of a state, as it stands in rows, unless that is an end or none.
func (c counts) add(s *Saga, state byte, n int) {
	if state == 0 || states[state].Ended() {
		return
	}
	k := Kind{s.Namespace, s.Name, states[state]}
	if c[k] += n; c[k] == 0 {
		delete(c, k)
	}
}

// move counts a saga as it is now, which was counted as the table has it.
func (c counts) move(s *Saga) {
	c.add(s, s.stored.state, -1)
	if !s.dropped {
		c.add(s, stateNumber(s.State), 1)
	}
}

// Open returns how many sagas have not ended. It takes as long as a look at all that
// have changed since the last checkpoint.
func (m *Machine) Open() map[Kind]int {
	now := maps.Clone(m.open)
	for _, s := range m.dirty {
		now.move(s)
	}
	return now
}

// loadOpen counts the sagas in the table that have not ended. The rows of those that
// have are passed over, however many there are.
func (m *Machine) loadOpen() error {
	from := []byte{rowList}
	for {
		namespace, found, err := m.nextNamespace(from)
		if err != nil || !found {
			return err
		}
		for i := 1; i < len(states); i++ {
			if states[i].Ended() {
				continue
			}
			if err := m.countState(namespace, byte(i)); err != nil {
				return err
			}
		}
		from = append(fold.Row(rowList, []byte(namespace)), 1)
	}
}

// nextNamespace returns the namespace of the first list row from a key on.
func (m *Machine) nextNamespace(from []byte) (namespace string, found bool, err error) {
	for p, err := range m.env.Table.Scan(from, fold.RowEnd(rowList)) {
		if err != nil {
			return "", false, err
		}
		namespace, _, found = strings.Cut(string(p.Key[1:]), "\x00")
		if !found {
			return "", false, fmt.Errorf("list row %x has no namespace", p.Key)
		}
		return namespace, true, nil
	}
	return "", false, nil
}

// countState counts the sagas of a namespace that are in a state.
func (m *Machine) countState(namespace string, state byte) error {
	from := append(fold.Row(rowList, []byte(namespace)), 0, state)
	end := slices.Clone(from)
	end[len(end)-1]++
	s := Saga{Namespace: namespace}
	for p, err := range m.env.Table.Scan(from, end) {
		if err != nil {
			return err
		}
		name := ""
		rd := wire.NewReader(p.Value)
		for f := (wire.Field{}); rd.Next(&f); {
			if f.Num == jName {
				name = same(&m.last.name, string(f.Bytes))
			}
		}
		if err := rd.Err(); err != nil {
			return fmt.Errorf("list row %x: %w", p.Key, err)
		}
		s.Name = name
		m.open.add(&s, state, 1)
	}
	return nil
}
