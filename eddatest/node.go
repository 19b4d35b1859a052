package eddatest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Node is a running node for one test.
type Node struct {
	// Node is the node itself, for what has no shorter way here.
	Node *node.Node

	t      testing.TB
	mocked sync.WaitGroup // handlers of mocks

	hosted map[edda.Address]edda.Kind // the services under test

	mu    sync.Mutex // guards what follows, and is held while a mock fails the test; nothing is locked under it
	mocks []*Mock
	calls []Call
	over  bool // the test has ended
}

const (
	// settleAtEnd is how long the end of a test waits for requests that go on.
	settleAtEnd = 5 * time.Second
	// stopWithin is how long the end of a test waits for handlers to return.
	stopWithin = time.Minute
)

// Start starts a node that hosts the services, and stops it when the test ends.
// An error fails the test at once.
//
// When the test ends, requests that are being handled are waited for, delayed
// ones are not: Settle does that. Then the test fails if a handler does not return
// within a minute, if an expectation of a mock was not met, or if a handler sent
// what nobody takes: a message to a service that is neither hosted nor mocked, or
// with a payload that its schema refuses.
func Start(t testing.TB, services ...*edda.Service) *Node {
	t.Helper()
	return StartWith(t, node.Options{Services: services})
}

// StartWith is Start with options for the node. Without Dir it keeps everything in
// memory; a Dir is real disk, which has no place in a bubble. It has one partition
// when Partitions is zero, so that what different keys do comes in the same order
// each time, and logs warnings and errors to the test's output when Logger is nil.
func StartWith(t testing.TB, o node.Options) *Node {
	t.Helper()
	n := &Node{t: t, hosted: map[edda.Address]edda.Kind{}}
	if o.Dir == "" {
		o.Durability = edda.Memory
	}
	o.Partitions = cmp.Or(o.Partitions, 1)
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	hosted := make([]*edda.Service, len(o.Services))
	for i, s := range o.Services {
		spec := s.Spec()
		n.hosted[spec.Address()] = s.Kind
		hosted[i] = withSetState(s)
	}
	o.Services = hosted
	var err error
	if n.Node, err = node.Open(t.Context(), o); err != nil {
		t.Fatalf("eddatest: %v", err)
	}
	t.Cleanup(n.end)
	return n
}

// Client returns a client of the node, in the default namespace, as Anonymous.
func (n *Node) Client() *edda.Client { return n.Node.Client() }

// Requests returns the requests that have not ended, in the order of acceptance.
// An error fails the test at once.
func (n *Node) Requests() []edda.Request {
	n.t.Helper()
	all, err := n.requests()
	if err != nil {
		n.t.Fatalf("eddatest: %v", err)
	}
	return all
}

func (n *Node) requests() ([]edda.Request, error) {
	return list(n, func(ctx context.Context, namespace string, p node.Page) ([]edda.Request, string, error) {
		return n.Node.Requests(ctx, node.RequestFilter{Namespace: namespace}, p)
	})
}

// DeadLetters returns the requests whose retries are spent, in the order of
// acceptance, and what handlers sent though nobody takes it. An error fails the
// test at once.
func (n *Node) DeadLetters() []edda.DeadLetter {
	n.t.Helper()
	all, err := n.deadLetters()
	if err != nil {
		n.t.Fatalf("eddatest: %v", err)
	}
	return all
}

func (n *Node) deadLetters() ([]edda.DeadLetter, error) {
	return list(n, func(ctx context.Context, namespace string, p node.Page) ([]edda.DeadLetter, string, error) {
		return n.Node.DeadLetters(ctx, node.DeadLetterFilter{Namespace: namespace}, p)
	})
}

// list returns all pages of all namespaces.
func list[T any](n *Node, page func(ctx context.Context, namespace string, p node.Page) ([]T, string, error)) ([]T, error) {
	var all []T
	for _, namespace := range n.inUse() {
		for after := ""; ; {
			items, next, err := page(context.Background(), namespace, node.Page{Limit: 1000, After: after})
			if err != nil {
				return nil, err
			}
			all = append(all, items...)
			if after = next; after == "" {
				break
			}
		}
	}
	return all, nil
}

// inUse returns the namespaces of services and mocks.
func (n *Node) inUse() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[string]bool{edda.DefaultNamespace: true}
	for a := range n.hosted {
		all[a.Namespace] = true
	}
	for _, m := range n.mocks {
		all[m.addr.Namespace] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// Settle lets time go by until every request has ended: those that are handled,
// wait, are delayed or retried, and what their handlers send. The test fails at
// once if that takes longer than limit, with a list of those that are left. In a
// bubble no time passes outside of it, so a limit of days is fine.
func (n *Node) Settle(limit time.Duration) {
	n.t.Helper()
	left, err := n.settle(limit, func(edda.Request) bool { return true })
	if err != nil {
		n.t.Fatalf("eddatest: %v", err)
	}
	if len(left) > 0 {
		n.t.Fatalf("eddatest: not every request has ended within %v; left are\n%s", limit, unfinished(left))
	}
}

// settle waits until each request that counts has ended, or the limit is over, and
// returns those that have not ended.
func (n *Node) settle(limit time.Duration, counts func(edda.Request) bool) ([]edda.Request, error) {
	deadline := time.Now().Add(limit)
	for {
		all, err := n.requests()
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, counts)
		wait := time.Until(deadline)
		if i < 0 || wait <= 0 {
			return all, nil
		}
		if _, err := n.Node.WaitRequest(context.Background(), all[i].Namespace, all[i].ID, wait); err != nil && edda.ReasonOf(err) != edda.NoRequest {
			return nil, err
		}
	}
}

// unfinished lists requests for people.
func unfinished(all []edda.Request) string {
	var b strings.Builder
	for _, r := range all {
		fmt.Fprintf(&b, "\t%s %s: %s", edda.Address{Namespace: r.Namespace, Name: r.Service, Key: r.Key}, r.Method, r.State)
		if r.Attempts > 0 {
			fmt.Fprintf(&b, ", attempt %d", r.Attempts)
		}
		if r.Error != nil {
			fmt.Fprintf(&b, " (%s: %s)", r.Error.Reason, r.Error.Message)
		}
		if wait := time.Until(r.NextAttemptAt).Round(time.Millisecond); wait > 0 {
			fmt.Fprintf(&b, ", goes on in %v", wait)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// end stops the node and says what was not as expected.
func (n *Node) end() {
	n.t.Helper()
	now := time.Now()
	left, err := n.settle(settleAtEnd, func(r edda.Request) bool { return !r.NextAttemptAt.After(now) })
	var letters []edda.DeadLetter
	if err == nil {
		letters, err = n.deadLetters()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	if stopErr := n.Node.Stop(ctx); err == nil {
		err = stopErr
	}
	if err != nil {
		n.t.Errorf("eddatest: %v", err)
	}
	n.joinMocks(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	if ctx.Err() != nil {
		n.t.Errorf("eddatest: a handler has not returned within %v of the end of the test; when the test ended there were\n%s", stopWithin, unfinished(left))
	}
	for _, l := range letters {
		if l.Attempts == 0 {
			n.t.Errorf("eddatest: a handler sent what nobody takes:\n\t%s\n\t%s",
				line(edda.Address{Namespace: l.Namespace, Name: l.Service, Key: l.Key}, l.Method, l.Payload), l.Detail)
		}
	}
	if !n.t.Failed() { // what ended a test early has other things missing in its wake
		n.missing(left)
	}
}

// joinMocks waits for the handlers of mocks, which the node does not wait for once
// it has given up their attempt.
func (n *Node) joinMocks(ctx context.Context) {
	done := make(chan struct{})
	go func() { // ends when the mocks' handlers do, which a bubble checks
		n.mocked.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
