package httpgw

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/edda-io/edda"
)

// admit refuses whoever may not ask, and sets the principal. It comes before
// everything else, so that the refusal is the same on every route.
func (g *Gateway) admit(x *exchange) error {
	if g.guard != nil {
		return g.guard.check(x.r)
	}
	if x.route.open || x.r.Method == http.MethodOptions {
		return nil
	}
	p, err := g.opts.Authenticate(x.r)
	switch {
	case err == nil && p != "":
		x.principal = p
		return nil
	case err != nil:
		if e, ok := errors.AsType[*edda.Error](err); ok && e.Reason != edda.NoCredentials {
			return err
		}
	}
	if _, given := x.r.Header["Authorization"]; given {
		return refuse(edda.NoCredentials, "the credentials are not valid")
	}
	return refuse(edda.NoCredentials, "Authorization: Bearer is missing")
}

// challenge returns the value of WWW-Authenticate for a request that was refused.
func challenge(r *http.Request) string {
	if _, given := r.Header["Authorization"]; given {
		return `Bearer realm="edda", error="invalid_token"`
	}
	return `Bearer realm="edda"`
}

// guard knows the node's own names. It stands where there are no credentials:
// a browser on the same machine sends what any web page tells it to, under a
// name that the page's owner may point at 127.0.0.1, but it cannot hide Host and
// Origin.
type guard struct {
	hosts map[string]bool // with and without port
	// anyPort says that the ports are not known.
	anyPort bool
}

func newGuard(listen []string) (*guard, error) {
	names := []string{"localhost", "127.0.0.1", "[::1]"}
	var ports []string
	for _, address := range listen {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, badListen(address, err)
		}
		ip, err := netip.ParseAddr(host)
		if host == "" || err == nil && !ip.IsLoopback() {
			return nil, badListen(address, errors.New("without Authenticate it must be a loopback address"))
		}
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		names, ports = append(names, strings.ToLower(host)), append(ports, port)
	}
	gd := &guard{hosts: map[string]bool{}, anyPort: len(ports) == 0}
	for _, name := range names {
		gd.hosts[name] = true
		for _, port := range ports {
			gd.hosts[name+":"+port] = true
		}
	}
	return gd, nil
}

func badListen(address string, err error) error {
	return &edda.Error{Op: "check options", Reason: edda.BadValue, Err: fmt.Errorf("option Listen %q: %w", address, err)}
}

var (
	errHost   = &edda.Error{Reason: edda.NotAllowed, Err: errors.New("the Host is not this node's")}
	errOrigin = &edda.Error{Reason: edda.NotAllowed, Err: errors.New("the Origin is not this node's")}
)

func (gd *guard) check(r *http.Request) error {
	if !gd.hosts[r.Host] && !gd.ownHost(r.Host) {
		return errHost
	}
	for i, o := range r.Header["Origin"] {
		if i > 0 || !gd.ownOrigin(o, r.Host) {
			return errOrigin
		}
	}
	return nil
}

func (gd *guard) ownHost(host string) bool {
	host = strings.ToLower(host)
	if gd.hosts[host] {
		return true
	}
	colon := strings.LastIndexByte(host, ':')
	return gd.anyPort && colon > 0 && isPort(host[colon+1:]) && gd.hosts[host[:colon]]
}

func isPort(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 5
}

// ownOrigin reports whether an origin is the node itself: the same as the host,
// which is the node's, or another of the node's names with its port. A page
// from another port of localhost is foreign.
func (gd *guard) ownOrigin(origin, host string) bool {
	scheme, at, ok := strings.Cut(strings.ToLower(origin), "://")
	if !ok || scheme != "http" && scheme != "https" {
		return false
	}
	if at == strings.ToLower(host) {
		return true
	}
	if strings.LastIndexByte(at, ':') <= strings.LastIndexByte(at, ']') {
		at += map[string]string{"http": ":80", "https": ":443"}[scheme]
	}
	return gd.hosts[at]
}
