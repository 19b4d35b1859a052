// Package setting reads what a node is told: from a YAML file, from the
// environment and from flags, each stronger than the one before. Whatever it
// does not know it refuses by name, and a value that makes no sense with the
// place it came from.
//
// The functions keep no state and are safe for concurrent use.
package setting

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/gateway/wsgw"
	"github.com/edda-io/edda/node"
)

// Command is the command that a node is told by. Some settings are for one only.
type Command string

// The commands.
const (
	Dev   Command = "dev"
	Serve Command = "serve"
)

// Node is how a command runs a node.
type Node struct {
	// Listen is HOST:PORT.
	Listen string
	// Dir is the data directory, unused when Durability is edda.Memory.
	Dir        string
	Durability edda.Durability
	Partitions int
	// Example says that the example services are hosted.
	Example  bool
	LogLevel slog.Level
	// LogJSON says that the log is JSON lines, not text.
	LogJSON bool
	// DrainTimeout is how long handlers may go on after the signal to stop.
	DrainTimeout time.Duration
	// KeepSagas is how long a saga is kept once it has ended.
	KeepSagas time.Duration
	// SlowWarning is how long a handler, or a request over HTTP, may take before it is
	// logged; never when negative.
	SlowWarning time.Duration
	// Heartbeat is how often a worker elsewhere has to show that it lives, and Lifetime how
	// long it may be silent; three times that when zero.
	Heartbeat, Lifetime time.Duration
	// TLS is how connections are encrypted; not at all without CertFile.
	TLS auth.ServerTLSOptions
	// Certificates say how clients' certificates become principals, where TLS has a
	// client CA.
	Certificates auth.CertificateOptions
	// JWT says which JSON Web Tokens are taken; none without Keys.
	JWT auth.JWTOptions
	// Tokens are the static tokens.
	Tokens []auth.Token
	// Grants say what principals may do; nil when nothing was said about it.
	Grants map[edda.Principal]auth.Rights
	Limits node.Limits
	// AuthService is the service that is asked whose a token is; none without its Service.
	AuthService auth.ServiceOptions
	// KeyHeaders are headers that a token may be shown in instead of Authorization.
	KeyHeaders []string
	// Origins are those of pages of other sites that may use the node.
	Origins []string
	Routes  []routegw.Route
	Pages   []Page
	// Live has what one WebSocket may use, and nothing else.
	Live wsgw.Options
	// From says of each setting that was set where that was.
	From map[string]Source
}

// everybodyElse stands in grants for principals without an entry of their own.
const everybodyElse = "*"

// Rights returns what a principal may do. Without any grants everybody who has a
// credential may do everything.
func (n *Node) Rights(p edda.Principal) auth.Rights {
	if n.Grants == nil {
		return auth.Everything()
	}
	if r, ok := n.Grants[p]; ok {
		return r
	}
	return n.Grants[everybodyElse]
}

// Anonymous reports whether nobody is asked for credentials.
func (n *Node) Anonymous() bool {
	return n.strangers() && n.AuthService.Service == ""
}

// strangers reports whether the node itself knows nobody.
func (n *Node) strangers() bool {
	return len(n.Tokens) == 0 && n.JWT.Keys == "" && n.TLS.ClientCAFile == ""
}

// Encrypted reports whether connections are.
func (n *Node) Encrypted() bool { return n.TLS.CertFile != "" }

// check refuses settings that do not fit together.
func (n *Node) check(c Command) error {
	switch {
	case n.Dir == "" && n.Durability != edda.Memory:
		return fmt.Errorf("dir is not set: edda %s needs a data directory, with --dir, EDDA_DIR or dir in the file", c)
	case (n.TLS.CertFile == "") != (n.TLS.KeyFile == ""):
		return errors.New("tls.cert and tls.key go together, and one of them is not set")
	case n.TLS.ClientCAFile != "" && !n.Encrypted():
		return errors.New("tls.clientCA is set, but clients show certificates only over TLS: set tls.cert and tls.key")
	case n.TLS.RequireClient && n.TLS.ClientCAFile == "":
		return errors.New("tls.clientCert is required, but nothing says who signs clients' certificates: set tls.clientCA")
	case n.JWT.Keys == "" && (n.JWT.Issuer != "" || n.JWT.Audience != ""):
		return errors.New("jwt.keys is not set: it names where the issuer's keys are")
	case n.JWT.Keys != "" && (n.JWT.Issuer == "" || n.JWT.Audience == ""):
		return errors.New("jwt.keys is set, but jwt.issuer or jwt.audience is not: without them tokens for other services would do")
	case n.Lifetime != 0 && n.Lifetime < n.Heartbeat:
		return fmt.Errorf("workers.lifetime is %v, must be at least workers.heartbeat, %v", n.Lifetime, n.Heartbeat)
	}
	if err := n.checkGrants(); err != nil {
		return err
	}
	if err := n.checkAuthService(); err != nil {
		return err
	}
	if !n.Anonymous() || Loopback(n.Listen) {
		return nil
	}
	return fmt.Errorf("listen %q can be reached from other machines, and there are no credentials: listen on 127.0.0.1, or "+
		"give each caller a token with --credential NAME=TOKEN, EDDA_CREDENTIALS or credentials in the file, or set jwt.keys or tls.clientCA", n.Listen)
}

// checkAuthService refuses a service that cannot be asked.
func (n *Node) checkAuthService() error {
	o := &n.AuthService
	if o.Service == "" {
		return refuse(o.Plain, "auth.plain is set, but no service is asked: set auth.service")
	}
	for _, c := range [...]struct{ what, name string }{{"namespace", o.Namespace}, {"service", o.Service}, {"method", o.Method}} {
		if err := edda.CheckName(c.what, c.name); err != nil {
			return fmt.Errorf("auth.%s: %w", c.what, whyOf(err))
		}
	}
	return refuse(n.strangers(), "auth.service is set, but nobody could host the service: its worker needs credentials that it is not asked about itself, "+
		"so set credentials, jwt.keys or tls.clientCA too")
}

// checkGrants refuses to let in with all rights whomever somebody else vouches for.
func (n *Node) checkGrants() error {
	if n.Grants != nil {
		if n.Anonymous() {
			return errors.New("grants are set, but there are no credentials to know anybody by: set credentials, jwt.keys or tls.clientCA")
		}
		return nil
	}
	const say = "say in the file, under grants, what they may do (\"*\" stands for everybody who is not named)"
	switch {
	case n.TLS.ClientCAFile != "":
		return errors.New("tls.clientCA lets in all who have a certificate of it: " + say)
	case n.JWT.Keys != "" && cmp.Or(n.JWT.CallClaim, n.JWT.HostClaim, n.JWT.AppendClaim, n.JWT.ReadClaim,
		n.JWT.PublishClaim, n.JWT.SubscribeClaim, n.JWT.ManageClaim) == "":
		return errors.New("jwt.keys lets in all whom the issuer knows: " + say + ", or set jwt.callClaim, jwt.hostClaim, jwt.appendClaim, " +
			"jwt.readClaim, jwt.publishClaim, jwt.subscribeClaim or jwt.manageClaim")
	}
	return nil
}

// Loopback reports whether an address HOST:PORT is reached from this machine alone.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
