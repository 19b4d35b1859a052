package web_test

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/wsgw"
)

// What the client takes for the protocol is what the gateway speaks.
func TestClientAndGateway(t *testing.T) {
	js := nodejs(t)
	addr := serveLive(t, wsgw.Options{Authenticator: &visitors{seen: map[string]time.Time{}}, Ping: 2 * time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, js[0], append(js[1:], "testdata/tour.js", "http://"+addr)...)
	var warned strings.Builder // errors that the tour brings about, and listens for nowhere
	cmd.Stderr = &warned
	out, err := cmd.Output()
	if err != nil || string(out) != "ok" {
		t.Errorf("%v\n%s%s", err, warned.String(), out)
	}
}

// visitors knows ada, and bob for half a second by each token that begins with his name.
type visitors struct {
	mu   sync.Mutex
	seen map[string]time.Time // when each of bob's tokens ends
}

func (v *visitors) Authenticate(_ context.Context, c auth.Credential) (*auth.Grant, error) {
	g := &auth.Grant{Principal: "ada", Rights: auth.Everything()}
	g.Call = []auth.Pattern{"echo", "users", "slow", "counter", "nobody"}
	switch {
	case c.Token == "ada":
	case strings.HasPrefix(c.Token, "bob "):
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.seen[c.Token].IsZero() {
			v.seen[c.Token] = time.Now().Add(500 * time.Millisecond)
		}
		g.Principal, g.Expires = "bob", v.seen[c.Token]
	default:
		return nil, auth.ErrUnknown
	}
	return g, nil
}
