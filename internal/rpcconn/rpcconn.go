// Package rpcconn connects to a node over gRPC, for package worker and package
// client. Messages are encoded and decoded by those, with package wire: on the
// path of every request that costs a fraction of what generated code does.
package rpcconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/edda-io/edda"
)

// Options say how to connect.
type Options struct {
	// Token is sent as a bearer token with every call; none when empty.
	Token string
	// TLS is how an https connection is secured; nil means the system's roots.
	TLS *tls.Config
	// Agent names the program to the node.
	Agent string
}

// A connection that is silent for pingAfter is asked whether it lives, and given up
// pingTimeout later. gRPC takes no less than 10 s.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// MaxSendBytes is the largest message that a node takes: an outcome of
// edda.MaxOutcomeBytes fits with room to spare. What it sends may be larger.
const (
	MaxSendBytes    = 8 << 20
	maxReceiveBytes = 64 << 20
)

const (
	windowBytes = 4 << 20
	bufferBytes = 64 << 10
)

// Check reports what Dial would find wrong with a URL.
func Check(rawURL string, o Options) error {
	if _, _, err := target(rawURL, o.TLS != nil); err != nil {
		return badURL(rawURL, err)
	}
	return nil
}

// Dial returns a connection to the node at rawURL: "http://host:port",
// "https://host:port", or "host:port", which is https when there is a TLS
// configuration. It connects when it is first used, and again whenever it has to.
// The error is an *edda.Error, BadValue.
func Dial(rawURL string, o Options) (*Conn, error) {
	addr, secure, err := target(rawURL, o.TLS != nil)
	if err != nil {
		return nil, badURL(rawURL, err)
	}
	creds := insecure.NewCredentials()
	if secure {
		creds = credentials.NewTLS(o.TLS)
	}
	w := &witness{addr: addr}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(watched{creds, w, secure}),
		grpc.WithUserAgent(o.Agent),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(maxReceiveBytes), grpc.MaxCallSendMsgSize(MaxSendBytes)),
		grpc.WithInitialWindowSize(windowBytes), grpc.WithInitialConnWindowSize(2 * windowBytes),
		grpc.WithReadBufferSize(bufferBytes), grpc.WithWriteBufferSize(bufferBytes),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithIdleTimeout(0),
	}
	if o.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(o.Token)))
	}
	// Names are resolved by the dialer, each time: gRPC's own resolver would ask at
	// most every 30 s, and a node that has moved would stay lost for so long.
	conn, err := grpc.NewClient("passthrough:///"+addr, options...)
	if err != nil {
		return nil, badURL(rawURL, err)
	}
	return &Conn{conn, w}, nil
}

func badURL(rawURL string, err error) error {
	return &edda.Error{Op: fmt.Sprintf("connect to %q", rawURL), Reason: edda.BadValue, Err: err}
}

// errForm says what a URL looks like.
var errForm = errors.New(`want "http://host:port", "https://host:port" or "host:port"; a node listens on port 7400 by default`)

// target reads a URL.
func target(rawURL string, secure bool) (addr string, useTLS bool, err error) {
	if host, port, err := net.SplitHostPort(rawURL); err == nil && host != "" && !strings.ContainsAny(host, "/@?#") && isPort(port) {
		return rawURL, secure, nil
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return "", false, errForm
	}
	port := u.Port()
	switch {
	case u.Scheme == "http" && secure:
		return "", false, errors.New("there is a TLS configuration, but the URL says http; use https")
	case u.Scheme == "http":
		port = cmp.Or(port, "80")
	case u.Scheme == "https":
		secure = true
		port = cmp.Or(port, "443")
	default:
		return "", false, errForm
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return "", false, errors.New("the URL goes on after the port; a node is reached at its root")
	}
	if u.User != nil {
		return "", false, errors.New("the URL has a user; credentials are given as a token")
	}
	return net.JoinHostPort(u.Hostname(), port), secure, nil
}

func isPort(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// bearer is a token that goes with each call.
type bearer string

// GetRequestMetadata returns the header that carries the token.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is false: nodes on loopback and behind a mesh have no
// TLS of their own.
func (bearer) RequireTransportSecurity() bool { return false }
