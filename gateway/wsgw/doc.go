// Package wsgw is the WebSocket surface of a node: calls, appends, publishing and
// subscriptions over one connection, as JSON frames of the subprotocol edda.v1.json. It
// decodes, calls the node and encodes; all rules live in the node. docs/live.md is the
// protocol.
//
// A Gateway is safe for concurrent use. Each connection has a goroutine that reads, one
// that writes while there is something to write, and one for each call that it waits for.
// What a connection can make the node hold is bounded, so that one that floods, stalls or
// breaks the protocol harms nobody else: it is refused, or closed.
//
// An acknowledged call, append or published message is as durable as the node is. A
// connection that breaks takes nothing back. What is subscribed to is delivered once and in
// order, as long as the client goes on from the resume point of the last message that it
// has seen.
package wsgw
