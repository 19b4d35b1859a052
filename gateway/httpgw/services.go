package httpgw

import (
	"context"
	"net/http"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/node"
)

func (g *Gateway) listServices(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	items, next, err := g.node.Services(x.r.Context(), x.namespace, node.Page(p))
	if err != nil {
		return err
	}
	return page(x, x.visible(items), next)
}

// visible returns those of the services that the principal may see.
func (x *exchange) visible(items []edda.ServiceInfo) []edda.ServiceInfo {
	if x.grant.Manage {
		return items
	}
	items = slices.DeleteFunc(items, func(s edda.ServiceInfo) bool { return !x.grant.MaySee(x.namespace, s.Name) })
	for i := range items {
		items[i].EndpointInfo = nil // where a service runs is for those who manage it
	}
	return items
}

func (g *Gateway) getService(x *exchange) error {
	if !x.grant.MaySee(x.namespace, x.args[0]) {
		return x.grant.CheckCall(x.namespace, x.args[0])
	}
	s, err := g.node.Service(x.r.Context(), x.namespace, x.args[0])
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, x.visible([]edda.ServiceInfo{*s})[0])
}

func (g *Gateway) deleteService(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	force, err := reqhead.Flag(q, "force")
	if err != nil {
		return err
	}
	if err := g.node.DeleteService(x.r.Context(), x.namespace, x.args[0], force); err != nil {
		return err
	}
	return x.noContent()
}

func (g *Gateway) pauseService(x *exchange) error { return g.manage(x, g.node.PauseService) }

func (g *Gateway) resumeService(x *exchange) error { return g.manage(x, g.node.ResumeService) }

func (g *Gateway) resumeKey(x *exchange) error {
	return g.manage(x, func(ctx context.Context, namespace, name string) (*edda.ServiceInfo, error) {
		return g.node.ResumeKey(ctx, namespace, name, x.args[1])
	})
}

// manage changes a service and answers with what it is then.
func (g *Gateway) manage(
	x *exchange, change func(ctx context.Context, namespace, name string) (*edda.ServiceInfo, error),
) error {
	if err := g.noBody(x); err != nil {
		return err
	}
	s, err := change(x.r.Context(), x.namespace, x.args[0])
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, s)
}
