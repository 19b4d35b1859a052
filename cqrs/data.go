package cqrs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/rawjson"
)

// Data is staged data of a model: one object, or a list. Model.Stage makes it; a command
// takes nothing else. The zero value is no data.
type Data struct {
	model *model
	list  bool
	raw   json.RawMessage
	// given is what it was made of, before the model's functions; empty when that has no JSON.
	given json.RawMessage
	// keys are the keys of the object, or of each item.
	keys []string
}

// Object is the name of the model, with ".list" for a list; "" of no data.
func (d Data) Object() string {
	switch {
	case d.model == nil:
		return ""
	case d.list:
		return d.model.name + listSuffix
	}
	return d.model.name
}

// JSON is the data. Nobody may change it.
func (d Data) JSON() json.RawMessage { return d.raw }

// Decode reads the data into v.
func (d Data) Decode(v any) error { return json.Unmarshal(d.raw, v) }

// Keys are the keys of the aggregates: that of the object, or of each item of the list.
// Nobody may change them.
func (d Data) Keys() []string { return d.keys }

// first is the object, or the first item of the list.
func (d Data) first() json.RawMessage {
	if d.list {
		for _, item := range rawjson.Items(d.raw) {
			return item
		}
	}
	return d.raw
}

// primary are the members that make the key, of the object or the first item.
func (d Data) primary() map[string]json.RawMessage {
	all := make(map[string]json.RawMessage, len(d.model.key))
	first := d.first()
	for _, name := range d.model.key {
		all[name], _ = rawjson.Member(first, name)
	}
	return all
}

// data makes data of JSON that the model's type was encoded to.
func (m *model) data(raw json.RawMessage, list bool) (Data, error) {
	d := Data{model: m, list: list, raw: raw}
	if !list {
		key, err := m.keyOf(raw)
		if err != nil {
			return Data{}, m.refuse(err)
		}
		d.keys = []string{key}
		return d, nil
	}
	seen := map[string]int{}
	for i, item := range rawjson.Items(raw) {
		key, err := m.keyOf(item)
		if err != nil {
			return Data{}, m.refuse(fmt.Errorf("item %d: %w", i, err))
		}
		if j, twice := seen[key]; twice {
			return Data{}, m.refuse(fmt.Errorf("items %d and %d have the same key %q", j, i, key))
		}
		seen[key] = i
		d.keys = append(d.keys, key)
	}
	if len(d.keys) == 0 {
		return Data{}, m.refuse(errors.New("the list is empty"))
	}
	return d, nil
}

// keyOf returns the key of an object: the values of the primary key, joined by slashes.
func (m *model) keyOf(raw json.RawMessage) (string, error) {
	if !rawjson.IsObject(raw) {
		return "", fmt.Errorf("its JSON is %s, must be an object", clip(raw))
	}
	parts := make([]string, len(m.key))
	for i, name := range m.key {
		value, ok := rawjson.Member(raw, name)
		if !ok {
			return "", fmt.Errorf("it has no %s, which is of its primary key", name)
		}
		part, err := keyPart(value)
		switch {
		case err != nil:
			return "", fmt.Errorf("%s, which is of its primary key, is %w", name, err)
		case len(m.key) > 1 && strings.Contains(part, "/"):
			return "", fmt.Errorf("%s is %q: where several members make the primary key, none may have a slash", name, part)
		}
		parts[i] = part
	}
	key := parts[0]
	if len(parts) > 1 {
		key = strings.Join(parts, "/")
	}
	return key, edda.CheckKey(key)
}

// keyPart returns what a string or number says.
func keyPart(value json.RawMessage) (string, error) {
	switch c := value[0]; {
	case string(value) == `""`:
		return "", errors.New("empty")
	case c == '"':
		return rawjson.Text(value).String(), nil
	case c == '-' || '0' <= c && c <= '9':
		return string(value), nil
	}
	return "", fmt.Errorf("%s, must be a string or a number", clip(value))
}

// refuse is the error about an object that cannot be staged.
func (m *model) refuse(err error) error {
	return &edda.Error{Op: "stage " + m.name, Reason: edda.BadSchema, Err: err}
}

// clip shortens what goes into an error.
func clip(raw []byte) string {
	const most = 64
	if len(raw) <= most {
		return string(raw)
	}
	return string(raw[:most]) + "..."
}
