// Package worker hosts services in a process of their own: [Run] connects to a
// node, registers the services, and runs their handlers for the requests that the
// node gives it. A service is the same [edda.Service] that a node hosts in its own
// process, so moving one out of the node is a matter of where it is handed to.
//
// Handlers run in goroutines, as many at a time as the service's Concurrency; for
// one key of an ordered service never two, but for one that was given up and does
// not return. What a handler asks for (reply, state, sends) is kept by the node
// whole or not at all, as in process.
//
// The worker tells the node that it lives, however busy its handlers are. When the
// connection is lost the node gives its requests to others, the contexts of its
// handlers end, and what they still bring about is not wanted; the worker connects
// again by itself. [Options.OnGain], [Options.OnLose] and [Owns] say which keys are
// this worker's, for what it caches of them.
//
// Delivery is that of the node: at least once. The protocol is that of
// rpc/edda/v1/edda.proto; docs/workers.md explains the life of a worker.
package worker
