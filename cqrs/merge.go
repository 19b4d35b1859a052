package cqrs

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Merge says how a result is put into data. The zero value does not. At most one of True,
// As, Push and Zip may be set; Include goes with any.
//
// A result that is nothing, or null, changes nothing.
type Merge struct {
	// True merges the members of the result: those of one object into one object, or those
	// of a list's items into the items at the same place of a list as long.
	True bool
	// As puts the result under this member of the object.
	As string
	// Push appends the result, or its items if it is a list, to the list that is this member
	// of the object. The member may be missing, or null.
	Push string
	// Zip merges the items of a list into those of the data that have the same value of
	// this member, a string or a number. Each item must find exactly one.
	Zip string
	// Each does what True, As or Push says, or True if nothing is said, to each item of a
	// list: with the item at the same place of a result that is a list as long, or with the
	// same object each time. With one object, it says nothing.
	Each bool
	// Include puts the result beside the data: into Event.Includes under this name; "*" is
	// the object's.
	Include string
}

// check says what is wrong with the merge itself.
func (m Merge) check() error {
	n := 0
	for _, is := range []bool{m.True, m.As != "", m.Push != "", m.Zip != ""} {
		if is {
			n++
		}
	}
	switch {
	case n > 1:
		return errors.New("a result is merged in one way: merge, merge as, push or zip, and include beside it")
	case m.Zip != "" && m.Each:
		return errors.New("zip is for each item anyway: say it without each")
	}
	return nil
}

// changes reports whether a result is put into the data.
func (m Merge) changes() bool { return m.True || m.As != "" || m.Push != "" || m.Zip != "" || m.Each }

// includeAs is the name under which a result is put beside the data, "" for not at all.
// Object is that of the result, if it has one.
func (m Merge) includeAs(object string) string {
	if m.Include == "*" {
		return object
	}
	return m.Include
}

// apply puts a result into data, both of which are JSON, and returns the new data. Neither
// is changed. The error says what does not fit.
func (m Merge) apply(data, result json.RawMessage) (json.RawMessage, error) {
	switch {
	case !m.changes() || isNothing(result):
		return data, nil
	case !json.Valid(result):
		return nil, errors.New("the result is not JSON")
	}
	if !isList(data) {
		if m.Zip != "" {
			return m.zipOne(data, result)
		}
		return m.one(data, result)
	}
	items, err := readList(data)
	if err != nil {
		return nil, fmt.Errorf("the data: %w", err)
	}
	switch {
	case m.Zip != "":
		return m.zip(items, result)
	case m.Each || m.True:
		return m.each(items, result)
	}
	return nil, fmt.Errorf("the data is a list of %d, and to put the result %s needs one object; say each, or zip", len(items), m.where())
}

// where says which member is written.
func (m Merge) where() string {
	if m.Push != "" {
		return fmt.Sprintf("into its list %q", m.Push)
	}
	return fmt.Sprintf("under its member %q", m.As)
}

// one puts a result into an object.
func (m Merge) one(data, result json.RawMessage) (json.RawMessage, error) {
	object, err := readMembers(data)
	if err != nil {
		return nil, fmt.Errorf("the data: %w", err)
	}
	switch {
	case m.As != "":
		object.set(m.As, result)
	case m.Push != "":
		list, err := pushed(object.get(m.Push), result)
		if err != nil {
			return nil, fmt.Errorf("member %q of the data: %w", m.Push, err)
		}
		object.set(m.Push, list)
	default:
		more, err := readMembers(result)
		if err != nil {
			return nil, fmt.Errorf("the data is one object, and the result must be one: %w", err)
		}
		object.fold(more)
	}
	return object.json()
}

// pushed appends a result to a list that is there, or is not yet.
func pushed(there, result json.RawMessage) (json.RawMessage, error) {
	var list []json.RawMessage
	if !isNothing(there) {
		var err error
		if list, err = readList(there); err != nil {
			return nil, err
		}
	}
	if !isList(result) {
		return joined(append(list, result)), nil
	}
	more, err := readList(result)
	if err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	return joined(append(list, more...)), nil
}

// each puts a result into each item of a list.
func (m Merge) each(items []json.RawMessage, result json.RawMessage) (json.RawMessage, error) {
	if !isList(result) {
		if !m.Each {
			return nil, fmt.Errorf("the data is a list of %d, and the result must be one: it is %s; say each to merge it into each item", len(items), formOf(result))
		}
		for i := range items {
			if err := m.into(items, i, result); err != nil {
				return nil, err
			}
		}
		return joined(items), nil
	}
	results, err := readList(result)
	if err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	if len(results) != len(items) {
		return nil, fmt.Errorf("the data has %d items and the result %d; they must have as many", len(items), len(results))
	}
	for i := range items {
		if err := m.into(items, i, results[i]); err != nil {
			return nil, err
		}
	}
	return joined(items), nil
}

// into puts a result into an item.
func (m Merge) into(items []json.RawMessage, i int, result json.RawMessage) error {
	if isNothing(result) {
		return nil
	}
	item, err := m.one(items[i], result)
	if err != nil {
		return fmt.Errorf("item %d: %w", i, err)
	}
	items[i] = item
	return nil
}

// zip merges the items of a result into those that have the same value of the key.
func (m Merge) zip(items []json.RawMessage, result json.RawMessage) (json.RawMessage, error) {
	if !isList(result) {
		return nil, fmt.Errorf("the data is a list of %d, and the result must be one to zip them on %q: it is %s", len(items), m.Zip, formOf(result))
	}
	results, err := readList(result)
	if err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	if len(results) != len(items) {
		return nil, fmt.Errorf("the data has %d items and the result %d; to zip them on %q they must have as many", len(items), len(results), m.Zip)
	}
	byKey := make(map[string]int, len(items))
	objects := make([]*members, len(items))
	for i, raw := range items {
		key, object, err := m.keyed("data", i, raw)
		if err != nil {
			return nil, err
		}
		if j, there := byKey[key]; there {
			return nil, fmt.Errorf("items %d and %d of the data have the same %q, %s, and cannot be zipped on it", j, i, m.Zip, object.get(m.Zip))
		}
		byKey[key], objects[i] = i, object
	}
	for i, raw := range results {
		key, more, err := m.keyed("result", i, raw)
		if err != nil {
			return nil, err
		}
		at, there := byKey[key]
		if !there {
			return nil, fmt.Errorf("item %d of the result has the %q %s, which no item of the data has, or one before it has had", i, m.Zip, more.get(m.Zip))
		}
		delete(byKey, key)
		objects[at].fold(more)
		if items[at], err = objects[at].json(); err != nil {
			return nil, err
		}
	}
	return joined(items), nil
}

// zipOne merges an object into an object with the same key.
func (m Merge) zipOne(data, result json.RawMessage) (json.RawMessage, error) {
	if isList(result) {
		return nil, fmt.Errorf("the data is one object, and the result a list: they cannot be zipped on %q", m.Zip)
	}
	zipped, err := m.zip([]json.RawMessage{data}, joined([]json.RawMessage{result}))
	if err != nil {
		return nil, err
	}
	items, err := readList(zipped)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

// keyed reads an item and its key.
func (m Merge) keyed(of string, i int, raw json.RawMessage) (string, *members, error) {
	object, err := readMembers(raw)
	if err != nil {
		return "", nil, fmt.Errorf("item %d of the %s: %w", i, of, err)
	}
	key, err := keyOf(object.get(m.Zip))
	if err != nil {
		return "", nil, fmt.Errorf("item %d of the %s, member %q, on which they are zipped: %w", i, of, m.Zip, err)
	}
	return key, object, nil
}

// takenMetadata are names that are the app's.
var takenMetadata = []string{"changes", "previous", "hooks", "principal"}

// applyMetadata puts a result into metadata and returns it. It is not changed. The error says
// what does not fit, or that the result has what the app says itself.
func (m Merge) applyMetadata(metadata map[string]json.RawMessage, result json.RawMessage) (map[string]json.RawMessage, error) {
	if !m.changes() || isNothing(result) {
		return metadata, nil
	}
	free := &members{at: map[string]int{}}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if !slices.Contains(takenMetadata, name) {
			free.set(name, metadata[name])
		}
	}
	raw, err := free.json()
	if err != nil {
		return nil, err
	}
	if raw, err = m.apply(raw, result); err != nil {
		return nil, fmt.Errorf("the metadata: %w", err)
	}
	merged, err := readMembers(raw)
	if err != nil {
		return nil, err
	}
	all := make(map[string]json.RawMessage, len(metadata)+1)
	maps.Copy(all, metadata)
	for _, one := range merged.list {
		if slices.Contains(takenMetadata, one.name) {
			return nil, fmt.Errorf("the metadata: its member %q is the app's own, and the result has one too; merge it as another member", one.name)
		}
		all[one.name] = one.value
	}
	return all, nil
}

// fits reports whether an object is one of those that are expected. None is expected when
// there is no name, and any is by "*".
func (o Objects) fits(object string) bool {
	if len(o) == 0 {
		return true
	}
	for _, name := range o {
		if name == "*" || name == object {
			return true
		}
	}
	return false
}
