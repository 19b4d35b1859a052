package wsgw

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

const callEcho = `{"op":"call","ref":1,"service":"echo","method":"x","data":1}`

func TestAuthentication(t *testing.T) {
	k := newKeys()
	k.set("t-ada", everything("ada"))
	k.set("t-ada-2", everything("ada"))
	k.set("t-bob", everything("bob"))
	w := start(t, Options{Authenticator: k})
	t.Run("by header", func(t *testing.T) {
		c := w.dial(t, "Authorization", "Bearer t-ada")
		c.send(callEcho)
		c.want(`{"op":"ack","ref":1}`)
		c.want(`{"op":"reply","ref":1}`)
	})
	t.Run("by frame", func(t *testing.T) {
		c := w.dial(t)
		c.alive() // which needs nothing
		c.send(`{"op":"auth","token":"t-ada"}`, callEcho)
		c.want(`{"op":"authenticated","principal":"ada"}`)
		c.want(`{"op":"ack","ref":1}`)
		c.want(`{"op":"reply","ref":1}`)
		c.send(`{"op":"auth","ref":"again","token":"t-ada-2"}`)
		c.want(`{"op":"authenticated","ref":"again","principal":"ada"}`)
	})
	for _, tc := range []struct{ name, frame, reason string }{
		{"not at all", callEcho, "NO_CREDENTIALS"},
		{"a wrong token", `{"op":"auth","token":"t-eve"}`, "NO_CREDENTIALS"},
		{"a token that is too long", `{"op":"auth","token":"` + string(make2(auth.MaxTokenBytes+1)) + `"}`, "NO_CREDENTIALS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := w.dial(t)
			c.send(tc.frame)
			c.want(`{"op":"error","code":"unauthenticated","reason":"` + tc.reason + `"}`)
			c.wantClose(closeNotAllowed)
		})
	}
	t.Run("as somebody else", func(t *testing.T) {
		c := w.dial(t, "Authorization", "Bearer t-ada")
		c.send(`{"op":"auth","ref":1,"token":"t-bob"}`)
		c.want(`{"op":"error","ref":1,"reason":"NOT_ALLOWED"}`)
		c.wantClose(closeNotAllowed)
	})
	t.Run("anew with a wrong token", func(t *testing.T) {
		c := w.dial(t, "Authorization", "Bearer t-ada")
		c.send(`{"op":"auth","token":"t-eve"}`)
		c.want(`{"op":"error","reason":"NO_CREDENTIALS"}`)
		c.wantClose(closeNotAllowed)
	})
	t.Run("much before it is known who it is", func(t *testing.T) {
		c := w.dial(t)
		c.send(`{"op":"ping"}` + string(make2(maxUnknownFrame)))
		c.wantClose(closeTooLarge)
	})
}

func make2(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = ' '
	}
	return b
}

func TestNobodyAuthenticatesInTime(t *testing.T) {
	w := start(t, Options{Authenticator: newKeys(), AuthTimeout: 20 * time.Millisecond})
	c := w.dial(t)
	c.want(`{"op":"error","reason":"NO_CREDENTIALS","detail":"nobody authenticated in time"}`)
	c.wantClose(closeNotAllowed)
}

func TestTheAuthenticatorCannotBeAsked(t *testing.T) {
	w := start(t, Options{Authenticator: auth.Func(func(_ context.Context, c auth.Credential) (*auth.Grant, error) {
		if c.IsZero() {
			return nil, auth.ErrUnknown
		}
		return nil, &edda.Error{Reason: edda.Unavailable, Err: errors.New("away")}
	})})
	c := w.dial(t)
	c.send(`{"op":"auth","ref":1,"token":"x"}`)
	c.want(`{"op":"error","ref":1,"reason":"UNAVAILABLE"}`)
	c.alive()
}

func TestWithoutAnAuthenticatorAnyTokenWillDo(t *testing.T) {
	c := start(t, Options{}).dial(t)
	c.send(`{"op":"auth","token":"x"}`)
	c.want(`{"op":"authenticated","principal":"anonymous"}`)
	c.send(callEcho)
	c.want(`{"op":"ack","ref":1}`)
}

func TestCredentialsExpire(t *testing.T) {
	expiring := func(in time.Duration) *auth.Grant {
		g := everything("ada")
		g.Expires = time.Now().Add(in)
		return g
	}
	for name, f := range map[string]func(t *testing.T, k *keys, w *world){
		"of who is silent": func(t *testing.T, k *keys, w *world) {
			k.set("t", expiring(50*time.Millisecond))
			c := w.dial(t, "Authorization", "Bearer t")
			c.want(`{"op":"error","reason":"NO_CREDENTIALS","detail":"the credentials have expired"}`)
			c.wantClose(closeNotAllowed)
		},
		"and are renewed": func(t *testing.T, k *keys, w *world) {
			k.set("t", expiring(100*time.Millisecond))
			k.set("t2", expiring(400*time.Millisecond))
			begin := time.Now()
			c := w.dial(t, "Authorization", "Bearer t")
			c.send(`{"op":"auth","token":"t2"}`)
			c.want(`{"op":"authenticated","principal":"ada"}`)
			c.want(`{"op":"error","reason":"NO_CREDENTIALS"}`) // those that were renewed
			if took := time.Since(begin); took != 400*time.Millisecond {
				t.Errorf("the connection ended after %v, want 400ms", took)
			}
			c.wantClose(closeNotAllowed)
		},
		"and are shown again": func(t *testing.T, k *keys, w *world) {
			k.set("t", expiring(-time.Second))
			c := w.dial(t)
			c.send(`{"op":"auth","token":"t"}`)
			c.want(`{"op":"error","reason":"NO_CREDENTIALS"}`)
			c.wantClose(closeNotAllowed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
				k := newKeys()
				f(t, k, start(Options{Authenticator: k}))
			})
		})
	}
}

// A token that is taken back ends what lives on its strength, and so does a smaller grant.
func TestCredentialsAreTakenBack(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		k := newKeys()
		k.set("t", everything("ada"))
		w := start(Options{Authenticator: k, Ping: 200 * time.Millisecond})
		c := w.dial(t, "Authorization", "Bearer t")
		c.send(`{"op":"subscribe","ref":1,"channel":"room"}`, `{"op":"subscribe","ref":2,"channel":"hall"}`)
		c.want(`{"op":"subscribed","ref":1}`)
		c.want(`{"op":"subscribed","ref":2}`)
		k.set("t", &auth.Grant{Principal: "ada", Rights: auth.Rights{Subscribe: []auth.Pattern{"hall"}}})
		c.want(`{"op":"error","ref":1,"reason":"NOT_ALLOWED"}`)
		settled(t, "one subscription is left", func() bool { return w.live.open() == 1 })
		c.alive()
		k.set("t", nil)
		c.want(`{"op":"error","reason":"NO_CREDENTIALS"}`)
		c.wantClose(closeNotAllowed)
		settled(t, "no subscription is left", func() bool { return w.live.open() == 0 })
	})
}

func TestTheTokenIsSomebodyElsesNow(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		k := newKeys()
		k.set("t", everything("ada"))
		c := start(Options{Authenticator: k, Ping: 200 * time.Millisecond}).dial(t, "Authorization", "Bearer t")
		c.alive()
		k.set("t", everything("bob"))
		c.want(`{"op":"error","reason":"NO_CREDENTIALS"}`)
		c.wantClose(closeNotAllowed)
	})
}

// What the credentials do not allow is answered, and ends the connection.
func TestRights(t *testing.T) {
	k := newKeys()
	k.set("t", &auth.Grant{Principal: "ada", Rights: auth.Rights{
		Call: []auth.Pattern{"echo"}, Append: []auth.Pattern{"mine"}, Read: []auth.Pattern{"mine"},
		Publish: []auth.Pattern{"room"}, Subscribe: []auth.Pattern{"room"},
	}})
	w := start(t, Options{Authenticator: k})
	for _, tc := range []struct{ frame, answer string }{
		{`{"op":"call","ref":1,"service":"echo","method":"x"}`, `{"op":"ack"}`},
		{`{"op":"append","ref":1,"stream":"mine","type":"t"}`, `{"op":"ack"}`},
		{`{"op":"publish","ref":1,"channel":"room","type":"t"}`, `{"op":"error","reason":"NO_CHANNEL"}`},
		{`{"op":"subscribe","ref":1,"channel":"room"}`, `{"op":"subscribed"}`},
		{`{"op":"subscribe","ref":1,"stream":"mine"}`, `{"op":"subscribed"}`},
		{`{"op":"call","ref":1,"service":"users","key":"1","method":"x"}`, ""},
		{`{"op":"append","ref":1,"stream":"yours","type":"t"}`, ""},
		{`{"op":"append","ref":1,"stream":"mine","type":"t","replyTo":"yours"}`, ""},
		{`{"op":"publish","ref":1,"channel":"hall","type":"t"}`, ""},
		{`{"op":"publish","ref":1,"channel":"room","type":"t","replyTo":"yours"}`, ""},
		{`{"op":"subscribe","ref":1,"channel":"hall"}`, ""},
		{`{"op":"subscribe","ref":1,"stream":"yours"}`, ""},
	} {
		t.Run(tc.frame, func(t *testing.T) {
			c := w.dial(t, "Authorization", "Bearer t")
			c.send(tc.frame)
			if tc.answer != "" {
				c.want(tc.answer)
				return
			}
			c.want(`{"op":"error","ref":1,"code":"permission_denied","reason":"NOT_ALLOWED"}`)
			c.wantClose(closeNotAllowed)
		})
	}
	c := w.dialTo(t, "/v1/ns/other/live", "Authorization", "Bearer t") // its rights are of another namespace
	c.send(callEcho)
	c.want(`{"op":"error","reason":"NOT_ALLOWED"}`)
	c.wantClose(closeNotAllowed)
}

func TestHooks(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		k := newKeys()
		k.set("t-ada", everything("ada"))
		k.set("t-eve", everything("eve"))
		var mu sync.Mutex
		var said []string
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, s)
		}
		seen := func(n int) func() bool {
			return func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(said) >= n
			}
		}
		w := start(Options{
			Authenticator: k,
			OnOpen: func(_ context.Context, c *Conn) error {
				if c.Header.Get("Authorization") != "" || c.Header.Get("Cookie") != "" || c.RemoteAddr == "" || c.ID == 0 {
					t.Errorf("got %+v", c)
				}
				note("open " + string(c.Principal) + " " + c.Namespace + " " + c.Header.Get("X-Page"))
				if c.Principal == "eve" {
					return errors.New("not today")
				}
				return nil
			},
			OnPing: func(c *Conn) { note("ping " + string(c.Principal)) },
			OnClose: func(c *Conn, code int) {
				note("close " + string(c.Principal) + " " + websocket.StatusCode(code).String())
			},
		})
		ada := w.dialTo(t, "/v1/ns/shop/live", "Authorization", "Bearer t-ada", "Cookie", "a=b", "X-Page", "7")
		ada.alive()
		_ = ada.ws.Close(websocket.StatusNormalClosure, "")
		settled(t, "it was told", seen(3))
		eve := w.dial(t)
		eve.send(`{"op":"auth","token":"t-eve"}`)
		eve.want(`{"op":"error","reason":"NOT_ALLOWED","detail":"not today"}`)
		eve.wantClose(closeNotAllowed)
		settled(t, "she was told of", seen(4))
		mu.Lock()
		defer mu.Unlock()
		want := []string{"open ada shop 7", "ping ada", "close ada StatusNormalClosure", "open eve default "}
		for i, s := range want {
			if said[i] != s {
				t.Errorf("got %q, want %q", said, want)
				break
			}
		}
	})
}

// A reason has room in a close frame wherever its text is cut: else another code would be sent.
func TestCloseReasonFits(t *testing.T) {
	for before := range 8 {
		text := strings.Repeat("x", before) + strings.Repeat("🙂", 60)
		got := closeReason(refusal(edda.NotAllowed, text))
		if len(got) > 123 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") || strings.ContainsRune(got, utf8.RuneError) {
			t.Errorf("after %d bytes: got %q of %d bytes, at most 123 have room", before, got, len(got))
		}
	}
}
