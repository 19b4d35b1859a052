package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda/examples"
)

// carver is a carver in Python.
type carver struct {
	kill func()
	has  chan string // the ids of messages that it begins to work on
}

// startCarver starts a carver, and returns it when its group is there.
func startCarver(t *testing.T, url, member string, args ...string) *carver {
	t.Helper()
	return startMember(t, "carver.py", url, member, args...)
}

// startMember is startCarver for another script that works like it.
func startMember(t *testing.T, script, url, member string, args ...string) *carver {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "python3"), append([]string{filepath.Join("python", script), "--edda", url, "--member", member}, args...)...)
	cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &carver{has: make(chan string, 1000)}
	joined := make(chan bool, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if id, ok := strings.CutPrefix(lines.Text(), "has "); ok {
				c.has <- id
			} else if strings.HasPrefix(lines.Text(), "carving as ") {
				joined <- true
			}
		}
		close(joined)
	})
	c.kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended
		reading.Wait()
		_ = cmd.Wait()
	})
	t.Cleanup(c.kill)
	if !<-joined {
		c.kill()
		t.Fatalf("the carver did not start: %s", errOut.String())
	}
	return c
}

// page is what is read of a stream over HTTP.
type page struct {
	Items []struct {
		ID, Type string
		Data     json.RawMessage
	}
	Next, End uint64
}

// document reads the JSON document at a URL of the node.
func document(t *testing.T, url string, v any) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %s, %v", url, res.Status, b, err)
	}
}

// order appends to a stream over HTTP, as whoever has only curl would.
func order(t *testing.T, url, stream, kind, id, body string) {
	t.Helper()
	do(t, http.MethodPost, url+"/v1/streams/"+stream, body, map[string]string{"Edda-Type": kind, "Edda-Id": id, "Edda-Reply-To": stream + ".replies"})
}

// do asks for something that makes something new.
func do(t *testing.T, method, url, body string, headers map[string]string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%s %s: got %s %s", method, url, res.Status, b)
	}
}

// Two consumers are in Go, the one between them is a Python program.
func TestTwoServiceHammerOverStreams(t *testing.T) {
	url, _ := serveNode(t, t.TempDir(), consumers(t, examples.Forge()...)...)
	startCarver(t, url, "carver")

	order(t, url, "hammers", "order", "h1", `{"kind":"iron","size":"short"}`)
	var m struct {
		Type string
		Data json.RawMessage
	}
	document(t, url+"/v1/streams/hammers.replies/messages/h1?wait=30s", &m)
	var hammer examples.Hammer
	want := examples.Hammer{HammerID: "hammer-h1", Head: examples.Head{HeadID: "head-h1", Kind: "iron"}, Handle: examples.Handle{HandleID: "handle-h1", Size: "short"}}
	if err := json.Unmarshal(m.Data, &hammer); err != nil || m.Type != "reply" || hammer != want {
		t.Errorf("got %s %s, %v, want %+v", m.Type, m.Data, err, want)
	}

	order(t, url, "hammers", "order", "h2", `{"kind":"iron","size":"endless"}`)
	document(t, url+"/v1/streams/hammers.replies/messages/h2?wait=30s", &m)
	if m.Type != "error" || !strings.Contains(string(m.Data), "no handle has the size endless") {
		t.Errorf("got %s %s, want the error from Python", m.Type, m.Data)
	}
}

// Of three carvers one is killed over its work. Another takes it over, and every order
// is there once.
func TestGroupOfThree(t *testing.T) {
	url, _ := serveNode(t, t.TempDir())
	do(t, http.MethodPut, url+"/v1/streams/assembly", "{}", nil)
	var all []*carver
	var has []chan string
	for i, takes := range []string{"0.05", "600", "0.05"} {
		all = append(all, startCarver(t, url, fmt.Sprint("carver-", i), "--timeout", "2s", "--takes", takes))
		has = append(has, all[i].has)
	}
	orders := 0
	more, late := time.NewTicker(50*time.Millisecond), time.After(patience)
	defer more.Stop()
	for orders < 60 || idle(has) >= 0 { // each gets something to do
		if orders >= 60 {
			select {
			case <-more.C:
			case <-late:
				t.Fatalf("carver %d had nothing to do", idle(has))
			}
		}
		order(t, url, "handles", "carve", fmt.Sprint("h", orders), `{"head":{},"size":"long"}`)
		orders++
	}
	all[1].kill()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got := map[string]int{}
	for next := uint64(0); len(got) < orders && ctx.Err() == nil; {
		var p page
		document(t, fmt.Sprintf("%s/v1/streams/assembly?from=%d&wait=1s", url, next), &p)
		for _, item := range p.Items {
			got[item.ID]++
		}
		next = p.Next
	}
	for i := range orders {
		if id := fmt.Sprint("h", i); got[id] != 1 {
			t.Errorf("handle %s is there %d times, want once", id, got[id])
		}
	}
	var g struct {
		Lag, Pending int
		Members      []struct{ Name string }
	}
	for ctx.Err() == nil {
		if document(t, url+"/v1/streams/handles/groups/carvers", &g); g.Lag == 0 && g.Pending == 0 {
			break
		}
	}
	if g.Lag != 0 || g.Pending != 0 {
		t.Errorf("the group lags by %d, with %d pending, want it done", g.Lag, g.Pending)
	}
}
