package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker"
)

// A consumer gets the same and brings about the same, whether it is in the node's
// process or in one of its own.
func TestSameConsumersInProcessAndRemote(t *testing.T) {
	play := func(where func(t *testing.T, s *edda.Service) *node.Node) []string {
		seen := make(chan string, 100)
		n := where(t, biller(seen))
		return consumed(t, n, seen)
	}
	want := play(func(t *testing.T, s *edda.Service) *node.Node { return open(t, s) })
	got := play(func(t *testing.T, s *edda.Service) *node.Node {
		n := open(t)
		host(t, serve(t, n), s)
		return n
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what happened (-in process +remote):\n%s", diff)
	}
}

// biller consumes the group billing of the stream orders, and tells what it sees.
func biller(seen chan<- string) *edda.Service {
	s := edda.NewConsumer("orders", "billing")
	s.Group.From, s.Group.Retry = edda.FromStart, edda.RetryPolicy{Max: 2, Delay: time.Millisecond, Jitter: -1}
	s.Group.ProcessingTimeout = time.Minute
	handle := func(method string, h func(*edda.Context, *edda.Message) error) {
		s.Add(edda.Method{Name: method, Handler: func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
			n, _, err := edda.Get[int](c, "n")
			deadline, _ := c.Deadline()
			seen <- fmt.Sprintf("%s of %q, key %q, from %q, reply to %v, %+v, attempt %d, n %d, %v, principal %s, headers %v, correlation %s, %s %q, a minute %t",
				m.Type, m.To.Name, c.Key(), m.Source, m.ReplyTo, *c.Delivery(), c.Attempt(), n, err, m.Principal, m.Headers, m.Correlation(), m.ContentType,
				m.Payload, time.Until(deadline) > 30*time.Second)
			return nil, h(c, m)
		}})
	}
	handle("count it ✓", func(c *edda.Context, _ *edda.Message) error {
		n, _, err := edda.Get[int](c, "n")
		return errors.Join(err, edda.Set(c, "n", n+1))
	})
	handle("again", func(c *edda.Context, _ *edda.Message) error {
		if c.Attempt() == 1 {
			return errors.New("not yet")
		}
		return nil
	})
	handle("never", func(*edda.Context, *edda.Message) error { return errors.New("no") })
	handle("forward", func(c *edda.Context, m *edda.Message) error {
		odd := full()
		odd.Principal = "mallory"
		return errors.Join(
			c.Append(&edda.Append{Stream: "bills", Shard: "eu", Messages: []edda.StreamMessage{odd, {ID: "bare"}}}),
			c.Append(&edda.Append{Stream: m.ReplyTo.Name, Messages: []edda.StreamMessage{{ID: c.Delivery().ID, Type: "reply"}}}),
		)
	})
	return s
}

// consumed appends to the stream, and returns what the consumer saw and left behind.
func consumed(t *testing.T, n *node.Node, seen <-chan string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a := &edda.Append{Stream: "orders", Shard: "eu", Principal: "ada", Messages: []edda.StreamMessage{full()}}
	a.Messages[0].Type = "count it ✓"
	for _, m := range []edda.StreamMessage{
		{ID: "2", Type: "count it ✓", Key: "k 1"}, {ID: "3", Type: "count it ✓"}, {ID: "4", Type: "again", Key: "k"}, {ID: "5", Type: "never"},
		{ID: "6", Type: "unknown"}, {ID: "7", Type: "forward", ReplyTo: edda.Address{Name: "answers"}},
	} {
		m.Time = time.Unix(7, 0).UTC()
		a.Messages = append(a.Messages, m)
	}
	if _, err := n.Append(ctx, a); err != nil {
		t.Fatal(err)
	}
	g := &edda.Group{Lag: 1}
	for g.Lag > 0 {
		var err error
		if g, err = n.Group(ctx, billing); err != nil {
			t.Fatal(err)
		}
	}
	var log []string
	for len(seen) > 0 {
		log = append(log, <-seen)
	}
	p := &streamPlay{t: t, ctx: ctx, streamsAndGroups: n, log: log}
	for stream, id := range map[string]string{"bills": "bare", "answers": "7"} { // they may be in other partitions
		if _, err := n.AwaitMessage(ctx, "", stream, id, patience); err != nil {
			t.Error(err)
		}
	}
	p.read("bills", edda.Read{Stream: "bills", Shard: "eu"})
	p.read("answers", edda.Read{Stream: "answers"})
	letters, _, err := n.DeadLetters(ctx, node.DeadLetterFilter{}, node.Page{})
	p.err("dead letters", err)
	for _, l := range letters {
		p.notef("dead: %s %s, %d attempts: %s: %s", l.Service, l.Method, l.Attempts, l.Reason, l.Detail)
	}
	slices.Sort(p.log) // but for keys there is no order
	return p.log
}

// member runs a consumer in another process: see TestMemberProcess.
func member(t *testing.T, url string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemberProcess$")
	c.Env = append(os.Environ(), memberEnv+"="+url)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c
}

const memberEnv = "EDDA_TEST_MEMBER"

// TestMemberProcess is the consumer of another test, in a process of its own: it begins
// with each message, says so on the stream "begun", and never ends.
func TestMemberProcess(t *testing.T) {
	url := os.Getenv(memberEnv)
	if url == "" {
		t.Skip("it is for other tests")
	}
	conn := dial(t, url, client.Options{})
	s := edda.NewConsumer("orders", "billing")
	s.HandleAny(func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		_, err := conn.Append(c, one("begun", c.Delivery().ID))
		if err != nil {
			return nil, err
		}
		<-c.Done()
		return nil, c.Err()
	})
	t.Fatal(worker.Run(context.Background(), url, s)) // until it is killed
}

// What a member has that is killed in the middle of its work another one takes over,
// with all that follows in the order of the key.
func TestMemberIsKilled(t *testing.T) {
	n := open(t)
	url := serve(t, n)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, _, err := n.SetGroup(ctx, edda.GroupSpec{Stream: "orders", Name: "billing", From: edda.FromStart}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Append(ctx, orders(3)); err != nil { // of one key
		t.Fatal(err)
	}
	c := member(t, url)
	if _, err := n.AwaitMessage(ctx, "", "begun", "0", patience); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 10)
	s := edda.NewConsumer("orders", "billing")
	s.HandleAny(func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		done <- c.Delivery().ID
		return nil, c.Append(one("bills", c.Delivery().ID))
	})
	host(t, url, s)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0", "1", "2"} {
		if got := recv(t, done); got != want {
			t.Errorf("handled is %s, want %s", got, want)
		}
	}
	page, err := n.ReadStream(ctx, edda.Read{Stream: "bills", From: edda.FromOffset(2), Wait: patience})
	if err != nil || len(page.Messages) != 1 || page.Messages[0].ID != "2" {
		t.Errorf("appended is %+v, %v", page, err)
	}
}

// A worker whose group has as many members as it may waits, and takes over when there
// is room.
func TestMemberWaitsForRoom(t *testing.T) {
	n := open(t)
	url := serve(t, n)
	consumer := func(who string, done chan<- string) *edda.Service {
		s := edda.NewConsumer("orders", "billing")
		s.Group.MaxMembers = 1
		s.HandleAny(func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			done <- who + " " + c.Delivery().ID
			return nil, nil
		})
		return s
	}
	done := make(chan string, 10)
	logs := make(logLines, 100)
	run := func(who string) (stop func() error, connected <-chan string) {
		ctx, cancel := context.WithCancel(context.Background())
		ended, conn := make(chan error, 1), make(chan string, 10)
		o := worker.Options{ID: who, Logger: logs.logger(), OnConnect: func(node string) { conn <- node }}
		go func() { ended <- o.Run(ctx, url, consumer(who, done)) }()
		t.Cleanup(cancel)
		return func() error { cancel(); return recv(t, ended) }, conn
	}
	stopFirst, first := run("first")
	recv(t, first)
	stopSecond, second := run("second")
	for line := ""; line != "a group is full; the worker waits for room"; {
		line = recv(t, logs)
	}
	if _, err := n.Append(t.Context(), one("orders", "a")); err != nil {
		t.Fatal(err)
	}
	if got := recv(t, done); got != "first a" {
		t.Errorf("handled is %q by the second of one member", got)
	}
	if err := stopFirst(); err != nil {
		t.Error(err)
	}
	recv(t, second)
	if _, err := n.Append(t.Context(), one("orders", "b")); err != nil {
		t.Fatal(err)
	}
	if got := recv(t, done); got != "second b" {
		t.Errorf("handled is %q", got)
	}
	if err := stopSecond(); err != nil {
		t.Error(err)
	}
}

// logLines gets the messages that are logged, as long as there is room.
type logLines chan string

func (l logLines) logger() *slog.Logger { return slog.New(logHandler{slog.DiscardHandler, l}) }

type logHandler struct {
	slog.Handler
	lines logLines
}

func (logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.lines <- r.Message:
	default:
	}
	return nil
}
