package httpgw

import (
	"encoding/json"
	"net/http"

	"github.com/edda-io/edda"
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
func endpointMembers(e *edda.EndpointSpec) members {
	return members{
		"kind":     str("kind", &e.Kind),
		"methods":  value("methods", &e.Methods, "a list of strings"),
		"endpoint": str("endpoint", &e.URL),
		"protocol": chosen("protocol", &e.Protocol),
		"concurrency": func(v json.RawMessage) error {
			if value("", &e.Concurrency, "")(v) != nil || e.Concurrency < 1 {
				return badMember("concurrency", "a number from 1 on")
			}
			return nil
		},
		"attemptTimeout": positive("attemptTimeout", &e.AttemptTimeout),
		"retry": func(v json.RawMessage) (err error) {
			e.Retry, err = specjson.Retry("retry", v)
			return err
		},
		"onDead": chosen("onDead", &e.OnDead),
		"health": func(v json.RawMessage) error {
			err := within("health", members{
				"path": chosen("health.path", &e.HealthPath), "interval": positive("health.interval", &e.HealthInterval),
			})(v)
			if err == nil && e.HealthPath == "" {
				return badMember("health.path", "given where there is health, such as \"/healthz\"")
			}
			return err
		},
		"secret": chosen("secret", &e.Secret),
	}
}

// chosen reads a string that is not empty: to leave a choice to the node is to
// leave the member out.
func chosen[T ~string](name string, into *T) func(json.RawMessage) error {
	read := str(name, into)
	return func(v json.RawMessage) error {
		if err := read(v); err != nil {
			return err
		}
		if *into == "" {
			return badMember(name, "left out or not empty")
		}
		return nil
	}
}
