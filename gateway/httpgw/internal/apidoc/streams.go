package apidoc

import (
	"maps"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
)

var (
	placeSchema = obj{
		"type": []string{"string", "integer"}, "examples": []any{edda.FromStart, edda.FromEnd, 41, "2026-01-02T15:04:05Z"},
		"description": "An offset, a time (the first message appended then or later), the first message kept, or the next to come.",
	}
	offsetSchema  = obj{"type": "integer", "minimum": 0}
	atLeast1      = obj{"type": "integer", "minimum": 1}
	leases        = obj{"type": "array", "items": text, "minItems": 1}
	payloadSchema = obj{"description": "The payload: a value for JSON, a string for other text."}
	base64Schema  = obj{"type": "string", "contentEncoding": "base64"}
	headersSchema = obj{"type": "object", "additionalProperties": text}
	replyToSchema = obj{
		"type": "string", "examples": []string{"replies", "replies/eu", "shop:replies"},
		"description": "Where replies go: STREAM or STREAM/SHARD, with NAMESPACE: before it when it is another one.",
	}
)

func retentionSchema() obj {
	return object("", obj{"age": duration, "count": atLeast1, "bytes": atLeast1})
}

// streamSchemas are those of streams, messages and groups.
func streamSchemas() obj {
	all := obj{
		"StreamSpec": closed(object("", obj{"shards": arrayOf(nameSchema), "retention": closed(retentionSchema()), "dedupe": duration})),
		"Stream": object("name dedupe createdAt offsets groups", obj{
			"name": text, "shards": arrayOf(text), "retention": retentionSchema(), "dedupe": duration, "createdAt": instant,
			"offsets": obj{"type": "object", "additionalProperties": object("first end bytes", obj{
				"first": offsetSchema, "end": offsetSchema, "bytes": offsetSchema,
			})},
			"groups": arrayOf(text),
		}),
		"StreamList":    listOf("Stream"),
		"StreamAnswer":  obj{"anyOf": []any{ref("schemas", "Stream"), ref("schemas", "StreamPage")}},
		"StreamTrim":    closed(object("before", obj{"before": placeSchema, "shard": nameSchema})),
		"StreamMessage": messageSchema("shard offset id type time", nil),
		"StreamPage": object("items first next end", obj{
			"items": arrayOf(ref("schemas", "StreamMessage")), "first": offsetSchema, "next": offsetSchema, "end": offsetSchema,
		}),
		"MessageBatch": arrayOf(closed(object("", batchContent()))),
		"Appended": object("id shard", obj{
			"id": text, "shard": text, "offset": offsetSchema, "position": text, "replayed": obj{"type": "boolean"},
			"unknown": obj{"type": "boolean", "description": "It was passed over because of its number, and its offset is not known."},
			"last":    ref("schemas", "Numbered"),
		}),
		"Numbered": object("number offset id", obj{"number": atLeast1, "offset": offsetSchema, "id": text}),
		"AppendAnswer": obj{"anyOf": []any{ref("schemas", "Appended"), object("items", obj{
			"items": arrayOf(ref("schemas", "Appended")), "last": ref("schemas", "Numbered"),
		})}},
	}
	maps.Copy(all, groupSchemas())
	return all
}

func groupSchemas() obj {
	timeouts := obj{
		"minMembers": atLeast1, "maxMembers": obj{"type": "integer", "minimum": 0, "default": 0, "description": "0 is no limit."},
		"processingTimeout": duration, "idleTimeout": duration, "retry": retrySchema,
	}
	spec := maps.Clone(timeouts)
	spec["from"] = placeSchema
	shown := maps.Clone(timeouts)
	maps.Copy(shown, obj{
		"name": text, "stream": text, "createdAt": instant, "cursor": obj{"type": "object", "additionalProperties": offsetSchema},
		"lag": count, "pending": count, "members": arrayOf(object("name leases", obj{"name": text, "leases": count, "lastSeen": instant})),
	})
	return obj{
		"GroupSpec":  closed(object("", spec)),
		"Group":      object("name stream minMembers processingTimeout idleTimeout retry createdAt cursor lag pending members", shown),
		"GroupList":  listOf("Group"),
		"GroupReset": closed(object("to", obj{"to": placeSchema, "shard": nameSchema})),
		"GroupRead": closed(object("member", obj{
			"member": text, "max": obj{"type": "integer", "minimum": 1, "maximum": reqhead.MaxLimit, "default": reqhead.DefaultLimit}, "wait": duration,
		})),
		"DeliveryList": object("items", obj{"items": arrayOf(messageSchema(
			"shard offset id type time lease attempt", obj{"lease": text, "attempt": atLeast1},
		))}),
		"LeaseAck":    closed(object("leases", obj{"leases": leases})),
		"LeaseReject": closed(object("leases", obj{"leases": leases, "error": text, "for": duration})),
		"LeaseExtend": closed(object("leases", obj{"leases": leases, "for": duration})),
		"Settled":     object("done stale", obj{"done": count, "stale": arrayOf(text)}),
	}
}

// messageContent is what producers say of messages.
func messageContent() obj {
	return obj{
		"id": text, "type": text, "key": keySchema, "source": text, "replyTo": replyToSchema, "headers": headersSchema, "contentType": text,
		"correlationId": text, "causationId": text, "traceparent": text, "tracestate": text, "time": instant,
		"data": payloadSchema, "dataBase64": base64Schema,
	}
}

// batchContent is what producers say of messages of a batch.
func batchContent() obj {
	m := messageContent()
	m["number"] = obj{"type": "integer", "minimum": 1, "description": "With Edda-Producer, above that of the message before."}
	return m
}

// messageSchema is a message as it is read, with more.
func messageSchema(required string, more obj) obj {
	m := messageContent()
	maps.Copy(m, obj{"shard": text, "offset": offsetSchema, "principal": text})
	maps.Copy(m, more)
	return object(required, m)
}
