package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// MaxTokenBytes is the longest bearer token; a longer one is refused unread.
const MaxTokenBytes = 16 << 10

// Credential is what a caller showed. The zero value is a caller who showed
// nothing.
type Credential struct {
	// Token is the bearer token, without its scheme.
	Token string
	// Certificate is the client's, whose chain the TLS handshake has verified
	// against the node's client CA; never one that was only presented.
	Certificate *x509.Certificate
}

// IsZero reports whether nothing was shown.
func (c Credential) IsZero() bool { return c.Token == "" && c.Certificate == nil }

// Read returns the credential of a request: from the values of its header, or
// metadata, authorization, and from the TLS connection that it came over, nil
// without TLS. What is there and is no bearer token is refused with
// NO_CREDENTIALS.
func Read(authorization []string, state *tls.ConnectionState) (Credential, error) {
	var c Credential
	if state != nil && len(state.VerifiedChains) > 0 {
		c.Certificate = state.VerifiedChains[0][0]
	}
	switch len(authorization) {
	case 0:
		return c, nil
	case 1:
	default:
		return Credential{}, refuse("Authorization stands there more than once")
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	token = strings.Trim(token, " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer") || token == "":
		return Credential{}, refuse("Authorization must be Bearer and a token")
	case len(token) > MaxTokenBytes:
		return Credential{}, refuse(fmt.Sprintf("the token has %d bytes, at most %d are allowed", len(token), MaxTokenBytes))
	}
	c.Token = token
	return c, nil
}

// WithKey returns the credential with the token that a header other than authorization
// shows, such as X-Api-Key; there need be none. An API key is a token like any other: it
// is known by the same authenticators, and compared in the same constant time. Two tokens
// are refused with NO_CREDENTIALS.
func (c Credential) WithKey(header string, values []string) (Credential, error) {
	switch {
	case len(values) == 0:
		return c, nil
	case len(values) > 1:
		return Credential{}, refuse(header + " stands there more than once")
	case c.Token != "":
		return Credential{}, refuse(header + " shows a token beside another one")
	case values[0] == "":
		return Credential{}, refuse(header + " is empty")
	case len(values[0]) > MaxTokenBytes:
		return Credential{}, refuse(fmt.Sprintf("%s has %d bytes, at most %d are allowed", header, len(values[0]), MaxTokenBytes))
	}
	c.Token = values[0]
	return c, nil
}

// Authenticator finds out whose a credential is.
type Authenticator interface {
	// Authenticate returns what the owner of the credential may do. The grant may be
	// shared with other callers: nobody changes it.
	//
	// ErrUnknown says that this authenticator does not know the credential, and
	// another may be asked. Every other error refuses it: an *edda.Error is answered
	// as it is, any other one with NO_CREDENTIALS and without its text. A token
	// counts before a certificate: an authenticator of certificates does not know a
	// credential with a token, so that a wrong token is never overlooked.
	//
	// It must be safe for concurrent use, and quick: it is asked at each request.
	Authenticate(ctx context.Context, c Credential) (*Grant, error)
}

// ErrUnknown is what an authenticator returns for credentials that are not its
// own.
var ErrUnknown error = &edda.Error{Reason: edda.NoCredentials, Err: errors.New("the credentials are not valid")}

// Func makes an Authenticator of a function.
type Func func(ctx context.Context, c Credential) (*Grant, error)

// Authenticate calls the function.
func (f Func) Authenticate(ctx context.Context, c Credential) (*Grant, error) { return f(ctx, c) }

// FirstOf returns an authenticator that asks others in turn until one knows the
// credential. Without others it knows none.
func FirstOf(as ...Authenticator) Authenticator {
	return Func(func(ctx context.Context, c Credential) (*Grant, error) {
		for _, a := range as {
			g, err := a.Authenticate(ctx, c)
			if !errors.Is(err, ErrUnknown) {
				return g, err
			}
		}
		return nil, ErrUnknown
	})
}

// Admit asks the authenticator about a credential, and returns what its owner may
// do, or an *edda.Error to answer with. Without an authenticator everybody is
// admitted as edda.Anonymous, with every right.
func Admit(ctx context.Context, a Authenticator, c Credential) (*Grant, error) {
	if a == nil {
		return anonymous, nil
	}
	g, err := a.Authenticate(ctx, c)
	switch {
	case err == nil && g != nil && g.Principal != "":
		if !g.Expires.IsZero() && !time.Now().Before(g.Expires) {
			return nil, refuse("the credentials have expired")
		}
		return g, nil
	case errors.Is(err, ErrUnknown) || err == nil:
		if c.IsZero() {
			return nil, errMissing
		}
		return nil, ErrUnknown
	}
	if _, ok := errors.AsType[*edda.Error](err); ok {
		return nil, err
	}
	return nil, ErrUnknown
}

var (
	anonymous  = &Grant{Principal: edda.Anonymous, Rights: Everything()}
	errMissing = refuse("Authorization: Bearer is missing")
)

// refuse returns an error that says why it is not known who asks.
func refuse(detail string) error {
	return &edda.Error{Reason: edda.NoCredentials, Err: errors.New(detail)}
}

// badOption returns an error about what an authenticator was given.
func badOption(format string, args ...any) error {
	return &edda.Error{Op: "check options", Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
}
