package httpgw

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

func liveItem(n int, kind string) string {
	return fmt.Sprintf(`id: p%d|event: %s|data: {"from":"p%d","shard":"default","offset":%d,"id":"m%d","type":"%s","principal":"ada","contentType":"text/plain","time":"2026-01-02T03:04:05Z","data":"hi\nthere"}`,
		n+1, kind, n+1, n, n, kind)
}

var hi = []byte("hi\nthere")

func TestSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeChannels{}
		g := channelsOf(t, f, nil, Options{})
		f.publish("said", hi)
		f.publish("paid", hi)
		all := follow(t, g, "/v1/channels/room?from=start")
		defer all.cancel()
		resumed := follow(t, g, "/v1/channels/room?from=start", "Last-Event-ID: p1")
		defer resumed.cancel()
		some := follow(t, g, "/v1/channels/room?patterns=none,said")
		defer some.cancel()
		synctest.Wait()
		begin := time.Now()
		f.publish("said", hi)
		for reader, want := range map[*follower][]string{
			all:     {"id: p0", liveItem(0, "said"), liveItem(1, "paid"), liveItem(2, "said")},
			resumed: {"id: p1", liveItem(1, "paid"), liveItem(2, "said")},
			some:    {"id: p2", liveItem(2, "said")},
		} {
			for _, w := range want {
				if got := reader.event(); got != w || !time.Now().Equal(begin) {
					t.Errorf("got %s at %v, want %s at once", got, time.Since(begin), w)
				}
			}
		}
		// What is not for a reader moves the place to which it comes back.
		f.publish("paid", hi)
		if got := some.event(); got != ": still here" || time.Since(begin) != heartbeat {
			t.Errorf("got %s after %v, want a comment", got, time.Since(begin))
		}
		if got := some.event(); got != "id: p4" {
			t.Errorf("got %s, want where it is now", got)
		}
		if got := some.event(); got != ": still here" || time.Since(begin) != 2*heartbeat {
			t.Errorf("got %s after %v, want a comment", got, time.Since(begin))
		}
		if err := f.DeleteChannel(t.Context(), "default", "room"); err != nil {
			t.Fatal(err)
		}
		got, rest := some.event(), some.event()
		if !strings.HasPrefix(got, `event: edda.error|data: {"type":"urn:edda:problem:NO_CHANNEL"`) || rest != "" || some.Err() != nil {
			t.Errorf("got %s, then %q, %v, want the reason and a proper end", got, rest, some.Err())
		}
		all.cancel()
		resumed.cancel()
		synctest.Wait()
		if len(f.subs) > 0 || f.closed != 3 {
			t.Errorf("%d subscriptions are left, %d are closed", len(f.subs), f.closed)
		}
	})
}

func TestWhatIsSubscribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeChannels{}
		g := channelsOf(t, f, nil, Options{Authenticator: byName(map[string]auth.Rights{"ada": auth.Everything()})})
		f.publish("said", hi)
		for _, tc := range []struct {
			query    string
			headers  []string
			patterns []string
			from     edda.From
		}{
			{"", []string{wantEvents}, nil, ""},
			{"?from=start", nil, nil, "start"},
			{"?patterns=a.:b,c.*&patterns=d", nil, []string{"a.:b", "c.*", "d"}, ""},
			{"?patterns=a%2Cb", nil, []string{"a", "b"}, ""},
			{"?from=2026-01-02T15:04:05Z&patterns=:x?", nil, []string{":x?"}, "2026-01-02T15:04:05Z"},
			{"?from=p1", nil, nil, "p1"},
			{"?from=start", []string{"Last-Event-ID: p1"}, nil, "p1"},
			{"", []string{"Last-Event-ID: p1"}, nil, "p1"},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			r := httptest.NewRequest(http.MethodGet, "/v1/ns/shop/channels/room"+tc.query, nil).WithContext(ctx)
			for _, h := range append(tc.headers, "Authorization: Bearer ada") {
				name, value, _ := strings.Cut(h, ": ")
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			f.wanted = nil
			g.ServeHTTP(w, r)
			cancel()
			s := f.wanted
			if w.Code != 200 || s == nil || s.Namespace != "shop" || s.Channel != "room" || s.Stream != "" || s.Principal != "ada" ||
				s.From != tc.from || !slices.Equal(s.Patterns, tc.patterns) || s.Ephemeral {
				t.Errorf("%s %v: got %d %s, %+v", tc.query, tc.headers, w.Code, w.Body, s)
			}
			if w.Header().Get("Content-Type") != reqhead.EventStream || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: got %v", tc.query, w.Header())
			}
		}
	})
}

func TestSubscribeRefuses(t *testing.T) {
	f := &fakeChannels{}
	g := channelsOf(t, f, nil, Options{})
	for _, tc := range []struct {
		reason  edda.Reason
		target  string
		headers []string
	}{
		{edda.NoChannel, "/v1/channels/none?from=end", nil},
		{edda.BadName, "/v1/channels/a%20b?from=end", nil},
		{edda.BadValue, "/v1/channels/room?from=", nil},
		{edda.BadValue, "/v1/channels/room?from=7", nil},
		{edda.BadValue, "/v1/channels/room?from=later", nil},
		{edda.BadValue, "/v1/channels/room?from=p7", nil},
		{edda.BadValue, "/v1/channels/room?patterns=", nil},
		{edda.BadValue, "/v1/channels/room?patterns=a,,b", nil},
		{edda.BadValue, "/v1/channels/room?patterns=a.:", nil},
		{edda.TooLarge, "/v1/channels/room?patterns=" + strings.Repeat("a,", edda.MaxPatterns) + "b", nil},
		{edda.BadValue, "/v1/channels/room", []string{"Last-Event-ID: start"}},
		{edda.BadValue, "/v1/channels/room", []string{"Last-Event-ID: 7"}},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if method == http.MethodHead && strings.HasSuffix(tc.target, "p7") {
				continue // nobody subscribes
			}
			w := do(g, method, tc.target, "", tc.headers...)
			if w.Code != tc.reason.HTTPStatus() || method == http.MethodGet && wantProblem(t, w).Reason != tc.reason {
				t.Errorf("%s %.60s %v: got %d %s, want %s", method, tc.target, tc.headers, w.Code, w.Body, tc.reason)
			}
		}
	}
	if len(f.subs) > 0 {
		t.Error("there are subscriptions")
	}
	w := do(g, http.MethodHead, "/v1/channels/room?from=end", "")
	if w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Type") != reqhead.EventStream || f.closed+len(f.subs) > 0 {
		t.Errorf("HEAD: got %d %v", w.Code, w.Header())
	}
}

// What was removed before it could be told is told to be missing, once.
func TestSubscribeTellsOfAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeChannels{}
		g := channelsOf(t, f, nil, Options{})
		for range 4 {
			f.publish("said", hi)
		}
		f.first = 2
		r := follow(t, g, "/v1/channels/room", "Last-Event-ID: p1")
		defer r.cancel()
		synctest.Wait()
		f.publish("said", hi)
		for _, want := range []string{"id: p2", "event: edda.gap|data: {}", liveItem(2, "said"), liveItem(3, "said"), liveItem(4, "said")} {
			if got := r.event(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

// The events of the node's own are the node's alone.
func TestMessagesAreNoEventsOfTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeChannels{}
		g := channelsOf(t, f, nil, Options{})
		for _, kind := range []string{"edda.error", "edda.gap", "a\nevent: edda.error", ""} {
			f.publish(kind, hi)
		}
		r := follow(t, g, "/v1/channels/room?from=start")
		defer r.cancel()
		if got := r.event(); got != "id: p0" {
			t.Errorf("got %s", got)
		}
		for range 4 {
			if got := r.event(); !strings.HasPrefix(got[strings.Index(got, "|")+1:], "event: message|data: {") {
				t.Errorf("got %s, want the event named message", got)
			}
		}
	})
}

// A reader that takes nothing holds up nobody, and has nothing collected for it. Once it
// is too far behind it is told so, and cut off.
func TestSlowReaderOfAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeChannels{}
		g := channelsOf(t, f, nil, Options{MaxBehind: 100 << 10})
		slow := follow(t, g, "/v1/channels/room")
		defer slow.cancel()
		quick := follow(t, g, "/v1/channels/room")
		defer quick.cancel()
		for _, r := range []*follower{slow, quick} {
			if got := r.event(); got != "id: p0" {
				t.Errorf("got %s", got)
			}
		}
		synctest.Wait() // until both are at the end
		large := bytes.Repeat([]byte("x"), 10<<10)
		begin := time.Now()
		for i := range 30 {
			f.publish("said", large)
			if got := quick.event(); !strings.HasPrefix(got, fmt.Sprintf("id: p%d|", i+1)) {
				t.Fatalf("the quick reader got %.100s", got)
			}
			if i == 0 {
				synctest.Wait() // until the slow one has the first, and is stuck with it
			}
		}
		if !time.Now().Equal(begin) {
			t.Errorf("the slow reader held the quick one up for %v", time.Since(begin))
		}
		time.Sleep(time.Minute) // and then it reads on
		n, last := 0, ""
		for got := slow.event(); got != "" && got != ": still here"; got = slow.event() {
			if strings.HasPrefix(got, "event: edda.error") {
				last = got
			} else if strings.Contains(got, "|event: said") {
				n++
			}
		}
		if n >= 30 || !strings.Contains(last, `"reason":"SLOW"`) || slow.Err() == nil {
			t.Errorf("the slow reader got %d messages, %q, %v, want that it was told and cut off", n, last, slow.Err())
		}
	})
}

// A reader whose connection takes nothing at all is given up.
func TestDeadReaderOfAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeChannels{}
		g := channelsOf(t, f, nil, Options{})
		dead := follow(t, g, "/v1/channels/room")
		defer dead.cancel()
		synctest.Wait()
		for range 100 {
			f.publish("said", bytes.Repeat([]byte("x"), 10<<10))
		}
		time.Sleep(httpio.BodyTimeout + time.Second)
		synctest.Wait()
		if len(f.subs) > 0 {
			t.Error("it is still subscribed")
		}
	})
}

// Events end with the credentials, with the request, and when no pattern is left.
func TestEventsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour)
		f := &fakeChannels{}
		g := channelsOf(t, f, nil, Options{Authenticator: auth.Func(func(context.Context, auth.Credential) (*auth.Grant, error) {
			return &auth.Grant{Principal: "ada", Rights: auth.Everything(), Expires: end}, nil
		})})
		w := do(g, http.MethodGet, "/v1/channels/room?from=end", "", "Authorization: Bearer x")
		if !time.Now().Equal(end) || !strings.Contains(w.Body.String(), `"reason":"NO_CREDENTIALS","detail":"the credentials have expired"`) {
			t.Errorf("at %v got %s, want it to end at %v with the reason", time.Now(), w.Body, end)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gone := httptest.NewRequest(http.MethodGet, "/v1/channels/room?from=end", nil).WithContext(ctx)
		gone.Host = "localhost"
		v := httptest.NewRecorder()
		anybodys := channelsOf(t, f, nil, Options{})
		anybodys.ServeHTTP(v, gone)
		if v.Code != 200 || strings.Contains(v.Body.String(), "edda.error") {
			t.Errorf("a reader that leaves: got %d %s", v.Code, v.Body)
		}
		over := make(chan *httptest.ResponseRecorder)
		go func() { over <- do(anybodys, http.MethodGet, "/v1/channels/room?from=end", "") }()
		synctest.Wait()
		f.mu.Lock()
		for s := range f.subs {
			s.over = true
		}
		f.mu.Unlock()
		f.publish("said", hi)
		if got := (<-over).Body.String(); !strings.Contains(got, "event: said") || strings.Contains(got, "edda.error") {
			t.Errorf("when no pattern is left: got %s", got)
		}
		if len(f.subs) > 0 {
			t.Error("there are subscriptions")
		}
	})
}

// What many readers get is made once.
func TestMessagesAreEncodedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeChannels{}
		g := channelsOf(t, f, nil, Options{})
		var rs []*follower
		for range 5 {
			r := follow(t, g, "/v1/channels/room")
			defer r.cancel()
			rs = append(rs, r)
		}
		synctest.Wait()
		f.publish("said", hi)
		// Whoever is first has encoded it; afterwards it does not count what is asked for.
		synctest.Wait()
		got := f.messages[0].Encoded(func(*edda.LiveMessage) []byte { return nil })
		if len(got) == 0 {
			t.Fatal("nobody encoded it as others do")
		}
		for _, r := range rs {
			_ = r.event()
			if line := r.event(); !strings.HasSuffix(line, "|data: "+string(got)) {
				t.Errorf("got %s, want %s", line, got)
			}
		}
	})
}

// FuzzSubscription reads what somebody wants to hear. Nothing makes it panic; what it
// refuses it refuses for a reason, and what it takes makes sense.
func FuzzSubscription(f *testing.F) {
	for _, seed := range [][2]string{
		{"patterns=a.:b,c.*&patterns=::x&from=start", ""}, {"from=2026-01-02T15:04:05Z", "p1"}, {"patterns=,&from=", ""},
		{"patterns=%2C%zz&from=7", "start"}, {"from=pAQID_-", "p"}, {"patterns=" + strings.Repeat("a,", 1000), "\xff"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, query, last string) {
		x := &exchange{op: &op{}, r: &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{"Last-Event-Id": {last}}}, grant: &auth.Grant{Principal: "ada"}}
		x.args[0] = "room"
		q, err := x.query()
		var s *edda.Subscribe
		if err == nil {
			s, err = x.subscription(q)
		}
		switch reason := edda.ReasonOf(err); {
		case err == nil:
		case reason != edda.BadValue && reason != edda.TooLarge:
			t.Fatalf("got %s: %v", reason, err)
		default:
			return
		}
		if err := s.Validate(); err != nil || s.Channel != "room" || s.Principal != "ada" || len(s.Patterns) > edda.MaxPatterns {
			t.Errorf("got %+v, %v", s, err)
		}
		if want := strings.Join(q["patterns"], ","); strings.Join(s.Patterns, ",") != want {
			t.Errorf("got patterns %q, want %q", s.Patterns, want)
		}
		if last != "" && string(s.From) != last {
			t.Errorf("got from %q, want %q", s.From, last)
		}
	})
}
