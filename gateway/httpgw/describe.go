package httpgw

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/node"
)

// getOpenAPI describes what is served at this moment.
func (g *Gateway) getOpenAPI(x *exchange) error {
	services, err := g.allServices(x)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, g.api().OpenAPI(services))
}

// getAsyncAPI describes the streams, channels and services that there are at this moment:
// those of the default namespace that whoever asks may see.
func (g *Gateway) getAsyncAPI(x *exchange) error {
	var t apidoc.Topics
	var err error
	if t.Services, err = g.allServices(x); err != nil {
		return err
	}
	ctx := x.r.Context()
	err = everyPage(ctx, g.streams.Streams, func(s edda.Stream) {
		if x.grant.MaySeeStream(edda.DefaultNamespace, s.Name) {
			t.Streams = append(t.Streams, s)
		}
	})
	if err == nil {
		err = everyPage(ctx, g.channels.Channels, func(c edda.Channel) {
			if x.grant.MaySeeChannel(edda.DefaultNamespace, c.Name) {
				t.Channels = append(t.Channels, c)
			}
		})
	}
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, g.api().AsyncAPI(cmp.Or(x.r.Host, "localhost"), x.r.TLS != nil, t))
}

// api is what there is to describe, as it is now.
func (g *Gateway) api() *apidoc.API {
	a := &apidoc.API{
		Version: g.opts.Version, Secured: g.opts.Authenticator != nil, KeyHeaders: g.opts.KeyHeaders, Live: g.opts.Live != nil,
	}
	for _, rt := range slices.Concat(g.routes.namespaced, g.routes.fixed) {
		described := apidoc.Route{
			Template: rt.template, Namespaced: rt.namespaced, Open: rt.open, Keyed: rt.keyed,
			Operations: make(map[string]*apidoc.Operation, len(rt.ops)),
		}
		for i := range rt.ops {
			described.Operations[rt.ops[i].method] = &rt.ops[i].doc
		}
		a.Routes = append(a.Routes, described)
	}
	if g.opts.Routes != nil {
		a.Others = g.opts.Routes.OpenAPI()
	}
	return a
}

// allServices returns the services of the default namespace that the principal may see.
func (g *Gateway) allServices(x *exchange) ([]edda.ServiceInfo, error) {
	var all []edda.ServiceInfo
	p := node.Page{Limit: reqhead.MaxLimit}
	for {
		items, next, err := g.node.Services(x.r.Context(), edda.DefaultNamespace, p)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" {
			return x.visible(all), nil
		}
		p.After = next
	}
}

// everyPage hands over all there is of a list of the default namespace.
func everyPage[T any](ctx context.Context, list func(context.Context, string, int, string) ([]T, string, error), each func(T)) error {
	after := ""
	for {
		items, next, err := list(ctx, edda.DefaultNamespace, reqhead.MaxLimit, after)
		if err != nil {
			return err
		}
		for _, it := range items {
			each(it)
		}
		if next == "" {
			return nil
		}
		after = next
	}
}
