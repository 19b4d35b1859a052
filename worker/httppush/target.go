package httppush

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"hash"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// Bounds of the way to an endpoint.
const (
	// dialTimeout is how long connecting may take, and the TLS handshake again; at
	// most half an attempt, so that an endpoint that swallows what is sent to it costs
	// no attempts.
	dialTimeout = 5 * time.Second
	// idleTimeout is below the 5 s after which many servers close an idle connection:
	// an attempt that is sent just then would be lost.
	idleTimeout = 4 * time.Second
	// A peer that vanished is noticed after about half a minute, whoever waits for
	// whom.
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 3
	// maxHeader bounds the headers of an answer.
	maxHeader = 64 << 10
)

// target is one specification of an endpoint, and the connections to it. It never
// changes.
type target struct {
	spec      edda.EndpointSpec
	ordered   bool
	envelope  bool
	url       *url.URL // without a slash at the end
	health    *url.URL // nil when there is no path to ask for
	connect   time.Duration
	dialer    net.Dialer
	transport *http.Transport
	macs      sync.Pool // of hash.Hash, keyed with the secret
	maxReply  int64
	signed    bool
}

func newTarget(spec edda.EndpointSpec, opts *Options) (*target, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	spec = spec.WithDefaults()
	u, err := url.Parse(spec.URL)
	if err != nil {
		return nil, err
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	key, err := spec.SecretKey()
	if err != nil {
		return nil, err
	}
	t := &target{
		spec: spec, ordered: spec.Kind == edda.Ordered, envelope: spec.Protocol == edda.Envelope, url: u,
		connect: dialTimeout, maxReply: opts.MaxReply, signed: key != nil,
	}
	if limit := spec.AttemptTimeout; limit != 0 {
		t.connect = min(t.connect, limit/2)
	}
	if spec.HealthPath != "" {
		if t.health, err = u.Parse(spec.HealthPath); err != nil {
			return nil, err
		}
	}
	t.macs.New = func() any { return hmac.New(sha256.New, key) }
	t.dialer = net.Dialer{Timeout: t.connect, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
	}}
	t.transport = t.newTransport(opts.TLS)
	return t, nil
}

func (t *target) newTransport(conf *tls.Config) *http.Transport {
	if conf != nil {
		conf = conf.Clone()
	}
	return &http.Transport{
		DialContext:            t.dialer.DialContext,
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    t.connect,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: keepAliveIdle, PingTimeout: keepAliveInterval},
		DisableCompression:     true, // the answer is the reply as it came
		MaxIdleConnsPerHost:    t.spec.Concurrency,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// methodURL returns where attempts at a method are posted to. Names of methods
// need no escaping.
func (t *target) methodURL(method string) *url.URL {
	u := *t.url
	u.Path += "/" + method
	if u.RawPath != "" {
		u.RawPath += "/" + method
	}
	return &u
}

// mac returns a hash that is keyed with the secret; it goes back with macs.Put.
func (t *target) mac() hash.Hash {
	h := t.macs.Get().(hash.Hash)
	h.Reset()
	return h
}
