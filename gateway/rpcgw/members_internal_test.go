package rpcgw

import (
	"testing"

	"github.com/edda-io/edda"
)

func TestMembersAreEncodedOnce(t *testing.T) {
	var m members
	frame := func(service string, ids ...string) []byte {
		t.Helper()
		b, err := m.frame(edda.Address{Name: service}, ids)
		if err != nil || len(b) == 0 {
			t.Fatalf("frame of %s: %d bytes, %v", service, len(b), err)
		}
		return b
	}
	first := frame("users", "a", "b")
	if again := frame("users", "a", "b"); &again[0] != &first[0] {
		t.Error("the same members were encoded twice")
	}
	for what, other := range map[string][]byte{
		"another member":   frame("users", "a", "c"),
		"one member less":  frame("users", "a"),
		"another service":  frame("orders", "a", "b"),
		"the first, again": frame("users", "b"),
	} {
		if string(other) == string(first) {
			t.Errorf("%s: the frame is that of users with a and b", what)
		}
	}
}
