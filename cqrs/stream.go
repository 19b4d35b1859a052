package cqrs

import (
	"encoding/json"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/relay"
)

// MaxEventBytes bounds data, metadata, explanation and chains of an event together, so that
// its message is one that a node takes: 3 MiB.
const MaxEventBytes = relay.MaxEventBytes

// Headers of the messages that events are on their stream, whose payload is the event's JSON.
const (
	HeaderBroadcaster = relay.HeaderBroadcaster // Edda-Broadcaster
	HeaderObject      = relay.HeaderObject      // Edda-Object
	HeaderVersion     = relay.HeaderVersion     // Edda-Version
)

// EventStream is the stream that the app's events are relayed to.
func (a *App) EventStream() string { return a.o.Name + ".events" }

// newRelay makes what carries the app's events to their stream.
func (a *App) newRelay() *relay.Relay {
	return relay.New(relay.Options{
		DB: a.db, Events: a.rows.stored, Payload: func(e *ledger.Event) ([]byte, error) { return json.Marshal((*Event)(e)) },
		Backend: a.backend, Namespace: a.o.Namespace, Stream: a.EventStream(), Shards: a.o.Shards, Retention: a.o.Retention, Memory: inMemory(a.backend),
		App: a.o.Name, Prepare: a.setChannels, Logger: a.log, Metrics: a.relayed,
	})
}

// inMemory reports whether a node is known to keep nothing on disk. One elsewhere says so with each append.
func inMemory(b Backend) bool {
	n, ok := b.(interface{ Info() edda.NodeInfo })
	return ok && n.Info().Durability == edda.Memory
}
