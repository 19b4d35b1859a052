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
// A stream is a durable sequence of messages, which stay when they were read: whoever
// wants all of them reads it, and the members of a group share the work. A channel is a
// live topic: what is published to it, and what comes to the streams that feed it, is
// heard by everybody who has subscribed. [StreamBackend], [GroupBackend] and
// [ChannelBackend] say what can be done with them; the packages stream and channel make
// use of that, and handlers have [Context.Append] and [Context.Publish].
//
// Delivery: a handler runs at least once for each accepted request; what Edda
// keeps itself (keyed state, replies, requests sent on) changes exactly once.
//
// The package depends on the standard library alone. To run services, see the
// package node.
package edda
