package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/internal/testca"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// put writes a file into a directory and returns its path.
func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantDone runs a command that must succeed, and returns what it printed.
func wantDone(t *testing.T, environ []string, args ...string) string {
	t.Helper()
	r := command(t, environ, "", args...)
	if r.code != cli.ExitDone {
		t.Errorf("edda %s: got %+v, want exit code 0", strings.Join(args, " "), r)
	}
	return r.out
}

// wantFailed runs a command that must fail, and say why.
func wantFailed(t *testing.T, why string, environ []string, args ...string) {
	t.Helper()
	r := command(t, environ, "", args...)
	if r.code == cli.ExitDone || !strings.Contains(r.errOut, why) {
		t.Errorf("edda %s: got %+v, want a failure that says %q", strings.Join(args, " "), r, why)
	}
}

func TestServeHostsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	node := background(t, "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	env := []string{"EDDA_URL=" + node.url}
	if out := wantDone(t, env, "services", "ls", "--json"); strings.Contains(out, "name") {
		t.Errorf("got services %s, want none", out)
	}
	wantFailed(t, "(NO_SERVICE)", env, "call", "echo", "x")
	wantFailed(t, "what there is: edda --namespace other services ls\n", env, "call", "counter/a", "add", "--namespace", "other")
	if r := node.stop(); r.code != cli.ExitDone || r.errOut != "" {
		t.Errorf("serve left %+v, want exit code 0 and nothing", r)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

func TestServeWrongUse(t *testing.T) {
	for args, want := range map[string]string{
		"serve":                                      "edda serve needs a data directory, with --dir, EDDA_DIR or dir in the file",
		"serve --dir x --example":                    "unknown flag: --example",
		"serve --dir x --listen :7400":               "there are no credentials",
		"serve --dir x --tls-cert x":                 "tls.cert and tls.key go together",
		"serve --dir x --tls-cert /no --tls-key /no": "read the certificate and its key: open /no",
		"serve --dir x --ca x":                       "--ca says how to talk to a node, which edda serve does not do",
		"services ls --ca x":                         "are for a node at https://",
		"services ls --url https://x --ca /no":       "read the CA: open /no",
		"services ls --url https://x --client-key x": "needs its key, and a key its certificate",
	} {
		r := command(t, nil, "", strings.Fields(args)...)
		if r.code != cli.ExitUsage || !strings.Contains(r.errOut, want) {
			t.Errorf("edda %s: got %+v, want exit code %d and %q", args, r, cli.ExitUsage, want)
		}
	}
	if out := wantDone(t, nil, "serve", "--help"); !strings.Contains(out, "--limits-key-queue") || strings.Contains(out, "--example") {
		t.Errorf("got help\n%s\nwant the limits and not the example services", out)
	}
}

// TestTLSAndGrants has clients with tokens and certificates come over TLS.
func TestTLSAndGrants(t *testing.T) {
	dir, ca, other := t.TempDir(), testca.New(t), testca.New(t)
	cert, key := ca.Issue(t, dir, "node", nil)
	billing, billingKey := ca.Issue(t, dir, "billing", nil)
	stranger, strangerKey := other.Issue(t, dir, "billing2", nil)
	config := put(t, dir, "edda.yaml", `
tls: {cert: `+cert+`, key: `+key+`, clientCA: `+ca.File+`}
credentials: {root: r00t, ada: s3cret}
grants:
  root: {call: '*:*', host: '*:*', manage: true}
  ada: {call: [counter]}
  billing: {call: [echo, slow]}
`)
	node := dev(t, "--example", "--dir", filepath.Join(dir, "data"), "--config", config)
	if !strings.HasPrefix(node.url, "https://127.0.0.1:") {
		t.Fatalf("got URL %s, want https", node.url)
	}
	env := []string{"EDDA_URL=" + node.url, "EDDA_CA=" + ca.File}
	ada, root := append(env, "EDDA_TOKEN=s3cret"), append(env, "EDDA_TOKEN=r00t")
	asBilling := append(env, "EDDA_CLIENT_CERT="+billing, "EDDA_CLIENT_KEY="+billingKey)

	wantFailed(t, "(NO_CREDENTIALS)", env, "call", "counter/c", "add", `{"n":1}`)
	wantFailed(t, "with --ca or EDDA_CA", env[:1], "services", "ls")
	wantFailed(t, "is not trusted here", env[:1], "call", "echo", "x")
	plainURL := []string{"EDDA_URL=http" + strings.TrimPrefix(node.url, "https")}
	wantFailed(t, "speaks TLS: its URL begins with https://", plainURL, "services", "ls")
	wantFailed(t, "speaks TLS: its URL begins with https://", plainURL, "call", "echo", "x")
	site := httptest.NewServer(http.NotFoundHandler())
	defer site.Close()
	noTLS := []string{"EDDA_URL=https" + strings.TrimPrefix(site.URL, "http"), "EDDA_CA=" + ca.File}
	wantFailed(t, "does not speak TLS: its URL begins with http://", noTLS, "call", "echo", "x")
	wantFailed(t, "say so with --url or EDDA_URL", noTLS, "services", "ls")
	wantDone(t, ada, "call", "counter/c", "add", `{"n":1}`)
	wantFailed(t, `"ada" may not call echo (NOT_ALLOWED)`, ada, "call", "echo", "x")
	wantFailed(t, `"ada" may not manage this node (NOT_ALLOWED)`, ada, "services", "pause", "counter")
	wantDone(t, asBilling, "call", "echo", "x")
	wantFailed(t, `"billing" may not call counter (NOT_ALLOWED)`, asBilling, "call", "counter/c", "get")
	wantFailed(t, "(NO_CREDENTIALS)", asBilling, "call", "echo", "x", "--token", "wrong")
	wantDone(t, root, "services", "pause", "counter")
	wantFailed(t, "no answer from", env, "call", "echo", "x", "--client-cert", stranger, "--client-key", strangerKey)

	// Whose a request is stands in its record, however they came.
	wantDone(t, asBilling, "call", "slow", "x", `{"ms":1}`, "--async", "--delay", "1h")
	wantDone(t, ada, "call", "counter/c", "get", "--async", "--delay", "1h")
	out := wantDone(t, root, "requests", "ls", "--json")
	for _, who := range []string{"ada", "billing"} {
		if !strings.Contains(out, `"principal": "`+who+`"`) {
			t.Errorf("no request is %s's:\n%s", who, out)
		}
	}
	wantFailed(t, "may not manage", ada, "requests", "ls")
}

// TestOnePort has HTTP/1.1 and HTTP/2 answer over TLS, the routes about health to
// everybody, and nothing without TLS.
func TestOnePort(t *testing.T) {
	dir, ca := t.TempDir(), testca.New(t)
	cert, key := ca.Issue(t, dir, "node", nil)
	node := background(t, "serve", "--dir", filepath.Join(dir, "data"), "--listen", "0.0.0.0:0",
		"--tls-cert", cert, "--tls-key", key, "--credential", "ada=s3cret")
	port := node.url[strings.LastIndexByte(node.url, ':'):]
	ask := func(version int, url string) (int, string) {
		t.Helper()
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = must(auth.ClientTLS(auth.ClientTLSOptions{CAFile: ca.File}))
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(version == 1)
		transport.Protocols.SetHTTP2(version == 2)
		defer transport.CloseIdleConnections()
		res, err := (&http.Client{Transport: transport}).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		if res.ProtoMajor != version {
			t.Errorf("%s: got HTTP/%d, want %d", url, res.ProtoMajor, version)
		}
		return res.StatusCode, string(b)
	}
	for _, version := range []int{1, 2} {
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/v1/node": 401, "/metrics": 401} {
			if status, body := ask(version, "https://localhost"+port+path); status != want {
				t.Errorf("%s over HTTP/%d: got %d %s, want %d", path, version, status, body, want)
			}
		}
	}
	if status, _ := ask(1, "http://localhost"+port+"/healthz"); status != http.StatusBadRequest {
		t.Errorf("without TLS: got %d, want 400", status)
	}
}

func TestJSONWebTokens(t *testing.T) {
	dir := t.TempDir()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := put(t, dir, "keys.json", string(must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "1"}}}))))
	config := put(t, dir, "edda.yaml", "jwt: {keys: "+keys+", issuer: me, audience: edda, callClaim: scope, prefix: 'id:'}\n")
	node := dev(t, "--example", "--dir", filepath.Join(dir, "data"), "--config", config)
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: "1"}}, nil))
	as := func(scope string, valid time.Duration) []string {
		claims := must(json.Marshal(map[string]any{
			"iss": "me", "aud": "edda", "sub": "ada", "scope": scope, "exp": time.Now().Add(valid).Unix(),
		}))
		return []string{"EDDA_URL=" + node.url, "EDDA_TOKEN=" + must(must(signer.Sign(claims)).CompactSerialize())}
	}
	wantDone(t, as("echo counter", time.Hour), "call", "counter/c", "add", `{"n":1}`)
	wantFailed(t, `"id:ada" may not call counter`, as("echo", time.Hour), "call", "counter/c", "add", `{"n":1}`)
	wantFailed(t, "the token has expired (NO_CREDENTIALS)", as("echo", -time.Hour), "call", "echo", "x")
	wantFailed(t, "(NO_CREDENTIALS)", []string{"EDDA_URL=" + node.url, "EDDA_TOKEN=x"}, "call", "echo", "x")
}

// What can be reached from elsewhere without TLS says so.
func TestClearTextIsWarnedOf(t *testing.T) {
	pipe, stdout := io.Pipe()
	ended := make(chan int, 1)
	var logs bytes.Buffer
	stop := begin(stdout, &logs, ended, "serve", "--durability", "memory", "--listen", "0.0.0.0:0", "--credential", "ada=s3cret")
	buf := make([]byte, 4096)
	if _, err := pipe.Read(buf); err != nil {
		t.Fatal(err)
	}
	stop()
	io.Copy(io.Discard, pipe)
	if code := <-ended; code != cli.ExitDone || !strings.Contains(logs.String(), "travel as clear text") {
		t.Errorf("got exit code %d and log %q, want 0 and a warning", code, logs.String())
	}
}
