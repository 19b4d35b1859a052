package cqrs

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/gateway/rpcgw"
)

// dialRelayNode returns a connection to a node, which is served over gRPC until the test ends.
func dialRelayNode(t *testing.T, n *relayNode, who auth.Authenticator, token string) *client.Conn {
	t.Helper()
	g, err := rpcgw.New(n.Node, rpcgw.Options{Authenticator: who})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	c, err := client.Dial(l.Addr().String(), client.Options{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 15*time.Second)
		defer cancel()
		_ = c.Close()
		g.Close(ctx)
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return c
}

// An app whose node is elsewhere sets its channels as one in the node's process does.
func TestChannelsOverAConnection(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		n := newRelayNode(t)
		mine := edda.ChannelSpec{Name: "names", From: []edda.ChannelSource{{Stream: "other"}}, History: edda.History{Count: 7}}
		if _, _, err := n.SetChannel(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		us := newUsers()
		us.Channel(ChannelSpec{Name: "users"})
		us.Channel(ChannelSpec{Name: "names", Events: []string{"user.:user_uuid.created"}})
		a, _ := startRelay(t, db, dialRelayNode(t, n, nil, ""), Options{}, us)
		out, err := a.Do(t.Context(), &Command{Type: "create.user", Data: staged(t, users, user{ID: edda.NewID(0, time.Now()).String(), Email: "a@b"})})
		if err != nil {
			t.Fatal(err)
		}
		isRelayed(t, db, n, 1) // the channels are set before
		for name, want := range map[string][]edda.ChannelSource{
			"users": {{Stream: "cqrs.events"}},
			"names": {{Stream: "other"}, {Stream: "cqrs.events", Patterns: []string{"user.:user_uuid.created"}}},
		} {
			c, err := n.Channel(t.Context(), "", name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, c.From); diff != "" || name == "names" && c.History.Count != 7 {
				t.Errorf("channel %s keeps %+v, -want +got:\n%s", name, c.History, diff)
			}
			hears(t, n, name, out.Event)
		}
	})
}

// Who may append to the stream, and not manage the node, relays; the channels are left to
// somebody else, and nothing is said of those that are as they should be.
func TestChannelsThatMayNotBeSet(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		n := newRelayNode(t)
		fed := []edda.ChannelSource{{Stream: "cqrs.events"}}
		if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "cqrs.events"}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := n.SetChannel(t.Context(), edda.ChannelSpec{Name: "set", From: fed}); err != nil {
			t.Fatal(err)
		}
		hash, err := auth.HashToken("app")
		if err != nil {
			t.Fatal(err)
		}
		who, err := auth.NewTokens(auth.Token{Principal: "app", SHA256: hash, Rights: auth.Rights{
			Append: []auth.Pattern{"cqrs.events"}, Read: []auth.Pattern{"cqrs.events"}, Subscribe: []auth.Pattern{"set", "seen"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		us := newUsers()
		for _, name := range []string{"set", "seen", "hidden"} {
			us.Channel(ChannelSpec{Name: name})
		}
		book := newLogBook()
		startRelay(t, db, dialRelayNode(t, n, who, "app"), Options{Logger: slog.New(slog.NewTextHandler(book, nil))}, us)
		if line := book.await(t, "the channels of broadcasters are not set"); !strings.Contains(line, `channels="[seen hidden]"`) || !strings.Contains(line, "may neither publish nor subscribe") {
			t.Errorf("the log has %s", line)
		}
		makeEvents(t, db, 3, 1, 1)
		isRelayed(t, db, n, 1)
	})
}
