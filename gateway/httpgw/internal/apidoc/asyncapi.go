package apidoc

import (
	"maps"
	"net/http"

	"github.com/edda-io/edda"
)

// AsyncAPI returns the document of what is found at a host, over TLS or not. The node is
// the application, so that it receives what is sent to it, and sends what others hear.
func (a *API) AsyncAPI(host string, secure bool, t Topics) Object {
	d := asyncDoc{live: a.Live, channels: obj{}, operations: obj{}}
	for i := range t.Services {
		d.service(&t.Services[i])
	}
	for i := range t.Streams {
		d.stream(t.Streams[i].Name)
	}
	for i := range t.Channels {
		d.channel(t.Channels[i].Name)
	}
	s := ""
	if secure {
		s = "s"
	}
	servers := obj{"http": a.server(host, "http"+s, "Requests, and server-sent events")}
	if d.live {
		servers["live"] = a.server(host, "ws"+s, "Live connections: frames of JSON, one for each operation")
		d.channels["live"] = liveChannel()
	}
	parts := obj{"messages": asyncMessages(d.live), "schemas": asyncSchemas()}
	if a.Secured {
		parts["securitySchemes"] = obj{"bearer": obj{"type": "http", "scheme": "bearer"}}
	}
	return obj{
		"asyncapi": "3.0.0",
		"info": obj{
			"title": "Edda", "version": a.Version,
			"description": "The streams, channels and services of the default namespace of an Edda node.",
		},
		"defaultContentType": "application/json",
		"servers":            servers, "channels": d.channels, "operations": d.operations, "components": parts,
	}
}

func (a *API) server(host, protocol, description string) obj {
	s := obj{"host": host, "protocol": protocol, "description": description}
	if a.Secured {
		s["security"] = []any{ref("securitySchemes", "bearer")}
	}
	return s
}

// asyncDoc gathers channels and operations. Their ids begin with what they are about, so
// that a stream and a channel may have one name.
type asyncDoc struct {
	live                 bool
	channels, operations obj
}

// add adds a channel at an address, with its messages.
func (d *asyncDoc) add(id, address, summary string, messages obj) obj {
	c := obj{"address": address, "summary": summary, "servers": []any{obj{"$ref": "#/servers/http"}}, "messages": messages}
	d.channels[id] = c
	return c
}

// over adds an operation over HTTP.
func (d *asyncDoc) over(method, id, channel, action, summary string, query obj, messages ...string) obj {
	binding := obj{"method": method, "bindingVersion": "0.3.0"}
	if query != nil {
		binding["query"] = obj{"type": "object", "properties": query}
	}
	o := obj{
		"action": action, "channel": obj{"$ref": "#/channels/" + channel}, "summary": summary,
		"bindings": obj{"http": binding}, "messages": messagesOf(channel, messages),
	}
	d.operations[id] = o
	return o
}

// overLive adds an operation over live connections.
func (d *asyncDoc) overLive(id, action, summary, message string, replies ...string) {
	if !d.live {
		return
	}
	live := obj{"$ref": "#/channels/live"}
	o := obj{"action": action, "channel": live, "summary": summary, "messages": messagesOf("live", []string{message})}
	if len(replies) > 0 {
		o["reply"] = obj{"channel": live, "messages": messagesOf("live", replies)}
	}
	d.operations[id] = o
}

func messagesOf(channel string, names []string) []any {
	refs := make([]any, len(names))
	for i, n := range names {
		refs[i] = obj{"$ref": "#/channels/" + channel + "/messages/" + n}
	}
	return refs
}

func (d *asyncDoc) stream(name string) {
	id := "stream." + name
	d.add(id, "/v1/streams/"+name, "The stream "+name, obj{
		"stored": ref("messages", "StreamMessage"), "appended": ref("messages", "Payload"),
	})
	d.over(http.MethodPost, "append."+id, id, "receive", "Append a message to "+name, nil, "appended")
	d.over(http.MethodGet, "tail."+id, id, "send", "Messages of a shard of "+name+" as server-sent events (Accept: text/event-stream)",
		obj{"shard": nameSchema, "from": text}, "stored")
	d.overLive("live.append."+id, "receive", `Append a message with "stream": "`+name+`"`, "append", "ack", "error")
	d.overLive("live.subscribe."+id, "send", `Messages of all shards of `+name+`, after a subscribe with "stream": "`+name+`"`, "message")
}

func (d *asyncDoc) channel(name string) {
	id := "channel." + name
	d.add(id, "/v1/channels/"+name, "The channel "+name, obj{
		"told": ref("messages", "LiveMessage"), "published": ref("messages", "Payload"),
	})
	d.over(http.MethodPost, "publish."+id, id, "receive", "Publish a message to "+name, nil, "published")
	d.over(http.MethodGet, "subscribe."+id, id, "send", "Messages of "+name+" as server-sent events",
		obj{"patterns": arrayOf(text), "from": text}, "told")
	d.overLive("live.publish."+id, "receive", `Publish a message with "channel": "`+name+`"`, "publish", "ack", "error")
	d.overLive("live.subscribe."+id, "send", `Messages of `+name+`, after a subscribe with "channel": "`+name+`"`, "message")
}

func (d *asyncDoc) service(s *edda.ServiceInfo) {
	id, address := "service."+s.Name, "/v1/call/"+s.Name
	parameters := obj{}
	if s.Kind == edda.Ordered {
		address += "/{key}"
		parameters["key"] = obj{"description": "The key, percent-encoded."}
	}
	parameters["method"] = obj{"description": "The method."}
	requests := obj{"request": ref("messages", "Payload")}
	names := []string{"request"}
	if len(s.Methods) > 0 {
		requests, names = obj{}, nil
		parameters["method"].(obj)["enum"] = s.Methods
		for _, m := range s.Methods {
			requests[m] = requestMessage(s, m)
			names = append(names, m)
		}
	}
	messages := maps.Clone(requests)
	// No method has this name.
	messages["_reply"] = ref("messages", "Reply")
	c := d.add(id, address+"/{method}", "The service "+s.Name, messages)
	c["parameters"] = parameters
	o := d.over(http.MethodPost, "call."+id, id, "receive", "Call "+s.Name, nil, names...)
	o["reply"] = obj{"channel": obj{"$ref": "#/channels/" + id}, "messages": messagesOf(id, []string{"_reply"})}
	d.overLive("live.call."+id, "receive", `Call with "service": "`+s.Name+`"`, "call", "ack", "part", "reply", "error")
}

// requestMessage is what calls a method, with its schema where it has one.
func requestMessage(s *edda.ServiceInfo, method string) any {
	schema, ok := s.Schemas[method]
	if !ok {
		return ref("messages", "Payload")
	}
	return obj{"name": method, "contentType": "application/json", "payload": obj{
		"schemaFormat": "application/schema+json;version=draft-2020-12",
		"schema":       ownSchema(schema, "urn:edda:"+s.Name+":"+method),
	}}
}

// liveChannel is that of live connections.
func liveChannel() obj {
	messages := obj{}
	for op := range liveFrames() {
		messages[op] = ref("messages", "live."+op)
	}
	return obj{
		"address": "/v1/live", "summary": "Live connections, with the subprotocol edda.v1.json",
		"servers": []any{obj{"$ref": "#/servers/live"}}, "messages": messages,
		"bindings": obj{"ws": obj{
			"method": "GET", "bindingVersion": "0.1.0",
			"headers": object("Sec-WebSocket-Protocol", obj{"Sec-WebSocket-Protocol": obj{"type": "string", "const": "edda.v1.json"}}),
		}},
	}
}

// asyncMessages are the messages that channels and operations share.
func asyncMessages(live bool) obj {
	all := obj{
		"Payload":       obj{"name": "Payload", "summary": "What a caller or producer sends, with what there is to say of it in headers"},
		"Reply":         obj{"name": "Reply", "summary": "A handler's reply, with the content type and headers that it chose"},
		"StreamMessage": obj{"name": "StreamMessage", "summary": "A message of a stream", "payload": ref("schemas", "StreamMessage")},
		"LiveMessage":   obj{"name": "LiveMessage", "summary": "A message of a channel", "payload": ref("schemas", "LiveMessage")},
	}
	if live {
		for op, members := range liveFrames() {
			required := "op ref"
			switch op {
			case "ping", "pong", "auth", "authenticated", "error", "drain":
				required = "op"
			}
			members["op"] = obj{"const": op}
			all["live."+op] = obj{"name": op, "payload": object(required, members)}
		}
	}
	return all
}

func asyncSchemas() obj {
	all := obj{}
	for _, name := range []string{"StreamMessage", "LiveMessage"} {
		all[name] = schemas()[name]
	}
	return all
}
