package auth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

type claims = map[string]any

// The keys of the tests' issuer; made once, because RSA takes its time.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	shortKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey    = sync.OnceValue(newEdKey)
)

func newEdKey() ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// issuer publishes keys to whoever asks over its own transport.
type issuer struct {
	mu      sync.Mutex // guards what is below
	keys    []jose.JSONWebKey
	body    string // instead of the keys
	err     error  // instead of an answer
	fetches int
}

func newIssuer(keys ...jose.JSONWebKey) *issuer { return &issuer{keys: keys} }

func (i *issuer) RoundTrip(*http.Request) (*http.Response, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetches++
	if i.err != nil {
		return nil, i.err
	}
	body := i.body
	if body == "" {
		body = string(must(json.Marshal(jose.JSONWebKeySet{Keys: i.keys})))
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func (i *issuer) publish(err error, keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys, i.err, i.body = keys, err, ""
}

func (i *issuer) asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func published(id string, private crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{KeyID: id, Key: private.Public(), Use: "sig"}
}

// signed returns a token.
func signed(alg jose.SignatureAlgorithm, key any, id string, c claims) string {
	return must(must(must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)).
		Sign(must(json.Marshal(c)))).CompactSerialize())
}

// forged returns a token with a header as it is, signed as HMAC says or not at all.
func forged(header string, secret []byte, c claims) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(header)) + "." + b64(must(json.Marshal(c)))
	if secret == nil {
		return text + "."
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}

// good returns claims that are in order, with changes; nil removes one.
func good(changes claims) claims {
	c := claims{"iss": "https://id.example", "aud": "edda", "sub": "ada", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func openJWT(t *testing.T, i *issuer, change func(*auth.JWTOptions)) *auth.JWT {
	t.Helper()
	opts := auth.JWTOptions{
		Keys: "https://id.example/keys", Issuer: "https://id.example", Audience: "edda", Client: &http.Client{Transport: i},
	}
	if change != nil {
		change(&opts)
	}
	a, err := auth.OpenJWT(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func admit(t *testing.T, a auth.Authenticator, token string) (*auth.Grant, error) {
	t.Helper()
	return auth.Admit(t.Context(), a, auth.Credential{Token: token})
}

// wantAdmitted checks that each token is let in.
func wantAdmitted(t *testing.T, what string, a auth.Authenticator, token string) *auth.Grant {
	t.Helper()
	g, err := admit(t, a, token)
	if err != nil {
		t.Fatalf("%s: got %v, want a grant", what, err)
	}
	return g
}

func wantRefused(t *testing.T, what string, a auth.Authenticator, token, detail string) {
	t.Helper()
	_, err := admit(t, a, token)
	wantReason(t, what, err, edda.NoCredentials, detail)
}

func TestJWT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openJWT(t, newIssuer(published("r", rsaKey()), published("e", ecKey()), published("d", edKey())), nil)
		for id, token := range map[string]string{
			"r": signed(jose.RS256, rsaKey(), "r", good(nil)), "e": signed(jose.ES256, ecKey(), "e", good(nil)),
			"d": signed(jose.EdDSA, edKey(), "d", good(claims{"aud": []string{"other", "edda"}})),
			"":  signed(jose.EdDSA, edKey(), "", good(nil)), // there is no choice
		} {
			for range 2 { // the second time it is remembered
				g := wantAdmitted(t, id, a, token)
				if g.Claims["sub"] != "ada" || g.Claims["iss"] == nil {
					t.Errorf("got claims %v", g.Claims)
				}
				if end := time.Now().Add(time.Hour + auth.DefaultLeeway); g.Principal != "ada" || g.Expires.Unix() != end.Unix() {
					t.Errorf("%s: got %+v, want ada until %v", id, g, end)
				}
				if g.CheckManage() == nil || g.CheckCall("", "users") == nil || g.CheckHost("", "users") == nil {
					t.Errorf("%s: got rights %+v, want none", id, g.Rights)
				}
			}
		}
	})
}

func TestJWTRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(published("r", rsaKey()), published("e", ecKey()), published("d", edKey()))
		a := openJWT(t, i, nil)
		spki := must(x509.MarshalPKIXPublicKey(rsaKey().Public()))
		jwk := must(json.Marshal(published("r", rsaKey())))
		stranger := newEdKey()
		in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
		whole := signed(jose.EdDSA, edKey(), "d", good(nil))
		parts := strings.Split(whole, ".")
		embedded := must(must(jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: stranger},
			&jose.SignerOptions{EmbedJWK: true})).Sign(must(json.Marshal(good(nil)))))
		const unsigned, noKey, bad = "no JSON Web Token signed with", "none of the issuer's", "signature is not valid"
		for _, tc := range []struct{ name, token, detail string }{
			{"expired", signed(jose.EdDSA, edKey(), "d", good(claims{"exp": in(-31 * time.Second)})), "has expired"},
			{"not yet valid", signed(jose.EdDSA, edKey(), "d", good(claims{"nbf": in(31 * time.Second)})), "not valid yet"},
			{"from the future", signed(jose.EdDSA, edKey(), "d", good(claims{"iat": in(31 * time.Second)})), "not valid yet"},
			{"for ever", signed(jose.EdDSA, edKey(), "d", good(claims{"exp": nil})), "exp is missing"},
			{"other issuer", signed(jose.EdDSA, edKey(), "d", good(claims{"iss": "https://evil.example"})), "another issuer"},
			{"no issuer", signed(jose.EdDSA, edKey(), "d", good(claims{"iss": nil})), "another issuer"},
			{"other audience", signed(jose.EdDSA, edKey(), "d", good(claims{"aud": []string{"shop"}})), "another audience"},
			{"no audience", signed(jose.EdDSA, edKey(), "d", good(claims{"aud": nil})), "another audience"},
			{"nobody", signed(jose.EdDSA, edKey(), "d", good(claims{"sub": nil})), "the claim sub must be text"},
			{"empty name", signed(jose.EdDSA, edKey(), "d", good(claims{"sub": ""})), "the claim sub must be text"},
			{"control characters", signed(jose.EdDSA, edKey(), "d", good(claims{"sub": "a\nb"})), "control characters"},
			{"a number", signed(jose.EdDSA, edKey(), "d", good(claims{"exp": "tomorrow"})), bad},

			{"none", forged(`{"alg":"none"}`, nil, good(nil)), unsigned},
			{"None", forged(`{"alg":"None","kid":"r"}`, nil, good(nil)), unsigned},
			{"no algorithm", forged(`{"kid":"r"}`, nil, good(nil)), unsigned},
			{"HMAC with the key in PEM", forged(`{"alg":"HS256","kid":"r"}`, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), good(nil)), unsigned},
			{"HMAC with the key in DER", forged(`{"alg":"HS256","kid":"r"}`, spki, good(nil)), unsigned},
			{"HMAC with the JWK", forged(`{"alg":"HS256","kid":"r"}`, jwk, good(nil)), unsigned},
			{"HMAC said to be EdDSA", forged(`{"alg":"EdDSA","kid":"d"}`, edKey().Public().(ed25519.PublicKey), good(nil)), bad},
			{"another algorithm of the key", signed(jose.RS512, rsaKey(), "r", good(nil)), unsigned},
			{"PSS with the key", signed(jose.PS256, rsaKey(), "r", good(nil)), unsigned},
			{"another key's id", signed(jose.EdDSA, edKey(), "r", good(nil)), noKey},
			{"a stranger's key", signed(jose.EdDSA, stranger, "d", good(nil)), bad},
			{"a key that it brings", must(embedded.CompactSerialize()), bad},
			{"an extension that must be understood", forged(`{"alg":"EdDSA","kid":"d","crit":["x"],"x":1}`, []byte("x"), good(nil)), bad},
			{"unknown key", signed(jose.EdDSA, stranger, "x", good(nil)), noKey},
			{"claims changed", parts[0] + "." + base64.RawURLEncoding.EncodeToString(must(json.Marshal(good(claims{"sub": "root"})))) + "." + parts[2], bad},
			{"signature cut", parts[0] + "." + parts[1] + ".", bad},
			{"rubbish", "a.b.c", unsigned},
			{"encrypted", "a.b.c.d.e", "not valid"},
			{"something else", "t0ken", "not valid"},
			{"too long", whole + strings.Repeat("x", auth.MaxTokenBytes), "not valid"},
		} {
			wantRefused(t, tc.name, a, tc.token, tc.detail)
		}
		// Leeway lets clocks differ.
		for name, c := range map[string]claims{
			"just expired": {"exp": in(-29 * time.Second)}, "just not valid": {"nbf": in(29 * time.Second)},
		} {
			wantAdmitted(t, name, a, signed(jose.EdDSA, edKey(), "d", good(c)))
		}
	})
}

func TestJWTEndsWithItsExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openJWT(t, newIssuer(published("d", edKey())), nil)
		token := signed(jose.EdDSA, edKey(), "d", good(nil))
		wantAdmitted(t, "at first", a, token)
		time.Sleep(time.Hour + auth.DefaultLeeway - time.Second)
		wantAdmitted(t, "within the leeway", a, token)
		time.Sleep(2 * time.Second)
		wantRefused(t, "afterwards", a, token, "has expired")
	})
}

func TestJWTRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openJWT(t, newIssuer(published("d", edKey())), func(o *auth.JWTOptions) {
			o.PrincipalClaim, o.Prefix = "email", "id:"
			o.CallClaim, o.HostClaim, o.AppendClaim, o.ReadClaim, o.ManageClaim = "scope", "host", "append", "read", "admin"
			o.PublishClaim, o.SubscribeClaim = "publish", "subscribe"
			o.Rights = func(p edda.Principal) auth.Rights {
				return auth.Rights{Call: []auth.Pattern{auth.Pattern(strings.TrimPrefix(string(p), "id:"))}}
			}
		})
		for _, tc := range []struct {
			name   string
			claims claims
			want   auth.Rights
		}{
			{"none", nil, auth.Rights{Call: []auth.Pattern{"ada"}}},
			{"text", claims{"scope": "openid https://x/y shop:*"}, auth.Rights{Call: []auth.Pattern{"ada", "openid", "shop:*"}}},
			{"lists", claims{"scope": []any{"a", 1, "b c"}, "host": []string{"c*"}}, auth.Rights{Call: []auth.Pattern{"ada", "a"}, Host: []auth.Pattern{"c*"}}},
			{"streams", claims{"append": "orders", "read": []any{"shop:*"}}, auth.Rights{
				Call: []auth.Pattern{"ada"}, Append: []auth.Pattern{"orders"}, Read: []auth.Pattern{"shop:*"},
			}},
			{"channels", claims{"publish": "room", "subscribe": []any{"shop:*"}}, auth.Rights{
				Call: []auth.Pattern{"ada"}, Publish: []auth.Pattern{"room"}, Subscribe: []auth.Pattern{"shop:*"},
			}},
			{"managing", claims{"admin": true}, auth.Rights{Call: []auth.Pattern{"ada"}, Manage: true}},
			{"not quite managing", claims{"admin": "true", "": true, "scope": 1}, auth.Rights{Call: []auth.Pattern{"ada"}}},
		} {
			c := good(tc.claims)
			c["email"] = "ada"
			g := wantAdmitted(t, tc.name, a, signed(jose.EdDSA, edKey(), "d", c))
			if g.Principal != "id:ada" || !slices.Equal(g.Call, tc.want.Call) || !slices.Equal(g.Host, tc.want.Host) ||
				!slices.Equal(g.Append, tc.want.Append) || !slices.Equal(g.Read, tc.want.Read) ||
				!slices.Equal(g.Publish, tc.want.Publish) || !slices.Equal(g.Subscribe, tc.want.Subscribe) || g.Manage != tc.want.Manage {
				t.Errorf("%s: got %+v, want %+v", tc.name, g, tc.want)
			}
		}
		// A claim that no option names is none, whatever its name.
		plain := openJWT(t, newIssuer(published("d", edKey())), nil)
		g := wantAdmitted(t, "plain", plain, signed(jose.EdDSA, edKey(), "d", good(claims{"": true, "scope": "users"})))
		if g.Manage || len(g.Call)+len(g.Host)+len(g.Append)+len(g.Read)+len(g.Publish)+len(g.Subscribe) > 0 {
			t.Errorf("got %+v, want no rights", g)
		}
	})
}

func TestKeysAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oldKey, nextKey := newEdKey(), newEdKey()
		i := newIssuer(published("1", oldKey))
		a := openJWT(t, i, nil)
		before, after := signed(jose.EdDSA, oldKey, "1", good(nil)), signed(jose.EdDSA, nextKey, "2", good(nil))
		wantAdmitted(t, "the first key", a, before)
		wantRefused(t, "not there yet", a, after, "none of the issuer's")
		time.Sleep(10 * time.Second)

		i.publish(nil, published("1", oldKey), published("2", nextKey))
		wantAdmitted(t, "a new key, at once", a, after)
		wantAdmitted(t, "the one before", a, before)

		i.publish(nil, published("2", nextKey))
		wantAdmitted(t, "withdrawn, but not fetched", a, before)
		time.Sleep(auth.DefaultRefresh * 11 / 10)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		wantRefused(t, "withdrawn, though it was verified before", a, before, "none of the issuer's")
		wantAdmitted(t, "the one that stays", a, after)
	})
}

func TestUnknownKeysAreNotFetchedOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(published("d", edKey()))
		a := openJWT(t, i, nil)
		stranger := newEdKey()
		var wg sync.WaitGroup
		for n := range 100 {
			token := signed(jose.EdDSA, stranger, strconv.Itoa(n), good(nil))
			wg.Go(func() { wantRefused(t, "unknown", a, token, "none of the issuer's") })
		}
		wg.Wait()
		if n := i.asked(); n > 3 {
			t.Errorf("100 unknown keys made for %d fetches, want at most 3", n)
		}
		wantAdmitted(t, "a known one meanwhile", a, signed(jose.EdDSA, edKey(), "d", good(nil)))
	})
}

func TestIssuerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		i.publish(errors.New("boom"))
		var logs bytes.Buffer
		a := openJWT(t, i, func(o *auth.JWTOptions) { o.Logger = slog.New(slog.NewTextHandler(&logs, nil)) })
		token := signed(jose.EdDSA, edKey(), "d", good(nil))
		_, err := admit(t, a, token)
		wantReason(t, "no keys yet", err, edda.Unavailable, "could not be fetched yet")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := i.asked(); n < 5 || n > 9 {
			t.Errorf("got %d fetches in a minute, want them to become rarer from 1 s on", n)
		}
		if !strings.Contains(logs.String(), "boom") {
			t.Errorf("got log %q, want the reason", logs.String())
		}
		i.publish(nil, published("d", edKey()))
		time.Sleep(time.Minute + 10*time.Second)
		wantAdmitted(t, "it is back", a, token)
		i.publish(errors.New("boom"))
		time.Sleep(20 * time.Minute)
		wantAdmitted(t, "away again", a, signed(jose.EdDSA, edKey(), "d", good(nil)))
		before := i.asked()
		a.Close()
		a.Close()
		time.Sleep(time.Hour)
		if i.asked() != before {
			t.Error("keys are fetched although it is closed")
		}
		wantAdmitted(t, "closed", a, signed(jose.EdDSA, edKey(), "d", good(nil)))
		wantRefused(t, "closed, unknown key", a, signed(jose.EdDSA, newEdKey(), "x", good(nil)), "none of the issuer's")
	})
}

// Keys that are of no use are left out: a token signed with one is of an unknown
// key, whatever it is.
func TestUselessKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := bytes.Repeat([]byte("x"), 32)
		wrongUse, wrongAlg := published("u", edKey()), published("a", edKey())
		wrongUse.Use, wrongAlg.Algorithm = "enc", "ES256"
		set := must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			wrongUse, wrongAlg, {KeyID: "private", Key: edKey()}, {KeyID: "secret", Key: secret}, published("short", shortKey()),
			published("curve", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))), published("d", edKey()),
		}}))
		i := newIssuer()
		i.body = strings.Replace(string(set), `[`, `[{"kty":"NEW","kid":"n"},17,`, 1)
		a := openJWT(t, i, nil)
		wantAdmitted(t, "the good one", a, signed(jose.EdDSA, edKey(), "d", good(nil)))
		for id, token := range map[string]string{
			"u": signed(jose.EdDSA, edKey(), "u", good(nil)), "a": signed(jose.EdDSA, edKey(), "a", good(nil)),
			"private": signed(jose.EdDSA, edKey(), "private", good(nil)), "short": signed(jose.RS256, shortKey(), "short", good(nil)),
		} {
			wantRefused(t, id, a, token, "none of the issuer's")
		}
		wantRefused(t, "secret", a, signed(jose.HS256, secret, "secret", good(nil)), "no JSON Web Token signed with")
	})
}

func TestKeysInAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys.json")
		put := func(body string) {
			if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		open := func() (*auth.JWT, error) {
			return auth.OpenJWT(t.Context(), auth.JWTOptions{Keys: file, Issuer: "https://id.example", Audience: "edda"})
		}
		_, err := open()
		wantReason(t, "no file", err, edda.BadValue, "no such file")
		for body, want := range map[string]string{
			"x": "it is no JWKS", `{"keys":[]}`: "no public key for RS256", strings.Repeat(" ", 1<<20+1): "more than",
			`{"keys":[` + strings.Repeat("1,", 100) + `1]}`: "at most 100",
		} {
			put(body)
			_, err := open()
			wantReason(t, want, err, edda.BadValue, want)
		}
		put(string(must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{published("d", edKey())}}))))
		a, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		wantAdmitted(t, "a file", a, signed(jose.EdDSA, edKey(), "d", good(nil)))
	})
}

func TestJWTOptions(t *testing.T) {
	for _, tc := range []struct {
		opts auth.JWTOptions
		want string
	}{
		{auth.JWTOptions{Issuer: "i", Audience: "a"}, "option Keys is empty"},
		{auth.JWTOptions{Keys: "k", Audience: "a"}, "option Issuer is empty"},
		{auth.JWTOptions{Keys: "k", Issuer: "i"}, "option Audience is empty"},
		{auth.JWTOptions{Keys: "http://id.example/keys", Issuer: "i", Audience: "a"}, "must come over https"},
		{auth.JWTOptions{Keys: "k", Issuer: "i", Audience: "a", Leeway: -1}, "must not be negative"},
		{auth.JWTOptions{Keys: "k", Issuer: "i", Audience: "a", Refresh: -1}, "must not be negative"},
	} {
		_, err := auth.OpenJWT(t.Context(), tc.opts)
		wantReason(t, tc.want, err, edda.BadValue, tc.want)
	}
}

// FuzzJWT checks that nothing but what the issuer signed is let in, as whom it
// names.
func FuzzJWT(f *testing.F) {
	file := filepath.Join(f.TempDir(), "keys.json")
	set := must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{published("r", rsaKey()), published("e", ecKey()), published("d", edKey())}}))
	if err := os.WriteFile(file, set, 0o600); err != nil {
		f.Fatal(err)
	}
	a, err := auth.OpenJWT(f.Context(), auth.JWTOptions{Keys: file, Issuer: "https://id.example", Audience: "edda", Prefix: "id:"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(a.Close)
	f.Add("Bearer " + signed(jose.EdDSA, edKey(), "d", good(nil)))
	f.Add("Bearer " + signed(jose.ES256, ecKey(), "e", good(nil)))
	f.Add("Bearer " + signed(jose.RS256, rsaKey(), "r", good(nil)))
	f.Add("Bearer " + forged(`{"alg":"none"}`, nil, good(nil)))
	f.Add("Bearer " + forged(`{"alg":"HS256","kid":"d"}`, edKey().Public().(ed25519.PublicKey), good(nil)))
	f.Add("Basic x")
	f.Fuzz(func(t *testing.T, header string) {
		c, err := auth.Read([]string{header}, nil)
		if err != nil {
			return
		}
		if g, err := auth.Admit(t.Context(), a, c); err == nil && g.Principal != "id:ada" {
			t.Errorf("%q was let in as %q", header, g.Principal)
		}
	})
}

// What is asked at each request costs no memory.
func TestKnownCredentialsCostNoMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	set := must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{published("r", rsaKey())}}))
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	byJWT, err := auth.OpenJWT(t.Context(), auth.JWTOptions{Keys: file, Issuer: "https://id.example", Audience: "edda"})
	if err != nil {
		t.Fatal(err)
	}
	defer byJWT.Close()
	static := strings.Repeat("s3cret", 10)
	a := auth.FirstOf(must(auth.NewTokens(token(t, "ada", static, auth.Everything()))), byJWT)
	for name, shown := range map[string]string{"static": static, "JWT": signed(jose.RS256, rsaKey(), "r", good(nil))} {
		wantAdmitted(t, name, a, shown)
		values := []string{"Bearer " + shown}
		if n := testing.AllocsPerRun(100, func() {
			c, _ := auth.Read(values, nil)
			if _, err := auth.Admit(t.Context(), a, c); err != nil {
				t.Error(err)
			}
		}); n > 0 {
			t.Errorf("%s: got %v allocations for a request, want none", name, n)
		}
	}
}
