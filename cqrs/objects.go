package cqrs

import (
	"encoding/json"

	"github.com/edda-io/edda/cqrs/internal/rawjson"
	"github.com/edda-io/edda/cqrs/internal/settings"
)

// Objects are names of objects. In JSON one may stand alone.
type Objects []string

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

// UnmarshalJSON reads a name, or a list of names.
func (o *Objects) UnmarshalJSON(b []byte) error {
	d, err := settings.Read(b)
	if err != nil {
		return err
	}
	return o.read(d)
}

func (o *Objects) read(d settings.Doc) error {
	*o = nil
	if !rawjson.IsList(d.Raw) {
		var name string
		if err := d.Name(&name); err != nil {
			return d.Bad("the name of an object, or a list of names")
		}
		*o = Objects{name}
		return nil
	}
	items, err := rawjson.ReadList(d.Raw)
	if err != nil {
		return err
	}
	for _, raw := range items {
		var name string
		if err := (settings.Doc{Path: d.Path, Raw: raw}).Name(&name); err != nil {
			return d.Bad("the name of an object, or a list of names")
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
