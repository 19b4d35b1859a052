// Package streamjson says how streams, their messages and their consumer groups stand
// in the JSON documents of the HTTP surface: for the gateway, which writes them, and
// for the client, which reads them.
//
// A payload stands there as package jsondata says, a duration as Go writes it, a time
// in RFC 3339 and UTC. What is read back is what was written, but for insignificant
// white space in JSON payloads and for headers of one name, which become one.
//
// The functions keep no state and are safe for concurrent use.
package streamjson
