package cqrs

import (
	"encoding/json"
	"fmt"
)

// Model is a kind of object that commands and events are about: a name, and which members
// make its primary key. Make one with NewModel and hand it to Broadcaster.Command. It is
// safe for concurrent use.
type Model[T any] struct {
	o ModelOptions[T]
	model
}

// ModelOptions say what a model is like.
type ModelOptions[T any] struct {
	// Name is what events call the object, such as User; a list of them is "User.list".
	// Required; without dots.
	Name string
	// Key are the JSON members of T that make the primary key, in their order. Required.
	// Each must be a string or a number, and not empty, in everything that is staged.
	Key []string
	// Before and After are run on each object when it is staged, in order: Before on what
	// came in, After on what is ready. They complete it (a new id, defaults, nested
	// objects) or refuse it. They must not keep the pointer.
	Before, After []func(*T) error
}

// model is a Model of whatever type.
type model struct {
	name string
	key  []string
	// stage reads JSON into the model's type, stages it and writes it again.
	stage func(raw json.RawMessage, list bool) (Data, error)
}

// object is a *Model of whatever type.
type object interface{ core() *model }

func (m *model) core() *model { return m }

// Data is staged data of a model: one object, or a list. Model.Stage makes it; a command
// takes nothing else. The zero value is no data.
type Data struct {
	model *model
	list  bool
	raw   json.RawMessage
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

const listSuffix = ".list"

// NewModel returns a model. It panics when the options are malformed: a model is made
// once, when the program starts.
func NewModel[T any](o ModelOptions[T]) *Model[T] {
	if err := o.validate(); err != nil {
		panic(err)
	}
	m := &Model[T]{o: o, model: model{name: o.Name, key: o.Key}}
	m.stage = m.stageJSON
	return m
}

// Stage makes data of an object: Before, then After, then the primary key is checked.
func (m *Model[T]) Stage(v T) (Data, error) {
	if err := m.prepare(&v); err != nil {
		return Data{}, err
	}
	return m.staged(v, false)
}

// StageList makes data of a list of objects; the list must not be empty, and no primary
// key may be there twice. The slice is the caller's; its objects may be changed.
func (m *Model[T]) StageList(vs []T) (Data, error) {
	for i := range vs {
		if err := m.prepare(&vs[i]); err != nil {
			return Data{}, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return m.staged(vs, true)
}

func (o *ModelOptions[T]) validate() error { return nil }

func (m *Model[T]) prepare(v *T) error { return nil }

func (m *Model[T]) staged(v any, list bool) (Data, error) { return Data{}, nil }

func (m *Model[T]) stageJSON(raw json.RawMessage, list bool) (Data, error) { return Data{}, nil }
