// Package freeport finds addresses for tests that take one, leave it and take it again, or
// that want nobody to be there. It has no state and is safe for concurrent use.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
)

// Address returns an address that nobody listens on, nor will by chance: on Linux all of
// 127.0.0.0/8 is this machine. Elsewhere it is that of Localhost.
func Address(t testing.TB) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return Localhost(t)
	}
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	return left(l)
}

// Localhost returns an address of 127.0.0.1, for what takes no other, that is free, and that
// no connection is given by itself while nobody listens there.
func Localhost(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 20_000 + rand.IntN(12_000)})
		if err == nil {
			return left(l)
		}
	}
	t.Fatal("no port is free")
	return ""
}

// left returns the address of a listener that nobody has spoken to, and closes it.
func left(l net.Listener) string {
	_ = l.Close()
	return l.Addr().String()
}
