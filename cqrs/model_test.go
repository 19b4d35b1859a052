package cqrs_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
)

type account struct {
	Bank   string `json:"bank"`
	Number int    `json:"number,omitempty"`
	Cents  int    `json:"cents"`
}

func accounts() *cqrs.Model[account] {
	return cqrs.NewModel(cqrs.ModelOptions[account]{Name: "Account", Key: []string{"bank", "number"}})
}

func TestStage(t *testing.T) {
	m := accounts()
	d, err := m.Stage(account{"north", 7, 100})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Object(); got != "Account" {
		t.Errorf("object %q", got)
	}
	if got, want := string(d.JSON()), `{"bank":"north","number":7,"cents":100}`; got != want {
		t.Errorf("staged %s, want %s", got, want)
	}
	if got := d.Keys(); len(got) != 1 || got[0] != "north/7" {
		t.Errorf("keys %q", got)
	}
	list, err := m.StageList([]account{{"north", 7, 1}, {"north", 8, 2}})
	if err != nil {
		t.Fatal(err)
	}
	if got := list.Object(); got != "Account.list" {
		t.Errorf("object of the list %q", got)
	}
	if got := strings.Join(list.Keys(), " "); got != "north/7 north/8" {
		t.Errorf("keys of the list %q", got)
	}
	if (cqrs.Data{}).Object() != "" {
		t.Error("no data has an object")
	}
}

func TestStageCompletes(t *testing.T) {
	m := cqrs.NewModel(cqrs.ModelOptions[account]{Name: "Account", Key: []string{"number"},
		Before: []func(*account) error{func(a *account) error {
			if a.Bank == "" {
				return errors.New("no bank")
			}
			a.Number = 1
			return nil
		}},
		After: []func(*account) error{func(a *account) error { a.Number *= 10; return nil }},
	})
	given := account{Bank: "north"}
	d, err := m.Stage(given)
	if err != nil || d.Keys()[0] != "10" || given.Number != 0 {
		t.Errorf("staged %s, %v, of %+v", d.JSON(), err, given)
	}
	_, err = m.StageList([]account{{Bank: "north"}, {}})
	if edda.ReasonOf(err) != edda.BadSchema || !strings.Contains(err.Error(), "item 1: no bank") {
		t.Error(err)
	}
}

func TestStageRefuses(t *testing.T) {
	type odd struct {
		ID    any     `json:"id"`
		Rest  float64 `json:"rest"`
		Text  string  `json:"text"`
		Chunk json.RawMessage
	}
	m := cqrs.NewModel(cqrs.ModelOptions[odd]{Name: "Odd", Key: []string{"id"}})
	for name, c := range map[string]struct {
		v    odd
		want string
	}{
		"no key":            {odd{}, "id, which is of its primary key, is null"},
		"an empty key":      {odd{ID: ""}, "empty"},
		"a key of no kind":  {odd{ID: true}, "is true, must be a string or a number"},
		"an object as key":  {odd{ID: struct{}{}}, "is {}"},
		"a key too long":    {odd{ID: strings.Repeat("x", 513)}, "513 bytes"},
		"a control key":     {odd{ID: "a\nb"}, "control character"},
		"no number":         {odd{ID: 1, Rest: math.NaN()}, "cannot be encoded"},
		"no UTF-8":          {odd{ID: 1, Text: "a\xff"}, "not UTF-8"},
		"no UTF-8, slashes": {odd{ID: 1, Text: "\\\xff"}, "not UTF-8"},
		"no JSON":           {odd{ID: 1, Chunk: json.RawMessage("{")}, "cannot be encoded"},
	} {
		_, err := m.Stage(c.v)
		if edda.ReasonOf(err) != edda.BadSchema || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := m.Stage(odd{ID: 1, Text: "�, and \\ufffd"}); err != nil {
		t.Errorf("what only looks replaced: %v", err)
	}
}

func TestStageListRefuses(t *testing.T) {
	m := accounts()
	for name, c := range map[string]struct {
		vs   []account
		want string
	}{
		"nothing":          {nil, "the list is empty"},
		"twice":            {[]account{{"a", 1, 1}, {"a", 2, 1}, {"a", 1, 2}}, `items 0 and 2 have the same key "a/1"`},
		"no key":           {[]account{{"a", 1, 1}, {Bank: "a"}}, "item 1: it has no number"},
		"ambiguous slash":  {[]account{{"a/b", 1, 1}}, "none may have a slash"},
		"not UTF-8 either": {[]account{{"a", 1, 1}, {"\xff", 1, 1}}, "not UTF-8"},
	} {
		_, err := m.StageList(c.vs)
		if edda.ReasonOf(err) != edda.BadSchema || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

type textual struct{}

func (textual) MarshalText() ([]byte, error) { return []byte("text"), nil }

// A model that cannot be right is found when the program starts.
func TestNewModelRefuses(t *testing.T) {
	type unencodable struct {
		ID int `json:"id"`
		C  chan int
	}
	type inner struct {
		ID int `json:"id"`
	}
	type outer struct {
		inner
		Hidden int `json:"-"`
	}
	for name, c := range map[string]struct {
		make func()
		want string
	}{
		"no name":         {func() { newModel[account]("", "bank") }, "Name is"},
		"a dot":           {func() { newModel[account]("Account.list", "bank") }, "Name is"},
		"no key":          {func() { newModel[account]("Account") }, "Key is empty"},
		"an unknown key":  {func() { newModel[account]("Account", "Bank") }, `Key names "Bank", which is no JSON member`},
		"twice":           {func() { newModel[account]("Account", "bank", "bank") }, "twice"},
		"a hidden member": {func() { newModel[outer]("Outer", "Hidden") }, "no JSON member"},
		"a text":          {func() { newModel[textual]("Text", "id") }, "must be an object"},
		"a pointer":       {func() { newModel[*account]("Account", "bank") }, "must be an object"},
		"a list":          {func() { newModel[[]account]("Account", "bank") }, "must be an object"},
		"a channel":       {func() { newModel[unencodable]("Account", "id") }, "cannot be encoded"},
		"a nil function": {func() {
			cqrs.NewModel(cqrs.ModelOptions[account]{Name: "Account", Key: []string{"bank"}, After: []func(*account) error{nil}})
		}, "nil function"},
	} {
		err := panics(c.make)
		if edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := panics(func() { newModel[outer]("Outer", "id") }); err != nil {
		t.Errorf("a promoted member: %v", err)
	}
}

func newModel[T any](name string, key ...string) *cqrs.Model[T] {
	return cqrs.NewModel(cqrs.ModelOptions[T]{Name: name, Key: key})
}

func panics(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err, _ = p.(error)
		}
	}()
	f()
	return nil
}

// Objects whose form only the data knows are a model too.
func TestStageMap(t *testing.T) {
	m := newModel[map[string]any]("Anything", "id")
	d, err := m.Stage(map[string]any{"id": "a", "x": []int{1}})
	if err != nil || d.Keys()[0] != "a" {
		t.Errorf("%s, %v", d.JSON(), err)
	}
	if _, err := m.Stage(nil); edda.ReasonOf(err) != edda.BadSchema || !strings.Contains(err.Error(), "null, must be an object") {
		t.Error(err)
	}
}
