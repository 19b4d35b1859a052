package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/edda-io/edda"
)

// MaxPrincipalBytes is the longest name of a principal. It stands in every
// record of its requests.
const MaxPrincipalBytes = 255

// Grant is a principal and what it may do.
type Grant struct {
	Principal edda.Principal
	Rights
	// Expires is when the credential ends, and with it what was begun on its
	// strength and lives longer than a request. Zero means never.
	Expires time.Time
	// Claims are what the credential says of its owner beside that, by their names: the
	// claims of a JSON Web Token, or what a service has answered. Values are those of
	// encoding/json. Nobody changes them.
	Claims map[string]any
}

// Rights say what a principal may do; the zero value allows nothing but to look
// at what the node is.
type Rights struct {
	// Call holds the services that it may call. It may follow and cancel its own
	// requests to them, and have sagas whose steps call no others.
	Call []Pattern
	// Host holds the services that it may host as a worker. It may finish steps of
	// sagas that call them.
	Host []Pattern
	// Append holds the streams that it may append to, and have others append replies
	// to. One that is not there yet is created by that.
	Append []Pattern
	// Read holds the streams that it may read, and be a member of their groups.
	Read []Pattern
	// Publish holds the channels that it may publish to.
	Publish []Pattern
	// Subscribe holds the channels that it may subscribe to, with their history and who
	// else is there.
	Subscribe []Pattern
	// Manage allows all there is beside calling, hosting, appending, consuming and
	// publishing: to see everybody's requests, sagas, streams and channels, and to change
	// services, workers, dead letters, compensations, streams, groups and channels.
	Manage bool
}

// Everything returns the right to do all there is in every namespace.
func Everything() Rights {
	all := func() []Pattern { return []Pattern{"*:*"} }
	return Rights{Call: all(), Host: all(), Append: all(), Read: all(), Publish: all(), Subscribe: all(), Manage: true}
}

// Validate checks the patterns.
func (r Rights) Validate() error {
	for _, ps := range [...][]Pattern{r.Call, r.Host, r.Append, r.Read, r.Publish, r.Subscribe} {
		for _, p := range ps {
			if err := p.Validate(); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckCall returns NOT_ALLOWED unless the principal may call the service.
func (g *Grant) CheckCall(namespace, service string) error {
	if matches(g.Call, namespace, service) {
		return nil
	}
	return g.forbid("call", namespace, service)
}

// CheckHost returns NOT_ALLOWED unless the principal may host the service as a
// worker.
func (g *Grant) CheckHost(namespace, service string) error {
	if matches(g.Host, namespace, service) {
		return nil
	}
	return g.forbid("host", namespace, service)
}

// CheckManage returns NOT_ALLOWED unless the principal may manage the node.
func (g *Grant) CheckManage() error {
	if g.Manage {
		return nil
	}
	return &edda.Error{Reason: edda.NotAllowed, Err: fmt.Errorf("%q may not manage this node", g.Principal)}
}

// CheckRequest returns NOT_ALLOWED unless the principal may see a request and its
// reply, and cancel it: its own to a service that it may call, or with the right
// to manage everybody's.
func (g *Grant) CheckRequest(r *edda.Request) error {
	if g.Manage || r.Principal == g.Principal && matches(g.Call, r.Namespace, r.Service) {
		return nil
	}
	return &edda.Error{Reason: edda.NotAllowed, Err: fmt.Errorf("the request is not one of %q", g.Principal)}
}

// MaySee reports whether the principal may look at a service, because it may
// call, host or manage it.
func (g *Grant) MaySee(namespace, service string) bool {
	return g.Manage || matches(g.Call, namespace, service) || matches(g.Host, namespace, service)
}

func (g *Grant) forbid(what, namespace, service string) error {
	a := edda.Address{Namespace: namespace, Name: service}
	return &edda.Error{Reason: edda.NotAllowed, Err: fmt.Errorf("%q may not %s %s", g.Principal, what, a)}
}

// Pattern names services, streams or channels: NAME in the default namespace, or
// NAMESPACE:NAME. Each of the two may be "*", or end in it, for whatever follows: "shop-*", "test:*".
// So "*" is every one of the default namespace, and "*:*" every one there is.
type Pattern string

// Validate checks the form.
func (p Pattern) Validate() error {
	namespace, name := p.split()
	for _, part := range [...]struct{ what, s string }{{"namespace", namespace}, {"name", name}} {
		s, more := strings.CutSuffix(part.s, "*")
		if more && s == "" {
			continue
		}
		if err := edda.CheckName(part.what, s); err != nil {
			return badOption("pattern %q must be NAME or NAMESPACE:NAME, either with * at its end: %w", string(p), reasonOf(err))
		}
	}
	return nil
}

// Match reports whether it names the service, stream or channel. An empty namespace is the default
// one.
func (p Pattern) Match(namespace, service string) bool {
	if namespace == "" {
		namespace = edda.DefaultNamespace
	}
	ns, name := p.split()
	return fits(ns, namespace) && fits(name, service)
}

func (p Pattern) split() (namespace, name string) {
	if ns, name, ok := strings.Cut(string(p), ":"); ok {
		return ns, name
	}
	return edda.DefaultNamespace, string(p)
}

func fits(pattern, s string) bool {
	if prefix, more := strings.CutSuffix(pattern, "*"); more {
		return strings.HasPrefix(s, prefix)
	}
	return pattern == s
}

func matches(ps []Pattern, namespace, service string) bool {
	for _, p := range ps {
		if p.Match(namespace, service) {
			return true
		}
	}
	return false
}

// checkPrincipal checks a name that came from outside.
func checkPrincipal(p edda.Principal) error {
	s := string(p)
	switch {
	case s == "":
		return errors.New("the principal is empty")
	case len(s) > MaxPrincipalBytes:
		return fmt.Errorf("the principal has %d bytes, at most %d are allowed", len(s), MaxPrincipalBytes)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("the principal %q must be UTF-8 without control characters", s)
	}
	return nil
}

// reasonOf returns what an *edda.Error says without what was being done.
func reasonOf(err error) error {
	if e, ok := errors.AsType[*edda.Error](err); ok && e.Err != nil {
		return e.Err
	}
	return err
}
