package double

import (
	"fmt"
	"slices"
	"strings"
)

// shape is a table of a projection, as the database has it.
type shape struct {
	table   string
	sql     []string // that make the double
	columns []column
	key     []string // of the primary key
	// id names the table in the database, and from are the ids of the tables of the projection that
	// refer to it.
	id   string
	from []string
	keep bool // the key is compared, so that it tells rows apart
}

// inOrder puts tables after those that they refer to.
func inOrder(all []*shape) []*shape {
	var sorted []*shape
	var add func(s *shape, depth int)
	add = func(s *shape, depth int) {
		if slices.Contains(sorted, s) || depth > len(all) { // they refer to each other
			return
		}
		for _, o := range all {
			if slices.Contains(o.from, s.id) {
				add(o, depth+1)
			}
		}
		if !slices.Contains(sorted, s) {
			sorted = append(sorted, s)
		}
	}
	for _, s := range all {
		add(s, 0)
	}
	return sorted
}

func refuseReference(table string) error {
	return fmt.Errorf("table %s refers to it and is not of the projection, so its rows cannot be replaced", table)
}

func refuseTriggers(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("it has the trigger %s: what triggers do cannot be rebuilt", strings.Join(names, ", "))
}

type column struct {
	name string
	// computed is made of other columns; given has a default.
	computed, given bool
	// identity is numbered by a sequence of its own.
	identity bool
	ignored  bool
}

// compared are the columns that are compared.
func (s *shape) compared() []string {
	var names []string
	for _, c := range s.columns {
		if !c.ignored {
			names = append(names, c.name)
		}
	}
	return names
}

// written are the columns that are written. What is ignored the database may give anew.
func (s *shape) written() []string {
	var names []string
	for _, c := range s.columns {
		if !c.computed && (!c.ignored || !c.given) {
			names = append(names, c.name)
		}
	}
	return names
}

func quotedNames(alias string, names []string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = alias + quoteName(n)
	}
	return strings.Join(all, ", ")
}

// match is the condition that row t of the table and row d of the double have the same key.
func (s *shape) match() string {
	all := make([]string, len(s.key))
	for i, n := range s.key {
		all[i] = "t." + quoteName(n) + " = d." + quoteName(n)
	}
	return strings.Join(all, " AND ")
}
