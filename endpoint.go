package edda

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Protocol says how a plain HTTP endpoint is asked to handle a request.
type Protocol string

// The protocols of endpoints.
const (
	// Plain: the payload is the body, the reply is the answer. The default.
	Plain Protocol = "plain"
	// Envelope: both are JSON documents that hold the key's state too.
	Envelope Protocol = "envelope"
)

// Defaults and limits of an endpoint.
const (
	// DefaultEndpointConcurrency is how many requests an endpoint gets at a time.
	DefaultEndpointConcurrency = 64
	DefaultHealthInterval      = 5 * time.Second
	MinHealthInterval          = 100 * time.Millisecond
	MaxHealthInterval          = time.Hour
	// MaxSecretBytes is the longest key that a secret stands for.
	MaxSecretBytes = 256
)

// SecretPrefix begins a secret in the form of Standard Webhooks: what follows is
// the key in base64.
const SecretPrefix = "whsec_"

// EndpointSpec is a service whose handlers are behind a plain HTTP endpoint.
type EndpointSpec struct {
	// ServiceSpec is what a node knows of every service. Concurrency zero means
	// DefaultEndpointConcurrency here; there are no Schemas.
	ServiceSpec
	// URL is where attempts are posted to, with a slash and the method after it. It
	// is http or https, has a host, and has neither credentials nor query nor
	// fragment. Private addresses are allowed: whoever may set an endpoint may make
	// the node send requests to all that it can reach.
	URL string
	// Protocol is Plain when empty.
	Protocol Protocol
	// HealthPath is asked for with GET, from the root of the URL's host. While it
	// does not answer with a 2xx status the endpoint is out of service. When empty
	// only refused connections put it out of service, and a connection that succeeds
	// brings it back.
	HealthPath string
	// HealthInterval is how often HealthPath is asked for; DefaultHealthInterval when
	// zero.
	HealthInterval time.Duration
	// Secret signs what is posted. With SecretPrefix it is the key in base64, else
	// the key itself. A node makes one when it is empty.
	Secret string
}

// WithDefaults returns the specification with every zero field that has a default
// replaced by it.
func (e EndpointSpec) WithDefaults() EndpointSpec {
	e.Concurrency = cmp.Or(e.Concurrency, DefaultEndpointConcurrency)
	e.Protocol = cmp.Or(e.Protocol, Plain)
	if e.HealthPath != "" {
		e.HealthInterval = cmp.Or(e.HealthInterval, DefaultHealthInterval)
	}
	return e
}

// Validate names the first field that makes no sense, as the HTTP surface calls
// it.
func (e *EndpointSpec) Validate() error {
	if err := e.ServiceSpec.Validate(); err != nil {
		return err
	}
	bad := func(format string, args ...any) error {
		return &Error{Op: "check endpoint of service " + e.Name, Reason: BadValue, Err: fmt.Errorf(format, args...)}
	}
	if len(e.Schemas) > 0 {
		return bad("schemas are given, but payloads for an endpoint are not checked by the node")
	}
	seen := make(map[string]bool, len(e.Methods))
	for _, m := range e.Methods {
		if seen[m] {
			return bad("methods has %q twice", clip(m))
		}
		seen[m] = true
	}
	if why := checkEndpointURL(e.URL); why != "" {
		return bad("endpoint %s", why)
	}
	switch e.Protocol {
	case "", Plain, Envelope:
	default:
		return bad("protocol %q is neither plain nor envelope", clip(string(e.Protocol)))
	}
	if e.HealthPath != "" {
		u, err := url.Parse(e.HealthPath)
		if err != nil || !strings.HasPrefix(e.HealthPath, "/") || u.Host != "" || u.Fragment != "" {
			return bad("health.path is %q, must be a path such as /healthz", clip(e.HealthPath))
		}
	}
	if d := e.HealthInterval; d != 0 {
		switch {
		case e.HealthPath == "":
			return bad("health.interval is given without health.path")
		case d < MinHealthInterval || d > MaxHealthInterval:
			return bad("health.interval is %v, must be from %v to %v", d, MinHealthInterval, MaxHealthInterval)
		}
	}
	if _, err := e.SecretKey(); err != nil {
		return bad("secret %w", err)
	}
	return nil
}

// Info is what everybody may know of the endpoint: all but the secret, with what
// has a default filled in.
func (e *EndpointSpec) Info() *EndpointInfo {
	d, retry := e.WithDefaults(), e.Retry.WithDefaults()
	info := &EndpointInfo{
		Endpoint: d.URL, Protocol: d.Protocol, Concurrency: d.Concurrency,
		AttemptTimeout: cmp.Or(d.AttemptTimeout, DefaultAttemptTimeout).String(), OnDead: cmp.Or(d.OnDead, Continue),
		Retry: RetryInfo{
			Max: retry.Max, Delay: retry.Delay.String(), MaxDelay: retry.MaxDelay.String(), Backoff: retry.Backoff, Jitter: max(retry.Jitter, 0),
		},
	}
	if d.HealthPath != "" {
		info.Health = &HealthInfo{Path: d.HealthPath, Interval: d.HealthInterval.String()}
	}
	return info
}

// EndpointInfo is what is known of a plain HTTP endpoint. Durations are Go
// strings, such as "1.5s".
type EndpointInfo struct {
	// Endpoint is the URL.
	Endpoint       string      `json:"endpoint"`
	Protocol       Protocol    `json:"protocol"`
	Concurrency    int         `json:"concurrency"`
	AttemptTimeout string      `json:"attemptTimeout"`
	Retry          RetryInfo   `json:"retry"`
	OnDead         OnDead      `json:"onDead"`
	Health         *HealthInfo `json:"health,omitempty"`
	// Secret is shown once, to whoever had the node make it.
	Secret string `json:"secret,omitempty"`
}

// RetryInfo is a RetryPolicy with its defaults filled in.
type RetryInfo struct {
	Max      int     `json:"max"`
	Delay    string  `json:"delay"`
	MaxDelay string  `json:"maxDelay"`
	Backoff  float64 `json:"backoff"`
	Jitter   float64 `json:"jitter"`
}

// HealthInfo is an endpoint's health check.
type HealthInfo struct {
	Path     string `json:"path"`
	Interval string `json:"interval"`
}

// SecretKey returns the key that Secret stands for, nil when it is empty.
func (e *EndpointSpec) SecretKey() ([]byte, error) {
	text, encoded := strings.CutPrefix(e.Secret, SecretPrefix)
	key := []byte(text)
	if encoded {
		var err error
		if key, err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("begins with %s, but what follows is not base64", SecretPrefix)
		}
	}
	switch {
	case e.Secret == "":
		return nil, nil
	case len(key) == 0 || len(key) > MaxSecretBytes:
		return nil, fmt.Errorf("stands for a key of %d bytes, must be 1 to %d", len(key), MaxSecretBytes)
	}
	return key, nil
}

// checkEndpointURL says what is wrong with the URL, or "". It does not repeat a
// URL with credentials.
func checkEndpointURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return "is missing; give the URL that requests are posted to, such as http://127.0.0.1:8000/users"
	case err != nil:
		return "is not a URL, must be like http://127.0.0.1:8000/users"
	case u.User != nil:
		return "has credentials, which everybody who may look at the service would see; what is posted is signed with the secret instead"
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !validPort(u.Port()):
		return fmt.Sprintf("is %q, must be like http://127.0.0.1:8000/users", clip(s))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Sprintf("is %q, must have neither query nor fragment", clip(s))
	}
	return ""
}

// validPort reports whether a port is left out or there is one of that number.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}
