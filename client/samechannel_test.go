package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
)

// channelSetter is what of edda.ChannelBackend is the same in process and remote.
type channelSetter interface {
	SetChannel(ctx context.Context, c edda.ChannelSpec) (ch *edda.Channel, created bool, err error)
	Channel(ctx context.Context, namespace, name string) (*edda.Channel, error)
	Channels(ctx context.Context, namespace string, limit int, after string) ([]edda.Channel, string, error)
	DeleteChannel(ctx context.Context, namespace, name string) error
}

// Channels do the same whether their node is in this process or in one of its own.
func TestSameChannelsInProcessAndRemote(t *testing.T) {
	here := playChannels(t, open(t))
	there := playChannels(t, dial(t, serve(t, open(t)), client.Options{}))
	if diff := cmp.Diff(here, there); diff != "" {
		t.Errorf("what happened (-in process +remote):\n%s", diff)
	}
}

// playChannels notes what happens to channels.
func playChannels(t *testing.T, b channelSetter) (log []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	note := func(what string, c *edda.Channel, err error) {
		t.Helper()
		e, ok := errors.AsType[*edda.Error](err)
		switch {
		case ok:
			log = append(log, fmt.Sprintf("%s: %s: %v", what, e.Reason, e.Err))
		case err != nil:
			t.Errorf("%s: %T %v", what, err, err)
		case c == nil:
			log = append(log, what+": done")
		default:
			recent := time.Since(c.CreatedAt).Abs() < time.Hour
			log = append(log, fmt.Sprintf("%s: %+v, recent %t, %d subscribers", what, c.ChannelSpec, recent, c.Subscribers))
		}
	}
	set := func(what string, spec edda.ChannelSpec) {
		t.Helper()
		c, created, err := b.SetChannel(ctx, spec)
		note(fmt.Sprintf("%s, created %t", what, created), c, err)
	}
	look := func(what, namespace, name string) {
		t.Helper()
		c, err := b.Channel(ctx, namespace, name)
		note(what, c, err)
	}

	full := edda.ChannelSpec{
		Namespace: "shop", Name: "floor", History: edda.History{Count: 7, Age: time.Hour},
		From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"paid.*", "über.:was?"}}, {Stream: "stock"}},
	}
	set("full", full)
	set("again", full)
	look("full", "shop", "floor")
	set("with less", edda.ChannelSpec{Namespace: "shop", Name: "floor"})
	look("with less", "shop", "floor")
	set("half a history", edda.ChannelSpec{Namespace: "shop", Name: "half", History: edda.History{Age: time.Minute}})
	look("of another namespace", "", "floor")

	wide := edda.ChannelSpec{Name: "wide", From: make([]edda.ChannelSource, edda.MaxChannelSources+1)}
	set("too many sources", wide)
	set("no UTF-8", edda.ChannelSpec{Name: "\xff"})
	set("reserved", edda.ChannelSpec{Name: "edda.x"})
	set("a bad namespace", edda.ChannelSpec{Namespace: "a b", Name: "x"})
	set("a bad pattern", edda.ChannelSpec{Name: "x", From: []edda.ChannelSource{{Stream: "s", Patterns: []string{"a.:"}}}})
	set("a stream twice", edda.ChannelSpec{Name: "x", From: []edda.ChannelSource{{Stream: "s"}, {Stream: "s"}}})
	set("a negative age", edda.ChannelSpec{Name: "x", History: edda.History{Age: -1}})
	look("none", "", "x")
	look("no name", "", "")
	note("delete none", nil, b.DeleteChannel(ctx, "", "x"))
	note("delete without a name", nil, b.DeleteChannel(ctx, "shop", ""))
	note("delete", nil, b.DeleteChannel(ctx, "shop", "floor"))
	look("deleted", "shop", "floor")

	for i := range 5 {
		set("one of five", edda.ChannelSpec{Namespace: "many", Name: fmt.Sprint("c", i)})
	}
	after := ""
	for page := 0; page == 0 || after != ""; page++ {
		cs, next, err := b.Channels(ctx, "many", 2, after)
		note(fmt.Sprintf("page %d, after %q", page, after), nil, err)
		for i := range cs {
			note("listed", &cs[i], nil)
		}
		after = next
	}
	for _, limit := range []int{-1, 1001, 1 << 30} {
		_, _, err := b.Channels(ctx, "", limit, "")
		note("a bad limit", nil, err)
	}
	_, _, err := b.Channels(ctx, "", 0, "not a cursor")
	note("a bad cursor", nil, err)
	_, _, err = b.Channels(ctx, "a b", 0, "")
	note("a bad namespace", nil, err)
	return log
}

// The largest channels there may be come through, one or a few at a time.
func TestLargeChannels(t *testing.T) {
	c := dial(t, serve(t, open(t)), client.Options{})
	spec := edda.ChannelSpec{}
	pattern := strings.Repeat("x", edda.MaxPatternBytes)
	for i := range 4 { // a little less than MaxChannelBytes
		s := edda.ChannelSource{Stream: fmt.Sprint("s", i)}
		for range edda.MaxChannelBytes/4/len(pattern) - 1 {
			s.Patterns = append(s.Patterns, pattern)
		}
		spec.From = append(spec.From, s)
	}
	const channels = 5
	for i := range channels {
		spec.Name = fmt.Sprint("c", i)
		set, created, err := c.SetChannel(t.Context(), spec)
		if err != nil || !created || !cmp.Equal(set.From, spec.From) {
			t.Fatalf("%s: created %t, %v", spec.Name, created, err)
		}
	}
	listed, pages, after := 0, 0, ""
	for pages == 0 || after != "" {
		cs, next, err := c.Channels(t.Context(), "", 0, after)
		if err != nil || len(cs) == 0 {
			t.Fatalf("got %d channels, %v", len(cs), err)
		}
		listed, pages, after = listed+len(cs), pages+1, next
	}
	if listed != channels || pages < 2 {
		t.Errorf("got %d channels in %d pages, want %d in some", listed, pages, channels)
	}
}
