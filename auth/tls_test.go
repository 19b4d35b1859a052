package auth_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/testca"
)

// shake does a handshake between two configurations, and returns what each side
// knows of the other. A client learns of a refusal when it reads. It must run in a
// bubble: where both sides write at once, which a socket takes and a pipe does not,
// a deadline ends it.
func shake(server, client *tls.Config) (ofServer, ofClient tls.ConnectionState, err error) {
	a, b := net.Pipe()
	_, _ = a.SetDeadline(time.Now().Add(time.Second)), b.SetDeadline(time.Now().Add(time.Second))
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		_ = a.Close()
		done <- err
	}()
	err = c.Handshake()
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	_ = b.Close()
	err = errors.Join(<-done, err)
	return s.ConnectionState(), c.ConnectionState(), err
}

func serverTLS(t *testing.T, opts auth.ServerTLSOptions) *tls.Config {
	t.Helper()
	c, err := auth.ServerTLS(opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func clientTLS(t *testing.T, opts auth.ClientTLSOptions) *tls.Config {
	t.Helper()
	c, err := auth.ClientTLS(opts)
	if err != nil {
		t.Fatal(err)
	}
	c.ServerName = "localhost"
	return c
}

func TestTLS(t *testing.T) { synctest.Test(t, testTLS) }

func testTLS(t *testing.T) {
	dir, ca, other := t.TempDir(), testca.New(t), testca.New(t)
	cert, key := ca.Issue(t, dir, "node", nil)
	adaCert, adaKey := ca.Issue(t, dir, "ada", nil)
	eveCert, eveKey := other.Issue(t, dir, "eve", nil)
	oldCert, oldKey := ca.Issue(t, dir, "old", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	serverOnly, serverOnlyKey := ca.Issue(t, dir, "server", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })

	plain := serverTLS(t, auth.ServerTLSOptions{CertFile: cert, KeyFile: key})
	optional := serverTLS(t, auth.ServerTLSOptions{CertFile: cert, KeyFile: key, ClientCAFile: ca.File})
	required := serverTLS(t, auth.ServerTLSOptions{CertFile: cert, KeyFile: key, ClientCAFile: ca.File, RequireClient: true})

	nobody := auth.ClientTLSOptions{CAFile: ca.File}
	ada := auth.ClientTLSOptions{CAFile: ca.File, CertFile: adaCert, KeyFile: adaKey}
	for _, tc := range []struct {
		name   string
		server *tls.Config
		client auth.ClientTLSOptions
		who    string // the client's name; "" for none
		refuse string
	}{
		{"plain", plain, nobody, "", ""},
		{"plain, nobody asks for the certificate", plain, ada, "", ""},
		{"optional and none", optional, nobody, "", ""},
		{"optional", optional, ada, "ada", ""},
		{"required and none", required, nobody, "", "certificate"},
		{"required", required, ada, "ada", ""},
		{"of another CA", optional, auth.ClientTLSOptions{CAFile: ca.File, CertFile: eveCert, KeyFile: eveKey}, "", "certificate"},
		{"expired", optional, auth.ClientTLSOptions{CAFile: ca.File, CertFile: oldCert, KeyFile: oldKey}, "", "certificate"},
		{"not for clients", optional, auth.ClientTLSOptions{CAFile: ca.File, CertFile: serverOnly, KeyFile: serverOnlyKey}, "", "certificate"},
		{"a node of another CA", plain, auth.ClientTLSOptions{CAFile: other.File}, "", "unknown authority"},
		{"a node of none of the system's", plain, auth.ClientTLSOptions{}, "", "unknown authority"},
	} {
		state, _, err := shake(tc.server, clientTLS(t, tc.client))
		if tc.refuse != "" {
			if err == nil || !strings.Contains(err.Error(), tc.refuse) {
				t.Errorf("%s: got %v, want %q in an error", tc.name, err, tc.refuse)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		c, err := auth.Read(nil, &state)
		if err != nil || (c.Certificate == nil) != (tc.who == "") || c.Certificate != nil && c.Certificate.Subject.CommonName != tc.who {
			t.Errorf("%s: got credential %+v, %v, want the certificate of %q", tc.name, c, err, tc.who)
		}
		if state.Version < tls.VersionTLS12 {
			t.Errorf("%s: got TLS version %x", tc.name, state.Version)
		}
	}
	old := clientTLS(t, nobody)
	old.MaxVersion = tls.VersionTLS11
	if _, _, err := shake(plain, old); err == nil {
		t.Error("TLS 1.1 was taken")
	}
}

// nodeName returns the name in the certificate that a server shows, or the error.
func nodeName(server, client *tls.Config) string {
	_, state, err := shake(server, client)
	if err != nil {
		return err.Error()
	}
	return state.PeerCertificates[0].Subject.CommonName
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestTLSFilesAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, ca := t.TempDir(), testca.New(t)
		cert, key := ca.Issue(t, dir, "first", nil)
		newCert, newKey := ca.Issue(t, dir, "second", nil)
		var logs bytes.Buffer
		server := serverTLS(t, auth.ServerTLSOptions{CertFile: cert, KeyFile: key, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
		client := clientTLS(t, auth.ClientTLSOptions{CAFile: ca.File})
		expect := func(when, want string, logged ...string) {
			t.Helper()
			time.Sleep(time.Second)
			if got := nodeName(server, client); got != want {
				t.Errorf("%s: got the certificate of %q, want %s", when, got, want)
			}
			for _, l := range logged {
				if !strings.Contains(logs.String(), l) {
					t.Errorf("%s: got log %q, want %q in it", when, logs.String(), l)
				}
			}
			if len(logged) == 0 && logs.Len() > 0 {
				t.Errorf("%s: got log %q, want none", when, logs.String())
			}
			logs.Reset()
		}
		expect("at first", "first")
		rename(t, newCert, cert)
		expect("the key is still the old one", "first", "level=ERROR", "those before stay in use", "does not match")
		expect("nothing changed since", "first")
		rename(t, newKey, key)
		expect("both are there", "second", "level=INFO", "are in use", "validUntil")
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		expect("the key is gone", "second", "level=ERROR", "no such file")
	})
}

// A client whose authority was taken away gets no further, not even with a session
// from before.
func TestClientCAIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, ca, next := t.TempDir(), testca.New(t), testca.New(t)
		cert, key := ca.Issue(t, dir, "node", nil)
		adaCert, adaKey := ca.Issue(t, dir, "ada", nil)
		clients := filepath.Join(dir, "clients.crt")
		put := func(file string) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(clients, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put(ca.File)
		server := serverTLS(t, auth.ServerTLSOptions{CertFile: cert, KeyFile: key, ClientCAFile: clients})
		client := clientTLS(t, auth.ClientTLSOptions{CAFile: ca.File, CertFile: adaCert, KeyFile: adaKey})
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		client.MaxVersion = tls.VersionTLS12 // in which a resumed handshake never has both sides write at once
		if _, _, err := shake(server, client); err != nil {
			t.Fatal(err)
		}
		state, _, err := shake(server, client)
		if err != nil || !state.DidResume {
			t.Fatalf("got %v, resumed is %v, want a resumed session", err, state.DidResume)
		}
		put(next.File)
		time.Sleep(time.Second)
		if state, _, err := shake(server, client); err == nil {
			t.Errorf("ada came in, resumed is %v, want a refusal", state.DidResume)
		}
	})
}

func TestBadTLSFiles(t *testing.T) {
	dir, ca := t.TempDir(), testca.New(t)
	cert, key := ca.Issue(t, dir, "node", nil)
	_, otherKey := ca.Issue(t, dir, "other", nil)
	for _, tc := range []struct {
		name string
		opts auth.ServerTLSOptions
		want string
	}{
		{"nothing", auth.ServerTLSOptions{}, "both a certificate and a key"},
		{"no key", auth.ServerTLSOptions{CertFile: cert}, "both a certificate and a key"},
		{"no file", auth.ServerTLSOptions{CertFile: cert, KeyFile: "/does/not/exist"}, "read the certificate and its key: open /does/not/exist"},
		{"another's key", auth.ServerTLSOptions{CertFile: cert, KeyFile: otherKey}, "private key does not match"},
		{"no certificate", auth.ServerTLSOptions{CertFile: key, KeyFile: key}, key},
		{"no CA file", auth.ServerTLSOptions{CertFile: cert, KeyFile: key, ClientCAFile: "/does/not/exist"}, "read the CA"},
		{"no CA", auth.ServerTLSOptions{CertFile: cert, KeyFile: key, ClientCAFile: key}, "has no certificate in PEM"},
		{"required of nobody", auth.ServerTLSOptions{CertFile: cert, KeyFile: key, RequireClient: true}, "needs the CA"},
	} {
		_, err := auth.ServerTLS(tc.opts)
		wantReason(t, tc.name, err, edda.BadValue, tc.want)
	}
	for _, tc := range []struct {
		name string
		opts auth.ClientTLSOptions
		want string
	}{
		{"no key", auth.ClientTLSOptions{CertFile: cert}, "needs its key"},
		{"no certificate", auth.ClientTLSOptions{KeyFile: key}, "needs its key"},
		{"another's key", auth.ClientTLSOptions{CertFile: cert, KeyFile: otherKey}, "does not match"},
		{"no CA", auth.ClientTLSOptions{CAFile: key}, "has no certificate in PEM"},
	} {
		_, err := auth.ClientTLS(tc.opts)
		wantReason(t, tc.name, err, edda.BadValue, tc.want)
	}
}
