package cqrs

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestObjectsJSON(t *testing.T) {
	for s, want := range map[string]string{`"User"`: `"User"`, `["User"]`: `"User"`, `["User","User.list"]`: `["User","User.list"]`} {
		var o Objects
		if err := json.Unmarshal([]byte(s), &o); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if got, err := json.Marshal(o); err != nil || string(got) != want {
			t.Errorf("%s is written as %s, %v, want %s", s, got, err, want)
		}
	}
	for _, s := range []string{`1`, `""`, `[1]`, `{}`, `[""]`} {
		if err := json.Unmarshal([]byte(s), &Objects{}); err == nil || !strings.Contains(err.Error(), "must be the name of an object, or a list of names") {
			t.Errorf("%s: the error is %v", s, err)
		}
	}
	for _, c := range []struct {
		o    Objects
		name string
		want bool
	}{{nil, "A", true}, {Objects{"*"}, "A", true}, {Objects{"A", "B"}, "B", true}, {Objects{"A"}, "A.list", false}, {Objects{"A"}, "", false}} {
		if got := c.o.fits(c.name); got != c.want {
			t.Errorf("%v fits %q: %t, want %t", c.o, c.name, got, c.want)
		}
	}
}
