package apidoc

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// OpenAPI returns the document, with a path for each method of the services.
func (a *API) OpenAPI(services []edda.ServiceInfo) Object {
	paths := obj{}
	for i := range a.Routes {
		rt := &a.Routes[i]
		paths[rt.Template] = pathItem(rt, "", a.Secured)
		if rt.Namespaced {
			paths["/v1/ns/{namespace}"+strings.TrimPrefix(rt.Template, "/v1")] = pathItem(rt, "namespace", a.Secured)
		}
	}
	maps.Copy(paths, a.Others)
	for i := range services {
		addService(paths, &services[i])
	}
	doc := obj{
		"openapi": "3.1.0",
		"info": obj{
			"title": "Edda", "version": a.Version,
			"description": "The HTTP surface of an Edda node, with the services registered in the default namespace. " +
				"What comes over WebSocket, at /v1/live, and as server-sent events is described in /asyncapi.json.",
		},
		"paths":      paths,
		"components": components(),
	}
	if a.Secured {
		schemes, ways := obj{"bearer": obj{"type": "http", "scheme": "bearer"}}, []any{bearer}
		for _, name := range a.KeyHeaders {
			schemes[name] = obj{"type": "apiKey", "in": "header", "name": name}
			ways = append(ways, obj{name: []string{}})
		}
		doc["components"].(obj)["securitySchemes"], doc["security"] = schemes, ways
	}
	return doc
}

// bearer asks for a token.
var bearer = obj{"bearer": []string{}}

func pathItem(rt *Route, namespace string, secured bool) obj {
	item := obj{}
	names := params(rt.Template)
	if namespace != "" {
		names = append([]string{namespace}, names...)
	}
	if len(names) > 0 {
		item["parameters"] = refs("parameters", "path.", names)
	}
	for method, o := range rt.Operations {
		doc := operation(o)
		if namespace != "" {
			doc["operationId"] = o.ID + "InNamespace"
		}
		switch {
		case secured && rt.Open:
			doc["security"] = []any{}
		case secured && rt.Keyed:
			doc["security"] = []any{bearer, obj{}} // the token, or no credentials
		}
		item[strings.ToLower(method)] = doc
	}
	return item
}

// params returns the names of a template's parameters.
func params(template string) []string {
	var names []string
	for seg := range strings.SplitSeq(template, "/") {
		if strings.HasPrefix(seg, "{") {
			names = append(names, seg[1:len(seg)-1])
		}
	}
	return names
}

func operation(d *Operation) obj {
	if d.Call {
		return callOperation(d.ID, d.Summary, obj{"*/*": obj{}})
	}
	doc := obj{"operationId": d.ID, "summary": d.Summary}
	parameters := append(refs("parameters", "query.", d.Query), refs("parameters", "header.", d.Header)...)
	if len(parameters) > 0 {
		doc["parameters"] = parameters
	}
	success := obj{"description": "Done"}
	switch {
	case d.Schema != "":
		content := obj{"application/json": obj{"schema": ref("schemas", d.Schema)}}
		for _, media := range d.Also {
			content[media] = obj{}
		}
		success["content"] = content
	case d.Media != "":
		success["content"] = obj{d.Media: obj{}}
	}
	if d.Body != "" {
		doc["requestBody"] = obj{"required": !d.Optional, "content": obj{"application/json": obj{"schema": ref("schemas", d.Body)}}}
	}
	if d.Bodies != nil {
		doc["requestBody"] = obj{"content": bodies(d.Bodies)}
	}
	responses := obj{"default": ref("responses", "Problem")}
	if d.Creates {
		responses["201"] = success
	}
	if d.Accepted != "" {
		responses["202"] = ref("responses", d.Accepted)
	}
	status := http.StatusOK
	if d.Success != 0 {
		status = d.Success
	}
	responses[strconv.Itoa(status)] = success
	doc["responses"] = responses
	return doc
}

func bodies(schemas map[string]string) obj {
	content := obj{}
	for media, schema := range schemas {
		described := obj{}
		if schema != "" {
			described["schema"] = ref("schemas", schema)
		}
		content[media] = described
	}
	return content
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
