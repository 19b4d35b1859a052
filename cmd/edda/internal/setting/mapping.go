package setting

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// mapping is a setting that maps one thing to another: in the file it is a map, in the
// environment a list with commas, and each flag is one pair.
type mapping struct {
	name, flag string
	pair       string // how one is written
	maps       string // what to what
	usage      string
}

var mappings = []mapping{
	{credentials, "credential", "NAME=TOKEN", "names to tokens", "let the principal `NAME=TOKEN` in by its bearer token, or NAME=sha256:HASH; can be repeated"},
	{pages, "page", "PATH=DIR", "URL paths to directories", "serve the files of a directory, `PATH=DIR`, such as /=public; can be repeated"},
}

// mappingOf returns the mapping that a setting is; nil when it is none.
func mappingOf(name string) *mapping {
	if i := slices.IndexFunc(mappings, func(t mapping) bool { return t.name == name }); i >= 0 {
		return &mappings[i]
	}
	return nil
}

// read reads pairs.
func (t *mapping) read(pairs []string) (map[string]any, error) {
	m := map[string]any{}
	for _, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return nil, fmt.Errorf("a %s must be %s", t.flag, t.pair)
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("the %s %q is given twice", t.key(), name)
		}
		m[name] = value
	}
	return m, nil
}

func (t *mapping) key() string {
	name, _, _ := strings.Cut(t.pair, "=")
	return strings.ToLower(name)
}

// Page is a directory whose files are served.
type Page struct {
	// Path is where in URLs.
	Path string
	Dir  string
}

// setPages keeps what maps URL paths to directories, in order of paths.
func (n *Node) setPages(byPath map[string]any) error {
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		dir, ok := byPath[path].(string)
		if !ok || dir == "" {
			return fmt.Errorf("pages: the directory of %s must be text", path)
		}
		n.Pages = append(n.Pages, Page{path, dir})
	}
	return nil
}
