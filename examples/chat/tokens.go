package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// tokens signs names, and knows by the signature whose a token is. It keeps nothing: the
// same secret knows them after a restart.
type tokens struct{ secret []byte }

// newTokens reads the secret, and makes one where there is none.
func newTokens(file string) (*tokens, error) {
	secret, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(secret) == 0 {
		secret = []byte(rand.Text())
		if err = os.MkdirAll(filepath.Dir(file), 0o700); err == nil {
			err = os.WriteFile(file, secret, 0o600)
		}
	}
	return &tokens{secret}, err
}

func (t *tokens) sign(name string) string {
	h := hmac.New(sha256.New, t.secret)
	h.Write([]byte(name))
	return encode([]byte(name)) + "." + encode(h.Sum(nil))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Authenticate says who may chat.
func (t *tokens) Authenticate(_ context.Context, c auth.Credential) (*auth.Grant, error) {
	encoded, _, _ := strings.Cut(c.Token, ".")
	name, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || !hmac.Equal([]byte(c.Token), []byte(t.sign(string(name)))) {
		return nil, auth.ErrUnknown
	}
	return &auth.Grant{
		Principal: edda.Principal(name),
		Rights:    auth.Rights{Call: []auth.Pattern{"chat"}, Subscribe: []auth.Pattern{"chat"}},
	}, nil
}
