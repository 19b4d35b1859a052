// Package stream is the Go API of streams: it appends to them, reads them, and consumes
// them in groups, on a node in the process or, with package client, on one elsewhere.
//
// A stream is a durable sequence of messages in shards, each with offsets from 0
// without a gap. What was appended is on disk before [Writer.Append] returns; it stays
// until the stream's retention, or somebody, removes it, whoever has read it.
//
//   - [Writer] appends: raw or as JSON, with keys, ids and a condition on the last offset.
//   - [Reader] reads any number of streams and shards, from anywhere, follows what comes,
//     and knows where it is. Every reader gets every message.
//   - [Consumer] is a member of a consumer group: of all its members, one gets each
//     message, in order for each key, until a handler has dealt with it.
//   - [Caller] appends a message and waits for the reply to it.
//   - [Pipe] appends what it makes of the messages of one stream to another.
//
// Delivery: a handler of a consumer, or of a pipe, runs at least once for each message.
// What Edda keeps of it (replies, routed messages, state, the acknowledgement) happens
// exactly once, as one outcome. A message with an id is in its stream once, however often
// it is appended while the stream remembers ids. A reader sees each offset once.
//
// All types are safe for concurrent use, but for reading itself, which is for one
// goroutine at a time. No goroutine outlives the call that needs it.
package stream
