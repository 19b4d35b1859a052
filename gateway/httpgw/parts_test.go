package httpgw

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/node"
)

// talker is a service whose handler does as the test says: yields a string as a
// part, and returns an error or a reply.
type talker struct {
	t     *testing.T
	steps chan any
}

// talk returns a node with a talker named talks, and its gateway.
func talk(t *testing.T) (*talker, *Gateway) {
	t.Helper()
	tk := &talker{t, make(chan any)}
	s := edda.NewBalanced("talks")
	s.Retry = edda.RetryPolicy{Max: 2, Delay: time.Millisecond, Jitter: -1}
	s.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		for step := range tk.steps {
			switch step := step.(type) {
			case string:
				if err := ctx.Part("text/plain", []byte(step)); err != nil {
					return nil, err
				}
			case *edda.Reply:
				return step, nil
			case error:
				return nil, step
			}
		}
		return nil, edda.Final("OVER", "the test is over")
	})
	n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 2, Services: []*edda.Service{s},
		Limits: node.Limits{NoServiceWait: 50 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(tk.steps)
		_ = n.Stop(context.Background())
	})
	g, err := New(n, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tk, g
}

// do has handlers take steps, one after the other. It may be called by any
// goroutine of the test.
func (tk *talker) do(steps ...any) {
	tk.t.Helper()
	for _, step := range steps {
		select {
		case tk.steps <- step:
		case <-time.After(10 * time.Second):
			tk.t.Errorf("no handler takes %v", step)
			return
		}
	}
}

// over calls f with a client of each protocol.
func over(t *testing.T, g *Gateway, f func(t *testing.T, c *http.Client, url string)) {
	t.Helper()
	addr := listen(t, g)
	for _, name := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(name, func(t *testing.T) {
			tr := &http.Transport{Protocols: new(http.Protocols)}
			tr.Protocols.SetHTTP1(name == "HTTP/1.1")
			tr.Protocols.SetUnencryptedHTTP2(name == "HTTP/2")
			defer tr.CloseIdleConnections()
			f(t, &http.Client{Transport: tr, Timeout: 20 * time.Second}, "http://"+addr)
		})
	}
}

// streamed is an answer whose body is read while it comes.
type streamed struct {
	status int
	header http.Header
	body   io.Reader
}

// ask sends a request; headers are "Name: value". It may be called by any
// goroutine of the test.
func ask(t *testing.T, c *http.Client, method, url string, headers ...string) streamed {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Error(err)
		return streamed{body: strings.NewReader("")}
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Error(err)
		return streamed{body: strings.NewReader("")}
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return streamed{resp.StatusCode, resp.Header, resp.Body}
}

// events reads a stream of events, each as "id event data".
func events(t *testing.T, r io.Reader) iter.Seq[string] {
	t.Helper()
	return func(yield func(string) bool) {
		var id, name, data string
		for s := bufio.NewScanner(r); s.Scan(); {
			field, value, _ := strings.Cut(s.Text(), ": ")
			switch field {
			case "id":
				id = value
			case "event":
				name = value
			case "data":
				data = value
			case "":
				if name != "" && !yield(strings.TrimSpace(id+" "+name+" "+data)) {
					return
				}
				id, name, data = "", "", ""
			default:
				t.Errorf("the stream has the line %q", s.Text())
			}
		}
	}
}

const wantEvents = "Accept: text/event-stream"

func part(n string, payload string) string {
	attempt, _, _ := strings.Cut(n, ".")
	return fmt.Sprintf(`%s part {"number":%[1]q,"attempt":%s,"contentType":"text/plain","data":%q}`, n, attempt, payload)
}

// A stream of events has every part as soon as it is there, resets, and how the
// request ended; a caller whose connection broke goes on after the last one.
func TestPartsAsEvents(t *testing.T) {
	tk, g := talk(t)
	over(t, g, func(t *testing.T, c *http.Client, url string) {
		t.Helper()
		resp := ask(t, c, "POST", url+"/v1/call/talks/m", wantEvents)
		id := resp.header.Get("Edda-Request-Id")
		if resp.status != 200 || resp.header.Get("Content-Type") != "text/event-stream" || id == "" ||
			resp.header.Get("Edda-Position") == "" || resp.header.Get("Edda-Durability") != "memory" {
			t.Fatalf("got %d %v", resp.status, resp.header)
		}
		next, stop := iter.Pull(events(t, resp.body))
		defer stop()
		wants := func(want string) {
			t.Helper()
			if got, _ := next(); got != want {
				t.Fatalf("got event %s\nwant %s", got, want)
			}
		}
		tk.do("one\nline")
		wants(part("1.1", "one\nline"))
		tk.do("two")
		wants(part("1.2", "two"))
		tk.do(errors.New("boom"), "three")
		wants(`2.0 reset {"number":"2.0","attempt":2,"reset":true}`)
		wants(part("2.1", "three"))

		again := ask(t, c, "GET", url+"/v1/requests/"+id+"/parts", wantEvents, "Last-Event-ID: 1.1")
		resumed := ask(t, c, "GET", url+"/v1/requests/"+id+"/parts?after=1.1", wantEvents, "Last-Event-ID: 2.1")
		tk.do(&edda.Reply{Status: 201, ContentType: "text/plain", Payload: []byte("done")})
		end := `end {"requestId":"` + id + `","attempts":2,"status":201,"contentType":"text/plain","size":4}`
		wants(end)
		if got, more := next(); more {
			t.Errorf("after the end comes %s", got)
		}
		for name, r := range map[string]struct {
			resp streamed
			want string
		}{
			"after 1.1": {again, `2.0 reset {"number":"2.0","attempt":2,"reset":true}` + "|" + part("2.1", "three") + "|" + end},
			"after 2.1": {resumed, end},
		} {
			var got []string
			for e := range events(t, r.resp.body) {
				got = append(got, e)
			}
			if s := strings.Join(got, "|"); s != r.want {
				t.Errorf("%s: got %s\nwant %s", name, s, r.want)
			}
		}
		reply := ask(t, c, "GET", url+"/v1/requests/"+id+"/reply")
		if b, _ := io.ReadAll(reply.body); reply.status != 201 || string(b) != "done" {
			t.Errorf("got reply %d %q", reply.status, b)
		}
	})
}

// What ends a request without a reply is an event with a problem document.
func TestPartsEndWithAProblem(t *testing.T) {
	tk, g := talk(t)
	over(t, g, func(t *testing.T, c *http.Client, url string) {
		t.Helper()
		resp := ask(t, c, "POST", url+"/v1/call/talks/m", wantEvents)
		tk.do("a", edda.Final("NO", "no more"))
		var last string
		for e := range events(t, resp.body) {
			last = e
		}
		var p struct {
			Reason    edda.Reason
			Status    int
			Detail    string
			RequestID string
		}
		data, ok := strings.CutPrefix(last, "error ")
		if err := json.Unmarshal([]byte(data), &p); !ok || err != nil || p.Reason != edda.Failed || p.Status != 500 ||
			p.Detail != "NO: no more" || p.RequestID != resp.header.Get("Edda-Request-Id") {
			t.Errorf("got the last event %q, %v", last, err)
		}
	})
}

// A streamed answer is the bytes of the parts as they come, then those of the
// reply.
func TestPartsAsTheyAre(t *testing.T) {
	tk, g := talk(t)
	over(t, g, func(t *testing.T, c *http.Client, url string) {
		t.Helper()
		answered := make(chan streamed)
		go func() {
			defer close(answered)
			answered <- ask(t, c, "POST", url+"/v1/call/talks/m", "Prefer: parts", "Idempotency-Key: "+t.Name())
		}()
		tk.do("one ")
		resp := <-answered
		if resp.status != 200 || resp.header.Get("Content-Type") != "text/plain" || resp.header.Get("Edda-Request-Id") == "" ||
			resp.header.Get("Preference-Applied") != "parts" {
			t.Fatalf("got %+v", resp)
		}
		b := make([]byte, 4)
		if _, err := io.ReadFull(resp.body, b); err != nil || string(b) != "one " {
			t.Fatalf("got %q, %v", b, err)
		}
		tk.do("two ", &edda.Reply{Payload: []byte("end")})
		if rest, err := io.ReadAll(resp.body); err != nil || string(rest) != "two end" {
			t.Errorf("got %q, %v", rest, err)
		}
		replayed := ask(t, c, "POST", url+"/v1/call/talks/m", "Prefer: parts", "Idempotency-Key: "+t.Name())
		if rest, err := io.ReadAll(replayed.body); err != nil || string(rest) != "one two end" || replayed.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("got %q, %v, %v", rest, err, replayed.header)
		}
	})
}

// After the first part a failure, a reset, or a reply that says that it did not
// work can only break the connection.
func TestStreamedAnswerIsBrokenOff(t *testing.T) {
	tk, g := talk(t)
	for name, steps := range map[string][]any{
		"failure": {edda.Final("NO", "no")},
		"reset":   {errors.New("boom"), "again", &edda.Reply{}},
		"dead":    {errors.New("boom"), errors.New("boom")},
		"status":  {&edda.Reply{Status: 404, Payload: []byte("not found")}},
	} {
		t.Run(name, func(t *testing.T) {
			over(t, g, func(t *testing.T, c *http.Client, url string) {
				t.Helper()
				done := make(chan error, 1)
				go func() {
					resp := ask(t, c, "POST", url+"/v1/call/talks/m", "Prefer: parts")
					b, err := io.ReadAll(resp.body)
					switch {
					case resp.status != 200 || !strings.HasPrefix(string(b), "part"):
						done <- fmt.Errorf("got %d %q", resp.status, b)
					case err == nil:
						done <- fmt.Errorf("got %q, and the end looks regular", b)
					default:
						done <- nil
					}
				}()
				tk.do("part")
				tk.do(steps...)
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Before the first part a streamed answer is one like any other.
func TestStreamedAnswerWithoutParts(t *testing.T) {
	tk, g := talk(t)
	for name, tc := range map[string]struct {
		step   any
		prefer string
		status int
		body   string
	}{
		"reply":   {&edda.Reply{Status: 404, Payload: []byte("nothing")}, "parts", 404, "nothing"},
		"failure": {edda.Final("NO", "no"), "parts", 500, `"reason":"FAILED"`},
		"timeout": {nil, "parts, wait=0", 504, `"reason":"TIMEOUT"`},
		"async":   {&edda.Reply{}, "parts, respond-async", 202, `"position"`},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan *httptest.ResponseRecorder, 1)
			go func() { done <- do(g, "POST", "/v1/call/talks/m", "", "Prefer: "+tc.prefer) }()
			if tc.step != nil {
				tk.do(tc.step)
			}
			w := <-done
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.body) || w.Header().Get("Edda-Request-Id") == "" || w.Header().Get("Edda-Position") == "" {
				t.Errorf("got %d %s %v, want %d with %s", w.Code, w.Body, w.Header(), tc.status, tc.body)
			}
			if tc.step == nil {
				tk.do(&edda.Reply{}) // the request goes on
			}
		})
	}
	w := do(g, "POST", "/v1/call/nobody/m", "", "Prefer: parts")
	if w.Code != 503 {
		t.Errorf("got %d for a service that is not registered, want 503", w.Code)
	}
	w = do(g, "POST", "/v1/call/talks/m", "", wantEvents, "Prefer: wait=0")
	if body := w.Body.String(); w.Code != 200 || !strings.HasPrefix(body, "event: error\n") || !strings.Contains(body, `"TIMEOUT"`) {
		t.Errorf("got %d %q, want an event that the wait is over", w.Code, body)
	}
	tk.do(&edda.Reply{})
}

func TestPartsPage(t *testing.T) {
	tk, g := talk(t)
	doc, _ := want(t, g, 202, "POST", "/v1/call/talks/m", "", "Prefer: respond-async")
	id := doc["id"].(string)
	at := "/v1/requests/" + id + "/parts"
	page := func(query string) string {
		t.Helper()
		_, w := want(t, g, 200, "GET", at+query, "")
		return w.Body.String()
	}
	wants := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	wants(page(""), `{"items":[],"next":"0.0"}`)
	go tk.do("a")
	wants(page("?after=0.0&wait=10s"), `{"items":[{"number":"1.1","attempt":1,"contentType":"text/plain","data":"a"}],"next":"1.1"}`)
	tk.do("b", "\xff")
	wants(page("?limit=1&after=1.1&wait=10s"), `{"items":[{"number":"1.2","attempt":1,"contentType":"text/plain","data":"b"}],"next":"1.2"}`)
	tk.do(&edda.Reply{})
	want(t, g, 204, "GET", "/v1/requests/"+id+"/reply?wait=10s", "")
	wants(page("?after=1.2"), `{"items":[{"number":"1.3","attempt":1,"contentType":"text/plain","dataBase64":"/w=="}]}`)
	wants(page("?after=1.3"), `{"items":[]}`)

	for _, bad := range []string{"?after=x", "?after=1", "?after=0.7", "?limit=0", "?limit=1001", "?wait=11m"} {
		refused(t, g, edda.BadValue, "GET", at+bad, "")
	}
	refused(t, g, edda.BadValue, "GET", at, "", wantEvents, "Last-Event-ID: x")
	for _, headers := range [][]string{nil, {wantEvents}} {
		refused(t, g, edda.NoRequest, "GET", "/v1/requests/nonsense/parts", "", headers...)
		refused(t, g, edda.NoRequest, "GET", "/v1/requests/"+fakeID.String()+"/parts", "", headers...)
		refused(t, g, edda.NoRequest, "GET", "/v1/ns/other/requests/"+id+"/parts", "", headers...)
	}
	w := do(g, "HEAD", at, "", wantEvents)
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Type") != reqhead.EventStream {
		t.Errorf("HEAD got %d %q %v", w.Code, w.Body, w.Header())
	}
	go tk.do("a", &edda.Reply{})
	_, w = want(t, g, 204, "POST", "/v1/call/talks/m", "")
	refused(t, g, edda.ReplyExpired, "GET", "/v1/requests/"+w.Header().Get("Edda-Request-Id")+"/parts", "")
}

// silent is a backend whose request yields nothing until the reader leaves.
type silent struct{ *fake }

func (silent) Parts(ctx context.Context, _ string, _ edda.ID, _ edda.PartID) iter.Seq2[edda.Part, error] {
	return func(yield func(edda.Part, error) bool) {
		<-ctx.Done()
		yield(edda.Part{}, &edda.Error{Reason: edda.Timeout, Err: context.Cause(ctx)})
	}
}

func (silent) Request(context.Context, string, edda.ID) (*edda.Request, error) {
	return &edda.Request{ID: fakeID}, nil
}

// A stream in which nothing happens says every 15 s that it is there, and leaves
// nothing behind when its reader goes.
func TestEventsBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gatewayOf(t, silent{&fake{}}, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, "GET", "/v1/requests/"+fakeID.String()+"/parts", nil)
		r.Host = "localhost"
		r.Header.Set("Accept", reqhead.EventStream)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if got := strings.Count(w.Body.String(), ": still here\n\n"); got != 3 {
			t.Errorf("got %d comments in 50 s, want 3: %s", got, w.Body)
		}
	})
}

// What cannot be read any more is a defect that the sender is not told.
func TestEventsHideDefects(t *testing.T) {
	f := &fake{parts: []edda.Part{{Attempt: 1, Number: 1}}, ended: errors.New("secret")}
	w := do(gatewayOf(t, f, Options{}), "POST", "/v1/call/echo/m", "", wantEvents)
	if b := w.Body.String(); strings.Contains(b, "secret") || !strings.Contains(b, `"INTERNAL"`) || !strings.Contains(b, "event: part") {
		t.Errorf("got %s", b)
	}
}
