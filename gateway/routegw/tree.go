package routegw

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/edda-io/edda"
)

// tree finds the route of a request. Like net/http it looks among the routes of the
// method, then those of GET for a HEAD, then those of every method; literal segments come before
// parameters, parameters before the rest. As no two routes conflict, the first that fits is the one.
type tree struct {
	methods map[string]*branch
}

// branch is the routes that have the same segments up to here.
type branch struct {
	literals map[string]*branch
	param    *branch
	// end is the route of a path that ends here, slash that of one that ends with a slash
	// here, rest that of whatever follows.
	end, slash, rest *compiled
}

func (t *tree) add(rt *compiled) {
	if t.methods == nil {
		t.methods = map[string]*branch{}
	}
	b := t.methods[rt.pattern.method]
	if b == nil {
		b = &branch{}
		t.methods[rt.pattern.method] = b
	}
	for _, seg := range rt.pattern.segs {
		switch seg.kind {
		case rest:
			b.rest = rt
			return
		case nothing:
			b.slash = rt
			return
		case param:
			if b.param == nil {
				b.param = &branch{}
			}
			b = b.param
		case literal:
			next := b.literals[seg.text]
			if next == nil {
				next = &branch{}
				if b.literals == nil {
					b.literals = map[string]*branch{}
				}
				b.literals[seg.text] = next
			}
			b = next
		}
	}
	b.end = rt
}

// params are the values of a pattern's parameters, in order.
type params [maxParams]string

// errPath is a path that no route has: it is not cleaned.
var errPath = &edda.Error{
	Reason: edda.BadName, Err: errors.New(`the path has a segment that is empty, "." or "..", or a bad percent-encoding`),
}

// place is a path as it was sent.
type place struct {
	path    string // without its first slash
	encoded bool
}

// placeOf returns the path of a URL. Nothing is cleaned: a segment that is empty, but
// for the last, "." and ".." are refused.
func placeOf(u *url.URL) (place, error) {
	// Without RawPath, Path has only slashes that were sent as such, and nothing that
	// is still encoded.
	p := place{path: u.Path}
	if u.RawPath != "" {
		p = place{path: u.EscapedPath(), encoded: true}
	}
	if p.path == "" || p.path[0] != '/' {
		return p, errPath
	}
	p.path = p.path[1:]
	for left, more := p.path, true; more; {
		var seg string
		seg, left, more = strings.Cut(left, "/")
		seg, err := p.decode(seg)
		if err != nil || seg == "" && more || seg == "." || seg == ".." {
			return p, errPath
		}
	}
	return p, nil
}

func (p *place) decode(s string) (string, error) {
	if !p.encoded || strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	return url.PathUnescape(s)
}

// find returns the route of a method and a path, nil when there is none, and sets the
// parameters.
func (t *tree) find(method string, p place, into *params) *compiled {
	if rt := t.methods[method].find(&p, p.path, into, 0); rt != nil {
		return rt
	}
	if method == http.MethodHead {
		if rt := t.methods[http.MethodGet].find(&p, p.path, into, 0); rt != nil {
			return rt
		}
	}
	return t.methods[""].find(&p, p.path, into, 0)
}

// find goes on with what is left of the path, having set n parameters. A path of which
// nothing is left ends with a slash.
func (b *branch) find(p *place, left string, into *params, n int) *compiled {
	if b == nil {
		return nil
	}
	if left == "" {
		if b.slash != nil {
			return b.slash
		}
		return b.takeRest(p, left, into, n)
	}
	raw, next, more := strings.Cut(left, "/")
	seg, err := p.decode(raw)
	if err != nil {
		return nil
	}
	if rt := b.literals[seg].step(p, next, more, into, n); rt != nil {
		return rt
	}
	if b.param != nil {
		into[n] = seg
		if rt := b.param.step(p, next, more, into, n+1); rt != nil {
			return rt
		}
	}
	return b.takeRest(p, left, into, n)
}

// step goes on after a segment, if there is more.
func (b *branch) step(p *place, next string, more bool, into *params, n int) *compiled {
	switch {
	case b == nil:
		return nil
	case more:
		return b.find(p, next, into, n)
	default:
		return b.end
	}
}

func (b *branch) takeRest(p *place, left string, into *params, n int) *compiled {
	if b.rest == nil {
		return nil
	}
	if n < len(b.rest.pattern.params) {
		v, err := p.decode(left)
		if err != nil {
			return nil
		}
		into[n] = v
	}
	return b.rest
}

// allowed returns the methods that a path has routes for, in order; nil when there
// is none.
func (t *tree) allowed(p place, methods []string) []string {
	var found []string
	var scratch params
	for _, m := range methods {
		if t.find(m, p, &scratch) != nil {
			found = append(found, m)
		}
	}
	return found
}
