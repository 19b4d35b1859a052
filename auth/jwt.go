package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/edda-io/edda"
)

// Defaults of JWTOptions.
const (
	DefaultLeeway  = 30 * time.Second
	DefaultRefresh = 5 * time.Minute
)

// JWTOptions say which JSON Web Tokens are taken, and what they allow. Keys,
// Issuer and Audience are required.
type JWTOptions struct {
	// Keys is where the issuer publishes its public keys as a JWKS: an https URL (http
	// on loopback alone), or the path of a file.
	Keys string
	// Issuer is what the claim iss must be, Audience what aud must hold: without it a
	// token that somebody got for another service would do here.
	Issuer, Audience string
	// Leeway is by how much clocks may differ in exp, nbf and iat; DefaultLeeway when
	// zero.
	Leeway time.Duration
	// Refresh is how often the keys are fetched; DefaultRefresh when zero. An unknown
	// key id has them fetched too, but at most every 10 s.
	Refresh time.Duration
	// PrincipalClaim names the claim that is the principal; "sub" when empty.
	PrincipalClaim string
	// Prefix is put before the principal, so that an issuer cannot name those of
	// other authenticators; nothing when empty.
	Prefix string
	// CallClaim and HostClaim name claims that list patterns of services, AppendClaim and
	// ReadClaim of streams, PublishClaim and SubscribeClaim of channels, as an array or as
	// text with spaces between; what is no Pattern in them is passed over. ManageClaim
	// names one that is true. None is read when empty.
	CallClaim, HostClaim, AppendClaim, ReadClaim, PublishClaim, SubscribeClaim, ManageClaim string
	// Rights returns what a principal may do beside what the claims allow. Nil adds
	// nothing.
	Rights func(edda.Principal) Rights
	// Client fetches the keys; one with the system's proxies and authorities when
	// nil. It must not be changed afterwards. Redirects are not followed.
	Client *http.Client
	// Logger gets fetches that went wrong; discarded when nil.
	Logger *slog.Logger
}

// algorithms are all there are: signatures with a key pair. With "none" or HMAC,
// which have been the ways in elsewhere, a token is not even parsed.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}

// maxVerified bounds how many tokens are remembered as verified.
const maxVerified = 4096

// JWT is the authenticator of JSON Web Tokens that an issuer signs with RS256,
// ES256 or EdDSA. It knows every token that has the form of one.
type JWT struct {
	opts JWTOptions
	keys *keySource

	mu sync.Mutex // guards verified
	// verified holds tokens, by their hash, whose signature need not be checked
	// again as long as the keys are the same and they have not expired.
	verified map[[sha256.Size]byte]verified
}

type verified struct {
	grant *Grant
	by    *keySet
}

// OpenJWT fetches the keys and returns the authenticator, which the caller must
// Close. Keys in a file that cannot be read are an error; an issuer that does not
// answer is logged and asked again, and until it answers tokens are refused with
// the reason Unavailable. Later failures leave the keys in use.
func OpenJWT(ctx context.Context, opts JWTOptions) (*JWT, error) {
	for name, value := range map[string]string{"Keys": opts.Keys, "Issuer": opts.Issuer, "Audience": opts.Audience} {
		if value == "" {
			return nil, badOption("option %s is empty: JSON Web Tokens need Keys, Issuer and Audience", name)
		}
	}
	if opts.Leeway < 0 || opts.Refresh < 0 {
		return nil, badOption("option Leeway is %v and Refresh %v, must not be negative", opts.Leeway, opts.Refresh)
	}
	opts.Leeway = cmp.Or(opts.Leeway, DefaultLeeway)
	opts.Refresh = cmp.Or(opts.Refresh, DefaultRefresh)
	opts.PrincipalClaim = cmp.Or(opts.PrincipalClaim, "sub")
	if opts.Rights == nil {
		opts.Rights = func(edda.Principal) Rights { return Rights{} }
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	keys, err := newKeySource(&opts)
	if err != nil {
		return nil, err
	}
	if err := keys.start(ctx); err != nil {
		return nil, err
	}
	return &JWT{opts: opts, keys: keys, verified: map[[sha256.Size]byte]verified{}}, nil
}

// Close ends the refreshing of keys and waits for it. It may be called twice; a
// closed authenticator goes on with the keys it has.
func (a *JWT) Close() { a.keys.close() }

// Authenticate implements Authenticator.
func (a *JWT) Authenticate(ctx context.Context, c Credential) (*Grant, error) {
	if len(c.Token) > MaxTokenBytes || strings.Count(c.Token, ".") != 2 {
		return nil, ErrUnknown
	}
	hash := hashOf(c.Token)
	if g := a.remembered(hash); g != nil {
		return g, nil
	}
	token, err := jwt.ParseSigned(c.Token, algorithms)
	if err != nil || len(token.Headers) != 1 {
		return nil, refuse("the token is no JSON Web Token signed with RS256, ES256 or EdDSA")
	}
	set, claims, err := a.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	g, err := a.grant(claims)
	if err != nil {
		return nil, refuse("the token " + err.Error())
	}
	a.remember(hash, verified{g, set})
	return g, nil
}

// claimSet is what a token says.
type claimSet struct {
	jwt.Claims
	all map[string]any
}

// verify checks the signature. When no key fits, the issuer may have a new one.
func (a *JWT) verify(ctx context.Context, token *jwt.JSONWebToken) (*keySet, *claimSet, error) {
	h := token.Headers[0]
	for tries := 0; ; tries++ {
		set := a.keys.current.Load()
		if set != nil {
			found := set.find(h.KeyID, jose.SignatureAlgorithm(h.Algorithm))
			for _, k := range found {
				var c claimSet
				if token.Claims(k.pub, &c.Claims, &c.all) == nil {
					return set, &c, nil
				}
			}
			if len(found) > 0 {
				return nil, nil, refuse("the token's signature is not valid")
			}
		}
		// Twice, because the fetch that is joined may have begun before the key was there.
		if tries < 2 && a.keys.again(ctx) {
			continue
		}
		if set == nil {
			return nil, nil, &edda.Error{
				Reason: edda.Unavailable, RetryAfter: firstRetry,
				Err: errors.New("the keys of the issuer of tokens could not be fetched yet"),
			}
		}
		return nil, nil, refuse("the token's key is none of the issuer's")
	}
}

// grant checks what a token says, whose signature is good, and makes a grant of it.
func (a *JWT) grant(c *claimSet) (*Grant, error) {
	if c.Expiry == nil {
		return nil, errors.New("never expires: the claim exp is missing")
	}
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: a.opts.Issuer, AnyAudience: jwt.Audience{a.opts.Audience}}, a.opts.Leeway)
	switch {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return nil, errors.New("is of another issuer")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return nil, errors.New("is for another audience")
	case errors.Is(err, jwt.ErrExpired):
		return nil, errors.New("has expired")
	case err != nil:
		return nil, errors.New("is not valid yet")
	}
	name, ok := c.all[a.opts.PrincipalClaim].(string)
	if !ok || name == "" {
		return nil, errors.New("has no principal: the claim " + a.opts.PrincipalClaim + " must be text")
	}
	p := edda.Principal(a.opts.Prefix + name)
	if err := checkPrincipal(p); err != nil {
		return nil, errors.New("names nobody: " + err.Error())
	}
	r := a.opts.Rights(p)
	return &Grant{
		Principal: p,
		Rights: Rights{
			Call: slices.Concat(r.Call, c.patterns(a.opts.CallClaim)), Host: slices.Concat(r.Host, c.patterns(a.opts.HostClaim)),
			Append: slices.Concat(r.Append, c.patterns(a.opts.AppendClaim)), Read: slices.Concat(r.Read, c.patterns(a.opts.ReadClaim)),
			Publish:   slices.Concat(r.Publish, c.patterns(a.opts.PublishClaim)),
			Subscribe: slices.Concat(r.Subscribe, c.patterns(a.opts.SubscribeClaim)),
			Manage:    r.Manage || a.opts.ManageClaim != "" && c.all[a.opts.ManageClaim] == true,
		},
		Expires: c.Expiry.Time().Add(a.opts.Leeway),
		Claims:  c.all,
	}, nil
}

// patterns returns the patterns that a claim lists.
func (c *claimSet) patterns(claim string) []Pattern {
	if claim == "" {
		return nil
	}
	var texts []string
	switch v := c.all[claim].(type) {
	case string:
		texts = strings.Fields(v)
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				texts = append(texts, s)
			}
		}
	}
	var ps []Pattern
	for _, s := range texts {
		if p := Pattern(s); p.Validate() == nil {
			ps = append(ps, p)
		}
	}
	return ps
}

func (a *JWT) remembered(hash [sha256.Size]byte) *Grant {
	a.mu.Lock()
	v, ok := a.verified[hash]
	a.mu.Unlock()
	if !ok || v.by != a.keys.current.Load() || !time.Now().Before(v.grant.Expires) {
		return nil
	}
	return v.grant
}

// remember keeps a verified token. When there are too many it begins anew: they
// are verified once more, which is cheaper than to know which was used last.
func (a *JWT) remember(hash [sha256.Size]byte, v verified) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.verified) >= maxVerified {
		clear(a.verified)
	}
	a.verified[hash] = v
}
