package apidoc

import (
	"maps"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// headerParameters are the headers that a call takes.
var headerParameters = map[string]string{
	"Idempotency-Key": "Makes a repeated call join the first one, or get its outcome, for 24 h from its completion.",
	"Prefer": "respond-async answers 202 once the request is durable; wait=N, 0 to 600 seconds, is how long to wait for the reply. " +
		"parts answers with the parts of the reply as they come, then its body; Accept: text/event-stream with an event for each.",
	"Edda-Key":            "The key of an ordered service, percent-encoded, where the path has none.",
	"Edda-Delay":          "A duration after which the request may be handled first.",
	"Edda-At":             "A time from which on the request may be handled.",
	"Edda-Deadline":       "A duration or time after which the request is not worth handling.",
	"Edda-Correlation-Id": "Names the story that the request is part of; its own id by default.",
	"traceparent":         "W3C trace context.",
	"tracestate":          "W3C trace context.",
}

// streamHeaderParameters are those that streams take beside some of a call's; what
// stands before a dot tells headers of one name apart.
var streamHeaderParameters = map[string]string{
	"append.Edda-Key":       "What groups keep the order for, percent-encoded.",
	"Edda-Type":             "What the message is about; \"message\" by default.",
	"Edda-Id":               "The message's id; a repeated one is answered like the first and not appended.",
	"Edda-Producer":         "Who numbers the messages, percent-encoded: those whose number the shard has come to are passed over.",
	"Edda-Number":           "The message's number, above zero and rising, with Edda-Producer; in an array it is each one's own.",
	"Edda-Shard":            "The shard; \"default\" by default.",
	"Edda-Reply-To":         "Where replies go: STREAM or STREAM/SHARD, with NAMESPACE: before it when it is another one.",
	"Edda-Source":           "The process or device that the message comes from.",
	"Edda-Time":             "When the message was made.",
	"If-Match":              "Append only if this, in quotes, is the shard's last offset.",
	"If-None-Match":         "* appends only to a shard without messages.",
	"Last-Event-ID":         "The offset of the last message seen: events resume after it.",
	"channel.Last-Event-ID": "The id of the last event seen: events resume after it.",
}

// queryParameters are the schemas of the parameters in queries.
var queryParameters = obj{
	"service":        nameSchema,
	"key":            keySchema,
	"state":          obj{"enum": []edda.State{edda.Accepted, edda.Dispatched, edda.Taken, edda.Retrying, edda.StateDead}},
	"reason":         text,
	"idempotencyKey": text,
	"limit":          obj{"type": "integer", "minimum": 1, "maximum": reqhead.MaxLimit, "default": reqhead.DefaultLimit},
	"after":          obj{"type": "string", "description": "The cursor that the page before gave as next."},
	"wait":           obj{"type": "string", "description": "A duration, at most 10m.", "examples": []string{"30s"}},
	"shard":          obj{"type": "string", "pattern": nameSchema["pattern"], "default": edda.DefaultShard},
	"from":           placeSchema,
	"channel.from":   liveFromSchema,
	"patterns": obj{
		"type": "array", "items": patternSchema,
		"description": "Which types of messages; all without. Repeated, or with commas between.",
	},
	"force":               obj{"type": "boolean", "default": false},
	"name":                text,
	"saga.state":          obj{"enum": reqhead.SagaStates},
	"principal":           text,
	"since":               instant,
	"until":               instant,
	reqhead.CompletionKey: obj{"type": "string", "description": "The step's; it stands for credentials."},
}

var pathParameters = obj{
	"namespace": nameSchema, "service": nameSchema, "method": nameSchema, "key": keySchema, "id": text, "step": nameSchema,
	"stream": nameSchema, "group": nameSchema, "channel": nameSchema,
}

var (
	text       = obj{"type": "string"}
	count      = obj{"type": "integer", "minimum": 0}
	instant    = obj{"type": "string", "format": "date-time"}
	nameSchema = obj{"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"}
	keySchema  = obj{"type": "string", "minLength": 1, "maxLength": edda.MaxKeyBytes}
	durability = obj{"type": "string", "examples": []edda.Durability{edda.Fsync, edda.OS, edda.Memory}}
)

func components() obj {
	parameters := obj{}
	for _, headers := range []map[string]string{headerParameters, streamHeaderParameters} {
		for name, description := range headers {
			parameters["header."+name] = obj{"name": name[strings.IndexByte(name, '.')+1:], "in": "header", "description": description, "schema": text}
		}
	}
	for name, schema := range queryParameters {
		parameters["query."+name] = obj{"name": name[strings.IndexByte(name, '.')+1:], "in": "query", "schema": schema}
	}
	for name, schema := range pathParameters {
		parameters["path."+name] = obj{"name": name, "in": "path", "required": true, "schema": schema}
	}
	return obj{
		"parameters": parameters,
		"responses": obj{
			"Problem": obj{
				"description": "A refusal, or an outcome that is no reply",
				"content":     obj{"application/problem+json": obj{"schema": ref("schemas", "Problem")}},
			},
			"Accepted": obj{
				"description": "The request is stored; Location says where it is found",
				"headers":     obj{"Location": obj{"schema": text}},
				"content":     obj{"application/json": obj{"schema": ref("schemas", "Accepted")}},
			},
			"Reply": obj{
				"description": "The handler's reply, with the status, headers and content type that it chose",
				"headers": obj{
					"Edda-Request-Id": obj{"schema": text}, "Edda-Position": obj{"schema": text},
					"Edda-Durability": obj{"schema": durability}, "Edda-Attempts": obj{"schema": count},
					"Idempotency-Replayed": obj{"schema": obj{"const": "true"}},
				},
				"content": obj{"*/*": obj{}},
			},
		},
		"schemas": schemas(),
	}
}

func schemas() obj {
	reasons := slices.Sorted(maps.Keys(httpio.Titles))
	codes := map[edda.Code]bool{}
	for _, r := range reasons {
		codes[r.Code()] = true
	}
	code, reason := obj{"enum": slices.Sorted(maps.Keys(codes))}, obj{"enum": reasons}
	all := obj{
		"Problem": object("type title status code reason", obj{
			"type": obj{"type": "string", "format": "uri"}, "title": text, "status": count,
			"code": code, "reason": reason, "detail": text, "requestId": text,
		}),
		"Accepted": object("id position durability acceptedAt", obj{
			"id": text, "position": text, "durability": durability, "acceptedAt": instant,
		}),
		"Request":    requestSchema(code),
		"Service":    serviceSchema(),
		"Endpoint":   endpointSchema(),
		"Worker":     workerSchema(),
		"DeadLetter": deadLetterSchema(),
		"Part": object("number attempt", obj{
			"number":  obj{"type": "string", "description": "ATTEMPT.PART, to resume after.", "examples": []string{"2.7"}},
			"attempt": count, "reset": obj{"type": "boolean", "description": "What came of earlier attempts is void."},
			"contentType": text,
			"data":        obj{"description": "The payload: a value for JSON, a string for other text."},
			"dataBase64":  obj{"type": "string", "contentEncoding": "base64"},
		}),
		"PartList":       listOf("Part"),
		"RequestList":    listOf("Request"),
		"ServiceList":    listOf("Service"),
		"WorkerList":     listOf("Worker"),
		"DeadLetterList": listOf("DeadLetter"),
		"Node": object("id version partitions durability startedAt", obj{
			"id": text, "version": text, "partitions": count, "durability": durability, "startedAt": instant,
		}),
		"Health": object("status", obj{"status": text}),
	}
	maps.Copy(all, sagaSchemas())
	maps.Copy(all, streamSchemas())
	maps.Copy(all, channelSchemas())
	return all
}

func requestSchema(code obj) obj {
	return object("id service method state attempts position principal correlationId acceptedAt", obj{
		"id": text, "service": text, "key": text, "method": text,
		"state": obj{"type": "string", "examples": []edda.State{
			edda.Accepted, edda.Dispatched, edda.Taken, edda.Retrying,
			edda.StateSucceeded, edda.StateFailed, edda.StateDead, edda.StateCancelled,
		}},
		"attempts": count, "position": text, "principal": text, "correlationId": text, "causationId": text,
		"acceptedAt": instant, "startedAt": instant, "nextAttemptAt": instant, "completedAt": instant,
		"reply": object("status size", obj{"status": count, "contentType": text, "size": count}),
		"error": object("code reason", obj{"code": code, "reason": text, "message": text}),
	})
}

var silentWorkers = obj{
	"type": "integer", "minimum": 0,
	"description": "Those of the workers of which nothing is heard, or that are out of health: they are given nothing. Absent where there are none.",
}

func serviceSchema() obj {
	return object("name kind workers inFlight queued paused stoppedKeyCount", obj{
		"name": text, "kind": obj{"enum": []edda.Kind{edda.Ordered, edda.Balanced}},
		"methods": arrayOf(text), "schemas": obj{"type": "object"},
		"versions": arrayOf(text), "workers": count, "silentWorkers": silentWorkers, "inFlight": count, "queued": count, "paused": obj{"type": "boolean"},
		"stoppedKeys": arrayOf(text), "stoppedKeyCount": count,
		"endpoint": uri, "protocol": protocol, "concurrency": count, "attemptTimeout": duration, "retry": retrySchema, "onDead": onDead,
		"health": healthSchema, "secret": obj{"type": "string", "description": "Shown once, where the node made it."},
	})
}

var (
	uri      = obj{"type": "string", "format": "uri"}
	duration = obj{"type": "string", "examples": []string{"1.5s"}}
	protocol = obj{"enum": []edda.Protocol{edda.Plain, edda.Envelope}, "default": edda.Plain}
	onDead   = obj{"enum": []edda.OnDead{edda.Continue, edda.StopKey, edda.Pause}, "default": edda.Continue}

	retrySchema = object("", obj{
		"max":   obj{"type": "integer", "minimum": -1, "default": 10, "description": "Attempts in all; -1 has no limit."},
		"delay": duration, "maxDelay": duration,
		"backoff": obj{"type": "number", "minimum": 1, "default": 2},
		"jitter":  obj{"type": "number", "minimum": 0, "maximum": 1, "default": 0.2},
	})
	healthSchema = object("path", obj{"path": text, "interval": duration})
)

func endpointSchema() obj {
	return object("kind endpoint", obj{
		"kind": obj{"enum": []edda.Kind{edda.Ordered, edda.Balanced}}, "methods": arrayOf(text), "endpoint": uri, "protocol": protocol,
		"concurrency":    obj{"type": "integer", "minimum": 1, "maximum": edda.MaxConcurrency, "default": edda.DefaultEndpointConcurrency},
		"attemptTimeout": duration, "retry": retrySchema, "onDead": onDead, "health": healthSchema,
		"secret": obj{"type": "string", "description": "Signs what is posted: whsec_ and base64, or text. The node makes one where none is given."},
	})
}

func workerSchema() obj {
	return object("id services transport slots inFlight state", obj{
		"id": text, "services": arrayOf(text), "version": text, "labels": obj{"type": "object", "additionalProperties": text},
		"transport": obj{"type": "string", "examples": []string{"in-process", "grpc", "http"}},
		"slots":     count, "inFlight": count, "lastBeat": instant,
		"state": obj{"type": "string", "examples": []edda.WorkerState{edda.WorkerReady, edda.WorkerDraining, edda.WorkerPaused, edda.WorkerSilent}},
		"holds": arrayOf(object("request service method attempt since", obj{
			"request": text, "service": text, "key": text, "method": text, "attempt": count, "since": instant,
		})),
	})
}

func deadLetterSchema() obj {
	return object("id service method reason attempts diedAt", obj{
		"id": text, "service": text, "key": text, "method": text, "reason": text, "detail": text,
		"attempts": count, "diedAt": instant, "contentType": text,
		"headers":    obj{"type": "object", "additionalProperties": text},
		"data":       obj{"description": "The payload: a value for JSON, a string for other text."},
		"dataBase64": obj{"type": "string", "contentEncoding": "base64"},
	})
}

func listOf(name string) obj {
	return object("items", obj{"items": arrayOf(ref("schemas", name)), "next": text})
}

func arrayOf(items obj) obj { return obj{"type": "array", "items": items} }

// object is a schema with the names of required members separated by spaces.
func object(required string, properties obj) obj {
	return obj{"type": "object", "required": strings.Fields(required), "properties": properties}
}
