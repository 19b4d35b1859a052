package httpgw

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// op is what a route does for one HTTP method.
type op struct {
	method string
	handle func(*Gateway, *exchange) error
	// access is what it asks of the principal: the right to manage unless it says
	// otherwise.
	access access
	doc    apidoc.Operation
}

// needs returns the operation with what it asks of the principal.
func (o op) needs(a access) op {
	o.access = a
	return o
}

// route is one path of the surface with its parameters in braces.
type route struct {
	template string
	// namespaced routes are served under /v1/ns/{namespace} too.
	namespaced bool
	// open routes ask for no credentials.
	open bool
	// keyed routes ask for none where the query has a completion key.
	keyed bool
	// checkID checks the path's {id}; nil where it is opaque.
	checkID func(id string) error
	ops     []op

	segs  []string // of the template, without "v1" where namespaced
	allow []string // the header's values, of which there is one
	meter *httpio.Meter
}

// router finds the route of a path.
type router struct {
	fixed      []*route
	namespaced []*route
	none       *route // stands for every path without one
}

func newRouter(routes []*route, m *httpio.Metrics) router {
	rs := router{none: &route{template: "none", meter: m.Meter("none")}}
	for _, rt := range routes {
		rt.meter = m.Meter(rt.template)
		rt.allow = []string{allow(rt.ops)}
		path := rt.template[1:]
		if rt.namespaced {
			path = strings.TrimPrefix(path, "v1/")
			rs.namespaced = append(rs.namespaced, rt)
		} else {
			rs.fixed = append(rs.fixed, rt)
		}
		rt.segs = strings.Split(path, "/")
	}
	return rs
}

func allow(ops []op) string {
	var methods []string
	for _, o := range ops {
		methods = append(methods, o.method)
		if o.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	return strings.Join(append(methods, http.MethodOptions), ", ")
}

// errNoRoute is for every path that is not the node's own, those of Options.Routes among
// them. Nobody changes it.
var errNoRoute = refuse(edda.NoRoute, "there is no such route: /openapi.json lists those of the node")

// find sets route, namespace and parameters. Route is set also when there is an
// error.
func (rs *router) find(x *exchange) error {
	x.route = rs.none
	var s segments
	if err := s.split(x.r.URL); err != nil {
		return err
	}
	if s.n > maxSegments || !rs.match(x, s.seg[:s.n]) {
		return errNoRoute
	}
	return x.checkNames()
}

func (rs *router) match(x *exchange, segs []string) bool {
	if len(segs) > 1 && segs[0] == "v1" {
		rest := segs[1:]
		if rest[0] == "ns" && len(rest) > 2 {
			x.namespace, rest = rest[1], rest[2:]
		}
		for _, rt := range rs.namespaced {
			if rt.fits(x, rest) {
				return true
			}
		}
		if len(rest) < len(segs)-1 {
			return false
		}
	}
	for _, rt := range rs.fixed {
		if rt.fits(x, segs) {
			return true
		}
	}
	return false
}

// fits reports whether the route is the one, and notes it and its parameters.
func (rt *route) fits(x *exchange, segs []string) bool {
	if len(segs) != len(rt.segs) {
		return false
	}
	args := 0
	for i, s := range rt.segs {
		switch {
		case s[0] == '{':
			x.args[args] = segs[i]
			args++
		case s != segs[i]:
			return false
		}
	}
	x.route = rt
	return true
}

// checkNames checks the path's parameters before anything is read: whatever is
// no name or key at all is refused alike on every route.
func (x *exchange) checkNames() error {
	if x.namespace != edda.DefaultNamespace {
		if err := edda.CheckName("namespace", x.namespace); err != nil {
			return err
		}
	}
	arg := 0
	for _, s := range x.route.segs {
		if s[0] != '{' {
			continue
		}
		var err error
		switch s {
		case "{service}":
			err = edda.CheckName("service", x.args[arg])
		case "{method}":
			err = edda.CheckName("method", x.args[arg])
		case "{key}":
			err = edda.CheckKey(x.args[arg])
		case "{step}":
			err = edda.CheckName("step", x.args[arg])
		case "{stream}":
			err = edda.CheckName("stream", x.args[arg])
		case "{channel}":
			err = edda.CheckName("channel", x.args[arg])
		case "{group}":
			err = edda.CheckName("group", x.args[arg])
		case "{id}":
			if x.route.checkID != nil {
				err = x.route.checkID(x.args[arg])
			}
		}
		if err != nil {
			return err
		}
		arg++
	}
	return nil
}

// maxSegments is the number of segments of the longest route, in a namespace:
// /v1/ns/{namespace}/sagas/{id}/steps/{step}/compensation/retry.
const maxSegments = 9

// segments are the parts of a path between its slashes, percent-decoded.
type segments struct {
	seg [maxSegments]string
	n   int // may be above maxSegments; then no route fits
}

// split splits a path as it was sent. Nothing is cleaned: an empty segment, "."
// and ".." are refused.
func (s *segments) split(u *url.URL) error {
	// Without RawPath, Path has only slashes that were sent as such, and nothing
	// that is still encoded.
	path, encoded := u.Path, false
	if u.RawPath != "" {
		path, encoded = u.EscapedPath(), true
	}
	if path == "" || path[0] != '/' {
		return nil
	}
	if path == "/" {
		return nil
	}
	for rest, more := path[1:], true; more; s.n++ {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		if encoded && strings.IndexByte(seg, '%') >= 0 {
			var err error
			if seg, err = url.PathUnescape(seg); err != nil {
				return refuse(edda.BadName, "the path has a bad percent-encoding")
			}
		}
		if seg == "" || seg == "." || seg == ".." {
			return refuse(edda.BadName, `the path has a segment that is empty, "." or ".."`)
		}
		if s.n < maxSegments {
			s.seg[s.n] = seg
		}
	}
	return nil
}
