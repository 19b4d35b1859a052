// Package edda is the vocabulary of Edda, an ordered, durable backbone for
// services: messages and addresses, services and their handlers, requests and
// replies, errors, and the client.
//
// A [Service] is a named set of handlers. It is ordered or balanced: an ordered
// service handles the requests of one key (users/42) one at a time and in the
// order in which they were accepted, also across retries and crashes; a balanced
// one handles each request wherever there is room. A handler takes a [Context],
// from which it reads and writes the state of its key, and returns a reply or an
// error. Reply, state and messages sent are one atomic outcome: kept together or
// not at all. An error is retried by the service's [RetryPolicy]; what has no
// attempts left becomes a dead letter.
//
// A [Client] sends requests. Send returns once the request is durable, Wait
// returns its reply, Call is both.
//
// Several requests that depend on each other, and are undone when one fails, are a
// saga: [SagaSpec] says what one is made of, the package saga makes them.
//
// Delivery: a handler runs at least once for each accepted request; what Edda
// keeps itself (keyed state, replies, requests sent on) changes exactly once.
//
// The package depends on the standard library alone. To run services, see the
// package node.
package edda
