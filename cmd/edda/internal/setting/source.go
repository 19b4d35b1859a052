package setting

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Source is where a setting, or something in it, was set. The zero Source is nowhere.
type Source struct {
	text string // such as "in FILE" or "of --listen"
	// line and value are those in the file, zero elsewhere and where they are not known.
	line  int
	value *yaml.Node
}

// String returns where, in the words of an error: "in FILE:LINE".
func (s Source) String() string {
	if s.line == 0 {
		return s.text
	}
	return s.text + ":" + strconv.Itoa(s.line)
}

// key returns where something below the source was set, or the source when it has no
// such thing.
func (s Source) key(name string) Source {
	v := resolved(s.value)
	if v == nil || v.Kind != yaml.MappingNode {
		return s
	}
	for i := 0; i+1 < len(v.Content); i += 2 {
		if v.Content[i].Value == name {
			return Source{s.text, v.Content[i].Line, v.Content[i+1]}
		}
	}
	return s
}

// element is key for the element of a list.
func (s Source) element(i int) Source {
	v := resolved(s.value)
	if v == nil || v.Kind != yaml.SequenceNode || i >= len(v.Content) {
		return s
	}
	return Source{s.text, v.Content[i].Line, v.Content[i]}
}

// setting is key for a setting, whose name may lead over several levels.
func (s Source) setting(name string) Source {
	if at := s.key(name); at != s {
		return at
	}
	top, below, nested := strings.Cut(name, ".")
	if at := s.key(top); nested && at != s {
		return at.setting(below)
	}
	return s
}

// resolved returns what stands where an alias is.
func resolved(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
