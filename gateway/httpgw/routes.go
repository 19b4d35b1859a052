package httpgw

import (
	"net/http"

	"github.com/edda-io/edda/web"
)

// served returns the routes of this gateway. It is the one place that names
// them; the router, the metrics and /openapi.json go by it.
func (g *Gateway) served() []*route {
	routes := []*route{
		named("/v1/call/{service}/{key}/{method}", post((*Gateway).callKey, opDoc{
			id: "callKey", summary: "Call a method of an ordered service", call: true,
		}).needs(toCall)),
		named("/v1/call/{service}/{method}", post((*Gateway).callName, opDoc{
			id: "call", summary: "Call a method of a balanced service, or of an ordered one with Edda-Key", call: true,
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
		&route{template: "/v1/node", ops: []op{get((*Gateway).getNode, opDoc{
			id: "getNode", summary: "What this node is", schema: "Node",
		}).needs(toAsk)}},
		&route{template: "/healthz", open: true, ops: []op{get((*Gateway).healthy, opDoc{
			id: "getHealth", summary: "Whether the node is sound", schema: "Health",
		})}},
		&route{template: "/readyz", open: true, ops: []op{get((*Gateway).ready, opDoc{
			id: "getReadiness", summary: "Whether the node takes requests", schema: "Health",
		})}},
		&route{template: "/openapi.json", ops: []op{get((*Gateway).getOpenAPI, opDoc{
			id: "getOpenAPI", summary: "This document", media: "application/json",
		}).needs(toAsk)}},
		&route{template: "/asyncapi.json", ops: []op{get((*Gateway).getAsyncAPI, opDoc{
			id: "getAsyncAPI", summary: "The streams, channels and services as an AsyncAPI document", media: "application/json",
		}).needs(toAsk)}},
	)
	routes = append(routes,
		fileRoute(web.Client, opDoc{id: "getClient", summary: "The JavaScript client", media: "text/javascript"}),
		fileRoute(web.Types, opDoc{id: "getClientTypes", summary: "Its TypeScript types", media: "text/plain"}),
	)
	if g.opts.Gatherer != nil {
		routes = append(routes, metricsRoute(&g.opts))
	}
	return routes
}

func requestRoutes() []*route {
	return []*route{
		named("/v1/requests", get((*Gateway).listRequests, opDoc{
			id: "listRequests", summary: "Requests that have not succeeded, or those with an idempotency key",
			query: []string{"service", "key", "state", "idempotencyKey", "limit", "after"}, schema: "RequestList",
		}).needs(toAsk)),
		named("/v1/requests/{id}", get((*Gateway).getRequest, opDoc{
			id: "getRequest", summary: "A request", query: []string{"wait"}, schema: "Request",
		}).needs(toAsk)),
		named("/v1/requests/{id}/reply", get((*Gateway).getReply, opDoc{
			id: "getReply", summary: "The reply to a request, as the call would have answered",
			query: []string{"wait"}, media: "*/*", accepted: "Accepted",
		}).needs(toAsk)),
		named("/v1/requests/{id}/parts", get((*Gateway).getParts, opDoc{
			id: "getParts", summary: "The parts of a reply; after is the number of the last one seen, such as 2.7",
			query: []string{"after", "limit", "wait"}, schema: "PartList", events: true,
		}).needs(toAsk)),
		named("/v1/requests/{id}/cancel", post((*Gateway).cancelRequest, opDoc{
			id: "cancelRequest", summary: "End a request at once", schema: "Request",
		}).needs(toAsk)),
	}
}

func serviceRoutes() []*route {
	return []*route{
		named("/v1/services", get((*Gateway).listServices, opDoc{
			id: "listServices", summary: "The services", query: []string{"limit", "after"}, schema: "ServiceList",
		}).needs(toAsk)),
		named("/v1/services/{service}",
			get((*Gateway).getService, opDoc{id: "getService", summary: "A service", schema: "Service"}).needs(toAsk),
			op{method: http.MethodPut, handle: (*Gateway).putService, doc: opDoc{
				id: "putService", summary: "Set a plain HTTP endpoint as the worker of a service",
				body: "Endpoint", schema: "Service", creates: true,
			}},
			op{method: http.MethodDelete, handle: (*Gateway).deleteService, doc: opDoc{
				id: "deleteService", summary: "Remove a service", query: []string{"force"}, success: http.StatusNoContent,
			}},
		),
		named("/v1/services/{service}/pause", post((*Gateway).pauseService, opDoc{
			id: "pauseService", summary: "Start nothing more of a service", schema: "Service",
		})),
		named("/v1/services/{service}/resume", post((*Gateway).resumeService, opDoc{
			id: "resumeService", summary: "Go on with a service", schema: "Service",
		})),
		named("/v1/services/{service}/keys/{key}/resume", post((*Gateway).resumeKey, opDoc{
			id: "resumeKey", summary: "Go on with the next request of a stopped key", schema: "Service",
		})),
	}
}

func workerRoutes() []*route {
	return []*route{
		named("/v1/workers", get((*Gateway).listWorkers, opDoc{
			id: "listWorkers", summary: "The workers", query: []string{"limit", "after"}, schema: "WorkerList",
		})),
		named("/v1/workers/{id}", get((*Gateway).getWorker, opDoc{
			id: "getWorker", summary: "A worker, with what it has", schema: "Worker",
		})),
		named("/v1/workers/{id}/drain", post((*Gateway).drainWorker, opDoc{
			id: "drainWorker", summary: "Give a worker nothing more, and have it finish", schema: "Worker",
		})),
		named("/v1/workers/{id}/pause", post((*Gateway).pauseWorker, opDoc{
			id: "pauseWorker", summary: "Give a worker nothing until it is resumed", schema: "Worker",
		})),
		named("/v1/workers/{id}/resume", post((*Gateway).resumeWorker, opDoc{
			id: "resumeWorker", summary: "Give a paused worker requests again", schema: "Worker",
		})),
	}
}

func deadLetterRoutes() []*route {
	return []*route{
		named("/v1/deadletters", get((*Gateway).listDeadLetters, opDoc{
			id: "listDeadLetters", summary: "Requests whose retries are spent",
			query: []string{"service", "key", "reason", "limit", "after"}, schema: "DeadLetterList",
		})),
		named("/v1/deadletters/{id}",
			get((*Gateway).getDeadLetter, opDoc{id: "getDeadLetter", summary: "A dead letter", schema: "DeadLetter"}),
			op{method: http.MethodDelete, handle: (*Gateway).dropDeadLetter, doc: opDoc{
				id: "dropDeadLetter", summary: "Drop a dead letter; its request stays dead", success: http.StatusNoContent,
			}},
		),
		named("/v1/deadletters/{id}/retry", post((*Gateway).retryDeadLetter, opDoc{
			id: "retryDeadLetter", summary: "Try the request again, as the last of its key",
			success: http.StatusAccepted, schema: "Request",
		})),
	}
}

// fileRoute serves a file of the client to everybody.
func fileRoute(name string, doc opDoc) *route {
	return &route{template: "/" + name, open: true, ops: []op{get(func(_ *Gateway, x *exchange) error {
		return x.serveFile(web.Files, name)
	}, doc)}}
}

func named(template string, ops ...op) *route {
	return &route{template: template, namespaced: true, ops: ops}
}

func get(handle func(*Gateway, *exchange) error, doc opDoc) op {
	return op{method: http.MethodGet, handle: handle, doc: doc}
}

func put(handle func(*Gateway, *exchange) error, doc opDoc) op {
	return op{method: http.MethodPut, handle: handle, doc: doc}
}

func remove(handle func(*Gateway, *exchange) error, doc opDoc) op {
	return op{method: http.MethodDelete, handle: handle, doc: doc}
}

func post(handle func(*Gateway, *exchange) error, doc opDoc) op {
	return op{method: http.MethodPost, handle: handle, doc: doc}
}
