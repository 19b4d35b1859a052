package apidoc

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
)

var (
	anything  = obj{"description": "Any JSON value."}
	sagaState = obj{"type": "string", "examples": reqhead.SagaStates}
	onFailure = obj{
		"enum": []edda.OnFailure{edda.WaitForSteps, edda.CancelSteps}, "default": edda.WaitForSteps,
		"description": "What happens to steps that run when another one fails.",
	}
	deadlineSchema = obj{
		"type": "string", "examples": []string{"1h", "2026-01-02T15:04:05Z"},
		"description": "A time, or a duration after the creation; after the start where the saga is a step.",
	}
	stepState = obj{"type": "string", "examples": []edda.StepState{
		edda.StepWaiting, edda.StepReady, edda.StepRunning, edda.StepSucceeded, edda.StepFailed, edda.StepCompensating,
		edda.StepCompensated, edda.StepNotCompensated, edda.StepSkipped, edda.StepCancelled,
	}}
	compensationState = obj{"type": "string", "examples": []edda.CompensationState{
		edda.CompensationWaiting, edda.CompensationRunning, edda.CompensationSucceeded, edda.CompensationFailed,
		edda.CompensationSkipped, edda.CompensationResolved,
	}}
)

// sagaSchemas are those of sagas, as they are asked for and as they are shown.
func sagaSchemas() obj {
	return obj{
		"SagaSpec":       sagaSpecSchema(),
		"NestedSagaSpec": nestedSpecSchema(),
		"StepSpec":       stepSpecSchema(),
		"QueueSpec":      closed(object("stream success failure", queueProperties())),
		"CompensateSpec": closed(object("service method", taskProperties())),
		"SagaSteps":      obj{"anyOf": []any{ref("schemas", "StepSpec"), arrayOf(ref("schemas", "StepSpec"))}},
		"StepResult":     closed(object("", obj{"result": anything})),
		"StepFailure":    closed(object("", obj{"error": closed(object("", obj{"message": text}))})),
		"Saga":           sagaSchema(),
		"Step":           stepSchema(),
		"Compensation":   compensationSchema(),
		"StepError": object("reason", obj{
			"reason": text, "message": text, "status": obj{"type": "integer", "description": "That of the reply."},
		}),
		"StepAnswer": object("applied state", obj{
			"applied": obj{"type": "boolean", "description": "Whether this is what finished the step; otherwise nothing was changed."},
			"state":   stepState,
		}),
		"SagaList": listOf("Saga"),
		"Pruned":   object("removed", obj{"removed": count}),
	}
}

func sagaSpecSchema() obj {
	s := nestedSpecSchema()
	p := s["properties"].(obj)
	p["id"] = obj{"type": "string", "pattern": nameSchema["pattern"], "description": "The node makes one where none is given."}
	p["start"] = obj{"type": "boolean", "default": true}
	return s
}

func nestedSpecSchema() obj {
	return closed(object("steps", obj{
		"name": nameSchema, "deadline": deadlineSchema, "onFailure": onFailure, "steps": arrayOf(ref("schemas", "StepSpec")),
	}))
}

func stepSpecSchema() obj {
	p := taskProperties()
	p["id"] = nameSchema
	p["after"] = obj{
		"type": "array", "items": nameSchema,
		"description": "The steps that must have succeeded; their results are sent in this order.",
	}
	p["attemptTimeout"] = duration
	p["compensate"] = ref("schemas", "CompensateSpec")
	p["saga"] = ref("schemas", "NestedSagaSpec")
	p["queue"] = ref("schemas", "QueueSpec")
	return closed(object("id", p))
}

// taskProperties are those of a request that a saga makes.
func taskProperties() obj {
	return obj{"service": nameSchema, "key": keySchema, "method": nameSchema, "args": arrayOf(anything), "retry": retrySchema}
}

// queueProperties are those of a step that is a message.
func queueProperties() obj {
	return obj{
		"stream":  obj{"type": "string", "pattern": nameSchema["pattern"], "description": "The stream that the step's message is appended to."},
		"shard":   obj{"type": "string", "pattern": nameSchema["pattern"], "default": edda.DefaultShard},
		"success": obj{"type": "string", "pattern": nameSchema["pattern"], "description": "The stream whose message completes the step."},
		"failure": obj{"type": "string", "pattern": nameSchema["pattern"], "description": "The stream whose message fails the step."},
	}
}

func sagaSchema() obj {
	return object("id state onFailure principal correlationId createdAt stepCount succeededCount", obj{
		"id": text, "name": text, "state": sagaState,
		"reason": obj{
			"type": "string", "description": "Why it is undone.",
			"examples": []edda.Reason{edda.SagaStepFailed, edda.Cancelled, edda.DeadlineExceeded},
		},
		"detail": text, "onFailure": onFailure, "principal": text, "correlationId": text,
		"createdAt": instant, "startedAt": instant, "endedAt": instant, "deadline": instant,
		"stepCount": count, "succeededCount": count, "steps": arrayOf(ref("schemas", "Step")),
	})
}

func stepSchema() obj {
	return object("id state attempts", obj{
		"id": text, "service": text, "method": text, "key": text, "state": stepState, "args": arrayOf(anything), "after": arrayOf(text),
		"sagaId":   obj{"type": "string", "description": "The saga that the step is."},
		"queue":    ref("schemas", "QueueSpec"),
		"pending":  obj{"type": "boolean", "description": "It runs without a handler, until somebody finishes it."},
		"attempts": count, "result": anything, "error": ref("schemas", "StepError"),
		"startedAt": instant, "endedAt": instant, "compensation": ref("schemas", "Compensation"),
	})
}

func compensationSchema() obj {
	return object("state attempts", obj{
		"service": text, "method": text, "key": text, "args": arrayOf(anything), "state": compensationState,
		"attempts": count, "error": ref("schemas", "StepError"), "startedAt": instant, "endedAt": instant,
	})
}

// closed returns the schema of an object that has no other members.
func closed(schema obj) obj {
	schema["additionalProperties"] = false
	return schema
}
