package wsgw

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/option"
)

// Subprotocol is what clients must ask for.
const Subprotocol = "edda.v1.json"

// Defaults of Options.
const (
	DefaultMaxFrame         = 4 << 20
	DefaultRate             = 10_000
	DefaultMaxCalls         = 256
	DefaultMaxSubscriptions = 128
	DefaultMaxBuffered      = 1 << 20
	DefaultMaxBehind        = 4 << 20
	DefaultAuthTimeout      = 10 * time.Second
	DefaultWriteTimeout     = 10 * time.Second
	DefaultPing             = 25 * time.Second
)

// Options say how a Gateway serves. The zero value works. No number may be negative.
type Options struct {
	// Authenticator says who connects and what they may do: auth.Admit is asked at the
	// upgrade, at each frame "auth", and again every Ping; what the grant allows is asked at
	// each frame.
	//
	// Nil means that everybody is edda.Anonymous and may do everything. Then Listen must be
	// loopback addresses, and who comes with a foreign Host or Origin is refused.
	Authenticator auth.Authenticator
	// Listen holds the addresses, HOST:PORT, that the server listens on. Without
	// Authenticator they are taken for the node's own in Host and Origin, beside
	// localhost, 127.0.0.1 and [::1]. Empty means that the port is not checked.
	Listen []string
	// KeyHeaders are headers of the upgrade, beside Authorization, that a token may be shown
	// in, such as X-Api-Key.
	KeyHeaders []string
	// Origins are those of other sites whose pages may connect, such as
	// https://app.example.com. "*" stands for all, and needs an Authenticator; it does not
	// stand for pages whose browser shows a client certificate.
	Origins []string

	// MaxFrame is the size of the largest frame from a client in bytes. Zero means
	// DefaultMaxFrame; a larger one closes the connection with 1009.
	MaxFrame int64
	// Rate is how many frames a connection may send in a second, over time, and Burst how
	// many at once. Zero means DefaultRate, and Rate. Those above are refused with
	// RATE_LIMITED; a connection that goes on is closed with 1008.
	Rate, Burst int
	// MaxCalls is how many calls, and how many appends, of a connection may wait for their
	// outcome. Zero means DefaultMaxCalls; more are refused with OVERLOADED.
	MaxCalls int
	// MaxSubscriptions is how many subscriptions a connection may have. Zero means
	// DefaultMaxSubscriptions; more are refused with OVERLOADED.
	MaxSubscriptions int
	// MaxBuffered is how many bytes of answers may wait to be written before nothing
	// more is read from the connection. Zero means DefaultMaxBuffered.
	MaxBuffered int
	// MaxBehind is by how many bytes a subscription that has credit may fall behind before
	// its connection is closed with SLOW and 1013. Zero means DefaultMaxBehind.
	MaxBehind int64
	// AuthTimeout is how long a connection without credentials has to authenticate.
	// Zero means DefaultAuthTimeout.
	AuthTimeout time.Duration
	// WriteTimeout is how long a write of at most 256 KiB, or of one larger frame, may take
	// before the connection is given up. Zero means DefaultWriteTimeout.
	WriteTimeout time.Duration
	// Ping is how often a connection that is silent is asked whether it is there. It is
	// gone when it has not answered twice. Zero means DefaultPing.
	Ping time.Duration
	// MaxConnections is how many connections there may be in all, and MaxPerPrincipal how
	// many of one principal; zero is no limit. More are refused with 503 and 429 at the
	// upgrade, and with OVERLOADED and 1013 where they authenticate later.
	MaxConnections, MaxPerPrincipal int

	// OnOpen is called when it is known who has connected, before any of its calls. An
	// error refuses it: an *edda.Error as it is, another one as NOT_ALLOWED. The context
	// ends with the connection.
	OnOpen func(ctx context.Context, c *Conn) error
	// OnClose is called once for each connection that OnOpen has let in, with the code that
	// it was closed with: 1006 when it broke.
	OnClose func(c *Conn, code int)
	// OnPing is called when a client shows by a ping that it is there.
	OnPing func(c *Conn)

	// Registerer takes the metrics of the gateway. Nil means that they are kept nowhere.
	Registerer prometheus.Registerer
	// Logger is slog.DiscardHandler's when nil.
	Logger *slog.Logger
}

// Conn is what hooks are told of a connection. Nobody changes it.
type Conn struct {
	// ID tells connections of this process apart.
	ID uint64
	// Namespace is where all that it says is.
	Namespace string
	Principal edda.Principal
	// RemoteAddr is the address of the client, or of a proxy before it.
	RemoteAddr string
	// Header is that of the upgrade, without what is secret in it: Authorization, Cookie, and
	// the KeyHeaders.
	Header http.Header
}

// withDefaults returns the options with what they leave out, or an error that names the
// one that makes no sense.
func (o Options) withDefaults() (Options, error) {
	for name, n := range map[option.Name]int64{
		"MaxFrame": o.MaxFrame, "Rate": int64(o.Rate), "Burst": int64(o.Burst), "MaxCalls": int64(o.MaxCalls),
		"MaxSubscriptions": int64(o.MaxSubscriptions), "MaxBuffered": int64(o.MaxBuffered), "MaxBehind": o.MaxBehind,
		"AuthTimeout": int64(o.AuthTimeout), "WriteTimeout": int64(o.WriteTimeout), "Ping": int64(o.Ping),
		"MaxConnections": int64(o.MaxConnections), "MaxPerPrincipal": int64(o.MaxPerPrincipal),
	} {
		if n < 0 {
			return o, option.Refuse(option.Bad(name, "is %d, must not be negative", n))
		}
	}
	o.MaxFrame = cmp.Or(o.MaxFrame, DefaultMaxFrame)
	o.Rate = cmp.Or(o.Rate, DefaultRate)
	o.Burst = cmp.Or(o.Burst, o.Rate)
	o.MaxCalls = cmp.Or(o.MaxCalls, DefaultMaxCalls)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, DefaultMaxSubscriptions)
	o.MaxBuffered = cmp.Or(o.MaxBuffered, DefaultMaxBuffered)
	o.MaxBehind = cmp.Or(o.MaxBehind, DefaultMaxBehind)
	o.AuthTimeout = cmp.Or(o.AuthTimeout, DefaultAuthTimeout)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, DefaultWriteTimeout)
	o.Ping = cmp.Or(o.Ping, DefaultPing)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := httpio.CheckOrigins(o.Origins, o.Authenticator == nil); err != nil {
		return o, option.Refuse(option.Bad("Origins", "has %w", err))
	}
	return o, nil
}
