package examples_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda/internal/freeport"
)

// ask sends a request with JSON, and returns the answer.
func ask(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestHelloOverHTTP(t *testing.T) {
	web := startProgram(t, "web", "-listen", "127.0.0.1:0", "-dir", t.TempDir())
	if status, answer := ask(t, http.MethodGet, web.url+"/", ""); status != 200 || answer != `{"world":"I am a stream processor"}` {
		t.Errorf("got %d %s", status, answer)
	}
}

// The route's own timeout counts: a second, not the node's 30.
func TestHelloThatNobodyAnswers(t *testing.T) {
	web := startProgram(t, "web", "-listen", "127.0.0.1:0", "-dir", t.TempDir(), "-worldless")
	begin := time.Now()
	status, answer := ask(t, http.MethodGet, web.url+"/", "")
	if took := time.Since(begin); status != http.StatusGatewayTimeout || !strings.Contains(answer, "TIMEOUT") || took < time.Second || took >= 20*time.Second {
		t.Errorf("got %d %s after %v, want 504 TIMEOUT after 1s", status, answer, took)
	}
}

func TestCRUD(t *testing.T) {
	web := startProgram(t, "web", "-listen", "127.0.0.1:0", "-dir", t.TempDir())
	for _, step := range []struct {
		method, id, body string
		status           int
		answer           string
	}{
		{"GET", "ada", "", 404, `{"error":"No existing value found for key ada"}`},
		{"PUT", "ada", `{"name":"Eva"}`, 404, `{"error":"No existing value found for key ada"}`},
		{"DELETE", "ada", "", 200, `{"deleted":false}`},
		{"POST", "ada", `{"name":"Ada","born":1815}`, 201, `{"born":1815,"id":"ada","name":"Ada"}`},
		{"POST", "ada", `{"name":"Eva"}`, 409, `{"error":"Existing value found for key ada"}`},
		{"GET", "ada", "", 200, `{"data":{"born":1815,"name":"Ada"}}`},
		{"PUT", "ada", `{"name":"Eva"}`, 200, `{"id":"ada","name":"Eva"}`},
		{"GET", "ada", "", 200, `{"data":{"name":"Eva"}}`},
		{"GET", "a%2Fb", "", 404, `{"error":"No existing value found for key a/b"}`},
		{"DELETE", "ada", "", 200, `{"deleted":true}`},
		{"GET", "ada", "", 404, `{"error":"No existing value found for key ada"}`},
	} {
		status, answer := ask(t, step.method, web.url+"/data/"+step.id, step.body)
		if status != step.status || answer != step.answer {
			t.Errorf("%s %s %s: got %d %s, want %d %s", step.method, step.id, step.body, status, answer, step.status, step.answer)
		}
	}
	for _, body := range []string{`[]`, `{"name":`} {
		if status, answer := ask(t, http.MethodPost, web.url+"/data/bad", body); status != 400 || !strings.Contains(answer, "SCHEMA") {
			t.Errorf("POST %s: got %d %s, want 400 SCHEMA", body, status, answer)
		}
	}
	if status, _ := ask(t, http.MethodPatch, web.url+"/data/ada", `{}`); status != http.StatusMethodNotAllowed {
		t.Errorf("PATCH: got %d, want 405", status)
	}
}

// hello is the program that says hello over a WebSocket.
func hello(t *testing.T, url string) *exec.Cmd {
	t.Helper()
	args := []string{filepath.Join("websocket", "hello.js"), `{"a":1}`}
	node := program(t, "node")
	if out, err := exec.CommandContext(t.Context(), node, "-p", "typeof WebSocket").Output(); err == nil && strings.TrimSpace(string(out)) == "undefined" {
		args = append([]string{"--experimental-websocket"}, args...) // before 22
	}
	cmd := exec.CommandContext(t.Context(), node, args...)
	cmd.Env = append(os.Environ(), "EDDA_URL="+url, "EDDA_TOKEN=", "NODE_NO_WARNINGS=1")
	return cmd
}

// Without a node it says so, once, and ends.
func TestHelloWithoutANode(t *testing.T) {
	url := "http://" + freeport.Localhost(t)
	out, err := hello(t, url).CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); !failed || !strings.HasPrefix(string(out), url+": UNREACHABLE: ") || strings.Count(string(out), "\n") != 1 {
		t.Errorf("got %q, %v, want one line that names %s, and a failure", out, err, url)
	}
}

func TestHelloOverWebSocket(t *testing.T) {
	web := startProgram(t, "web", "-listen", "127.0.0.1:0", "-dir", t.TempDir())
	cmd := hello(t, web.url)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var got struct{ World, MessageID string }
	if err != nil || json.Unmarshal(out, &got) != nil || got.World != "I am a stream processor" || got.MessageID == "" {
		t.Fatalf("got %s, %v", out, err)
	}
	var m struct {
		Data      json.RawMessage
		Principal string
	}
	document(t, web.url+"/v1/streams/hello/messages/"+got.MessageID, &m)
	if string(m.Data) != `{"a":1}` || m.Principal != "anonymous" {
		t.Errorf("the consumer got %s of %s, want what was sent", m.Data, m.Principal)
	}
}
