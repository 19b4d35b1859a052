// Package apidoc describes the HTTP surface of a node: what it takes and answers as an
// OpenAPI document, and what is sent and heard over it as an AsyncAPI document. It knows no
// server and no node: it is handed the routes, each with what there is to say of it, and
// the services, streams and channels that there are.
//
// The functions keep no state and are safe for concurrent use.
package apidoc

import "github.com/edda-io/edda"

// Object is a JSON object of a document.
type Object = map[string]any

type obj = Object

// API is the surface that is described. Nothing in it is changed.
type API struct {
	// Version is that of the surface.
	Version string
	Routes  []Route
	// Others are paths that somebody else describes, as they stand below "paths".
	Others Object
	// Secured says that credentials are asked for: a bearer token, or one in a header that
	// is listed in KeyHeaders.
	Secured    bool
	KeyHeaders []string
	// Live says that there are live connections.
	Live bool
}

// Route is one path of the surface.
type Route struct {
	// Template is the path, with its parameters in braces.
	Template string
	// Namespaced routes are found under /v1/ns/{namespace} too.
	Namespaced bool
	// Open routes ask for no credentials.
	Open bool
	// Keyed routes ask for none where the query has a completion key.
	Keyed bool
	// Operations are what it does, by the HTTP method.
	Operations map[string]*Operation
}

// Operation is what there is to say of an operation beside what its route says. Schemas are
// named as in the document, below components.
type Operation struct {
	ID      string
	Summary string
	// Query and Header name parameters; what stands before a dot in a name tells parameters
	// of one name apart.
	Query  []string
	Header []string
	// Success is the status, 200 when zero; Schema names the document that comes
	// with it, Media the type of a body that is no document of the node's.
	Success int
	Schema  string
	Media   string
	// Also are other media types of what comes back beside the document.
	Also []string
	// Accepted names the response that comes with a 202 beside Success.
	Accepted string
	// Body names the document that is sent; Optional says that there need be none.
	Body     string
	Optional bool
	// Bodies name the schemas of what is sent by its media type, where several can be; an
	// empty one is not described.
	Bodies map[string]string
	// Creates says that the same document comes with 201 when something was made.
	Creates bool
	// Call marks the operations that call services.
	Call bool
}

// Topics are what can be sent to and heard.
type Topics struct {
	Services []edda.ServiceInfo
	Streams  []edda.Stream
	Channels []edda.Channel
}
