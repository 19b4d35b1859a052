package httpgw

import (
	"errors"
	"net/http"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// getNode answers with what the node is.
func (g *Gateway) getNode(x *exchange) error {
	info := g.node.Info()
	info.StartedAt = info.StartedAt.UTC()
	return x.json(http.StatusOK, info)
}

type health struct {
	Status string `json:"status"`
}

// healthy answers 200 unless the node has met a fatal error.
func (g *Gateway) healthy(x *exchange) error {
	if err := g.node.Err(); err != nil {
		return &edda.Error{Reason: edda.Unavailable, Err: err}
	}
	return x.json(http.StatusOK, health{Status: "ok"})
}

// ready answers 200 while the node takes requests.
func (g *Gateway) ready(x *exchange) error {
	err := g.node.Ready()
	if err == nil {
		return x.json(http.StatusOK, health{Status: "ready"})
	}
	if e, ok := errors.AsType[*edda.Error](err); ok && e.Code() == edda.CodeUnavailable {
		return err
	}
	return &edda.Error{Reason: edda.Unavailable, Err: err}
}

// metricsRoute shows what the Gatherer has.
func metricsRoute(opts *Options) *route {
	h := promhttp.HandlerFor(opts.Gatherer, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
	})
	return &route{template: "/metrics", ops: []op{{
		method: http.MethodGet, access: toAsk,
		handle: func(_ *Gateway, x *exchange) error {
			x.status = http.StatusOK
			h.ServeHTTP(x.w, x.r)
			return nil
		},
		doc: apidoc.Operation{ID: "getMetrics", Summary: "Metrics for Prometheus", Media: "text/plain", Success: http.StatusOK},
	}}}
}
