// Package ownhost knows the names under which a node may be called that asks
// nobody for credentials: a browser on the same machine sends what any web page
// tells it to, under a name that the page's owner may point at 127.0.0.1, but it
// cannot hide Host and Origin.
package ownhost

import (
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/edda-io/edda/internal/option"
)

// Names are the node's own. They never change.
type Names struct {
	hosts map[string]bool // with and without port
	// anyPort says that the ports are not known.
	anyPort bool
}

// New returns the names of a node that listens on the addresses, HOST:PORT, besides
// those of the loopback. Without an address every port is its own. The error is an
// *edda.Error, BadValue: an address is malformed, or not the loopback's.
func New(listen []string) (*Names, error) {
	names := []string{"localhost", "127.0.0.1", "[::1]"}
	var ports []string
	for _, address := range listen {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, badListen(address, err)
		}
		ip, err := netip.ParseAddr(host)
		if host == "" || err == nil && !ip.IsLoopback() {
			return nil, badListen(address, errors.New("without Authenticator it must be a loopback address"))
		}
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		names, ports = append(names, strings.ToLower(host)), append(ports, port)
	}
	n := &Names{hosts: map[string]bool{}, anyPort: len(ports) == 0}
	for _, name := range names {
		n.hosts[name] = true
		for _, port := range ports {
			n.hosts[name+":"+port] = true
		}
	}
	return n, nil
}

func badListen(address string, err error) error {
	return option.Refuse(option.Bad("Listen", "has %q: %w", address, err))
}

// Host reports whether a Host, or gRPC's :authority, is the node itself.
func (n *Names) Host(host string) bool {
	host = strings.ToLower(host)
	if n.hosts[host] {
		return true
	}
	colon := strings.LastIndexByte(host, ':')
	return n.anyPort && colon > 0 && isPort(host[colon+1:]) && n.hosts[host[:colon]]
}

func isPort(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 5
}

// Origin reports whether an origin is the node itself: the same as the host,
// which is the node's, or another of the node's names with its port. A page
// from another port of localhost is foreign.
func (n *Names) Origin(origin, host string) bool {
	scheme, at, ok := strings.Cut(strings.ToLower(origin), "://")
	if !ok || scheme != "http" && scheme != "https" {
		return false
	}
	if at == strings.ToLower(host) {
		return true
	}
	if strings.LastIndexByte(at, ':') <= strings.LastIndexByte(at, ']') {
		at += map[string]string{"http": ":80", "https": ":443"}[scheme]
	}
	return n.hosts[at]
}
