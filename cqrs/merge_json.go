package cqrs

import (
	"encoding/json"
)

// The members of Merge in JSON.
const (
	mergeMember   = "merge"
	pushMember    = "push"
	zipMember     = "zip"
	includeMember = "include"
)

// UnmarshalJSON reads what spool-broadcast has as "data" and "metadata":
//
//	{"merge": true}                    {"merge": {"as": "profile"}}
//	{"merge": {"each": true}}          {"merge": {"as": "profile", "each": true}}
//	{"push": {"on": "friends"}}        {"push": {"on": "friends", "each": true}}
//	{"zip": {"on": "user_uuid"}}       {"include": true}    {"include": {"as": "other"}}
func (m *Merge) UnmarshalJSON(b []byte) error {
	d, err := readDoc(b)
	if err != nil {
		return err
	}
	*m = Merge{}
	return m.read(d)
}

func (m *Merge) read(d doc) error {
	err := d.object(func(name string, v doc) error {
		known, err := m.member(name, v)
		if err == nil && !known {
			return v.unknown("merge, push, zip and include")
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return d.wrong(err)
	}
	return nil
}

// member reads a member, if it is one of Merge.
func (m *Merge) member(name string, v doc) (known bool, err error) {
	switch name {
	case mergeMember:
		return true, m.mergeFrom(v)
	case pushMember:
		if err := v.object(m.option("on", &m.Push)); err != nil || m.Push != "" {
			return true, err
		}
		return true, v.bad("an object that has on")
	case zipMember:
		return true, v.only("on", &m.Zip)
	case includeMember:
		return true, m.includeFrom(v)
	}
	return false, nil
}

// mergeFrom reads true, false, or how.
func (m *Merge) mergeFrom(v doc) error {
	if isFlag(v) {
		return v.flag(&m.True)
	}
	if err := v.object(m.option("as", &m.As)); err != nil {
		return err
	}
	if m.As == "" && !m.Each {
		return v.bad("true, or have as or each")
	}
	return nil
}

// includeFrom reads true, false, or the name.
func (m *Merge) includeFrom(v doc) error {
	if isFlag(v) {
		var is bool
		err := v.flag(&is)
		if is {
			m.Include = "*"
		}
		return err
	}
	return v.only("as", &m.Include)
}

// option reads how to merge or push: a name, and whether it is done to each item, as
// {"as": "x", "each": true} or {"each": {"as": "x"}}.
func (m *Merge) option(member string, into *string) func(name string, v doc) error {
	return func(name string, v doc) error {
		switch name {
		case member:
			return v.name(into)
		case "each":
			if isFlag(v) {
				return v.flag(&m.Each)
			}
			m.Each = true
			return v.only(member, into)
		}
		return v.unknown(member + " and each")
	}
}

func isFlag(v doc) bool { return firstOf(v.raw) == 't' || firstOf(v.raw) == 'f' }

// MarshalJSON writes what UnmarshalJSON reads.
func (m Merge) MarshalJSON() ([]byte, error) {
	type how struct {
		As   string `json:"as,omitempty"`
		On   string `json:"on,omitempty"`
		Each bool   `json:"each,omitempty"`
	}
	var form struct {
		Merge   any  `json:"merge,omitempty"`
		Push    *how `json:"push,omitempty"`
		Zip     *how `json:"zip,omitempty"`
		Include any  `json:"include,omitempty"`
	}
	switch {
	case m.Push != "":
		form.Push = &how{On: m.Push, Each: m.Each}
	case m.Zip != "":
		form.Zip = &how{On: m.Zip}
	case m.As != "" || m.Each:
		form.Merge = how{As: m.As, Each: m.Each}
	case m.True:
		form.Merge = true
	}
	switch m.Include {
	case "":
	case "*":
		form.Include = true
	default:
		form.Include = how{As: m.Include}
	}
	return json.Marshal(form)
}

// UnmarshalJSON reads a name, or a list of names.
func (o *Objects) UnmarshalJSON(b []byte) error {
	d, err := readDoc(b)
	if err != nil {
		return err
	}
	return o.read(d)
}

func (o *Objects) read(d doc) error {
	*o = nil
	if !isList(d.raw) {
		var name string
		if err := d.name(&name); err != nil {
			return d.bad("the name of an object, or a list of names")
		}
		*o = Objects{name}
		return nil
	}
	items, err := readList(d.raw)
	if err != nil {
		return err
	}
	for _, raw := range items {
		var name string
		if err := (doc{d.path, raw}).name(&name); err != nil {
			return d.bad("the name of an object, or a list of names")
		}
		*o = append(*o, name)
	}
	return nil
}

// MarshalJSON writes a name alone, or a list.
func (o Objects) MarshalJSON() ([]byte, error) {
	if len(o) == 1 {
		return json.Marshal(o[0])
	}
	return json.Marshal([]string(o))
}
