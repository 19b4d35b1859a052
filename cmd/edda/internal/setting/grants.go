package setting

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// hashPrefix begins a credential that is the hash of a token, not the token.
const hashPrefix = "sha256:"

// setCredentials checks what maps names to tokens, and keeps the hashes.
func (n *Node) setCredentials(tokens map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		text, ok := tokens[name].(string)
		if !ok {
			return fmt.Errorf("credentials: the token of %s must be text: put it in quotes", name)
		}
		hash, err := hashOf(text)
		if err != nil {
			return fmt.Errorf("credentials: the token of %s %w", name, err)
		}
		p := edda.Principal(name)
		n.Tokens = append(n.Tokens, auth.Token{Principal: p, SHA256: hash, Rights: n.Rights(p)})
	}
	if _, err := auth.NewTokens(n.Tokens...); err != nil {
		return fmt.Errorf("credentials: %w", whyOf(err))
	}
	return nil
}

func hashOf(text string) ([sha256.Size]byte, error) {
	digits, hashed := strings.CutPrefix(text, hashPrefix)
	if !hashed {
		hash, err := auth.HashToken(text)
		return hash, refuse(err != nil, "must be visible ASCII without spaces, at most %d bytes, or %s and 64 hexadecimal digits", auth.MaxTokenBytes, hashPrefix)
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != sha256.Size {
		return [sha256.Size]byte{}, fmt.Errorf("begins with %s and must go on with 64 hexadecimal digits", hashPrefix)
	}
	return [sha256.Size]byte(b), nil
}

// setGrants checks and keeps what maps principals to what they may do.
func (n *Node) setGrants(raw any, from Source) error {
	byName, ok := raw.(map[string]any)
	if !ok || len(byName) == 0 {
		return fmt.Errorf("grants %s must map principals to what they may do: call, host, append, read, publish, subscribe and manage", from)
	}
	n.Grants = map[edda.Principal]auth.Rights{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		r, err := rightsOf(byName[name])
		if err != nil {
			return fmt.Errorf("grants %s: %q: %w", from.key(name), name, err)
		}
		n.Grants[edda.Principal(name)] = r
	}
	return nil
}

func rightsOf(raw any) (auth.Rights, error) {
	var r auth.Rights
	if raw == nil {
		return r, nil
	}
	members, ok := raw.(map[string]any)
	if !ok {
		return r, errors.New("must have call, host, append, read, publish, subscribe or manage below it")
	}
	for _, member := range slices.Sorted(maps.Keys(members)) {
		var err error
		switch v := members[member]; member {
		case "call":
			r.Call, err = patterns(v)
		case "host":
			r.Host, err = patterns(v)
		case "append":
			r.Append, err = patterns(v)
		case "read":
			r.Read, err = patterns(v)
		case "publish":
			r.Publish, err = patterns(v)
		case "subscribe":
			r.Subscribe, err = patterns(v)
		case "manage":
			r.Manage, ok = v.(bool)
			err = refuse(!ok, "must be true or false")
		default:
			return r, fmt.Errorf("%q is no right: there are call, host, append, read, publish, subscribe and manage", member)
		}
		if err != nil {
			return r, fmt.Errorf("%s %w", member, err)
		}
	}
	return r, nil
}

// patterns reads one pattern of services, streams or channels, or a list of them.
func patterns(raw any) ([]auth.Pattern, error) {
	list, ok := raw.([]any)
	if !ok {
		list = []any{raw}
	}
	var ps []auth.Pattern
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, errors.New("must be a list of names, such as [users, shop-*]; put a * alone in quotes")
		}
		p := auth.Pattern(s)
		if err := p.Validate(); err != nil {
			return nil, fmt.Errorf("has a mistake: %w", whyOf(err))
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// whyOf returns what was wrong, without what was being done.
func whyOf(err error) error {
	if e, ok := errors.AsType[*edda.Error](err); ok && e.Err != nil {
		return e.Err
	}
	return err
}
