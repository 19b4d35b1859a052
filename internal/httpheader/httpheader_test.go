package httpheader_test

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/httpheader"
)

func TestIsToken(t *testing.T) {
	for s, want := range map[string]bool{
		"": false, "X-One": true, "x": true, "a b": false, "a:b": false, "ä": false, "a\n": false, "!#$%&'*+-.^_`|~": true,
	} {
		if got := httpheader.IsToken(s); got != want {
			t.Errorf("IsToken(%q) is %v, want %v", s, got, want)
		}
	}
}

func TestValidValue(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "a b\tc": true, "ä": true, "a\r\nX: 1": false, "\x00": false, "\x7f": false,
	} {
		if got := httpheader.ValidValue(s); got != want {
			t.Errorf("ValidValue(%q) is %v, want %v", s, got, want)
		}
	}
}

func TestWhoseHeader(t *testing.T) {
	for name, want := range map[string]struct{ connection, ownOfReply bool }{
		"Connection": {true, true}, "Te": {true, true}, "Content-Length": {true, true}, "Date": {false, true},
		"Edda-Attempts": {false, true}, "Content-Type": {}, "Set-Cookie": {}, "X-Edda-": {},
	} {
		if got := httpheader.OfConnection(name); got != want.connection {
			t.Errorf("OfConnection(%s) is %v, want %v", name, got, want.connection)
		}
		if got := httpheader.OwnOfReply(name); got != want.ownOfReply {
			t.Errorf("OwnOfReply(%s) is %v, want %v", name, got, want.ownOfReply)
		}
	}
}

func TestNamedByConnection(t *testing.T) {
	h := edda.Headers{{Name: "X-A", Value: "1"}, {Name: "connection", Value: "close, x-a"}}
	if !httpheader.NamedByConnection(h, "X-A") || httpheader.NamedByConnection(h, "X-B") || httpheader.NamedByConnection(nil, "X-A") {
		t.Error("the list in Connection is not obeyed")
	}
}
