package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"strings"

	"github.com/edda-io/edda"
)

// Token is a static bearer token. It should be random, of at least 16 bytes: its
// hash is not salted, and protects no password.
type Token struct {
	Principal edda.Principal
	// SHA256 is the token's hash; HashToken makes it. The token itself is kept
	// nowhere.
	SHA256 [sha256.Size]byte
	// Rights are the principal's; the zero value allows nothing.
	Rights Rights
}

// HashToken returns the hash of a token, or an error unless the token is one that
// fits into a header: 1 to MaxTokenBytes visible ASCII characters.
func HashToken(token string) ([sha256.Size]byte, error) {
	switch {
	case token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return [sha256.Size]byte{}, badOption("a token must be visible ASCII without spaces")
	case len(token) > MaxTokenBytes:
		return [sha256.Size]byte{}, badOption("a token has %d bytes, at most %d are allowed", len(token), MaxTokenBytes)
	}
	return hashOf(token), nil
}

// hashOf returns the hash of a token; it stays on the stack but for very long ones.
func hashOf(token string) [sha256.Size]byte {
	var b [2048]byte
	return sha256.Sum256(append(b[:0], token...))
}

// Tokens is the authenticator of static tokens. It is immutable.
type Tokens struct {
	// byStart finds tokens by the first bytes of their hash, which say nothing about
	// the token; the rest is compared in constant time.
	byStart map[uint64][]heldToken
}

type heldToken struct {
	hash  [sha256.Size]byte
	grant *Grant
}

// NewTokens returns an authenticator of these tokens. A principal may have
// several, a token belongs to one principal.
func NewTokens(tokens ...Token) (*Tokens, error) {
	t := &Tokens{byStart: map[uint64][]heldToken{}}
	for _, tok := range tokens {
		if err := checkPrincipal(tok.Principal); err != nil {
			return nil, badOption("%w", err)
		}
		if err := tok.Rights.Validate(); err != nil {
			return nil, badOption("the rights of %q: %w", tok.Principal, reasonOf(err))
		}
		if other := t.find(tok.SHA256); other != nil {
			return nil, badOption("%q and %q have the same token", other.Principal, tok.Principal)
		}
		start := binary.LittleEndian.Uint64(tok.SHA256[:])
		t.byStart[start] = append(t.byStart[start], heldToken{
			tok.SHA256, &Grant{Principal: tok.Principal, Rights: tok.Rights},
		})
	}
	return t, nil
}

// Authenticate implements Authenticator.
func (t *Tokens) Authenticate(_ context.Context, c Credential) (*Grant, error) {
	if c.Token == "" || len(c.Token) > MaxTokenBytes {
		return nil, ErrUnknown
	}
	if g := t.find(hashOf(c.Token)); g != nil {
		return g, nil
	}
	return nil, ErrUnknown
}

func (t *Tokens) find(hash [sha256.Size]byte) *Grant {
	var found *Grant
	for _, h := range t.byStart[binary.LittleEndian.Uint64(hash[:])] {
		if subtle.ConstantTimeCompare(h.hash[:], hash[:]) == 1 {
			found = h.grant
		}
	}
	return found
}
