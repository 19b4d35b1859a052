package logcmd_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Of each record of a channel the dump says what it is about.
func TestLogDumpOfChannels(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := edda.NewBalanced("s")
	edda.Handle(s, "say", func(ctx *edda.Context, _ string) (string, error) {
		return "", ctx.Publish("floor", edda.StreamMessage{}, edda.StreamMessage{})
	})
	n, err := node.Open(t.Context(), node.Options{Dir: dir, Services: []*edda.Service{s}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop(t.Context())
	many := edda.ChannelSpec{Namespace: "shop", Name: "all"}
	for i := range 10 {
		src := edda.ChannelSource{Stream: fmt.Sprint("s", i)}
		for j := range i {
			src.Patterns = append(src.Patterns, fmt.Sprint("p", j))
		}
		many.From = append(many.From, src)
	}
	few := edda.ChannelSpec{Name: "floor", From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"order.*", ":x"}}, {Stream: "stock"}}, History: edda.History{Count: 5, Age: time.Hour}}
	for _, spec := range []edda.ChannelSpec{few, many, {Name: "plain"}} {
		if _, _, err := n.SetChannel(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.Append(t.Context(), &edda.Append{Namespace: "shop", Channel: "all", Messages: make([]edda.StreamMessage, 1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Client().Call(t.Context(), &edda.Message{To: edda.Address{Name: "s"}, Type: "say", Payload: []byte(`""`)}); err != nil {
		t.Fatal(err)
	}
	if err := n.DeleteChannel(t.Context(), "", "plain"); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := commands.Run(t, nil, "", "log", "dump", dir)
	for _, want := range []string{
		"channel floor from orders (order.*, :x), stock keeps 1h, 5 messages\n", "channel plain keeps 24h, 1000 messages\n",
		"channel shop:all from s0, s1 (p0), s2 (p0, p1), ", ", s7 (p0, p1, p2, p3, p4, p5, p6) and 2 more keeps ", "channel-set", "channel-removed", "channel plain\n",
		"channel shop:all, 1 message, ", "; to channel floor, 2 messages, ",
	} {
		if !strings.Contains(r.Out, want) {
			t.Errorf("no %q in\n%s%s", want, r.Out, r.ErrOut)
		}
	}
	if strings.Contains(r.Out, "edda.channel") {
		t.Errorf("a channel's stream has its own name in\n%s", r.Out)
	}
}
