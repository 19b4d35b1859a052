package edda

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DefaultNamespace is the namespace of an address that names none.
const DefaultNamespace = "default"

// Limits of names and keys, in bytes.
const (
	MaxNameBytes = 128
	MaxKeyBytes  = 512
)

// HashVersion is the version of Address.Hash. It is stored with a log; a log
// keeps the version it was created with.
const HashVersion = 1

// Address says where a message goes: to a service or stream of a namespace, and
// within an ordered service to one key.
type Address struct {
	// Namespace is DefaultNamespace when empty.
	Namespace string
	// Name is the name of the service or stream.
	Name string
	// Key is the id of the aggregate; empty for balanced services.
	Key string
}

// ParseAddress reads "name" or "name/key". Everything after the first slash is
// the key, further slashes included.
func ParseAddress(s string) (Address, error) {
	name, key, ok := strings.Cut(s, "/")
	a := Address{Name: name, Key: key}
	if ok && key == "" {
		return Address{}, badName("address", fmt.Errorf("%q has an empty key", clip(s)))
	}
	return a, a.Validate()
}

// String returns name, or name/key, with the namespace and a colon before it
// unless it is the default one.
func (a Address) String() string {
	s := a.Name
	if a.Key != "" {
		s += "/" + a.Key
	}
	if a.Namespace != "" && a.Namespace != DefaultNamespace {
		s = a.Namespace + ":" + s
	}
	return s
}

// Validate checks namespace, name and key; the error's reason is BadName.
func (a Address) Validate() error {
	if a.Namespace != "" {
		if err := CheckName("namespace", a.Namespace); err != nil {
			return err
		}
	}
	if err := CheckName("name", a.Name); err != nil {
		return err
	}
	if a.Key == "" {
		return nil
	}
	return CheckKey(a.Key)
}

// Hash maps the address to the 64-bit space whose ranges partitions own. All of
// its bits depend on all of the address. It is FNV-1a over namespace, name and
// key, each ended by a zero byte, then the finalizer of MurmurHash3.
func (a Address) Hash() uint64 {
	ns := a.Namespace
	if ns == "" {
		ns = DefaultNamespace
	}
	h := uint64(14695981039346656037)
	for _, s := range [...]string{ns, a.Name, a.Key} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h *= 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// CheckName checks the name of a namespace, service, stream or method: a letter
// or digit, then up to 127 letters, digits, dots, hyphens or underscores, all
// ASCII, and not beginning with "edda.". What is used in the error's text.
func CheckName(what, s string) error {
	switch {
	case s == "":
		return badName(what, fmt.Errorf("%s is empty", what))
	case len(s) > MaxNameBytes:
		return badName(what, fmt.Errorf("%s has %d bytes, at most %d are allowed", what, len(s), MaxNameBytes))
	case strings.HasPrefix(s, "edda."):
		return badName(what, fmt.Errorf("%s %q begins with %q, which is reserved", what, s, "edda."))
	}
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if alnum || i > 0 && (c == '_' || c == '.' || c == '-') {
			continue
		}
		return badName(what, fmt.Errorf("%s %q must be a letter or digit, then letters, digits, '_', '.' or '-'", what, s))
	}
	return nil
}

// CheckKey checks a key: 1 to 512 bytes of UTF-8 without control characters,
// neither "." nor "..".
func CheckKey(s string) error {
	switch {
	case s == "":
		return badName("key", fmt.Errorf("key is empty"))
	case len(s) > MaxKeyBytes:
		return badName("key", fmt.Errorf("key has %d bytes, at most %d are allowed", len(s), MaxKeyBytes))
	case !utf8.ValidString(s):
		return badName("key", fmt.Errorf("key %q is not UTF-8", clip(s)))
	case s == "." || s == "..":
		return badName("key", fmt.Errorf("key %q is reserved", s))
	case strings.ContainsFunc(s, unicode.IsControl):
		return badName("key", fmt.Errorf("key %q has a control character", clip(s)))
	}
	return nil
}

func badName(what string, err error) error {
	return &Error{Op: "check " + what, Reason: BadName, Err: err}
}
