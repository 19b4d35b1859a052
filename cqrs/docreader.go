package cqrs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// doc is a value in a document of settings, and the way to it, for people.
type doc struct {
	path string
	raw  json.RawMessage
}

// under is the way to a member.
func (d doc) under(name string, raw json.RawMessage) doc {
	switch {
	case name == "" || strings.ContainsAny(name, ".[]\" "):
		name = "[" + strconv.Quote(name) + "]"
	case d.path != "":
		name = "." + name
	}
	return doc{d.path + name, raw}
}

// bad refuses the value.
func (d doc) bad(want string) error {
	path := d.path
	if path == "" {
		path = "the document"
	}
	return &edda.Error{Reason: edda.BadValue, Err: fmt.Errorf("%s is %s, must be %s", path, d.shown(), want)}
}

// wrong refuses the value for what err says of it.
func (d doc) wrong(err error) error {
	if d.path != "" {
		err = fmt.Errorf("%s: %w", d.path, err)
	}
	return &edda.Error{Reason: edda.BadValue, Err: err}
}

// shown is the value itself if it is short, else what it is.
func (d doc) shown() string {
	if s := string(d.raw); len(s) <= 64 && firstOf(d.raw) != '{' && firstOf(d.raw) != '[' && s != "" {
		return s
	}
	return formOf(d.raw)
}

// unknown refuses the member.
func (d doc) unknown(known string) error {
	return &edda.Error{Reason: edda.UnknownField, Err: fmt.Errorf("unknown member %s; there is %s", d.path, known)}
}

// object reads an object, whose members are read in their order.
func (d doc) object(read func(name string, v doc) error) error {
	if !isObject(d.raw) {
		return d.bad("an object")
	}
	seen := map[string]bool{}
	for quoted, value := range membersOf(d.raw) {
		name := quoted.String()
		v := d.under(name, value)
		if seen[name] {
			return v.wrong(errors.New("it is there twice"))
		}
		seen[name] = true
		if err := read(name, v); err != nil {
			return err
		}
	}
	return nil
}

func (d doc) text(into *string) error {
	if firstOf(d.raw) != '"' {
		return d.bad("a string")
	}
	return json.Unmarshal(d.raw, into)
}

// only reads an object that has one member, a name.
func (d doc) only(member string, into *string) error {
	found := false
	err := d.object(func(name string, v doc) error {
		if name != member {
			return v.unknown(member)
		}
		found = true
		return v.name(into)
	})
	if err == nil && !found {
		return d.bad("an object that has " + member)
	}
	return err
}

// name reads a string that is not empty.
func (d doc) name(into *string) error {
	if err := d.text(into); err != nil {
		return err
	}
	if *into == "" {
		return d.bad("a name")
	}
	return nil
}

func (d doc) flag(into *bool) error {
	if c := firstOf(d.raw); c != 't' && c != 'f' {
		return d.bad("true or false")
	}
	return json.Unmarshal(d.raw, into)
}

func (d doc) number(into *int, least int) error {
	if json.Unmarshal(d.raw, into) != nil || firstOf(d.raw) == 'n' || *into < least {
		if least < -1 {
			return d.bad("a whole number")
		}
		return d.bad(fmt.Sprintf("a whole number from %d on", least))
	}
	return nil
}

// duration reads one that is positive.
func (d doc) duration(into *time.Duration) error {
	var s string
	if err := d.text(&s); err != nil {
		return d.bad(`a duration, such as "1.5s"`)
	}
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return d.bad(`a duration above zero, such as "1.5s"`)
	}
	*into = v
	return nil
}

// readDoc checks that it is JSON at all.
func readDoc(raw []byte) (doc, error) {
	if !json.Valid(raw) {
		return doc{}, &edda.Error{Reason: edda.BadJSON, Err: errors.New("it is not JSON")}
	}
	return doc{raw: raw}, nil
}
