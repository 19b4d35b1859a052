package edda

import "time"

// State is where a request stands.
type State string

// The states of a request.
const (
	// Accepted: durable, not started.
	Accepted State = "accepted"
	// Dispatched: given to a worker.
	Dispatched State = "dispatched"
	// Taken: the worker has said that it has it.
	Taken State = "taken"
	// Retrying: an attempt failed, another follows.
	Retrying State = "retrying"
	// StateSucceeded: a handler returned a reply, whatever its status.
	StateSucceeded State = "succeeded"
	// StateFailed: a handler declared a final error, or the deadline passed.
	StateFailed State = "failed"
	// StateDead: no attempts are left; there is, or was, a dead letter.
	StateDead State = "dead"
	// StateCancelled: somebody cancelled it.
	StateCancelled State = "cancelled"
)

// Ended reports whether the state is final.
func (s State) Ended() bool {
	switch s {
	case StateSucceeded, StateFailed, StateDead, StateCancelled:
		return true
	default:
		return false
	}
}

// Request is what is known of a request.
type Request struct {
	ID            ID            `json:"id"`
	Namespace     string        `json:"-"`
	Service       string        `json:"service"`
	Key           string        `json:"key,omitempty"`
	Method        string        `json:"method"`
	State         State         `json:"state"`
	Attempts      int           `json:"attempts"`
	Position      string        `json:"position"`
	Principal     Principal     `json:"principal"`
	CorrelationID string        `json:"correlationId"`
	CausationID   ID            `json:"causationId,omitzero"`
	AcceptedAt    time.Time     `json:"acceptedAt"`
	StartedAt     time.Time     `json:"startedAt,omitzero"`
	NextAttemptAt time.Time     `json:"nextAttemptAt,omitzero"`
	CompletedAt   time.Time     `json:"completedAt,omitzero"`
	Reply         *ReplyInfo    `json:"reply,omitempty"`
	Error         *RequestError `json:"error,omitempty"`
}

// ReplyInfo describes a reply without its body.
type ReplyInfo struct {
	Status      int    `json:"status"`
	ContentType string `json:"contentType,omitempty"`
	// Size is the body's size in bytes.
	Size int `json:"size"`
}

// RequestError is why a request, or its last attempt, did not succeed.
type RequestError struct {
	Code    Code   `json:"code"`
	Reason  Reason `json:"reason"`
	Message string `json:"message,omitempty"`
}

// DeadLetter is a request whose retries are spent.
type DeadLetter struct {
	// ID is the request's.
	ID          ID
	Namespace   string
	Service     string
	Key         string
	Method      string
	Reason      Reason
	Detail      string
	Attempts    int
	DiedAt      time.Time
	Headers     Headers
	ContentType string
	Payload     []byte
}

// ServiceInfo is what is known of a service.
type ServiceInfo struct {
	Namespace string   `json:"-"`
	Name      string   `json:"name"`
	Kind      Kind     `json:"kind"`
	Methods   []string `json:"methods,omitempty"`
	// Schemas holds the JSON Schema of the payload of each method that has one.
	Schemas map[string]any `json:"schemas,omitempty"`
	// Versions are those that workers have, the newest first.
	Versions []string `json:"versions,omitempty"`
	// Workers counts those that host the service, and SilentWorkers those among them of
	// which nothing is heard, or that are out of health: they are given nothing. InFlight
	// and Queued count handlers running, and requests accepted but not started.
	Workers       int  `json:"workers"`
	SilentWorkers int  `json:"silentWorkers,omitempty"`
	InFlight      int  `json:"inFlight"`
	Queued        int  `json:"queued"`
	Paused        bool `json:"paused"`
	// StoppedKeys lists at most 100 of the StoppedKeyCount stopped keys.
	StoppedKeys     []string `json:"stoppedKeys,omitempty"`
	StoppedKeyCount int      `json:"stoppedKeyCount"`
	// EndpointInfo is nil unless the service is behind a plain HTTP endpoint.
	*EndpointInfo
}

// NodeInfo describes a node.
type NodeInfo struct {
	ID         string     `json:"id"`
	Version    string     `json:"version"`
	Partitions int        `json:"partitions"`
	Durability Durability `json:"durability"`
	StartedAt  time.Time  `json:"startedAt"`
}
