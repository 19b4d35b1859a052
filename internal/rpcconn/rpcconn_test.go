package rpcconn

import "testing"

func TestTarget(t *testing.T) {
	for _, c := range []struct {
		url    string
		tls    bool
		addr   string
		secure bool
	}{
		{"localhost:7400", false, "localhost:7400", false},
		{"localhost:7400", true, "localhost:7400", true},
		{"[::1]:7400", false, "[::1]:7400", false},
		{"http://node:7400", false, "node:7400", false},
		{"http://node:7400/", false, "node:7400", false},
		{"http://[::1]:7400", false, "[::1]:7400", false},
		{"http://node", false, "node:80", false},
		{"https://node", false, "node:443", true},
		{"https://node:7400", true, "node:7400", true},
	} {
		addr, secure, err := target(c.url, c.tls)
		if err != nil || addr != c.addr || secure != c.secure {
			t.Errorf("%q: %q, %t, %v, want %q, %t", c.url, addr, secure, err, c.addr, c.secure)
		}
	}
	for _, bad := range []string{
		"", "node", ":7400", "node:", "node:port", "http://", "http://:7400", "ftp://node:1", "http://node:7400/v1", "http://node:7400?a=b",
		"http://me@node:7400", "http://node:port", "//node:7400",
	} {
		if addr, _, err := target(bad, false); err == nil {
			t.Errorf("%q reads as %q", bad, addr)
		}
	}
	if _, _, err := target("http://node:7400", true); err == nil {
		t.Error("http is taken with a TLS configuration")
	}
}
