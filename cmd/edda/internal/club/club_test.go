package club_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/club"
	"github.com/edda-io/edda/node"
)

// open opens the club of a directory, with a node of its own that is kept there too.
func open(t *testing.T, dir string) (c *edda.Client, n *node.Node, shut func()) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	cl, err := club.Open(t.Context(), dir, "weekly", quiet)
	if err != nil {
		t.Fatal(err)
	}
	n, err = node.Open(t.Context(), node.Options{Dir: dir, Partitions: 2, Services: cl.Services(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Start(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	shut = func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(cl.Close(ctx), n.Stop(ctx)); err != nil {
			t.Error(err)
		}
	}
	return n.Client(), n, shut
}

// answer calls a service and returns what it answers, or why it does not.
func answer(t *testing.T, c *edda.Client, to edda.Address, method, payload string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m := &edda.Message{To: to, Type: method}
	if payload != "" {
		m.ContentType, m.Payload = "application/json", []byte(payload)
	}
	r, err := c.Call(ctx, m)
	if err != nil {
		return string(edda.ReasonOf(err))
	}
	return string(r.Payload)
}

func TestClub(t *testing.T) {
	dir := t.TempDir()
	c, n, shut := open(t, dir)
	newsletter, views := edda.Address{Name: "newsletter", Key: "weekly"}, edda.Address{Name: "club"}
	join := func(id, email string) string {
		return answer(t, c, edda.Address{Name: "members", Key: id}, "join.club", `{"email":"`+email+`"}`)
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	want("readers at first", answer(t, c, newsletter, "readers", ""), "[]")
	want("a bad email", join("ada", "nobody"), string(edda.Failed))
	if got := join("ada", "ada@example.com"); len(got) < 100 { // an outcome
		t.Errorf("ada: got %s", got)
	}
	want("the same email", join("eve", "ada@example.com"), string(edda.Failed))
	all, _, err := n.Sagas(t.Context(), edda.SagaFilter{}, 0, "")
	if err != nil || len(all) != 2 {
		t.Fatalf("got %d sagas, %v, want one for each command that was not refused at once", len(all), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range all {
		if s, err := n.WaitSaga(ctx, "", all[i].ID); err != nil || !s.State.Ended() {
			t.Fatalf("got %+v, %v", s, err)
		}
	}
	for range 2 {
		want("readers", answer(t, c, newsletter, "readers", ""), `["ada"]`)
		want("ada", answer(t, c, views, "find", `{"email":"ada@example.com"}`), `{"id":"ada"}`)
		want("nobody", answer(t, c, views, "find", `{"email":"nobody"}`), "no member has this email")
		shut()
		c, _, shut = open(t, dir)
	}
	shut()
}
