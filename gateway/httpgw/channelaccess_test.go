package httpgw

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// TestChannelAccess walks all routes as principals with different rights.
func TestChannelAccess(t *testing.T) {
	everyStream := []auth.Pattern{"*:*"}
	authenticator := byName(map[string]auth.Rights{
		"speaker":  {Publish: []auth.Pattern{"room", "shop:*"}, Call: everyStream},
		"listener": {Subscribe: []auth.Pattern{"room"}, Host: everyStream},
		"both":     {Publish: []auth.Pattern{"room"}, Subscribe: []auth.Pattern{"room"}, Append: []auth.Pattern{"replies"}},
		"ops":      {Manage: true},
		"streamer": {Append: everyStream, Read: everyStream},
	})
	const (
		one = "/v1/channels/room"
		all = "speaker listener both ops streamer"
	)
	for _, tc := range []struct {
		method, target, body string
		headers              []string
		may                  string
	}{
		{"POST", one, "x", nil, "speaker both"},
		{"POST", "/v1/ns/shop/channels/room", "x", nil, "speaker"},
		{"POST", "/v1/channels/other", "x", nil, ""},
		{"POST", one, "x", []string{"Edda-Reply-To: replies/eu"}, "both"},
		{"POST", one, `[{},{"replyTo":"replies"}]`, []string{"Content-Type: " + batchMedia}, "both"},

		{"GET", "/v1/channels", "", nil, all},
		{"GET", one, "", nil, "speaker listener both ops"},

		{"GET", one + "?from=end", "", nil, "listener both ops"},
		{"GET", one + "?patterns=x", "", nil, "listener both ops"},
		{"GET", one, "", []string{wantEvents}, "listener both ops"},
		{"GET", one, "", []string{"Last-Event-ID: p0"}, "listener both ops"},
		{"HEAD", one, "", []string{wantEvents}, "listener both ops"},
		{"GET", "/v1/ns/shop/channels/room?from=end", "", nil, "ops"},
		{"GET", one + "/presence", "", nil, "listener both ops"},
		{"GET", one + "/history", "", nil, "listener both ops"},

		{"PUT", one, "", nil, "ops"},
		{"DELETE", one, "", nil, "ops"},
	} {
		for who := range strings.FieldsSeq(all) {
			synctest.Test(t, func(t *testing.T) {
				f, fs := &fakeChannels{}, &fakeStreams{}
				g := channelsOf(t, f, fs, Options{Authenticator: authenticator})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second) // events have no end
				defer cancel()
				r := httptest.NewRequest(tc.method, tc.target, strings.NewReader(tc.body)).WithContext(ctx)
				for _, h := range append(tc.headers, "Authorization: Bearer "+who) {
					name, value, _ := strings.Cut(h, ": ")
					r.Header.Set(name, value)
				}
				w := httptest.NewRecorder()
				g.ServeHTTP(w, r)
				may := strings.Contains(" "+tc.may+" ", " "+who+" ")
				if may != (w.Code < 300) || !may && w.Code != http.StatusForbidden {
					t.Errorf("%s %s %v as %s: got %d %s, want it allowed: %v", tc.method, tc.target, tc.headers, who, w.Code, w.Body, may)
				}
				if !may && len(f.asked)+len(fs.asked) > 0 {
					t.Errorf("%s %s as %s: the backend was asked %v %v", tc.method, tc.target, who, f.asked, fs.asked)
				}
			})
		}
	}
	g := channelsOf(t, &fakeChannels{}, nil, Options{Authenticator: authenticator})
	for _, target := range []string{one, one + "?from=end", "/v1/channels", one + "/history"} {
		if w := do(g, http.MethodGet, target, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s as nobody: got %d", target, w.Code)
		}
	}
}

// Who publishes, and who listens, is who the credentials say.
func TestPublisherIsThePrincipal(t *testing.T) {
	fs := &fakeStreams{}
	g := channelsOf(t, &fakeChannels{}, fs, Options{Authenticator: byName(map[string]auth.Rights{"ada": {Publish: []auth.Pattern{"room"}}})})
	for _, headers := range [][]string{{"X: y"}, {"Content-Type: " + eventMedia}} {
		body := `{"specversion":"1.0","id":"1","type":"t","source":"/s","principal":"root"}`
		w := do(g, http.MethodPost, "/v1/channels/room", body, append(headers, "Authorization: Bearer ada", "Edda-Principal: root")...)
		if w.Code != 202 || fs.append.Principal != "ada" || fs.append.Messages[0].Principal != "ada" {
			t.Errorf("%v: got %d, %+v", headers, w.Code, fs.append)
		}
	}
}

// The list shows what its reader may see.
func TestChannelListIsOnesOwn(t *testing.T) {
	f := &fakeChannels{names: []string{"other", "side"}}
	g := channelsOf(t, f, nil, Options{Authenticator: byName(map[string]auth.Rights{
		"ada": {Publish: []auth.Pattern{"room"}}, "bob": {Subscribe: []auth.Pattern{"si*"}}, "ops": {Manage: true}, "zoe": {Read: []auth.Pattern{"*:*"}},
	})})
	for who, sees := range map[string]string{"ada": "room ", "bob": "side ", "ops": "room other side ", "zoe": ""} {
		doc, _ := want(t, g, 200, "GET", "/v1/channels", "", "Authorization: Bearer "+who)
		got := ""
		for _, c := range doc["items"].([]any) {
			got += c.(obj)["name"].(string) + " "
		}
		if got != sees {
			t.Errorf("%s sees %q, want %q", who, got, sees)
		}
	}
}

// A channel's own stream is nobody's, whatever their rights.
func TestOwnStreamsAreOutOfReach(t *testing.T) {
	g := channelsOf(t, &fakeChannels{}, nil, Options{})
	stream := "/v1/streams/" + edda.ChannelStream("room")
	for _, tc := range [][2]string{
		{"POST", stream}, {"GET", stream}, {"GET", stream + "?from=start"}, {"PUT", stream}, {"DELETE", stream},
		{"PUT", stream + "/groups/g"}, {"POST", stream + "/trim"},
	} {
		refused(t, g, edda.BadName, tc[0], tc[1], "")
	}
	refused(t, g, edda.BadName, "POST", "/v1/streams/orders", "x", "Edda-Reply-To: "+edda.ChannelStream("room"))
}
