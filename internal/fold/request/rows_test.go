package request

import (
	"testing"

	"github.com/edda-io/edda"
)

// What a principal or a key is called cannot move the border between the two.
func TestScopesAreApart(t *testing.T) {
	a := edda.Address{Name: "users", Key: "1"}
	seen := map[string]string{}
	for _, c := range []struct{ principal, key string }{
		{"bob", "k"}, {"bob\x00k", ""}, {"bob", "\x00k"}, {"", "bob\x00k"}, {"bob\x00", "k"}, {"b", "ob\x00k"},
	} {
		s := Scope(a, edda.Principal(c.principal), c.key)
		if before, ok := seen[s]; ok {
			t.Errorf("principal %q with key %q has the scope of %s", c.principal, c.key, before)
		}
		seen[s] = c.principal + " with " + c.key
	}
}
