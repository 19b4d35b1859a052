// Package settings reads documents of settings in JSON. Everything in them is known or refused, and
// errors say where it stands: they are *edda.Error with the reasons BadJSON, BadValue and UnknownField.
// A Doc is a value; it is safe for concurrent use.
package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/rawjson"
)

// Doc is a value in a document of settings, and the way to it, for people.
type Doc struct {
	Path string
	Raw  json.RawMessage
}

// under is the way to a member.
func (d Doc) under(name string, raw json.RawMessage) Doc {
	switch {
	case name == "" || strings.ContainsAny(name, ".[]\" "):
		name = "[" + strconv.Quote(name) + "]"
	case d.Path != "":
		name = "." + name
	}
	return Doc{d.Path + name, raw}
}

// Bad refuses the value: it must be what want says.
func (d Doc) Bad(want string) error {
	path := d.Path
	if path == "" {
		path = "the document"
	}
	return &edda.Error{Reason: edda.BadValue, Err: fmt.Errorf("%s is %s, must be %s", path, d.shown(), want)}
}

// Wrong refuses the value for what err says of it.
func (d Doc) Wrong(err error) error {
	if d.Path != "" {
		err = fmt.Errorf("%s: %w", d.Path, err)
	}
	return &edda.Error{Reason: edda.BadValue, Err: err}
}

// shown is the value itself if it is short, else what it is.
func (d Doc) shown() string {
	if s := string(d.Raw); len(s) <= 64 && rawjson.First(d.Raw) != '{' && rawjson.First(d.Raw) != '[' && s != "" {
		return s
	}
	return rawjson.Form(d.Raw)
}

// Unknown refuses the value because nobody knows a member of this name; known says which there are.
func (d Doc) Unknown(known string) error {
	return &edda.Error{Reason: edda.UnknownField, Err: fmt.Errorf("unknown member %s; there is %s", d.Path, known)}
}

// Object reads an object, whose members it hands over in their order. A member that is there twice is
// refused; so is all that read refuses.
func (d Doc) Object(read func(name string, v Doc) error) error {
	if !rawjson.IsObject(d.Raw) {
		return d.Bad("an object")
	}
	seen := map[string]bool{}
	for quoted, value := range rawjson.Members(d.Raw) {
		name := quoted.String()
		v := d.under(name, value)
		if seen[name] {
			return v.Wrong(errors.New("it is there twice"))
		}
		seen[name] = true
		if err := read(name, v); err != nil {
			return err
		}
	}
	return nil
}

// Text reads a string.
func (d Doc) Text(into *string) error {
	if rawjson.First(d.Raw) != '"' {
		return d.Bad("a string")
	}
	return json.Unmarshal(d.Raw, into)
}

// Only reads an object that has one member, a name.
func (d Doc) Only(member string, into *string) error {
	found := false
	err := d.Object(func(name string, v Doc) error {
		if name != member {
			return v.Unknown(member)
		}
		found = true
		return v.Name(into)
	})
	if err == nil && !found {
		return d.Bad("an object that has " + member)
	}
	return err
}

// Name reads a string that is not empty.
func (d Doc) Name(into *string) error {
	if err := d.Text(into); err != nil {
		return err
	}
	if *into == "" {
		return d.Bad("a name")
	}
	return nil
}

// Flag reads true or false.
func (d Doc) Flag(into *bool) error {
	if c := rawjson.First(d.Raw); c != 't' && c != 'f' {
		return d.Bad("true or false")
	}
	return json.Unmarshal(d.Raw, into)
}

// Number reads a whole number that is not below the least one.
func (d Doc) Number(into *int, least int) error {
	if json.Unmarshal(d.Raw, into) != nil || rawjson.First(d.Raw) == 'n' || *into < least {
		if least < -1 {
			return d.Bad("a whole number")
		}
		return d.Bad(fmt.Sprintf("a whole number from %d on", least))
	}
	return nil
}

// Duration reads one that is positive.
func (d Doc) Duration(into *time.Duration) error {
	var s string
	if err := d.Text(&s); err != nil {
		return d.Bad(`a duration, such as "1.5s"`)
	}
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return d.Bad(`a duration above zero, such as "1.5s"`)
	}
	*into = v
	return nil
}

// Read begins a document. It refuses what is no JSON at all.
func Read(raw []byte) (Doc, error) {
	if !json.Valid(raw) {
		return Doc{}, &edda.Error{Reason: edda.BadJSON, Err: errors.New("it is not JSON")}
	}
	return Doc{Raw: raw}, nil
}
