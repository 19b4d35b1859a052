package cqrs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/rawjson"
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
	// Each must be a string or a number, and not empty, in everything that is staged;
	// where there are several, strings may not have a slash. Together, joined by slashes,
	// they are a key as edda.CheckKey wants it.
	Key []string
	// Before and After are run on each object when it is staged, in order: Before on what
	// came in, After on what is ready. They complete it (a new id, defaults, nested
	// objects) or refuse it. They must not keep the pointer. Of what comes as JSON, a number in
	// a member of type any is a json.Number.
	Before, After []func(*T) error
}

// model is a Model of whatever type.
type model struct {
	name string
	key  []string
	// stage reads JSON into the model's type, stages it and writes it again. When it is strict,
	// members that the type does not have are an error, else they are left out.
	stage func(raw json.RawMessage, list, strict bool) (Data, error)
	// reads reports whether the type takes the value for a member.
	reads func(member string, value json.RawMessage) bool
}

// object is a *Model of whatever type.
type object interface{ core() *model }

func (m *model) core() *model { return m }

const listSuffix = ledger.ListSuffix

// NewModel returns a model. It panics when the options are malformed: a model is made
// once, when the program starts.
func NewModel[T any](o ModelOptions[T]) *Model[T] {
	if err := o.validate(); err != nil {
		panic(err)
	}
	o.Key = slices.Clone(o.Key)
	m := &Model[T]{o: o, model: model{name: o.Name, key: o.Key}}
	m.stage, m.reads = m.stageJSON, m.readsMember
	return m
}

// Stage makes data of an object: Before, then After, then the primary key is checked. The error
// is a *edda.Error, BadSchema, for what cannot be staged, with the error of Before or After
// within.
func (m *Model[T]) Stage(v T) (Data, error) { return m.stageOne(v, m.given(v)) }

// StageList makes data of a list of objects; the list must not be empty, and no primary
// key may be there twice. The slice is the caller's; its objects may be changed.
func (m *Model[T]) StageList(vs []T) (Data, error) { return m.stageList(vs, m.given(vs)) }

// given is what is to be staged as it is now, if functions may change it.
func (m *Model[T]) given(v any) json.RawMessage {
	if len(m.o.Before)+len(m.o.After) == 0 {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil { // it has no JSON before they have completed it
		return json.RawMessage{}
	}
	return raw
}

func (m *Model[T]) stageOne(v T, given json.RawMessage) (Data, error) {
	if err := m.prepare(&v); err != nil {
		return Data{}, m.refuse(err)
	}
	return m.staged(v, false, given)
}

func (m *Model[T]) stageList(vs []T, given json.RawMessage) (Data, error) {
	for i := range vs {
		if err := m.prepare(&vs[i]); err != nil {
			return Data{}, m.refuse(fmt.Errorf("item %d: %w", i, err))
		}
	}
	return m.staged(vs, true, given)
}

// validate says all that is wrong.
func (o *ModelOptions[T]) validate() error {
	var all []error
	bad := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if o.Name == "" || strings.Contains(o.Name, ".") || edda.CheckName("model", o.Name) != nil {
		bad("Name is %q, must be a letter or digit, then letters, digits, '_' or '-', such as User", o.Name)
	}
	if len(o.Key) == 0 {
		bad("Key is empty, must name the JSON members that make the primary key")
	}
	names, known := jsonNames(reflect.TypeFor[T]())
	for i, name := range o.Key {
		switch {
		case name == "":
			bad("Key has an empty name")
		case slices.Contains(o.Key[:i], name):
			bad("Key names %q twice", name)
		case known && !slices.Contains(names, name):
			bad("Key names %q, which is no JSON member of %T; it has %s", name, *new(T), strings.Join(names, ", "))
		}
	}
	if slices.ContainsFunc(o.Before, isNil[T]) || slices.ContainsFunc(o.After, isNil[T]) {
		bad("Before or After has a nil function")
	}
	// A map is an object as soon as there is one, and some types are encoded only
	// once they are filled: those are checked when they are staged.
	var zero T
	if raw, err := json.Marshal(zero); err == nil && !rawjson.IsObject(raw) && reflect.TypeFor[T]().Kind() != reflect.Map {
		bad("the JSON of %T is %s, must be an object", zero, raw)
	} else if _, never := errors.AsType[*json.UnsupportedTypeError](err); never {
		bad("%T cannot be encoded: %w", zero, err)
	}
	if len(all) == 0 {
		return nil
	}
	return badValue("make model "+o.Name, "%w", errors.Join(all...))
}

func isNil[T any](f func(*T) error) bool { return f == nil }

// jsonNames returns the JSON members of a struct; known is false of other types, and of those
// that are encoded by a method of their own.
func jsonNames(t reflect.Type) (names []string, known bool) {
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil, false
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "", !f.IsExported(), f.Tag.Get("json") == "-":
		default:
			names = append(names, cmp.Or(name, f.Name))
		}
	}
	return names, true
}

// prepare completes an object, or refuses it.
func (m *Model[T]) prepare(v *T) error {
	for _, f := range m.o.Before {
		if err := f(v); err != nil {
			return err
		}
	}
	for _, f := range m.o.After {
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}

// staged encodes what is prepared, once and for all. Given is what it was before; nil when it is the
// same.
func (m *Model[T]) staged(v any, list bool, given json.RawMessage) (Data, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return Data{}, m.refuse(fmt.Errorf("it cannot be encoded: %w", err))
	}
	if replaced(raw) || !utf8.Valid(raw) {
		return Data{}, m.refuse(errors.New("it has a string that is not UTF-8"))
	}
	d, err := m.data(raw, list)
	if err != nil {
		return Data{}, err
	}
	if d.given = given; given == nil {
		d.given = raw
	}
	return d, nil
}

// stageJSON is model.stage.
func (m *Model[T]) stageJSON(raw json.RawMessage, list, strict bool) (Data, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // a float64 would change those of more than 53 bits
	if strict {
		d.DisallowUnknownFields()
	}
	if list {
		var vs []T
		if err := d.Decode(&vs); err != nil {
			return Data{}, m.refuse(err)
		}
		return m.stageList(vs, raw)
	}
	if !rawjson.IsObject(raw) {
		return Data{}, m.refuse(fmt.Errorf("its JSON is %s, must be an object", clip(raw)))
	}
	var v T
	if err := d.Decode(&v); err != nil {
		return Data{}, m.refuse(err)
	}
	return m.stageOne(v, raw)
}

// readsMember is model.reads.
func (m *Model[T]) readsMember(name string, value json.RawMessage) bool {
	raw, err := json.Marshal(map[string]json.RawMessage{name: value})
	return err == nil && json.Unmarshal(raw, new(T)) == nil
}

// replaced reports whether the JSON has a string in which the encoder has put U+FFFD in the
// place of what is not UTF-8. It escapes it there, and nowhere else.
func replaced(raw []byte) bool {
	for {
		i := bytes.Index(raw, []byte(`\ufffd`))
		if i < 0 {
			return false
		}
		slashes := i
		for slashes > 0 && raw[slashes-1] == '\\' {
			slashes--
		}
		if (i-slashes)%2 == 0 {
			return true
		}
		raw = raw[i+1:]
	}
}
