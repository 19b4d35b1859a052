package routegw

import (
	"encoding/json"
	"time"
)

// Payload says what the payload of a route's message is.
type Payload string

// The payloads.
const (
	// Body is the request's body as it came, with its content type. The default.
	Body Payload = "body"
	// Request is one JSON document of the whole request:
	//
	//	{"method","path","params":{NAME:VALUE},"query":{NAME:[VALUES]},"headers":{NAME:VALUE},
	//	 "contentType","data"|"dataBase64"}
	Request Payload = "request"
)

// Route says which requests become which messages: calls of a service, or messages on
// a stream.
type Route struct {
	// Route is method and path as a pattern of net/http's ServeMux, without a host:
	// "GET /users/{id}", "/files/{path...}", "POST /orders/{$}". GET takes HEAD too; without a
	// method every one is taken.
	Route string
	// Namespace is that of the service, or stream; edda.DefaultNamespace when empty.
	Namespace string

	// Service and Method are what is called. Method is a name, or path.NAME for a
	// parameter of the path.
	Service, Method string
	// Stream and Type are what is appended to, in place of Service and Method. Type is the
	// type of the message, or path.NAME; edda.DefaultMessageType when empty.
	Stream, Type string
	// ReplyTo is the stream, in the same namespace, whose message with the id of the one
	// that was appended is the response. It is STREAM.replies when empty, and is created when
	// there is none, to keep replies for an hour. A route of a stream that is Async has no
	// reply unless it is given.
	ReplyTo string

	// Key is the key of the message, and Shard the shard of the stream that it is appended
	// to: path.NAME, query.NAME, header.NAME, claim.NAME (of the credentials' token),
	// principal, or a text that is the same each time, in single quotes if it has a dot. A
	// request that lacks it is refused. Without a key a message has none; without a shard it
	// is edda.DefaultShard.
	Key, Shard string
	// Payload is Body when empty.
	Payload Payload
	// Headers are the names of those headers of the request that the message gets. Nil
	// means all but those of the connection and its framing, Authorization, Cookie, what
	// keys are shown in, and those that begin with Edda-; empty means none. A name that
	// is listed is given also where it would be left out otherwise, but for those of
	// the connection and Edda's.
	Headers []string

	// Wait is how long a request waits for its reply; then it is answered TIMEOUT, and
	// what it made goes on. Zero means Options.Wait.
	Wait time.Duration
	// Async answers 202 as soon as the message is stored, and does not wait: New refuses it
	// with a Wait.
	Async bool
	// Schema is the JSON Schema that a body must fit; others are refused with SCHEMA, or
	// BAD_MEDIA_TYPE when they are no JSON, before anything is stored. An empty body counts as
	// an empty object.
	Schema json.RawMessage
	// MaxBody is the size of the largest body in bytes. Zero means Options.MaxBody.
	MaxBody int64

	// Public asks for no credentials, and looks at none: everybody is edda.Anonymous, and may
	// use the route. Else who calls needs the right to call the service, or to append to the
	// stream.
	Public bool
	// CORS says which pages of other origins may use the route. Nil means Options.CORS.
	CORS *CORS
	// Rate bounds how often a principal may use the route, and who is anonymous, an address.
	// Nil is no bound.
	Rate *Rate
}

// CORS says which pages of other origins a browser lets use a route, and what for.
type CORS struct {
	// Origins are those of the pages: "https://shop.example", with one * for any part of a
	// name ("https://*.shop.example"), or "*" alone for all.
	Origins []string
	// Headers are those that a page may send beside the simple ones; nil means those
	// that it asks for.
	Headers []string
	// Expose are the headers of the response that a page may read beside the simple
	// ones; nil means Location, Retry-After, RateLimit, RateLimit-Policy, Edda-Request-Id,
	// Edda-Position and Idempotency-Replayed.
	Expose []string
	// Credentials lets the browser send cookies and certificates. Origins must be listed
	// for that.
	Credentials bool
	// MaxAge is how long a browser may keep the answer, in whole seconds; zero leaves it
	// to the browser.
	MaxAge time.Duration
}

// Rate is a bucket of Burst requests that is filled with Limit requests per Per.
type Rate struct {
	// Limit is how many requests there may be per Per; at least 1.
	Limit int
	// Per is a second when zero.
	Per time.Duration
	// Burst is how many there may be at once. Zero means Limit.
	Burst int
}
