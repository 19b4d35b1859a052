package httpgw

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/jsonbody"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/internal/specjson"
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

// putService sets a plain HTTP endpoint as the worker of a service.
func (g *Gateway) putService(x *exchange) error {
	spec := edda.EndpointSpec{ServiceSpec: edda.ServiceSpec{Namespace: x.namespace, Name: x.args[0]}}
	if err := g.object(x, endpointMembers(&spec)); err != nil {
		return err
	}
	info, created, err := g.node.SetEndpoint(x.r.Context(), spec)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return x.json(status, info)
}

// endpointMembers are those of the body. What is right in itself the node checks.
func endpointMembers(e *edda.EndpointSpec) jsonbody.Members {
	return jsonbody.Members{
		"kind":           jsonbody.String("kind", &e.Kind),
		"methods":        jsonbody.Value("methods", &e.Methods, "a list of strings"),
		"endpoint":       jsonbody.String("endpoint", &e.URL),
		"protocol":       jsonbody.Text("protocol", &e.Protocol),
		"concurrency":    jsonbody.AtLeast1("concurrency", &e.Concurrency),
		"attemptTimeout": jsonbody.Positive("attemptTimeout", &e.AttemptTimeout),
		"retry": func(v json.RawMessage) (err error) {
			e.Retry, err = specjson.Retry("retry", v)
			return err
		},
		"onDead": jsonbody.Text("onDead", &e.OnDead),
		"health": func(v json.RawMessage) error {
			err := jsonbody.Within("health", jsonbody.Members{
				"path": jsonbody.Needed("health.path", &e.HealthPath), "interval": jsonbody.Positive("health.interval", &e.HealthInterval),
			})(v)
			if err == nil && e.HealthPath == "" {
				return jsonbody.Bad("health.path", "given where there is health, such as \"/healthz\"")
			}
			return err
		},
		"secret": jsonbody.Text("secret", &e.Secret),
	}
}
