package auth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// wantReason checks an error's reason, and that its text has the parts.
func wantReason(t *testing.T, what string, err error, reason edda.Reason, parts ...string) {
	t.Helper()
	if edda.ReasonOf(err) != reason {
		t.Errorf("%s: got error %v (%s), want %s", what, err, edda.ReasonOf(err), reason)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got error %q, want %q in it", what, err, part)
		}
	}
}

func TestRead(t *testing.T) {
	presented := &x509.Certificate{}
	for _, tc := range []struct {
		name   string
		values []string
		state  *tls.ConnectionState
		want   auth.Credential
		refuse string
	}{
		{name: "nothing"},
		{name: "a token", values: []string{"Bearer t0k"}, want: auth.Credential{Token: "t0k"}},
		{name: "spaces", values: []string{"BEARER   t0k "}, want: auth.Credential{Token: "t0k"}},
		{name: "the longest", values: []string{"Bearer " + strings.Repeat("x", auth.MaxTokenBytes)}, want: auth.Credential{Token: strings.Repeat("x", auth.MaxTokenBytes)}},
		{name: "too long", values: []string{"Bearer " + strings.Repeat("x", auth.MaxTokenBytes+1)}, refuse: "at most 16384"},
		{name: "basic", values: []string{"Basic t0k"}, refuse: "must be Bearer"},
		{name: "no scheme", values: []string{"t0k"}, refuse: "must be Bearer"},
		{name: "no token", values: []string{"Bearer "}, refuse: "must be Bearer"},
		{name: "empty", values: []string{""}, refuse: "must be Bearer"},
		{name: "two", values: []string{"Bearer a", "Bearer a"}, refuse: "more than once"},
		{name: "TLS without a certificate", state: &tls.ConnectionState{}},
		{name: "not verified", state: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{presented}}},
		{
			name: "verified", state: &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{presented}}},
			want: auth.Credential{Certificate: presented},
		},
	} {
		c, err := auth.Read(tc.values, tc.state)
		if tc.refuse != "" {
			wantReason(t, tc.name, err, edda.NoCredentials, tc.refuse)
			continue
		}
		if err != nil || c != tc.want {
			t.Errorf("%s: got %+v, %v, want %+v", tc.name, c, err, tc.want)
		}
	}
}

func token(t *testing.T, p edda.Principal, secret string, r auth.Rights) auth.Token {
	t.Helper()
	hash, err := auth.HashToken(secret)
	if err != nil {
		t.Fatal(err)
	}
	return auth.Token{Principal: p, SHA256: hash, Rights: r}
}

func TestTokens(t *testing.T) {
	a, err := auth.NewTokens(
		token(t, "ada", "one", auth.Rights{Call: []auth.Pattern{"users"}}), token(t, "ada", "two", auth.Rights{}),
		token(t, "bob", "three", auth.Everything()),
	)
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]edda.Principal{"one": "ada", "two": "ada", "three": "bob"} {
		if g, err := auth.Admit(t.Context(), a, auth.Credential{Token: secret}); err != nil || g.Principal != want {
			t.Errorf("%s: got %+v, %v, want %s", secret, g, err, want)
		}
	}
	for _, c := range []auth.Credential{{}, {Token: "One"}, {Token: "on"}, {Token: strings.Repeat("x", auth.MaxTokenBytes+1)}} {
		_, err := auth.Admit(t.Context(), a, c)
		wantReason(t, c.Token, err, edda.NoCredentials)
	}
}

func TestBadTokens(t *testing.T) {
	for _, secret := range []string{"", "a b", "a\n", "ä", strings.Repeat("x", auth.MaxTokenBytes+1)} {
		_, err := auth.HashToken(secret)
		wantReason(t, secret, err, edda.BadValue)
	}
	_, err := auth.NewTokens(token(t, "ada", "x", auth.Rights{}), token(t, "bob", "x", auth.Rights{}))
	wantReason(t, "twice", err, edda.BadValue, `"ada" and "bob" have the same token`)
	_, err = auth.NewTokens(token(t, "", "x", auth.Rights{}))
	wantReason(t, "nobody", err, edda.BadValue, "principal is empty")
	_, err = auth.NewTokens(token(t, edda.Principal(strings.Repeat("x", 256)), "x", auth.Rights{}))
	wantReason(t, "long", err, edda.BadValue, "at most 255")
	_, err = auth.NewTokens(token(t, "a\n", "x", auth.Rights{}))
	wantReason(t, "control", err, edda.BadValue, "control characters")
	_, err = auth.NewTokens(token(t, "ada", "x", auth.Rights{Host: []auth.Pattern{"a*b"}}))
	wantReason(t, "pattern", err, edda.BadValue, `the rights of "ada"`, `"a*b"`, "* at its end")
}

func TestPatterns(t *testing.T) {
	for _, tc := range []struct {
		pattern            auth.Pattern
		namespace, service string
		want               bool
	}{
		{"users", "", "users", true},
		{"users", edda.DefaultNamespace, "users", true},
		{"users", "shop", "users", false},
		{"users", "", "users2", false},
		{"user*", "", "users", true},
		{"user*", "", "user", true},
		{"user*", "", "use", false},
		{"*", "", "users", true},
		{"*", "shop", "users", false},
		{"shop:*", "shop", "users", true},
		{"shop:*", "shop2", "users", false},
		{"shop*:*", "shop2", "users", true},
		{"*:users", "shop", "users", true},
		{"*:users", "", "users", true},
		{"*:users", "", "orders", false},
		{"*:*", "shop", "users", true},
		{"", "", "", true}, // Validate refuses it, and a service always has a name
	} {
		if got := tc.pattern.Match(tc.namespace, tc.service); got != tc.want {
			t.Errorf("%q matches %s:%s: got %v, want %v", tc.pattern, tc.namespace, tc.service, got, tc.want)
		}
	}
	for _, p := range []auth.Pattern{"", ":", "a:", ":a", "a*b", "**", "a:b:c", "a/b", "edda.x", "ä"} {
		wantReason(t, string(p), p.Validate(), edda.BadValue, "must be NAME or NAMESPACE:NAME")
	}
	for _, p := range []auth.Pattern{"a", "a*", "*", "*:*", "a:b", "a*:b*", "A.b_c-d"} {
		if err := p.Validate(); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestGrant(t *testing.T) {
	g := &auth.Grant{Principal: "ada", Rights: auth.Rights{Call: []auth.Pattern{"users"}, Host: []auth.Pattern{"shop:*"}}}
	manager := &auth.Grant{Principal: "ops", Rights: auth.Rights{Manage: true}}
	request := func(p edda.Principal, service string) *edda.Request {
		return &edda.Request{Namespace: edda.DefaultNamespace, Service: service, Principal: p}
	}
	for what, err := range map[string]error{
		"call": g.CheckCall("", "users"), "host": g.CheckHost("shop", "orders"), "manage": manager.CheckManage(),
		"own request": g.CheckRequest(request("ada", "users")), "another's": manager.CheckRequest(request("ada", "users")),
	} {
		if err != nil {
			t.Errorf("%s: got %v, want to be allowed", what, err)
		}
	}
	wantReason(t, "call", g.CheckCall("shop", "orders"), edda.NotAllowed, `"ada" may not call shop:orders`)
	wantReason(t, "host", g.CheckHost("", "users"), edda.NotAllowed, `"ada" may not host users`)
	wantReason(t, "manage", g.CheckManage(), edda.NotAllowed, `"ada" may not manage`)
	wantReason(t, "another's request", g.CheckRequest(request("bob", "users")), edda.NotAllowed)
	wantReason(t, "own request elsewhere", g.CheckRequest(request("ada", "orders")), edda.NotAllowed)
	wantReason(t, "managers do not call", manager.CheckCall("", "users"), edda.NotAllowed)
	for service, want := range map[string]bool{"users": true, "orders": false} {
		if g.MaySee("", service) != want || !g.MaySee("shop", service) || !manager.MaySee("", service) {
			t.Errorf("%s: who may see it is wrong", service)
		}
	}
}

func TestAdmit(t *testing.T) {
	answer := func(g *auth.Grant, err error) auth.Authenticator {
		return auth.Func(func(context.Context, auth.Credential) (*auth.Grant, error) { return g, err })
	}
	ada := &auth.Grant{Principal: "ada"}
	shown := auth.Credential{Token: "x"}
	for _, tc := range []struct {
		name   string
		a      auth.Authenticator
		c      auth.Credential
		reason edda.Reason
		detail string
	}{
		{"known", answer(ada, nil), shown, "", ""},
		{"known by nothing", answer(ada, nil), auth.Credential{}, "", ""},
		{"unknown", answer(nil, auth.ErrUnknown), shown, edda.NoCredentials, "not valid"},
		{"nothing shown", answer(nil, auth.ErrUnknown), auth.Credential{}, edda.NoCredentials, "is missing"},
		{"no grant", answer(nil, nil), shown, edda.NoCredentials, "not valid"},
		{"no principal", answer(&auth.Grant{}, nil), shown, edda.NoCredentials, "not valid"},
		{"expired", answer(&auth.Grant{Principal: "ada", Expires: time.Now()}, nil), shown, edda.NoCredentials, "expired"},
		{"not yet expired", answer(&auth.Grant{Principal: "ada", Expires: time.Now().Add(time.Hour)}, nil), shown, "", ""},
		{"own error", answer(nil, &edda.Error{Reason: edda.Unavailable}), shown, edda.Unavailable, ""},
		{"any error", answer(nil, errors.New("secret")), shown, edda.NoCredentials, "the credentials are not valid"},
		{"first of none", auth.FirstOf(), shown, edda.NoCredentials, "not valid"},
		{"the second knows", auth.FirstOf(answer(nil, auth.ErrUnknown), answer(ada, nil)), shown, "", ""},
		{"the first refuses", auth.FirstOf(answer(nil, &edda.Error{Reason: edda.NotAllowed}), answer(ada, nil)), shown, edda.NotAllowed, ""},
	} {
		g, err := auth.Admit(t.Context(), tc.a, tc.c)
		if tc.reason != "" {
			wantReason(t, tc.name, err, tc.reason, tc.detail)
			if g != nil {
				t.Errorf("%s: got a grant with the error", tc.name)
			}
			continue
		}
		if err != nil || g.Principal != "ada" {
			t.Errorf("%s: got %+v, %v, want ada", tc.name, g, err)
		}
	}
	g, err := auth.Admit(t.Context(), nil, shown)
	if err != nil || g.Principal != edda.Anonymous || g.CheckCall("x", "y") != nil || g.CheckHost("x", "y") != nil || g.CheckManage() != nil {
		t.Errorf("without an authenticator: got %+v, %v, want %s with every right", g, err, edda.Anonymous)
	}
}

func TestKeyHeaders(t *testing.T) {
	shown := auth.Credential{Token: "t"}
	for _, tc := range []struct {
		name   string
		before auth.Credential
		values []string
		want   string
		ok     bool
	}{
		{"nothing", auth.Credential{}, nil, "", true},
		{"a key", auth.Credential{}, []string{"k e y"}, "k e y", true},
		{"a token and no key", shown, nil, "t", true},
		{"a token and a key", shown, []string{"t"}, "", false},
		{"two keys", auth.Credential{}, []string{"a", "a"}, "", false},
		{"an empty key", auth.Credential{}, []string{""}, "", false},
		{"the longest", auth.Credential{}, []string{strings.Repeat("k", auth.MaxTokenBytes)}, strings.Repeat("k", auth.MaxTokenBytes), true},
		{"too long", auth.Credential{}, []string{strings.Repeat("k", auth.MaxTokenBytes+1)}, "", false},
	} {
		got, err := tc.before.WithKey("X-Api-Key", tc.values)
		if (err == nil) != tc.ok || got.Token != tc.want {
			t.Errorf("%s: got token of %d bytes and %v", tc.name, len(got.Token), err)
		}
		if err != nil && (edda.ReasonOf(err) != edda.NoCredentials || !strings.Contains(err.Error(), "X-Api-Key")) {
			t.Errorf("%s: got %v, want NO_CREDENTIALS that names the header", tc.name, err)
		}
	}
}
