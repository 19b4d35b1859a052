package routegw

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// patternsUnderTest have everything that patterns can have.
var patternsUnderTest = []string{
	"/", "POST /{$}", "GET /users", "GET /users/{id}", "GET /users/me", "PUT /users/{id}", "/users/{id}/{do}", "POST /users/{id}/login",
	"GET /users/{id}/friends/{friend}", "GET /users/me/friends/{friend}", "GET /files/{path...}", "GET /files/secret", "DELETE /files/{path...}",
	"/a/b/{c}/d/{rest...}", "GET /a/{x}/{y}", "GET /a%2Fb/{x}", "HEAD /heads/{x}", "GET /heads/{x}", "PATCH /trees/", "GET /trees/{$}", "GET /trees/{tree}/",
}

// treeOf returns the tree of patterns, and a mux of net/http that has them too.
func treeOf(t testing.TB, texts []string) (*tree, *http.ServeMux) {
	t.Helper()
	tr, mux := &tree{}, http.NewServeMux()
	for _, s := range texts {
		p, err := parsePattern(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		tr.add(&compiled{pattern: p})
		mux.HandleFunc(s, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, s)
			for _, name := range p.params {
				fmt.Fprintf(w, " %s=%q", name, r.PathValue(name))
			}
		})
	}
	return tr, mux
}

// found is what the tree finds, as the handlers of the mux write it.
func (t *tree) found(method, target string) (string, error) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return "", err
	}
	p, err := placeOf(u)
	if err != nil {
		return "", err
	}
	var values params
	rt := t.find(method, p, &values)
	if rt == nil {
		return "", nil
	}
	var b strings.Builder
	b.WriteString(rt.pattern.text)
	for i, name := range rt.pattern.params {
		fmt.Fprintf(&b, " %s=%q", name, values[i])
	}
	return b.String(), nil
}

func TestTreeFinds(t *testing.T) {
	tr, _ := treeOf(t, patternsUnderTest)
	for _, tc := range []struct{ method, target, want string }{
		{"GET", "/", "/"},
		{"GET", "/nothing/there", "/"},
		{"POST", "/", "POST /{$}"},
		{"POST", "/nothing", "/"},
		{"GET", "/users/7", `GET /users/{id} id="7"`},
		{"HEAD", "/users/7", `GET /users/{id} id="7"`},
		{"HEAD", "/heads/7", `HEAD /heads/{x} x="7"`},
		{"GET", "/users/me", "GET /users/me"},
		{"GET", "/users/a%2Fb%20c", `GET /users/{id} id="a/b c"`},
		{"GET", "/users/", "/"},
		{"POST", "/users/7/login", `POST /users/{id}/login id="7"`},
		{"POST", "/users/7/allow", `/users/{id}/{do} id="7" do="allow"`},
		{"BREW", "/users/7/allow", `/users/{id}/{do} id="7" do="allow"`},
		{"GET", "/users/me/friends/x", `GET /users/me/friends/{friend} friend="x"`},
		{"GET", "/users/me/other/x", "/"},
		{"GET", "/files/", `GET /files/{path...} path=""`},
		{"GET", "/files/a/b%2Fc/", `GET /files/{path...} path="a/b/c/"`},
		{"GET", "/files/secret", "GET /files/secret"},
		{"DELETE", "/files/secret", `DELETE /files/{path...} path="secret"`},
		{"GET", "/a%2Fb/1", `GET /a%2Fb/{x} x="1"`},
		{"GET", "/a%2Fb/%2F", `GET /a%2Fb/{x} x="/"`}, // a value like any other; net/http takes it for the end of the path
		{"GET", "/a/b/1", `GET /a/{x}/{y} x="b" y="1"`},
		{"GET", "/a/b/1/d/", `/a/b/{c}/d/{rest...} c="1" rest=""`},
		{"PATCH", "/trees/a/b", "PATCH /trees/"},
		{"PATCH", "/trees", "/"},
		{"GET", "/trees/", "GET /trees/{$}"},
		{"GET", "/trees/oak/leaf", `GET /trees/{tree}/ tree="oak"`},
	} {
		got, err := tr.found(tc.method, tc.target)
		if err != nil || got != tc.want {
			t.Errorf("%s %s: got %q, %v, want %q", tc.method, tc.target, got, err, tc.want)
		}
	}
	for _, target := range []string{"/a//b", "//", "/a/./b", "/a/..", "/%2e/b", "/%2E%2e/b", "/users//"} {
		if got, err := tr.found("GET", target); err == nil {
			t.Errorf("%s: got %q, want an error", target, got)
		}
	}
}

func TestPatterns(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "such as GET /users/{id}",
		"users":             "a path that begins with a slash, such as GET /users/{id}",
		"GET":               "a path that begins with a slash, such as GET /users/{id}",
		"GET users":         "a path that begins with a slash, such as GET /users/{id}",
		"GET example.com/x": "hosts",
		"get /x":            "capital",
		"CONNECT /x":        "method",
		"G T /x":            "hosts",
		"GET /{id":          "bad wildcard",
		"GET /{}":           "wildcard",
		"GET /{a}/{a}":      "duplicate wildcard",
		"GET /{a...}/b":     "end",
		"GET /{$}/b":        "end",
		"GET /a{b}":         "bad wildcard",
		"GET /a//b":         "non-CONNECT pattern with unclean path",
		"GET /a/../b":       "unclean",
		"GET /%2e%2e/b":     "never asked for",
		"GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}": "9 parameters",
	} {
		_, err := parsePattern(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), ".go") || strings.Contains(err.Error(), "offset") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want an error that says %q", text, err, want)
		}
	}
}

// FuzzTree compares with net/http, whose patterns these are, for paths that it does not
// clean and redirect, and whose segments are not a slash alone.
func FuzzTree(f *testing.F) {
	for _, target := range []string{"/", "/users/me", "/users/a%2Fb", "/files/a/b/", "/a/b/c/d/e", "/trees/x/", "/a%2Fb/%20", "/a/%", "/heads/x", "/users/{id}"} {
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
			f.Add(method, target)
		}
	}
	tr, mux := treeOf(f, patternsUnderTest)
	f.Fuzz(func(t *testing.T, method, target string) {
		r, err := http.NewRequestWithContext(t.Context(), method, target, nil)
		if err != nil || !strings.HasPrefix(target, "/") || r.URL.Host != "" || method == http.MethodConnect || method == "" {
			return
		}
		if slices.ContainsFunc(strings.Split(r.URL.EscapedPath(), "/"), func(s string) bool { return strings.EqualFold(s, "%2F") }) {
			return
		}
		u := *r.URL
		p, err := placeOf(&u)
		if err != nil {
			return
		}
		var values params
		got := ""
		if rt := tr.find(method, p, &values); rt != nil {
			got = rt.pattern.text
			for i, name := range rt.pattern.params {
				got += fmt.Sprintf(" %s=%q", name, values[i])
			}
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		want := ""
		switch w.Code {
		case http.StatusOK:
			want = w.Body.String()
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			return // to the same path with a slash after it, which is another one here
		}
		if got != want {
			t.Errorf("%s %q: got %q, net/http has %q", method, target, got, want)
		}
	})
}

// What is on the way of every request allocates nothing but what it returns.
func TestFindAllocatesNothing(t *testing.T) {
	tr, _ := treeOf(t, patternsUnderTest)
	u, err := url.ParseRequestURI("/users/12345/login")
	if err != nil {
		t.Fatal(err)
	}
	var values params
	if n := testing.AllocsPerRun(100, func() {
		p, err := placeOf(u)
		if err != nil || tr.find("POST", p, &values) == nil {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
