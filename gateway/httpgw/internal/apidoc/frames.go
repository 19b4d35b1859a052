package apidoc

import (
	"encoding/json"
	"maps"
)

// liveFrames are the members of each frame of a live connection, beside op. docs/live.md
// says what they mean.
func liveFrames() map[string]obj {
	name := obj{"description": "The client's name for the operation.", "type": []string{"string", "number"}}
	content := func(more obj) obj {
		m := obj{
			"ref": name, "key": text, "headers": headersSchema, "contentType": text, "data": payloadSchema, "dataBase64": base64Schema,
			"correlationId": text, "traceparent": text, "tracestate": text,
		}
		maps.Copy(m, more)
		return m
	}
	message := func(more obj) obj {
		m := content(obj{"id": text, "type": text, "source": text, "replyTo": replyToSchema, "time": instant})
		maps.Copy(m, more)
		return m
	}
	patterns := arrayOf(patternSchema)
	yesOrNo := obj{"type": "boolean"}
	told := maps.Clone(schemas()["LiveMessage"].(obj)["properties"].(obj))
	told["ref"] = name
	return map[string]obj{
		// from clients
		"auth": {"ref": name, "token": text}, "ping": {"ref": name}, "cancel": {"ref": name},
		"call":    content(obj{"service": nameSchema, "method": nameSchema, "idempotencyKey": text, "delay": duration, "deadline": text, "parts": yesOrNo, "ack": yesOrNo}),
		"append":  message(obj{"stream": nameSchema, "shard": nameSchema}),
		"publish": message(obj{"channel": nameSchema}),
		"subscribe": {
			"ref": name, "stream": nameSchema, "channel": nameSchema, "patterns": patterns, "from": resumeSchema,
			"lifespan": obj{"enum": []string{"eternal", "ephemeral"}}, "credit": count, "presence": yesOrNo,
		},
		"credit": {"ref": name, "n": atLeast1}, "unsubscribe": {"ref": name, "patterns": patterns},
		// from the node
		"authenticated": {"ref": name, "principal": text}, "pong": {"ref": name},
		"ack":   {"ref": name, "id": text, "offset": offsetSchema, "shard": text, "position": text, "replayed": yesOrNo},
		"part":  content(obj{"number": text, "attempt": count, "reset": yesOrNo}),
		"reply": content(obj{"id": text, "position": text, "status": count, "attempts": count, "replayed": yesOrNo}),
		"join":  {"ref": name, "principal": text, "since": instant}, "leave": {"ref": name, "principal": text, "since": instant},
		"subscribed": {"ref": name, "patterns": patterns, "from": resumeSchema, "gap": yesOrNo},
		"message":    told, "unsubscribed": {"ref": name, "patterns": patterns}, "gap": {"ref": name},
		"error": {"ref": name, "code": text, "reason": text, "detail": text}, "drain": {},
	}
}

// ownSchema returns a schema of its own as it can stand within a document: what it refers
// to within itself it finds by its id.
func ownSchema(schema any, id string) any {
	b, err := json.Marshal(schema)
	if err != nil {
		return true // anything
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return true
	}
	if top, ok := v.(obj); ok && top["$id"] == nil {
		top["$id"] = id
	}
	return v
}
