package inputschema

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// place is a schema, with those that what fits it must fit too: to look at one of them is
// to look at the same value again.
type place struct {
	name string
	same []*place
	refs []string // absolute, but for what has no $id
	// dynamic are the anchors that its $dynamicRef may find.
	dynamic string
	state   int // 0: not seen, 1: being looked at, 2: seen
}

// places are those of a schema.
type places struct {
	all []*place
	// byRef finds them by base URI, # and JSON pointer or anchor.
	byRef   map[string]*place
	dynamic map[string][]*place
}

// checkLoops refuses a schema that refers to itself for the same value. JSON Schema leaves
// open what it means, and package jsonschema would run until the stack is full, which
// ends the process.
func checkLoops(schema any) error {
	ps := &places{byRef: map[string]*place{}, dynamic: map[string][]*place{}}
	ps.add("", schema, &url.URL{}, []string{""})
	for _, p := range ps.all {
		if at := ps.loop(p); at != nil {
			if at.name == "" {
				return fmt.Errorf("it refers to itself for the same value, by $ref or $dynamicRef, which never ends")
			}
			return fmt.Errorf("%s refers to itself for the same value, by $ref or $dynamicRef, which never ends", at.name)
		}
	}
	return nil
}

// add adds a schema and those in it. The refs are all that begin one to it.
func (ps *places) add(name string, v any, base *url.URL, refs []string) *place {
	p := &place{name: name}
	ps.all = append(ps.all, p)
	m, _ := v.(map[string]any)
	if id, ok := m["$id"].(string); ok {
		if u, err := base.Parse(id); err == nil {
			base = withoutFragment(u)
			refs = append(slices.Clone(refs), base.String()+"#")
		}
	}
	if name == "" {
		refs = []string{base.String() + "#"}
	}
	for _, r := range refs {
		ps.byRef[r] = p
	}
	for _, keyword := range slices.Sorted(maps.Keys(m)) {
		text, _ := m[keyword].(string)
		switch keyword {
		case "$anchor", "$dynamicAnchor":
			ps.byRef[base.String()+"#"+text] = p
			if keyword == "$dynamicAnchor" {
				ps.dynamic[text] = append(ps.dynamic[text], p)
			}
		case "$ref", "$dynamicRef":
			if u, err := base.Parse(text); err == nil {
				p.refs = append(p.refs, withoutFragment(u).String()+"#"+u.Fragment)
				if keyword == "$dynamicRef" {
					p.dynamic = u.Fragment
				}
			}
		default:
			ps.addBelow(p, keyword, m[keyword], base, refs)
		}
	}
	return p
}

// addBelow adds the schemas that a keyword has.
func (ps *places) addBelow(p *place, keyword string, v any, base *url.URL, refs []string) {
	one := func(name string, v any, path ...string) {
		for i := range path {
			path[i] = "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(path[i])
		}
		longer := make([]string, len(refs))
		for i, r := range refs {
			longer[i] = r + strings.Join(path, "")
		}
		sub := ps.add(name, v, base, longer)
		switch keyword {
		case "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies":
			p.same = append(p.same, sub)
		}
	}
	at := below(p.name, keyword)
	switch v := v.(type) {
	case []any:
		switch keyword {
		case "prefixItems", "allOf", "anyOf", "oneOf", "items":
			for i, e := range v {
				one(fmt.Sprintf("%s[%d]", at, i), e, keyword, strconv.Itoa(i))
			}
		}
	case map[string]any:
		switch keyword {
		case "$defs", "definitions", "properties", "patternProperties", "dependentSchemas", "dependencies":
			for _, name := range slices.Sorted(maps.Keys(v)) {
				one(below(at, name), v[name], keyword, name)
			}
		case "items", "additionalItems", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties",
			"not", "if", "then", "else", "contentSchema":
			one(at, v, keyword)
		}
	}
}

// loop returns a place that leads back to itself from here.
func (ps *places) loop(p *place) *place {
	switch p.state {
	case 1:
		return p
	case 2:
		return nil
	}
	p.state = 1
	next := slices.Clone(p.same)
	for _, r := range p.refs {
		if to := ps.byRef[r]; to != nil {
			next = append(next, to)
		}
	}
	next = append(next, ps.dynamic[p.dynamic]...)
	for _, to := range next {
		if at := ps.loop(to); at != nil {
			return at
		}
	}
	p.state = 2
	return nil
}

func withoutFragment(u *url.URL) *url.URL {
	c := *u
	c.Fragment, c.RawFragment = "", ""
	return &c
}
