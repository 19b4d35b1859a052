package routegw

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/ownhost"
)

// Gateway serves routes. It is an http.Handler.
type Gateway struct {
	calls   edda.Backend
	streams edda.StreamBackend
	opts    Options
	log     *slog.Logger
	names   *ownhost.Names // nil when there are credentials
	routes  []*route
	tree    tree
}

// New returns the gateway of a node. The error, BadValue, names the option, or the route
// and its field, that makes no sense.
func New(b Backends, opts Options) (*Gateway, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	g := &Gateway{calls: b.Calls, streams: b.Streams, opts: opts, log: opts.Logger}
	if opts.Authenticator == nil && opts.Authenticate == nil {
		var err error
		if g.names, err = ownhost.New(opts.Listen); err != nil {
			return nil, err
		}
	}
	var patterns []*pattern
	for i := range opts.Routes {
		r := &opts.Routes[i]
		rt, err := compile(*r, &g.opts, b)
		if err != nil {
			return nil, badRoute(r, err)
		}
		if other, err := conflict(patterns, rt.pattern); err != nil {
			return nil, badRoute(r, fmt.Errorf("it conflicts with %q: %w", other, err))
		}
		patterns = append(patterns, rt.pattern)
		g.routes = append(g.routes, rt)
		g.tree.add(rt)
	}
	return g, nil
}

// check fills in defaults, and names the option that makes no sense.
func (o *Options) check() error {
	o.Wait, o.MaxBody = cmp.Or(o.Wait, DefaultWait), cmp.Or(o.MaxBody, DefaultMaxBody)
	o.SlowWarning = cmp.Or(o.SlowWarning, DefaultSlowWarning)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Wait < 0 || o.Wait > MaxWait:
		return badOption("option Wait is %v, must be positive and at most %v", o.Wait, MaxWait)
	case o.MaxBody < 0:
		return badOption("option MaxBody is %d, must be positive", o.MaxBody)
	case o.Authenticator != nil && o.Authenticate != nil:
		return badOption("options Authenticator and Authenticate are both given")
	}
	return nil
}

func badOption(format string, args ...any) error {
	return &edda.Error{Op: "check options", Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
}

func badRoute(r *Route, err error) error {
	return badOption("route %q: %w", r.Route, err)
}

// exchange is one request on its way through the gateway.
type exchange struct {
	w      http.ResponseWriter
	r      *http.Request
	route  *route
	params params
	// grant is who sent it, and what they may do.
	grant *auth.Grant
}

// refuse returns an error whose text is all there is to say.
func refuse(reason edda.Reason, detail string) error {
	return &edda.Error{Reason: reason, Err: fmt.Errorf("%s", detail)}
}
