package routegw

import (
	"context"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/option"
	"github.com/rs/cors"
)

// everybody is whoever uses a public route.
var everybody = &auth.Grant{Principal: edda.Anonymous, Rights: auth.Everything()}

// nobody is the origin of no page.
func nobody(string) bool { return false }

// admit refuses whoever is not known, and who may not use the route, and sets the grant.
func (x *exchange) admit() error {
	if x.g.names != nil {
		if err := httpio.CheckNames(x.g.names, x.r, x.route.listed); err != nil {
			return err
		}
		if httpio.Embedded(x.r) {
			return httpio.ErrEmbedded
		}
	}
	if x.route.Public || x.g.names != nil {
		x.grant = everybody
		return nil
	}
	var err error
	if x.grant, err = x.known(); err != nil {
		return err
	}
	if x.route.Service != "" {
		return x.grant.CheckCall(x.route.Namespace, x.route.Service)
	}
	return x.grant.CheckAppend(x.route.Namespace, x.route.Stream)
}

// known finds out who sent the request.
func (x *exchange) known() (*auth.Grant, error) {
	if ask := x.g.opts.Authenticate; ask != nil {
		asked := auth.Func(func(context.Context, auth.Credential) (*auth.Grant, error) { return ask(x.r) })
		return auth.Admit(x.r.Context(), asked, auth.Credential{Token: "whatever it goes by"})
	}
	c, err := httpio.Credential(x.r, x.g.opts.KeyHeaders)
	if err != nil {
		return nil, err
	}
	return auth.Admit(x.r.Context(), x.g.opts.Authenticator, c)
}

// listed reports whether an origin is one whose pages may use the route.
func (rt *compiled) listed(origin string) bool {
	if rt.CORS == nil {
		return false
	}
	for _, o := range rt.CORS.Origins {
		if strings.EqualFold(o, origin) {
			return true
		}
	}
	return false
}

// check refuses what no browser could be told.
func (c *CORS) check(anonymous bool) error {
	if len(c.Origins) == 0 {
		return option.Bad("Origins", "is empty")
	}
	if err := httpio.CheckOrigins(c.Origins, anonymous); err != nil {
		return option.Bad("Origins", "has %w", err)
	}
	if c.Credentials && slices.Contains(c.Origins, "*") {
		return option.Bad("Credentials", "is set: with it the %s must be listed", option.Name("Origins"))
	}
	if c.MaxAge < 0 {
		return option.Bad("MaxAge", "is negative")
	}
	return nil
}

// newCORS returns what lets pages of other origins use the route.
func newCORS(c *CORS, method string) *cors.Cors {
	o := cors.Options{
		AllowedOrigins: c.Origins, AllowedHeaders: c.Headers, ExposedHeaders: c.Expose,
		AllowedMethods: corsMethods(method), AllowCredentials: c.Credentials, MaxAge: int(c.MaxAge.Seconds()),
	}
	if c.Headers == nil {
		o.AllowedHeaders = []string{"*"}
	}
	if c.Expose == nil {
		o.ExposedHeaders = exposed
	}
	return cors.New(o)
}

// exposed are the headers of responses that pages may read.
var exposed = []string{
	"Location", "Retry-After", "RateLimit", "RateLimit-Policy", "Edda-Request-Id", "Edda-Position", "Edda-Id", "Idempotency-Replayed",
}

// methods are those of a route that takes every one, as far as they are known.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

func corsMethods(method string) []string {
	switch method {
	case "":
		return methods
	case "GET":
		return []string{"GET", "HEAD"}
	default:
		return []string{method}
	}
}
