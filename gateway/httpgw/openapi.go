package httpgw

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/node"
)

// obj is a JSON object of the document.
type obj = map[string]any

// opDoc is what /openapi.json says of an operation beside what its route says.
type opDoc struct {
	id      string
	summary string
	// query and header name parameters; what stands before a dot in a name tells parameters
	// of one name apart.
	query  []string
	header []string
	// success is the status, 200 when zero; schema names the document that comes
	// with it, media the type of a body that is no document of the node's.
	success int
	schema  string
	media   string
	// body names the document that is sent; creates says that the same document comes
	// with 201 when something was made.
	body    string
	creates bool
	// optional says that there need be no body.
	optional bool
	// bodies are the contents by their media types, where several can be sent.
	bodies obj
	// also are other media types of what comes back.
	also []string
	// events says that the same can be had as a stream of events.
	events bool
	// accepted names the document that comes with a 202 beside success.
	accepted string
	// call marks the two operations that call services.
	call bool
}

// getOpenAPI describes what is served at this moment.
func (g *Gateway) getOpenAPI(x *exchange) error {
	services, err := g.allServices(x.r.Context())
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, g.openAPI(x.visible(services)))
}

func (g *Gateway) allServices(ctx context.Context) ([]edda.ServiceInfo, error) {
	var all []edda.ServiceInfo
	p := node.Page{Limit: reqhead.MaxLimit}
	for {
		items, next, err := g.node.Services(ctx, edda.DefaultNamespace, p)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		p.After = next
	}
}

func (g *Gateway) openAPI(services []edda.ServiceInfo) obj {
	secured := g.opts.Authenticator != nil
	paths := obj{}
	for _, rt := range slices.Concat(g.routes.namespaced, g.routes.fixed) {
		paths[rt.template] = pathItem(rt, "", secured)
		if rt.namespaced {
			paths["/v1/ns/{namespace}"+strings.TrimPrefix(rt.template, "/v1")] = pathItem(rt, "namespace", secured)
		}
	}
	if g.opts.Routes != nil {
		maps.Copy(paths, g.opts.Routes.OpenAPI())
	}
	for i := range services {
		addService(paths, &services[i])
	}
	doc := obj{
		"openapi": "3.1.0",
		"info": obj{
			"title": "Edda", "version": g.opts.Version,
			"description": "The HTTP surface of an Edda node, with the services registered in the default namespace. " +
				"What comes over WebSocket, at /v1/live, and as server-sent events is described in /asyncapi.json.",
		},
		"paths":      paths,
		"components": components(),
	}
	if secured {
		schemes, ways := obj{"bearer": obj{"type": "http", "scheme": "bearer"}}, []any{bearer}
		for _, name := range g.opts.KeyHeaders {
			schemes[name] = obj{"type": "apiKey", "in": "header", "name": name}
			ways = append(ways, obj{name: []string{}})
		}
		doc["components"].(obj)["securitySchemes"], doc["security"] = schemes, ways
	}
	return doc
}

// bearer asks for a token.
var bearer = obj{"bearer": []string{}}

func pathItem(rt *route, namespace string, secured bool) obj {
	item := obj{}
	names := rt.params()
	if namespace != "" {
		names = append([]string{namespace}, names...)
	}
	if len(names) > 0 {
		item["parameters"] = refs("parameters", "path.", names)
	}
	for _, o := range rt.ops {
		doc := operation(&o.doc)
		if namespace != "" {
			doc["operationId"] = o.doc.id + "InNamespace"
		}
		switch {
		case secured && rt.open:
			doc["security"] = []any{}
		case secured && rt.keyed:
			doc["security"] = []any{bearer, obj{}} // the token, or no credentials
		}
		item[strings.ToLower(o.method)] = doc
	}
	return item
}

func operation(d *opDoc) obj {
	if d.call {
		return callOperation(d.id, d.summary, obj{"*/*": obj{}})
	}
	doc := obj{"operationId": d.id, "summary": d.summary}
	parameters := append(refs("parameters", "query.", d.query), refs("parameters", "header.", d.header)...)
	if len(parameters) > 0 {
		doc["parameters"] = parameters
	}
	success := obj{"description": "Done"}
	switch {
	case d.schema != "":
		content := obj{"application/json": obj{"schema": ref("schemas", d.schema)}}
		if d.events {
			content[reqhead.EventStream] = obj{}
		}
		for _, media := range d.also {
			content[media] = obj{}
		}
		success["content"] = content
	case d.media != "":
		success["content"] = obj{d.media: obj{}}
	}
	if d.body != "" {
		doc["requestBody"] = obj{"required": !d.optional, "content": obj{"application/json": obj{"schema": ref("schemas", d.body)}}}
	}
	if d.bodies != nil {
		doc["requestBody"] = obj{"content": d.bodies}
	}
	responses := obj{"default": ref("responses", "Problem")}
	if d.creates {
		responses["201"] = success
	}
	if d.accepted != "" {
		responses["202"] = ref("responses", d.accepted)
	}
	status := http.StatusOK
	if d.success != 0 {
		status = d.success
	}
	responses[strconv.Itoa(status)] = success
	doc["responses"] = responses
	return doc
}

func callOperation(id, summary string, content obj) obj {
	headers := slices.Sorted(maps.Keys(headerParameters))
	if id != "call" { // the others have the key in their path, or none
		headers = slices.DeleteFunc(headers, func(h string) bool { return h == "Edda-Key" })
	}
	return obj{
		"operationId": id, "summary": summary,
		"parameters":  refs("parameters", "header.", headers),
		"requestBody": obj{"content": content},
		"responses": obj{
			"200":     ref("responses", "Reply"),
			"202":     ref("responses", "Accepted"),
			"default": ref("responses", "Problem"),
		},
	}
}

// addService adds a path for each method of a service, or one for all where it
// takes any.
func addService(paths obj, s *edda.ServiceInfo) {
	prefix, names := "/v1/call/"+s.Name, []string{}
	if s.Kind == edda.Ordered {
		prefix, names = prefix+"/{key}", []string{"key"}
	}
	methods := s.Methods
	if len(methods) == 0 {
		methods, names = []string{"{method}"}, append(names, "method")
	}
	for _, method := range methods {
		path := prefix + "/" + method
		content := obj{"*/*": obj{}}
		if schema, ok := s.Schemas[method]; ok {
			content = obj{"application/json": obj{"schema": httpio.EmbeddedSchema(schema, path, "post")}}
		}
		call := callOperation("call/"+s.Name+"/"+method, "Call "+method+" of "+s.Name, content)
		call["tags"] = []string{s.Name}
		item := obj{"post": call}
		if len(names) > 0 {
			item["parameters"] = refs("parameters", "path.", names)
		}
		paths[path] = item
	}
}

func ref(kind, name string) obj { return obj{"$ref": "#/components/" + kind + "/" + name} }

func refs(kind, prefix string, names []string) []any {
	rs := make([]any, len(names))
	for i, n := range names {
		rs[i] = ref(kind, prefix+n)
	}
	return rs
}
