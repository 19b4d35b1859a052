package httpgw

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// admit refuses whoever is not known, and sets the grant. It comes before
// everything else, so that the refusal is the same on every route.
func (g *Gateway) admit(x *exchange) error {
	var c auth.Credential // nothing, where nobody is asked
	var err error
	switch {
	case g.guard != nil:
		err = g.guard.check(x.r)
	case x.route.open || x.r.Method == http.MethodOptions:
		return nil
	default:
		c, err = auth.Read(x.r.Header["Authorization"], x.r.TLS)
	}
	if err != nil {
		return err
	}
	if c.Token == "" && c.Certificate != nil && crossOrigin.Check(x.r) != nil {
		return errOrigin
	}
	x.grant, err = auth.Admit(x.r.Context(), g.opts.Authenticator, c)
	return err
}

// crossOrigin refuses what another site's page has a browser send. A token does
// not come of itself, but a browser shows a certificate to whoever asks.
var crossOrigin = http.NewCrossOriginProtection()

// access is what a principal must be allowed for an operation.
type access uint8

const (
	// toManage is the zero value, so that an operation about which nothing was said
	// is not open to everybody.
	toManage access = iota
	// toCall asks for the right to call the service that the path names first.
	toCall
	// toAsk is for all who are known: the operation itself answers only about what
	// they may see.
	toAsk
)

func (x *exchange) allowed(a access) error {
	if x.route.open {
		return nil
	}
	switch a {
	case toManage:
		return x.grant.CheckManage()
	case toCall:
		return x.grant.CheckCall(x.namespace, x.args[0])
	default:
		return nil
	}
}

// whileKnown returns the context of an answer that has no end of its own: it ends
// with the credentials.
func (x *exchange) whileKnown() (context.Context, context.CancelFunc) {
	if x.grant.Expires.IsZero() {
		return context.WithCancel(x.r.Context())
	}
	return context.WithDeadlineCause(x.r.Context(), x.grant.Expires, errExpired)
}

var errExpired = errors.New("the credentials have expired")

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
			return nil, badListen(address, errors.New("without Authenticator it must be a loopback address"))
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
