// Package routegw makes of web requests calls of services or messages on streams, and
// of their replies responses, as routes say that are configuration or Go. All rules
// live in the node.
//
// A Gateway is an http.Handler for a server, or a mux, of your own; httpgw serves one
// beside the node's own surface. It keeps nothing but the counters of rates: any number
// of gateways may serve one node. It is safe for concurrent use and starts no goroutine.
//
// A response with Edda-Position is one to a request that is stored, as durably as
// Edda-Durability says; one who goes away cancels nothing. A problem document without it
// means that nothing was stored. Who calls is the principal of the credentials, never
// something in the request.
package routegw

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// Defaults of Options.
const (
	DefaultWait        = 30 * time.Second
	DefaultMaxBody     = 4 << 20
	DefaultSlowWarning = time.Second
	// MaxWait is the longest wait of a route.
	MaxWait = 10 * time.Minute
)

// Options say what a Gateway serves, and how. The zero value has no routes.
type Options struct {
	// Routes are what is served.
	Routes []Route
	// Wait is that of routes that do not say. Zero means DefaultWait.
	Wait time.Duration
	// MaxBody is that of routes that do not say, in bytes. Zero means DefaultMaxBody.
	MaxBody int64
	// CORS is that of routes that do not say. Nil means that no page of another origin may
	// use them.
	CORS *CORS

	// Authenticator says whose credentials those of a request are. Nil means that everybody is
	// edda.Anonymous and may do everything. Then Listen must be loopback, and requests with a
	// foreign Host or Origin are refused, as by httpgw.
	Authenticator auth.Authenticator
	// KeyHeaders are headers, such as X-Api-Key, that a token may be shown in instead
	// of Authorization.
	KeyHeaders []string
	// Authenticate takes the place of Authenticator for those who know a caller by something
	// else, such as a session's cookie: it returns what whoever sent a request may do.
	// An *edda.Error is answered as it is, any other error with NO_CREDENTIALS.
	// It must be safe for concurrent use. Against requests that other sites have a
	// browser send, see http.CrossOriginProtection.
	Authenticate func(r *http.Request) (*auth.Grant, error)
	// Listen holds the addresses, HOST:PORT, that the server listens on; see httpgw.Options.
	Listen []string
	// Client returns the address of who sent a request, by which the rate of the
	// anonymous is counted. Nil means the peer's; behind a proxy that would be the proxy.
	Client func(r *http.Request) string

	// Durability is what Edda-Durability says. Empty means that of the node, where calls go
	// to one in process, or else that there is no such header.
	Durability edda.Durability
	// Registerer takes the metrics. Nil means that they are kept nowhere.
	Registerer prometheus.Registerer
	// TracerProvider gets a span for each request, which is the parent of the node's own.
	// There are none when nil.
	TracerProvider trace.TracerProvider
	// Logger is slog.DiscardHandler's when nil.
	Logger *slog.Logger
	// SlowWarning is how long a request may take before it is logged; of each path one is
	// logged in 5 s, with how many others there were since the last. Zero means
	// DefaultSlowWarning, a negative value never.
	SlowWarning time.Duration
}

// Backends are what requests are handed to. A *node.Node is both, and so is a
// *client.Conn, but over that the principal is the connection's.
type Backends struct {
	// Calls takes what is for services, Streams what is for streams. One that no route is
	// for may be nil.
	Calls   edda.Backend
	Streams edda.StreamBackend
}
