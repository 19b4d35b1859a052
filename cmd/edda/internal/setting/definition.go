package setting

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/cmd/edda/internal/human"
)

// definition is one setting. In the file it has its name, each dot a level; in the
// environment and as a flag a name made from that: tls.clientCA,
// EDDA_TLS_CLIENT_CA, --tls-client-ca.
type definition struct {
	name  string
	value string // the default
	usage string // a word in backquotes names the value
	set   func(*Node, string) error
}

// The settings that hold several values, and have their own way to be read.
const (
	credentials = "credentials"
	pages       = "pages"
	routes      = "routes"
	grants      = "grants"
)

// lists are the settings that are a list in the file, and have commas in the environment
// and as flags.
var lists = map[string]bool{"origins": true, "auth.keyHeaders": true}

// maxPayload is the largest payload that a node takes.
const maxPayload = 7 << 20

// definitions lists the settings of a command that are one value each, in the
// order of the help.
func definitions(c Command) []definition {
	all := slices.Concat(nodeDefinitions(c), tlsDefinitions(), jwtDefinitions(), authDefinitions(), limitDefinitions(), liveDefinitions(), workerDefinitions())
	if c == Dev {
		return all
	}
	return slices.DeleteFunc(all, func(d definition) bool { return d.name == "example" })
}

func nodeDefinitions(c Command) []definition {
	dir := map[Command]string{Dev: "edda-data"}[c]
	return []definition{
		{"listen", "127.0.0.1:7400", "`HOST:PORT` to listen on; port 0 takes a free one", func(n *Node, v string) error {
			n.Listen = v
			return checkListen(v)
		}},
		{"dir", dir, "data `DIR`, made when missing", text(func(n *Node) *string { return &n.Dir })},
		{"durability", "fsync", "what an acknowledgement promises: `fsync|os|memory`", func(n *Node, v string) (err error) {
			n.Durability, err = edda.ParseDurability(v)
			return refuse(err != nil, "must be fsync, os or memory")
		}},
		{"partitions", "64", "units of order, a power of two; fixed once the directory exists", func(n *Node, v string) (err error) {
			n.Partitions, err = strconv.Atoi(v)
			return refuse(err != nil || n.Partitions < 1 || n.Partitions&(n.Partitions-1) != 0, "must be a power of two")
		}},
		{"example", "false", "host the example services users, counter, echo, slow, flaky, smithy, flights, hotels and cars", func(n *Node, v string) (err error) {
			n.Example, err = strconv.ParseBool(v)
			return refuse(err != nil, "must be true or false")
		}},
		{"logLevel", "info", "what is logged: `error|warn|info|debug`", func(n *Node, v string) error {
			level, ok := map[string]slog.Level{
				"error": slog.LevelError, "warn": slog.LevelWarn, "info": slog.LevelInfo, "debug": slog.LevelDebug,
			}[v]
			n.LogLevel = level
			return refuse(!ok, "must be error, warn, info or debug")
		}},
		{"logFormat", "text", "how it is logged: `text|json`", func(n *Node, v string) error {
			n.LogJSON = v == "json"
			return refuse(v != "text" && v != "json", "must be text or json")
		}},
		{"drainTimeout", "10s", "how long handlers may go on after SIGTERM or Ctrl-C", func(n *Node, v string) (err error) {
			n.DrainTimeout, err = time.ParseDuration(v)
			return refuse(err != nil || n.DrainTimeout < 0, "must be a duration such as 10s, and not below zero")
		}},
		{"origins", "", "ORIGINS of pages of other sites that may use the node, such as https://app.example.com", texts(func(n *Node) *[]string { return &n.Origins })},
		{"keepSagas", "168h", "how long a saga that has ended is kept", duration(func(n *Node) *time.Duration { return &n.KeepSagas })},
		{"slowWarning", "1s", "how long a handler, or a request over HTTP, may take before it is logged; never when 0", func(n *Node, v string) error {
			d, err := time.ParseDuration(v)
			if n.SlowWarning = d; d == 0 {
				n.SlowWarning = -1
			}
			return refuse(err != nil || d < 0, "must be a duration such as 1s, or 0 for never")
		}},
	}
}

func tlsDefinitions() []definition {
	return []definition{
		{"tls.cert", "", "PEM `FILE` with the node's certificate and its chain; a file that is replaced is read again", text(func(n *Node) *string { return &n.TLS.CertFile })},
		{"tls.key", "", "PEM `FILE` with its key", text(func(n *Node) *string { return &n.TLS.KeyFile })},
		{"tls.clientCA", "", "PEM `FILE` with the CA of clients' certificates, which then are credentials", text(func(n *Node) *string { return &n.TLS.ClientCAFile })},
		{"tls.clientCert", "optional", "whether each connection must show one: `optional|required`", func(n *Node, v string) error {
			n.TLS.RequireClient = v == "required"
			return refuse(v != "optional" && v != "required", "must be optional or required")
		}},
		{"tls.principal", "commonName", "what of it is the principal: `commonName|dns|uri|email`", func(n *Node, v string) error {
			n.Certificates.Identity = auth.Identity(v)
			_, err := auth.NewCertificates(n.Certificates)
			return refuse(err != nil, "must be commonName, dns, uri or email")
		}},
		{"tls.prefix", "", "`TEXT` put before that name", text(func(n *Node) *string { return &n.Certificates.Prefix })},
	}
}

func jwtDefinitions() []definition {
	claim := func(what string) string { return "`CLAIM` " + what }
	return []definition{
		{"jwt.keys", "", "where the issuer's keys are, as a JWKS: https `URL` or file", text(func(n *Node) *string { return &n.JWT.Keys })},
		{"jwt.issuer", "", "what the claim iss must be", text(func(n *Node) *string { return &n.JWT.Issuer })},
		{"jwt.audience", "", "what the claim aud must hold", text(func(n *Node) *string { return &n.JWT.Audience })},
		{"jwt.leeway", "30s", "how much clocks may differ", duration(func(n *Node) *time.Duration { return &n.JWT.Leeway })},
		{"jwt.refresh", "5m", "how often the keys are fetched", duration(func(n *Node) *time.Duration { return &n.JWT.Refresh })},
		{"jwt.principalClaim", "sub", claim("that is the principal"), func(n *Node, v string) error {
			n.JWT.PrincipalClaim = v
			return refuse(v == "", "must name a claim")
		}},
		{"jwt.prefix", "", "`TEXT` put before it", text(func(n *Node) *string { return &n.JWT.Prefix })},
		{"jwt.callClaim", "", claim("that lists services it may call"), text(func(n *Node) *string { return &n.JWT.CallClaim })},
		{"jwt.hostClaim", "", claim("that lists services it may host as a worker"), text(func(n *Node) *string { return &n.JWT.HostClaim })},
		{"jwt.appendClaim", "", claim("that lists streams it may append to"), text(func(n *Node) *string { return &n.JWT.AppendClaim })},
		{"jwt.readClaim", "", claim("that lists streams it may read, and consume in groups"), text(func(n *Node) *string { return &n.JWT.ReadClaim })},
		{"jwt.publishClaim", "", claim("that lists channels it may publish to"), text(func(n *Node) *string { return &n.JWT.PublishClaim })},
		{"jwt.subscribeClaim", "", claim("that lists channels it may subscribe to"), text(func(n *Node) *string { return &n.JWT.SubscribeClaim })},
		{"jwt.manageClaim", "", claim("that is true for those who may manage the node"), text(func(n *Node) *string { return &n.JWT.ManageClaim })},
	}
}

func authDefinitions() []definition {
	return []definition{
		{"auth.keyHeaders", "", "HEADERS, such as X-Api-Key, that a token may be shown in instead of Authorization", texts(func(n *Node) *[]string { return &n.KeyHeaders })},
		{"auth.service", "", "`SERVICE` of yours that is asked whose a token is, and what its owner may do", text(func(n *Node) *string { return &n.AuthService.Service })},
		{"auth.namespace", edda.DefaultNamespace, "`NAMESPACE` of that service", text(func(n *Node) *string { return &n.AuthService.Namespace })},
		{"auth.method", auth.DefaultServiceMethod, "`METHOD` of it", text(func(n *Node) *string { return &n.AuthService.Method })},
		{"auth.plain", "false", "hand it the token itself, not its SHA-256 hash", func(n *Node, v string) (err error) {
			n.AuthService.Plain, err = strconv.ParseBool(v)
			return refuse(err != nil, "must be true or false")
		}},
		{"auth.timeout", "5s", "how long its answer may take", duration(func(n *Node) *time.Duration { return &n.AuthService.Timeout })},
		{"auth.keep", "1m", "how long an answer counts, at most until the token expires", duration(func(n *Node) *time.Duration { return &n.AuthService.Keep })},
		{"auth.calls", "64", "most questions to it at a time", number(func(n *Node) *int { return &n.AuthService.Calls })},
	}
}

func limitDefinitions() []definition {
	return []definition{
		{"limits.payloadBytes", "4MiB", "largest body or payload in `BYTES`, at most 7MiB", size(maxPayload, func(n *Node) *int { return &n.Limits.PayloadBytes })},
		{"limits.keyQueue", "10000", "most unfinished requests of one key", number(func(n *Node) *int { return &n.Limits.KeyQueue })},
		{"limits.nodeBytes", "256MiB", "memory for unfinished requests in `BYTES`", size(math.MaxInt, func(n *Node) *int { return &n.Limits.NodeBytes })},
		{"limits.partitionRequests", "1024", "most requests of a partition that wait to become durable", number(func(n *Node) *int { return &n.Limits.PartitionRequests })},
		{"limits.partitionBytes", "32MiB", "their `BYTES`", size(math.MaxInt, func(n *Node) *int { return &n.Limits.PartitionBytes })},
		{"limits.outboxBytes", "64MiB", "`BYTES` that one partition has on its way to others before it takes nothing new", size(math.MaxInt, func(n *Node) *int { return &n.Limits.OutboxBytes })},
		{"limits.requestParts", "10000", "most parts of a reply that one attempt yields", number(func(n *Node) *int { return &n.Limits.RequestParts })},
		{"limits.requestPartBytes", "64MiB", "their `BYTES`", size(math.MaxInt, func(n *Node) *int { return &n.Limits.RequestPartBytes })},
		{"limits.replyBytes", "1GiB", "`BYTES` of replies kept for callers who ask later", size(math.MaxInt, func(n *Node) *int { return &n.Limits.ReplyBytes })},
		{"limits.noServiceWait", "2s", "how long a call waits for a service that is not registered", duration(func(n *Node) *time.Duration { return &n.Limits.NoServiceWait })},
		{"limits.noWorkerWait", "2s", "how long it waits for a worker", duration(func(n *Node) *time.Duration { return &n.Limits.NoWorkerWait })},
	}
}

// liveDefinitions are what one WebSocket may use.
func liveDefinitions() []definition {
	return []definition{
		{"live.frameBytes", "4MiB", "largest frame of a WebSocket in `BYTES`", size(math.MaxInt, func(n *Node) *int64 { return &n.Live.MaxFrame })},
		{"live.rate", "10000", "most frames of one in a second", number(func(n *Node) *int { return &n.Live.Rate })},
		{"live.burst", "", "most frames of one at once; live.rate when empty", optional(number(func(n *Node) *int { return &n.Live.Burst }))},
		{"live.calls", "256", "most calls, and most appends, of one that wait for their outcome", number(func(n *Node) *int { return &n.Live.MaxCalls })},
		{"live.subscriptions", "128", "most subscriptions of one", number(func(n *Node) *int { return &n.Live.MaxSubscriptions })},
		{"live.bufferedBytes", "1MiB", "`BYTES` of answers that may wait to be written before nothing more is read from it", size(math.MaxInt, func(n *Node) *int { return &n.Live.MaxBuffered })},
		{"live.behindBytes", "4MiB", "by how many `BYTES` a subscription may fall behind before it is closed as too slow", size(math.MaxInt, func(n *Node) *int64 { return &n.Live.MaxBehind })},
		{"live.authTimeout", "10s", "how long one without credentials has to show some", duration(func(n *Node) *time.Duration { return &n.Live.AuthTimeout })},
		{"live.writeTimeout", "10s", "how long a write may take before the connection is given up", duration(func(n *Node) *time.Duration { return &n.Live.WriteTimeout })},
		{"live.ping", "25s", "how often a silent one is asked whether it is there", duration(func(n *Node) *time.Duration { return &n.Live.Ping })},
		{"live.connections", "", "most WebSockets of all callers; no limit when empty", optional(number(func(n *Node) *int { return &n.Live.MaxConnections }))},
		{"live.perPrincipal", "", "most WebSockets of one principal; no limit when empty", optional(number(func(n *Node) *int { return &n.Live.MaxPerPrincipal }))},
	}
}

// workerDefinitions say when a worker elsewhere is taken for dead.
func workerDefinitions() []definition {
	return []definition{
		{"workers.heartbeat", "1s", "how often a worker has to show that it lives", duration(func(n *Node) *time.Duration { return &n.Heartbeat })},
		{"workers.lifetime", "", "how long one may be silent before what it has is given to others; three times workers.heartbeat when empty",
			optional(duration(func(n *Node) *time.Duration { return &n.Lifetime }))},
	}
}

// optional has a setting that is empty leave its field alone.
func optional(set func(*Node, string) error) func(*Node, string) error {
	return func(n *Node, v string) error {
		if v == "" {
			return nil
		}
		return set(n, v)
	}
}

// texts sets a field to what stands between commas.
func texts(field func(*Node) *[]string) func(*Node, string) error {
	return optional(func(n *Node, v string) error {
		all := strings.Split(v, ",")
		for i := range all {
			if all[i] = strings.TrimSpace(all[i]); all[i] == "" {
				return errors.New("must be texts with commas between them")
			}
		}
		*field(n) = all
		return nil
	})
}

// text sets a field to whatever is given.
func text(field func(*Node) *string) func(*Node, string) error {
	return func(n *Node, v string) error {
		*field(n) = v
		return nil
	}
}

// duration sets a field to a duration above zero.
func duration(field func(*Node) *time.Duration) func(*Node, string) error {
	return func(n *Node, v string) (err error) {
		*field(n), err = time.ParseDuration(v)
		return refuse(err != nil || *field(n) <= 0, "must be a duration above zero such as 10s")
	}
}

// number sets a field to a number above zero, which may have a unit.
func number(field func(*Node) *int) func(*Node, string) error {
	return func(n *Node, v string) (err error) {
		*field(n), err = human.ParseNumber(v)
		return refuse(err != nil || *field(n) < 1, wantNumber)
	}
}

// size sets a field to a number of bytes from 1 to most.
func size[N int | int64](most int, field func(*Node) *N) func(*Node, string) error {
	return func(n *Node, v string) error {
		i, err := human.ParseNumber(v)
		*field(n) = N(i)
		if most == math.MaxInt {
			return refuse(err != nil || i < 1, wantSize)
		}
		return refuse(err != nil || i < 1 || i > most, "must be from 1 to %d (%dMiB)", most, most>>20)
	}
}

// What numbers must be.
const (
	wantNumber = "must be a number above zero, such as 100"
	wantSize   = "must be a number of bytes above zero, such as 65536 or 64KiB"
)

// refuse returns an error that says what would be right, if it is to be refused.
func refuse(bad bool, want string, args ...any) error {
	if !bad {
		return nil
	}
	return fmt.Errorf(want, args...)
}

func checkListen(v string) error {
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf("must be HOST:PORT, such as 127.0.0.1:7400")
	}
	n, err := strconv.Atoi(port)
	return refuse(err != nil || n < 0 || n > 65535, "must end in a port from 0 to 65535")
}

// words parts a name in camelCase and at its dots: tls.clientCA becomes
// tls-client-ca.
func words(name string, sep rune) string {
	var b strings.Builder
	lower := false
	for _, r := range name {
		switch {
		case r == '.':
			b.WriteRune(sep)
		case unicode.IsUpper(r) && lower:
			b.WriteRune(sep)
			fallthrough
		default:
			b.WriteRune(unicode.ToLower(r))
		}
		lower = unicode.IsLower(r)
	}
	return b.String()
}

// FlagName returns the flag of a setting, without its dashes.
func FlagName(name string) string { return words(name, '-') }

// EnvName returns the environment variable of a setting.
func EnvName(name string) string { return envPrefix + strings.ToUpper(words(name, '_')) }
