package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// groupRef names a group as STREAM/GROUP.
func groupRef(name string) edda.GroupRef {
	stream, group, _ := strings.Cut(name, "/")
	return edda.GroupRef{Stream: stream, Group: group}
}

// groupSpec is a group from the start of its stream, changed.
func groupSpec(name string, change func(g *edda.GroupSpec)) edda.GroupSpec {
	r := groupRef(name)
	g := edda.GroupSpec{Stream: r.Stream, Name: r.Group, From: edda.FromStart, Retry: edda.RetryPolicy{Delay: time.Second, Backoff: 1, Jitter: -1}}
	if change != nil {
		change(&g)
	}
	return g
}

// group makes a group of it.
func group(t *testing.T, n *node.Node, name string, change func(g *edda.GroupSpec)) *edda.Group {
	t.Helper()
	g, _, err := n.SetGroup(t.Context(), groupSpec(name, change))
	if err != nil {
		t.Fatalf("set group: %v", err)
	}
	return g
}

// consumes returns the consumer of a group, whose every message is for h.
func consumes(name string, h edda.HandlerFunc) *edda.Service {
	r := groupRef(name)
	s := edda.NewConsumer(r.Stream, r.Group)
	s.Group.Retry = edda.RetryPolicy{Delay: time.Second, Backoff: 1, Jitter: -1}
	s.HandleAny(h)
	return s
}

// feed appends messages, each as "payload" or "key=payload", in one append.
func feed(t *testing.T, n *node.Node, stream string, messages ...string) *edda.AppendAck {
	t.Helper()
	a := &edda.Append{Stream: stream}
	for _, m := range messages {
		key, payload, keyed := strings.Cut(m, "=")
		if !keyed {
			key, payload = "", m
		}
		a.Messages = append(a.Messages, edda.StreamMessage{Key: key, Type: "note", Payload: []byte(payload)})
	}
	ack, err := n.Append(t.Context(), a)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return ack
}

// readGroup reads as a member; what it gets must not be an error.
func readGroup(t *testing.T, n *node.Node, name, member string, most int, wait time.Duration) []edda.Delivery {
	t.Helper()
	ds, err := n.ReadGroup(t.Context(), edda.GroupRead{GroupRef: groupRef(name), Member: member, Max: most, Wait: wait})
	if err != nil {
		t.Fatalf("read group: %v", err)
	}
	return ds
}

// payloads are those of deliveries, in order, separated by blanks.
func payloads(ds []edda.Delivery) string {
	texts := make([]string, len(ds))
	for i := range ds {
		texts[i] = string(ds[i].Payload)
	}
	return strings.Join(texts, " ")
}

// gets fails the test unless the member reads just these payloads.
func gets(t *testing.T, n *node.Node, name, member string, most int, want string) []edda.Delivery {
	t.Helper()
	ds := readGroup(t, n, name, member, most, 0)
	if got := payloads(ds); got != want {
		t.Fatalf("member %s of %s gets %q, want %q", member, name, got, want)
	}
	return ds
}

// settleOf is what a member says of deliveries.
func settleOf(name string, ds []edda.Delivery) edda.Settle {
	s := edda.Settle{GroupRef: groupRef(name)}
	for i := range ds {
		s.Leases = append(s.Leases, ds[i].Lease)
	}
	return s
}

// settles fails the test unless what is done with leases applies to so many of them.
func settles(t *testing.T, how func(context.Context, edda.Settle) (*edda.Settled, error), s edda.Settle, done int) {
	t.Helper()
	got, err := how(t.Context(), s)
	if err != nil {
		t.Fatalf("settle leases: %v", err)
	}
	if got.Done != done || len(got.Stale) != len(s.Leases)-done {
		t.Errorf("%d leases are settled, %d are stale, want %d of %d to be settled", got.Done, len(got.Stale), done, len(s.Leases))
	}
}

// lag fails the test unless the group has these figures.
func lag(t *testing.T, n *node.Node, name string, want, pending uint64) *edda.Group {
	t.Helper()
	synctest.Wait()
	g, err := n.Group(t.Context(), groupRef(name))
	if err != nil {
		t.Fatalf("look up group: %v", err)
	}
	if g.Lag != want || uint64(g.Pending) != pending {
		t.Errorf("group %s has a lag of %d, %d of it pending; want %d and %d", name, g.Lag, g.Pending, want, pending)
	}
	return g
}

// letters returns the dead letters of a service.
func letters(t *testing.T, n *node.Node, service string) []edda.DeadLetter {
	t.Helper()
	ls, _, err := n.DeadLetters(t.Context(), node.DeadLetterFilter{Service: service}, node.Page{Limit: 1000})
	if err != nil {
		t.Fatalf("list dead letters: %v", err)
	}
	return ls
}

var errRefused = errors.New("the handler refuses")
