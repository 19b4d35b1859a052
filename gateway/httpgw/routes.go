package httpgw

import (
	"net/http"

	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/web"
)

// served returns the routes of this gateway. It is the one place that names
// them; the router, the metrics and /openapi.json go by it.
func (g *Gateway) served() []*route {
	routes := []*route{
		named("/v1/call/{service}/{key}/{method}", post((*Gateway).callKey, apidoc.Operation{
			ID: "callKey", Summary: "Call a method of an ordered service", Call: true,
		}).needs(toCall)),
		named("/v1/call/{service}/{method}", post((*Gateway).callName, apidoc.Operation{
			ID: "call", Summary: "Call a method of a balanced service, or of an ordered one with Edda-Key", Call: true,
		}).needs(toCall)),
	}
	routes = append(routes, requestRoutes()...)
	routes = append(routes, serviceRoutes()...)
	routes = append(routes, workerRoutes()...)
	routes = append(routes, deadLetterRoutes()...)
	routes = append(routes, sagaRoutes()...)
	routes = append(routes, streamRoutes()...)
	routes = append(routes, groupRoutes()...)
	routes = append(routes, channelRoutes()...)
	routes = append(routes,
		&route{template: "/v1/node", ops: []op{get((*Gateway).getNode, apidoc.Operation{
			ID: "getNode", Summary: "What this node is", Schema: "Node",
		}).needs(toAsk)}},
		&route{template: "/healthz", open: true, ops: []op{get((*Gateway).healthy, apidoc.Operation{
			ID: "getHealth", Summary: "Whether the node is sound", Schema: "Health",
		})}},
		&route{template: "/readyz", open: true, ops: []op{get((*Gateway).ready, apidoc.Operation{
			ID: "getReadiness", Summary: "Whether the node takes requests", Schema: "Health",
		})}},
		&route{template: "/openapi.json", ops: []op{get((*Gateway).getOpenAPI, apidoc.Operation{
			ID: "getOpenAPI", Summary: "This document", Media: "application/json",
		}).needs(toAsk)}},
		&route{template: "/asyncapi.json", ops: []op{get((*Gateway).getAsyncAPI, apidoc.Operation{
			ID: "getAsyncAPI", Summary: "The streams, channels and services as an AsyncAPI document", Media: "application/json",
		}).needs(toAsk)}},
	)
	routes = append(routes,
		fileRoute(web.Client, apidoc.Operation{ID: "getClient", Summary: "The JavaScript client", Media: "text/javascript"}),
		fileRoute(web.Types, apidoc.Operation{ID: "getClientTypes", Summary: "Its TypeScript types", Media: "text/plain"}),
	)
	if g.opts.Gatherer != nil {
		routes = append(routes, metricsRoute(&g.opts))
	}
	return routes
}

func requestRoutes() []*route {
	return []*route{
		named("/v1/requests", get((*Gateway).listRequests, apidoc.Operation{
			ID: "listRequests", Summary: "Requests that have not succeeded, or those with an idempotency key",
			Query: []string{"service", "key", "state", "idempotencyKey", "limit", "after"}, Schema: "RequestList",
		}).needs(toAsk)),
		named("/v1/requests/{id}", get((*Gateway).getRequest, apidoc.Operation{
			ID: "getRequest", Summary: "A request", Query: []string{"wait"}, Schema: "Request",
		}).needs(toAsk)),
		named("/v1/requests/{id}/reply", get((*Gateway).getReply, apidoc.Operation{
			ID: "getReply", Summary: "The reply to a request, as the call would have answered",
			Query: []string{"wait"}, Media: "*/*", Accepted: "Accepted",
		}).needs(toAsk)),
		named("/v1/requests/{id}/parts", get((*Gateway).getParts, apidoc.Operation{
			ID: "getParts", Summary: "The parts of a reply; after is the number of the last one seen, such as 2.7",
			Query: []string{"after", "limit", "wait"}, Schema: "PartList", Also: []string{reqhead.EventStream},
		}).needs(toAsk)),
		named("/v1/requests/{id}/cancel", post((*Gateway).cancelRequest, apidoc.Operation{
			ID: "cancelRequest", Summary: "End a request at once", Schema: "Request",
		}).needs(toAsk)),
	}
}

func serviceRoutes() []*route {
	return []*route{
		named("/v1/services", get((*Gateway).listServices, apidoc.Operation{
			ID: "listServices", Summary: "The services", Query: []string{"limit", "after"}, Schema: "ServiceList",
		}).needs(toAsk)),
		named("/v1/services/{service}",
			get((*Gateway).getService, apidoc.Operation{ID: "getService", Summary: "A service", Schema: "Service"}).needs(toAsk),
			op{method: http.MethodPut, handle: (*Gateway).putService, doc: apidoc.Operation{
				ID: "putService", Summary: "Set a plain HTTP endpoint as the worker of a service",
				Body: "Endpoint", Schema: "Service", Creates: true,
			}},
			op{method: http.MethodDelete, handle: (*Gateway).deleteService, doc: apidoc.Operation{
				ID: "deleteService", Summary: "Remove a service", Query: []string{"force"}, Success: http.StatusNoContent,
			}},
		),
		named("/v1/services/{service}/pause", post((*Gateway).pauseService, apidoc.Operation{
			ID: "pauseService", Summary: "Start nothing more of a service", Schema: "Service",
		})),
		named("/v1/services/{service}/resume", post((*Gateway).resumeService, apidoc.Operation{
			ID: "resumeService", Summary: "Go on with a service", Schema: "Service",
		})),
		named("/v1/services/{service}/keys/{key}/resume", post((*Gateway).resumeKey, apidoc.Operation{
			ID: "resumeKey", Summary: "Go on with the next request of a stopped key", Schema: "Service",
		})),
	}
}

func workerRoutes() []*route {
	return []*route{
		named("/v1/workers", get((*Gateway).listWorkers, apidoc.Operation{
			ID: "listWorkers", Summary: "The workers", Query: []string{"limit", "after"}, Schema: "WorkerList",
		})),
		named("/v1/workers/{id}", get((*Gateway).getWorker, apidoc.Operation{
			ID: "getWorker", Summary: "A worker, with what it has", Schema: "Worker",
		})),
		named("/v1/workers/{id}/drain", post((*Gateway).drainWorker, apidoc.Operation{
			ID: "drainWorker", Summary: "Give a worker nothing more, and have it finish", Schema: "Worker",
		})),
		named("/v1/workers/{id}/pause", post((*Gateway).pauseWorker, apidoc.Operation{
			ID: "pauseWorker", Summary: "Give a worker nothing until it is resumed", Schema: "Worker",
		})),
		named("/v1/workers/{id}/resume", post((*Gateway).resumeWorker, apidoc.Operation{
			ID: "resumeWorker", Summary: "Give a paused worker requests again", Schema: "Worker",
		})),
	}
}

func deadLetterRoutes() []*route {
	return []*route{
		named("/v1/deadletters", get((*Gateway).listDeadLetters, apidoc.Operation{
			ID: "listDeadLetters", Summary: "Requests whose retries are spent",
			Query: []string{"service", "key", "reason", "limit", "after"}, Schema: "DeadLetterList",
		})),
		named("/v1/deadletters/{id}",
			get((*Gateway).getDeadLetter, apidoc.Operation{ID: "getDeadLetter", Summary: "A dead letter", Schema: "DeadLetter"}),
			op{method: http.MethodDelete, handle: (*Gateway).dropDeadLetter, doc: apidoc.Operation{
				ID: "dropDeadLetter", Summary: "Drop a dead letter; its request stays dead", Success: http.StatusNoContent,
			}},
		),
		named("/v1/deadletters/{id}/retry", post((*Gateway).retryDeadLetter, apidoc.Operation{
			ID: "retryDeadLetter", Summary: "Try the request again, as the last of its key",
			Success: http.StatusAccepted, Schema: "Request",
		})),
	}
}

// fileRoute serves a file of the client to everybody.
func fileRoute(name string, doc apidoc.Operation) *route {
	return &route{template: "/" + name, open: true, ops: []op{get(func(_ *Gateway, x *exchange) error {
		return x.serveFile(web.Files, name)
	}, doc)}}
}

func named(template string, ops ...op) *route {
	return &route{template: template, namespaced: true, ops: ops}
}

func get(handle func(*Gateway, *exchange) error, doc apidoc.Operation) op {
	return op{method: http.MethodGet, handle: handle, doc: doc}
}

func put(handle func(*Gateway, *exchange) error, doc apidoc.Operation) op {
	return op{method: http.MethodPut, handle: handle, doc: doc}
}

func remove(handle func(*Gateway, *exchange) error, doc apidoc.Operation) op {
	return op{method: http.MethodDelete, handle: handle, doc: doc}
}

func post(handle func(*Gateway, *exchange) error, doc apidoc.Operation) op {
	return op{method: http.MethodPost, handle: handle, doc: doc}
}
