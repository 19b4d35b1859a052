package cqrscmd_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/clitest"
	"github.com/edda-io/edda/cmd/edda/internal/cqrscmd"
)

var commands = clitest.Commands{cqrscmd.New}

// appNode answers as a node that has these services would, two of them to a page, and each call with the
// same reply.
func appNode(t *testing.T, services []string, status int, reply string) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/services", func(w http.ResponseWriter, r *http.Request) {
		rest, next := services, ""
		if r.URL.Query().Get("after") != "" {
			rest = services[2:]
		} else if len(services) > 2 {
			rest, next = services[:2], "more"
		}
		var items []string
		for _, s := range rest {
			items = append(items, fmt.Sprintf(`{"name":%q}`, s))
		}
		fmt.Fprintf(w, `{"items":[%s],"next":%q}`, strings.Join(items, ","), next)
	})
	mux.HandleFunc("POST /v1/call/{service}/{method}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Edda-Request-Id", "0192e7c0-0000-7000-8000-000000000001")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.NewReplacer("SERVICE", r.PathValue("service"), "BODY", strings.ReplaceAll(string(body), `"`, "'")).Replace(reply))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// Which app is asked, and what is said when that is not clear.
func TestCqrsApp(t *testing.T) {
	const handler = `{"handler":"SERVICE BODY"}`
	for _, c := range []struct {
		name     string
		services []string
		args     string
		code     int
		out      string
		errOut   string
	}{
		{"the only one", []string{"a", "b", "cqrs.shop"}, "pause X.y", 0, "paused cqrs.shop {'handler':'X.y'}\n", ""},
		{"none", []string{"a", "b"}, "pause X.y", 1, "", "the node knows of no app: none has a service cqrs.NAME"},
		{"two", []string{"cqrs.shop", "b", "cqrs.books"}, "pause X.y", 2, "", "there are 2 apps: say which with --app shop or --app books"},
		{"named", []string{"cqrs.shop", "cqrs.books"}, "pause X.y --app books", 0, "paused cqrs.books", ""},
		{"named whole", nil, "pause X.y --app cqrs.books", 0, "paused cqrs.books", ""},
		{"no name", nil, "pause X.y --app a/b", 2, "", "app \"cqrs.a/b\" must be a letter or digit"},
		{"what is asked", []string{"cqrs.shop"}, "resume --json X.y", 0, `"handler": "cqrs.shop {'handler':'X.y'}"`, ""},
	} {
		r := commands.Run(t, []string{"EDDA_URL=" + appNode(t, c.services, 200, handler).URL}, "", append([]string{"cqrs"}, strings.Fields(c.args)...)...)
		if r.Code != c.code || !strings.Contains(r.Out, c.out) || !strings.Contains(r.ErrOut, c.errOut) {
			t.Errorf("%s: got %+v, want exit code %d, %q and %q", c.name, r, c.code, c.out, c.errOut)
		}
	}
}

// narrow makes each gap between columns as wide as the next.
func narrow(s string) string { return gap.ReplaceAllString(s, "  ") }

var gap = regexp.MustCompile(`  +`)

// What an app answers is shown so that a person can read it, whatever it is.
func TestCqrsAnswers(t *testing.T) {
	const id = "0192e7c0-0000-7000-8000-000000000001"
	for _, c := range []struct {
		args   string
		status int
		reply  string
		code   int
		out    string
		errOut string
	}{
		{"projections", 200, `{"items":[
			{"handler":"Users/Search.index","kind":"projector","consistency":"eventual","state":"running","events":12,"lag_events":7,"lag":90000000000,"waiting":2,"dead":1,"error":"down\u001b[31m"},
			{"handler":"Users/Old.one","state":"paused","events":3,"lag_events":0,"lag":0,"waiting":0,"dead":0},
			{"handler":"Users/Profiles.save","kind":"projector","consistency":"strong","state":"running","lag_events":0,"lag":0,"waiting":0,"dead":0,"rebuild":{"events":5}}]}`, 0,
			"Users/Search.index  projector  eventual  running  7, 1m30s  12  2  1  down\uFFFD[31m\n" +
				"Users/Old.one  unknown  -  paused  0  3  -  -  -\n" +
				"Users/Profiles.save  projector  strong  running, rebuilding: 5  -  -  -  -  -\n", "what could not be handled: edda"},
		{"trace x", 200, `{"correlation_uuid":"s","truncated":true,"roots":[{"event":{"event_uuid":"` + id + `","event_type":"a","correlation_type":"b","object":"O","key":"k","version":1,"created_at":"2026-11-21T09:00:00Z"}}]}`, 0,
			"events  1\n\nb → a  O/k v1", "there are more events: edda"},
		{"handlers", 200, `{"items":[{"broadcaster":"B","handler":"H.h","kind":"hook","routes":[
			{"pattern":"x","config":{"lifecycle":"before","priority":3,"expects_input":["A","A.list"],"expects_response":"A","data":{"merge":{"as":"p","each":true},"include":true},"metadata":{"zip":{"on":"id"}},"retry":{"max":-1}}}]},
			{"broadcaster":"B","handler":"N.n","kind":"processor","routes":[]}]}`, 0,
			"B  H.h  hook  x  before  3  takes A or A.list, gets back A, merges as p in each beside, merges zip on id into metadata, tries without end\nB  N.n  processor  never  -  -  -\n", ""},
		{"match x", 200, `{"type":"x","handlers":[],"channels":[{"broadcaster":"B","channel":"c"}]}`, 0, "event  x\nchannels  c\n", "no hook or handler runs"},
		{"events --limit 1", 200, `{"items":[{"event_uuid":"` + id + `","event_type":"a","object":"U.list","key":"1","items":[{"key":"1"},{"key":"2"}],"version":4}],"next":"0.7"}`, 0, "U.list/1 and 1 more  4", "there is more: --after 0.7"},
		{"event x", 404, `{"reason":"NO_EVENT","detail":"there is no event x"}`, 1, "", "there is no event x (NO_EVENT)\n  what there is: edda"},
		{"handlers", 500, `oh`, 1, "", "the app answered with status 500: oh"},
		{"handlers", 200, `[]`, 1, "", "read the answer of cqrs.shop"},
		{"dead", 200, `{"items":[]}`, 0, "", "no dead letters"},
	} {
		r := commands.Run(t, []string{"EDDA_URL=" + appNode(t, []string{"cqrs.shop"}, c.status, c.reply).URL}, "", append([]string{"cqrs"}, strings.Fields(c.args)...)...)
		if r.Code != c.code || !strings.Contains(narrow(r.Out), c.out) || !strings.Contains(r.ErrOut, c.errOut) {
			t.Errorf("%s: got %d\n%s\n%s\nwant %d\n%s\n%s", c.args, r.Code, narrow(r.Out), r.ErrOut, c.code, c.out, c.errOut)
		}
	}
}
