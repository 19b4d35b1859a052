package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of what is taken from an issuer.
const (
	maxKeys    = 100
	minRSABits = 2048
)

// key is a public key and the one algorithm that it is used with, so that no
// token can choose another.
type key struct {
	id  string
	alg jose.SignatureAlgorithm
	pub any
}

// keySet is what one fetch found. It is immutable.
type keySet struct {
	raw  []byte
	keys []key
}

// find returns the keys for a token, which names one by its id; when it does not,
// there must be no choice.
func (s *keySet) find(id string, alg jose.SignatureAlgorithm) []key {
	var found []key
	for _, k := range s.keys {
		if k.alg == alg && (id == "" || k.id == id) {
			found = append(found, k)
		}
	}
	if id == "" && len(found) > 1 {
		return nil
	}
	return found
}

// parseKeys reads a JWKS. Keys that are of no use here are left out: other
// algorithms, other uses, private and symmetric ones, short ones.
func parseKeys(raw []byte) (*keySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("it is no JWKS: %w", err)
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("it has %d keys, at most %d are allowed", len(doc.Keys), maxKeys)
	}
	s := &keySet{raw: raw}
	for _, text := range doc.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(text, &k) != nil || !k.Valid() || k.Use != "" && k.Use != "sig" {
			continue
		}
		if alg := algorithmOf(k.Key); alg != "" && (k.Algorithm == "" || k.Algorithm == string(alg)) {
			s.keys = append(s.keys, key{k.KeyID, alg, k.Key})
		}
	}
	if len(s.keys) == 0 {
		return nil, errors.New("it has no public key for RS256 (of at least 2048 bits), ES256 or EdDSA")
	}
	return s, nil
}

// algorithmOf returns the algorithm that a public key is used with, "" for what is
// none or not good enough.
func algorithmOf(pub any) jose.SignatureAlgorithm {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSABits {
			return jose.RS256
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jose.ES256
		}
	case ed25519.PublicKey:
		return jose.EdDSA
	}
	return ""
}
