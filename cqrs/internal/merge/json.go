package merge

import (
	"encoding/json"

	"github.com/edda-io/edda/cqrs/internal/rawjson"
	"github.com/edda-io/edda/cqrs/internal/settings"
)

// The members of How in JSON.
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
func (h *How) UnmarshalJSON(b []byte) error {
	d, err := settings.Read(b)
	if err != nil {
		return err
	}
	*h = How{}
	return h.Read(d)
}

// Read reads it from a document. The error says what is wrong, and where.
func (h *How) Read(d settings.Doc) error {
	err := d.Object(func(name string, v settings.Doc) error {
		known, err := h.Member(name, v)
		if err == nil && !known {
			return v.Unknown("merge, push, zip and include")
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := h.Check(); err != nil {
		return d.Wrong(err)
	}
	return nil
}

// Member reads a member, and reports whether it is one of those that say how.
func (h *How) Member(name string, v settings.Doc) (known bool, err error) {
	switch name {
	case mergeMember:
		return true, h.mergeFrom(v)
	case pushMember:
		if err := v.Object(h.option("on", &h.Push)); err != nil || h.Push != "" {
			return true, err
		}
		return true, v.Bad("an object that has on")
	case zipMember:
		return true, v.Only("on", &h.Zip)
	case includeMember:
		return true, h.includeFrom(v)
	}
	return false, nil
}

// mergeFrom reads true, false, or how.
func (h *How) mergeFrom(v settings.Doc) error {
	if isFlag(v) {
		return v.Flag(&h.True)
	}
	if err := v.Object(h.option("as", &h.As)); err != nil {
		return err
	}
	if h.As == "" && !h.Each {
		return v.Bad("true, or have as or each")
	}
	return nil
}

// includeFrom reads true, false, or the name.
func (h *How) includeFrom(v settings.Doc) error {
	if isFlag(v) {
		var is bool
		err := v.Flag(&is)
		if is {
			h.Include = "*"
		}
		return err
	}
	return v.Only("as", &h.Include)
}

// option reads how to merge or push: a name, and whether it is done to each item, as
// {"as": "x", "each": true} or {"each": {"as": "x"}}.
func (h *How) option(member string, into *string) func(name string, v settings.Doc) error {
	return func(name string, v settings.Doc) error {
		switch name {
		case member:
			return v.Name(into)
		case "each":
			if isFlag(v) {
				return v.Flag(&h.Each)
			}
			h.Each = true
			return v.Only(member, into)
		}
		return v.Unknown(member + " and each")
	}
}

func isFlag(v settings.Doc) bool { return rawjson.First(v.Raw) == 't' || rawjson.First(v.Raw) == 'f' }

// MarshalJSON writes what UnmarshalJSON reads.
func (h How) MarshalJSON() ([]byte, error) {
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
	case h.Push != "":
		form.Push = &how{On: h.Push, Each: h.Each}
	case h.Zip != "":
		form.Zip = &how{On: h.Zip}
	case h.As != "" || h.Each:
		form.Merge = how{As: h.As, Each: h.Each}
	case h.True:
		form.Merge = true
	}
	switch h.Include {
	case "":
	case "*":
		form.Include = true
	default:
		form.Include = how{As: h.Include}
	}
	return json.Marshal(form)
}
