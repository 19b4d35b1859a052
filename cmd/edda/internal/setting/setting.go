// Package setting reads what a node is told: from a YAML file, from the
// environment and from flags, each stronger than the one before. Whatever it
// does not know it refuses by name, and a value that makes no sense with the
// place it came from.
//
// The functions keep no state and are safe for concurrent use.
package setting

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// Node is how "edda dev" runs a node.
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
	// Credentials maps tokens to principals; empty means that everybody is anonymous.
	Credentials map[string]edda.Principal
	// DrainTimeout is how long handlers may go on after the signal to stop.
	DrainTimeout time.Duration
	// MaxBody is the size of the largest body in bytes.
	MaxBody int64
}

// definition is one setting. In the file it has its name, in the environment
// and as a flag a name made from that: logLevel, EDDA_LOG_LEVEL, --log-level.
type definition struct {
	name  string
	value string // the default
	usage string // a word in backquotes names the value
	set   func(*Node, string) error
}

// credentials is the one setting that holds several values.
const credentials = "credentials"

// maxBodyLimit is the largest payload that a node takes.
const maxBodyLimit = 7 << 20

// definitions lists the settings but for credentials, in the order of the help.
func definitions() []definition {
	return []definition{
		{"listen", "127.0.0.1:7400", "`HOST:PORT` to listen on; port 0 takes a free one", func(n *Node, v string) error {
			n.Listen = v
			return checkListen(v)
		}},
		{"dir", "edda-data", "data `DIR`, made when missing", func(n *Node, v string) error {
			n.Dir = v
			return refuse(v == "", "must name a directory")
		}},
		{"durability", "fsync", "what an acknowledgement promises: `fsync|os|memory`", func(n *Node, v string) (err error) {
			n.Durability, err = edda.ParseDurability(v)
			return refuse(err != nil, "must be fsync, os or memory")
		}},
		{"partitions", "64", "units of order, a power of two; fixed once the directory exists", func(n *Node, v string) (err error) {
			n.Partitions, err = strconv.Atoi(v)
			return refuse(err != nil || n.Partitions < 1 || n.Partitions&(n.Partitions-1) != 0, "must be a power of two")
		}},
		{"example", "false", "host the example services users, counter, echo, slow and flaky", func(n *Node, v string) (err error) {
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
		{"drainTimeout", "10s", "how long handlers may go on after SIGTERM or Ctrl-C, such as 10s", func(n *Node, v string) (err error) {
			n.DrainTimeout, err = time.ParseDuration(v)
			return refuse(err != nil || n.DrainTimeout < 0, "must be a duration such as 10s")
		}},
		{"maxBody", strconv.Itoa(4 << 20), "largest body in `BYTES`", func(n *Node, v string) (err error) {
			n.MaxBody, err = strconv.ParseInt(v, 10, 64)
			return refuse(err != nil || n.MaxBody < 1 || n.MaxBody > maxBodyLimit, "must be from 1 to %d", maxBodyLimit)
		}},
	}
}

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

// setCredentials checks and keeps what maps names to tokens.
func (n *Node) setCredentials(tokens map[string]string) error {
	n.Credentials = map[string]edda.Principal{}
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		token := tokens[name]
		switch other, taken := n.Credentials[token]; {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return fmt.Errorf("credentials: the name %q must not be empty or have control characters", name)
		case token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
			return fmt.Errorf("credentials: the token of %s must be visible ASCII without spaces", name)
		case taken:
			return fmt.Errorf("credentials: %s and %s have the same token", other, name)
		}
		n.Credentials[token] = edda.Principal(name)
	}
	return nil
}

// checkExposure refuses to be reachable from elsewhere by everybody.
func (n *Node) checkExposure() error {
	if len(n.Credentials) > 0 || Loopback(n.Listen) {
		return nil
	}
	return fmt.Errorf("listen %q can be reached from other machines, and there are no credentials: "+
		"listen on 127.0.0.1, or give each caller a token with --credential NAME=TOKEN, EDDA_CREDENTIALS or credentials in the file", n.Listen)
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
