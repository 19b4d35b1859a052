// Package merge puts results into data, as JSON, and exactly: members are copied as they are
// written, so that numbers of any size stay what they are, and what does not fit is an error. It
// also reads how that is to be done. What is in this package is safe for concurrent use, and
// changes nothing that it is handed.
package merge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/edda-io/edda/cqrs/internal/rawjson"
)

// How says how a result is put into data. The zero value does not. It has the members of
// cqrs.Merge, which says what they mean, and is converted to it.
type How struct {
	True    bool
	As      string
	Push    string
	Zip     string
	Each    bool
	Include string
}

// Check says what is wrong with the merge itself.
func (h How) Check() error {
	n := 0
	for _, is := range []bool{h.True, h.As != "", h.Push != "", h.Zip != ""} {
		if is {
			n++
		}
	}
	switch {
	case n > 1:
		return errors.New("a result is merged in one way: merge, merge as, push or zip, and include beside it")
	case h.Zip != "" && h.Each:
		return errors.New("zip is for each item anyway: say it without each")
	}
	return nil
}

// changes reports whether a result is put into the data.
func (h How) changes() bool { return h.True || h.As != "" || h.Push != "" || h.Zip != "" || h.Each }

// IncludeAs is the name under which a result is put beside the data, "" for not at all.
// Object is that of the result, if it has one.
func (h How) IncludeAs(object string) string {
	if h.Include == "*" {
		return object
	}
	return h.Include
}

// Apply puts a result into data, both of which are JSON, and returns the new data. Neither
// is changed. The error says what does not fit.
func (h How) Apply(data, result json.RawMessage) (json.RawMessage, error) {
	switch {
	case !h.changes() || rawjson.IsNothing(result):
		return data, nil
	case !json.Valid(result):
		return nil, errors.New("the result is not JSON")
	}
	if !rawjson.IsList(data) {
		if h.Zip != "" {
			return h.zipOne(data, result)
		}
		return h.one(data, result)
	}
	items, err := rawjson.ReadList(data)
	if err != nil {
		return nil, fmt.Errorf("the data: %w", err)
	}
	switch {
	case h.Zip != "":
		return h.zip(items, result)
	case h.Each || h.True:
		return h.each(items, result)
	}
	return nil, fmt.Errorf("the data is a list of %d, and to put the result %s needs one object; say each, or zip", len(items), h.where())
}

// where says which member is written.
func (h How) where() string {
	if h.Push != "" {
		return fmt.Sprintf("into its list %q", h.Push)
	}
	return fmt.Sprintf("under its member %q", h.As)
}

// one puts a result into an object.
func (h How) one(data, result json.RawMessage) (json.RawMessage, error) {
	object, err := rawjson.ReadObject(data)
	if err != nil {
		return nil, fmt.Errorf("the data: %w", err)
	}
	switch {
	case h.As != "":
		object.Set(h.As, result)
	case h.Push != "":
		list, err := pushed(object.Get(h.Push), result)
		if err != nil {
			return nil, fmt.Errorf("member %q of the data: %w", h.Push, err)
		}
		object.Set(h.Push, list)
	default:
		more, err := rawjson.ReadObject(result)
		if err != nil {
			return nil, fmt.Errorf("the data is one object, and the result must be one: %w", err)
		}
		object.Fold(more)
	}
	return object.JSON()
}

// pushed appends a result to a list that is there, or is not yet.
func pushed(there, result json.RawMessage) (json.RawMessage, error) {
	var list []json.RawMessage
	if !rawjson.IsNothing(there) {
		var err error
		if list, err = rawjson.ReadList(there); err != nil {
			return nil, err
		}
	}
	if !rawjson.IsList(result) {
		return rawjson.Join(append(list, result)), nil
	}
	more, err := rawjson.ReadList(result)
	if err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	return rawjson.Join(append(list, more...)), nil
}

// each puts a result into each item of a list.
func (h How) each(items []json.RawMessage, result json.RawMessage) (json.RawMessage, error) {
	if !rawjson.IsList(result) {
		if !h.Each {
			return nil, fmt.Errorf("the data is a list of %d, and the result must be one: it is %s; say each to merge it into each item", len(items), rawjson.Form(result))
		}
		for i := range items {
			if err := h.into(items, i, result); err != nil {
				return nil, err
			}
		}
		return rawjson.Join(items), nil
	}
	results, err := rawjson.ReadList(result)
	if err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	if len(results) != len(items) {
		return nil, fmt.Errorf("the data has %d items and the result %d; they must have as many", len(items), len(results))
	}
	for i := range items {
		if err := h.into(items, i, results[i]); err != nil {
			return nil, err
		}
	}
	return rawjson.Join(items), nil
}

// into puts a result into an item.
func (h How) into(items []json.RawMessage, i int, result json.RawMessage) error {
	if rawjson.IsNothing(result) {
		return nil
	}
	item, err := h.one(items[i], result)
	if err != nil {
		return fmt.Errorf("item %d: %w", i, err)
	}
	items[i] = item
	return nil
}

// zip merges the items of a result into those that have the same value of the key.
func (h How) zip(items []json.RawMessage, result json.RawMessage) (json.RawMessage, error) {
	if !rawjson.IsList(result) {
		return nil, fmt.Errorf("the data is a list of %d, and the result must be one to zip them on %q: it is %s", len(items), h.Zip, rawjson.Form(result))
	}
	results, err := rawjson.ReadList(result)
	if err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	if len(results) != len(items) {
		return nil, fmt.Errorf("the data has %d items and the result %d; to zip them on %q they must have as many", len(items), len(results), h.Zip)
	}
	byKey := make(map[string]int, len(items))
	objects := make([]*rawjson.Object, len(items))
	for i, raw := range items {
		key, object, err := h.keyed("data", i, raw)
		if err != nil {
			return nil, err
		}
		if j, there := byKey[key]; there {
			return nil, fmt.Errorf("items %d and %d of the data have the same %q, %s, and cannot be zipped on it", j, i, h.Zip, object.Get(h.Zip))
		}
		byKey[key], objects[i] = i, object
	}
	for i, raw := range results {
		key, more, err := h.keyed("result", i, raw)
		if err != nil {
			return nil, err
		}
		at, there := byKey[key]
		if !there {
			return nil, fmt.Errorf("item %d of the result has the %q %s, which no item of the data has, or one before it has had", i, h.Zip, more.Get(h.Zip))
		}
		delete(byKey, key)
		objects[at].Fold(more)
		if items[at], err = objects[at].JSON(); err != nil {
			return nil, err
		}
	}
	return rawjson.Join(items), nil
}

// zipOne merges an object into an object with the same key.
func (h How) zipOne(data, result json.RawMessage) (json.RawMessage, error) {
	if rawjson.IsList(result) {
		return nil, fmt.Errorf("the data is one object, and the result a list: they cannot be zipped on %q", h.Zip)
	}
	zipped, err := h.zip([]json.RawMessage{data}, rawjson.Join([]json.RawMessage{result}))
	if err != nil {
		return nil, err
	}
	items, err := rawjson.ReadList(zipped)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

// keyed reads an item and its key.
func (h How) keyed(of string, i int, raw json.RawMessage) (string, *rawjson.Object, error) {
	object, err := rawjson.ReadObject(raw)
	if err != nil {
		return "", nil, fmt.Errorf("item %d of the %s: %w", i, of, err)
	}
	key, err := keyOf(object.Get(h.Zip))
	if err != nil {
		return "", nil, fmt.Errorf("item %d of the %s, member %q, on which they are zipped: %w", i, of, h.Zip, err)
	}
	return key, object, nil
}

// ApplyMetadata puts a result into metadata and returns it. It is not changed. The error says
// what does not fit, or that the result has one of the names that are taken: what the app says itself.
func (h How) ApplyMetadata(metadata map[string]json.RawMessage, result json.RawMessage, taken []string) (map[string]json.RawMessage, error) {
	if !h.changes() || rawjson.IsNothing(result) {
		return metadata, nil
	}
	free := rawjson.NewObject()
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if !slices.Contains(taken, name) {
			free.Set(name, metadata[name])
		}
	}
	raw, err := free.JSON()
	if err != nil {
		return nil, err
	}
	if raw, err = h.Apply(raw, result); err != nil {
		return nil, fmt.Errorf("the metadata: %w", err)
	}
	merged, err := rawjson.ReadObject(raw)
	if err != nil {
		return nil, err
	}
	all := make(map[string]json.RawMessage, len(metadata)+1)
	maps.Copy(all, metadata)
	for name, value := range merged.All() {
		if slices.Contains(taken, name) {
			return nil, fmt.Errorf("the metadata: its member %q is the app's own, and the result has one too; merge it as another member", name)
		}
		all[name] = value
	}
	return all, nil
}

// keyOf returns what tells a string or a number from all others of either.
func keyOf(raw json.RawMessage) (string, error) {
	switch rawjson.First(raw) {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return `"` + s, err
	case '{', '[', 't', 'f', 'n', 0:
		return "", fmt.Errorf("it is %s, not a string or a number", rawjson.Form(raw))
	}
	return string(bytes.TrimSpace(raw)), nil
}
