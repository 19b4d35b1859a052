package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// asked is what came of a request.
type asked struct {
	status int
	header http.Header
	body   string
}

// ask sends a request whose headers are NAME: VALUE.
func ask(t *testing.T, method, url, body string, headers ...string) asked {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return asked{res.StatusCode, res.Header, string(b)}
}

// One port serves the node, routes, pages and what pages need.
func TestRoutesAndPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "index.html", "hello")
	config := put(t, t.TempDir(), "edda.yaml", `
origins: [http://localhost:3000]
pages: {/: `+dir+`}
routes:
  - {route: 'POST /count/{id}', service: counter, method: add, key: path.id}
  - {route: 'POST /put', stream: inbox, type: in.put, async: true, schema: {type: object}}
`)
	node := dev(t, "--example", "--dir", filepath.Join(t.TempDir(), "data"), "--config", config)
	if !slices.Equal(node.routes, []string{"POST /count/{id}", "POST /put"}) || !slices.Equal(node.pages, []string{node.url + "/"}) {
		t.Errorf("it says that it has the routes %q and the pages %q", node.routes, node.pages)
	}
	const page = "Origin: http://localhost:3000"
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/", "", 200, "hello"},
		{"GET", "/v1/node", "", 200, `"durability":"fsync"`},
		{"GET", "/edda.js", "", 200, "export"},
		{"POST", "/count/a", `{"n":2}`, 200, `{"value":2}`},
		{"POST", "/put", `{"a":1}`, 202, `"offset":0`},
		{"POST", "/put", `[]`, 400, "SCHEMA"},
		{"GET", "/v1/live", "", 400, "WebSocket handshake"},
		{"GET", "/nowhere", "", 404, ""},
	} {
		got := ask(t, c.method, node.url+c.path, c.body, "Content-Type: application/json", page)
		if got.status != c.status || !strings.Contains(got.body, c.want) {
			t.Errorf("%s %s: got %d %q, want %d and %q", c.method, c.path, got.status, got.body, c.status, c.want)
		}
		if allowed := got.header.Get("Access-Control-Allow-Origin"); got.status < 300 && allowed != "http://localhost:3000" && c.path != "/" && c.path != "/edda.js" {
			t.Errorf("%s %s: the page may read what it gets: %q, want its origin", c.method, c.path, allowed)
		}
	}
	if got := ask(t, "GET", node.url+"/v1/node", "", "Origin: http://evil.example"); got.status != 403 {
		t.Errorf("a page of another origin got %d %s, want 403", got.status, got.body)
	}
	if got := ok(t, node.url, "", "streams", "read", "inbox", "--raw"); got != "{\"a\":1}\n" {
		t.Errorf("on the stream: %q", got)
	}
}

func TestGatewaysAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"pages: {/: " + dir + "/none}":                                  "pages: the directory of / is " + dir + "/none: no such file",
		"pages: {/: none}":                                              "pages: the directory of / is none, which is looked for in the working directory " + here + ": no such file",
		"pages: {/v1/x: " + dir + "}":                                   `FILE:1: path is "/v1/x", but all below /v1 is the node's own`,
		"pages: {/metrics: " + dir + "}":                                "which is one of the node's own",
		"pages: {x: " + dir + "}":                                       `pages in FILE:1: path is "x", must be like /chat`,
		"origins: ['*']":                                                `origins in FILE:1 has "*"`,
		"origins: [app.example.com]":                                    `origins in FILE:1 has "app.example.com"`,
		"routes: [{route: GET /a, service: echo}]":                      `routes in FILE:1: "GET /a": method is empty`,
		"routes: [{route: GET /a, service: e, method: m, key: path.x}]": `routes in FILE:1: "GET /a": key: path.x is no parameter of the path`,
		"routes: [{route: GET /v1/a, service: e, method: m}]":           "routes in FILE:1: the path /v1/a is below /v1",
		"routes: [{route: GET /metrics, service: e, method: m}]":        "routes in FILE:1: the path /metrics is one of the node's own",
		"routes: [{route: GET /Method, wait: 1s}]":                      `routes in FILE:1: "GET /Method": it must have a service or a stream, one of the two`,
		"routes: [{route: GET x, stream: s}]":                           `routes in FILE:1: "GET x": it must be a method and a path that begins with a slash`,
		"routes: [{route: GET /a, stream: s, cors: {origins: [x]}}]":    `"GET /a": cors.origins has "x"`,
		"routes: [{route: GET /a, stream: s, schema: {minimum: '3'}}]":  `"GET /a": schema: it is no JSON Schema: minimum is "3", must be a number`,
		"auth: {keyHeaders: [Cookie]}":                                  `auth.keyHeaders in FILE:1 has "Cookie"`,
	} {
		wantRefused(t, text, want)
	}
}

// wantRefused starts a node with the text as its config file, FILE in what is wanted.
func wantRefused(t *testing.T, text, want string) {
	t.Helper()
	file := put(t, t.TempDir(), "edda.yaml", text)
	want = strings.ReplaceAll(want, "FILE", file)
	r := command(t, nil, "", "dev", "--listen", "127.0.0.1:0", "--dir", filepath.Join(t.TempDir(), "data"), "--config", file)
	if r.code != cli.ExitUsage || !strings.Contains(r.errOut, want) {
		t.Errorf("%s: got %+v, want exit code %d and %q", text, r, cli.ExitUsage, want)
	}
}

// What a gateway refuses is told with the line that it stands in.
func TestGatewaysNameTheLine(t *testing.T) {
	t.Parallel()
	wantRefused(t, `
routes:
  - {route: GET /a, stream: s}
  - route: GET /b
    stream: s
    rate: {limit: 1}
    wait: 20m
`, `routes in FILE:7: "GET /b": wait is 20m0s, must be positive and at most 10m0s`)
	wantRefused(t, `
routes:
  - {route: GET /a, stream: s}
  - route: GET /a
    stream: s
`, `routes in FILE:4: "GET /a": it conflicts with "GET /a"`)
	wantRefused(t, `
routes:
  - &a
    route: GET /a
    stream: s
    cors:
      credentials: true
      origins: [a]
  - *a
`, `routes in FILE:8: "GET /a": cors.origins has "a"`)
	dir := t.TempDir()
	wantRefused(t, "pages:\n  /v1: "+dir+"\n  /: "+dir, `pages in FILE:2: path is "/v1"`)
	wantRefused(t, "auth:\n  # shown by apps\n  keyHeaders: [Cookie]", `auth.keyHeaders in FILE:3 has "Cookie"`)
}

// socket is a WebSocket of a test.
type socket struct {
	t *testing.T
	c *websocket.Conn
}

func openSocket(t *testing.T, url string) *socket {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(url, "http")+"/v1/live", //nolint:bodyclose // it is the connection's
		&websocket.DialOptions{Subprotocols: []string{"edda.v1.json"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return &socket{t, c}
}

func (s *socket) send(frame string) {
	s.t.Helper()
	if err := s.c.Write(s.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		s.t.Fatal(err)
	}
}

// read returns the next frame that is this operation. No reply may come before it.
func (s *socket) read(op string) string {
	s.t.Helper()
	for {
		_, b, err := s.c.Read(s.t.Context())
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", op, err)
		}
		var frame struct{ Op string }
		switch {
		case json.Unmarshal(b, &frame) != nil:
		case frame.Op == op:
			return string(b)
		case frame.Op == "reply":
			s.t.Fatalf("waiting for %s: the handler ended first: %s", op, b)
		}
	}
}

// Whoever listens is told that the node stops, and whoever has called gets an answer first.
func TestSocketsAreDrained(t *testing.T) {
	t.Parallel()
	node := dev(t, "--example", "--dir", filepath.Join(t.TempDir(), "data"))
	wantDone(t, []string{"EDDA_URL=" + node.url}, "channels", "create", "chat")
	s := openSocket(t, node.url)
	s.send(`{"op":"subscribe","ref":1,"channel":"chat"}`)
	s.read("subscribed")
	wantDone(t, []string{"EDDA_URL=" + node.url}, "channels", "publish", "chat", "hello", "--type", "said")
	if got := s.read("message"); !strings.Contains(got, `"hello"`) {
		t.Errorf("got %s", got)
	}
	s.send(`{"op":"call","ref":2,"service":"slow","method":"work","data":{"ms":5000}}`)
	s.read("ack")
	stopped := make(chan result)
	go func() { stopped <- node.stop() }()
	s.read("drain")
	if got := s.read("reply"); !strings.Contains(got, `"ref":2`) {
		t.Errorf("got %s, want the reply", got)
	}
	_, b, err := s.c.Read(context.Background())
	if websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("got %s and %v, want the connection closed with 1012", b, err)
	}
	if r := <-stopped; r.code != cli.ExitDone || r.errOut != "" {
		t.Errorf("the node left %+v", r)
	}
}

// A service says whose a token is; the node's own tokens need no service.
func TestServiceThatKnowsTokens(t *testing.T) {
	t.Parallel()
	people := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(b), "k3y") {
			return // nobody
		}
		_, _ = io.WriteString(w, `{"principal":"ada","call":["counter"],"publish":["chat"]}`)
	}))
	defer people.Close()
	config := put(t, t.TempDir(), "edda.yaml", `
credentials: {root: r00t}
auth: {service: people, plain: true, keyHeaders: [X-Api-Key]}
`)
	node := dev(t, "--example", "--dir", filepath.Join(t.TempDir(), "data"), "--config", config)
	root := []string{"EDDA_URL=" + node.url, "EDDA_TOKEN=r00t"}
	wantDone(t, root, "services", "put", "people", "--kind", "balanced", "--endpoint", people.URL, "--method", "authenticate")
	wantDone(t, root, "channels", "create", "chat")
	ada := []string{"EDDA_URL=" + node.url, "EDDA_TOKEN=k3y"}
	wantDone(t, ada, "call", "counter/c", "add", `{"n":1}`)
	wantDone(t, ada, "channels", "publish", "chat", "hi")
	wantFailed(t, "(NOT_ALLOWED)", ada, "channels", "history", "chat")
	wantFailed(t, "(NOT_ALLOWED)", ada, "call", "echo", "say", "x")
	wantFailed(t, "(NO_CREDENTIALS)", []string{"EDDA_URL=" + node.url, "EDDA_TOKEN=wrong"}, "channels", "ls")
	if got := ask(t, "POST", node.url+"/v1/call/counter/c/add", `{"n":1}`, "X-Api-Key: k3y", "Content-Type: application/json"); got.status != 200 || got.body != `{"value":2}` {
		t.Errorf("with a key in a header: got %d %s", got.status, got.body)
	}
	if got := wantDone(t, root, "channels", "history", "chat", "--json"); !strings.Contains(got, `"principal":"ada"`) {
		t.Errorf("published by %s, want ada", got)
	}
}
