package httpgw

import (
	"encoding/json"
	"net/http"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/jsonbody"
	"github.com/edda-io/edda/internal/specjson"
)

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
				"path": jsonbody.Text("health.path", &e.HealthPath), "interval": jsonbody.Positive("health.interval", &e.HealthInterval),
			})(v)
			if err == nil && e.HealthPath == "" {
				return jsonbody.Bad("health.path", "given where there is health, such as \"/healthz\"")
			}
			return err
		},
		"secret": jsonbody.Text("secret", &e.Secret),
	}
}
