package routegw

import (
	"strconv"
	"strings"

	"github.com/edda-io/edda/gateway/internal/httpio"
)

// obj is a JSON object of the document.
type obj = map[string]any

// OpenAPI returns what stands below "paths" of the node's OpenAPI document for the routes.
// It refers to components of that document. The caller owns it.
func (g *Gateway) OpenAPI() map[string]any {
	paths := obj{}
	// Paths that differ in the names of their parameters alone are one path: the first
	// one's names are those of all.
	shapes := map[string]*compiled{}
	for _, rt := range g.routes {
		described := rt.documented()
		if described == nil {
			continue
		}
		shape, _ := rt.pattern.template(nil)
		first := shapes[shape]
		if first == nil {
			first = rt
			shapes[shape] = rt
		}
		path, names := rt.pattern.template(first.pattern)
		item, ok := paths[path].(obj)
		if !ok {
			item = obj{}
			paths[path] = item
		}
		for _, method := range described {
			if _, taken := item[method]; !taken || rt.pattern.method != "" {
				item[method] = g.operation(rt, path, method, names)
			}
		}
	}
	return paths
}

// documented returns the methods that the document has of a route, in lower case. It can
// have no others than HTTP's own.
func (rt *compiled) documented() []string {
	switch method := strings.ToLower(rt.pattern.method); method {
	case "":
		return []string{"get", "post", "put", "patch", "delete"}
	case "get", "post", "put", "patch", "delete", "head", "options", "trace":
		return []string{method}
	default:
		return nil
	}
}

// template returns the path as OpenAPI writes it, and the names of its parameters. Those
// are another pattern's of the same shape, and all alike where there is none.
func (p *pattern) template(names *pattern) (path string, params []string) {
	var b strings.Builder
	for i, seg := range p.segs {
		b.WriteByte('/')
		switch seg.kind {
		case literal:
			b.WriteString(strings.NewReplacer("{", "%7B", "}", "%7D").Replace(seg.text))
		case param, rest:
			name := ""
			if names != nil {
				name = names.segs[i].text
				if name == "" {
					name = "rest"
				}
			}
			params = append(params, name)
			b.WriteString("{" + name + "}")
		case nothing:
		}
	}
	return b.String(), params
}

func (g *Gateway) operation(rt *compiled, path, method string, names []string) obj {
	doc := obj{"operationId": operationID(rt, method), "summary": rt.summary(), "responses": rt.responses()}
	var parameters []any
	for _, name := range names {
		parameters = append(parameters, obj{"name": name, "in": "path", "required": true, "schema": obj{"type": "string"}})
	}
	seen := map[string]bool{}
	for _, src := range [...]source{rt.key, rt.shard} {
		in := map[sourceKind]string{fromQuery: "query", fromHeader: "header"}[src.kind]
		if in == "" || seen[in+src.name] {
			continue
		}
		seen[in+src.name] = true
		parameters = append(parameters, obj{
			"name": src.name, "in": in, "required": true, "description": "The " + src.what + " of the message.", "schema": obj{"type": "string"},
		})
	}
	if method != "get" && method != "delete" || rt.schema != nil {
		parameters = append(parameters, obj{"$ref": "#/components/parameters/header.Idempotency-Key"})
		doc["requestBody"] = obj{"content": rt.bodies(path, method)}
	}
	if parameters != nil {
		doc["parameters"] = parameters
	}
	if rt.Public && g.names == nil {
		doc["security"] = []any{}
	}
	return doc
}

// operationID is the route's pattern: a method of every one has its own.
func operationID(rt *compiled, method string) string {
	return "route/" + method + rt.pattern.path
}

func (rt *compiled) summary() string {
	if rt.Service != "" {
		return "Calls " + rt.Method + " of " + rt.Service
	}
	return "Appends to " + rt.Stream
}

func (rt *compiled) bodies(path, method string) obj {
	if rt.schema == nil {
		return obj{"*/*": obj{}}
	}
	return obj{"application/json": obj{"schema": httpio.EmbeddedSchema(rt.Schema, path, method)}}
}

func (rt *compiled) responses() obj {
	rs := obj{"default": obj{"$ref": "#/components/responses/Problem"}}
	switch {
	case rt.Async && rt.Service != "":
		rs["202"] = obj{"$ref": "#/components/responses/Accepted"}
	case rt.Async:
		rs["202"] = obj{
			"description": "The message is stored; Location says where the reply to it will be, if there is one",
			"headers":     obj{"Location": obj{"schema": obj{"type": "string"}}},
			"content":     obj{"application/json": obj{"schema": obj{"$ref": "#/components/schemas/Appended"}}},
		}
	default:
		rs["200"] = obj{"$ref": "#/components/responses/Reply"}
	}
	if rt.Rate != nil {
		rs["429"] = obj{
			"description": "Too many requests: " + strconv.Itoa(rt.Rate.Limit) + " in " + rt.Rate.Per.String() + " are taken",
			"headers": obj{
				"Retry-After": obj{"schema": obj{"type": "integer"}}, "RateLimit": obj{"schema": obj{"type": "string"}},
				"RateLimit-Policy": obj{"schema": obj{"type": "string"}},
			},
			"content": obj{"application/problem+json": obj{"schema": obj{"$ref": "#/components/schemas/Problem"}}},
		}
	}
	return rs
}
