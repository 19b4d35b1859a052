package examples_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/internal/freeport"
	"github.com/edda-io/edda/stream"
	"github.com/edda-io/edda/worker"
)

// dial connects to a node.
func dial(t *testing.T, url string) *stream.Client {
	t.Helper()
	conn, err := client.Dial(url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return stream.NewClient(conn)
}

// runWorker hosts services for a node until the test ends. It returns once the node has them.
func runWorker(t *testing.T, url string, services ...*edda.Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	there := make(chan struct{})
	o := worker.Options{OnConnect: func(string) {
		select {
		case <-there: // it was away
		default:
			close(there)
		}
	}}
	var why error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		why = o.Run(ctx, url, services...)
	}()
	t.Cleanup(func() {
		cancel()
		if <-ended; why != nil {
			t.Error(why)
		}
	})
	select {
	case <-there:
	case <-ended:
		t.Fatal("the worker ended before the node had its services")
	case <-time.After(patience):
		t.Fatalf("the node did not have the services of the worker within %v", patience)
	}
}

// grouped waits until each of the streams has a group.
func grouped(t *testing.T, streams *stream.Client, names ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for _, name := range names {
		for {
			groups, err := streams.Groups(ctx, name)
			if err != nil && edda.ReasonOf(err) != edda.NoStream {
				t.Fatalf("waiting for a group of %s: %v", name, err)
			}
			if len(groups) > 0 {
				break
			}
			<-look.C
		}
	}
}

// The same types as in one process, with the consumers and the callers in others. The
// node is started anew in between, and nobody has to do anything about it.
func TestStreamsOverTheNetwork(t *testing.T) {
	dir := t.TempDir()
	url, stop := serveNodeAt(t, dir, freeport.Localhost(t))
	runWorker(t, url, append(consumers(t, examples.Billing()...), consumers(t, examples.Greeter())...)...)
	streams := dial(t, url)
	if _, _, err := streams.Set(t.Context(), edda.StreamSpec{Name: "greetings"}); err != nil {
		t.Fatal(err)
	}
	grouped(t, streams, "greetings", "orders", "priced", "bills") // they begin at the end
	heard := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	read := make(chan error, 1)
	go func() {
		r := streams.Reader(stream.ReaderOptions{Cursor: "ear"}, stream.Source{Stream: "greetings"})
		read <- r.Each(ctx, func(m *edda.StreamMessage) error {
			heard <- string(m.Payload)
			return nil
		})
	}()
	defer func() {
		cancel()
		<-read
	}()

	greetings := streams.Caller("greetings", stream.CallerOptions{Timeout: 30 * time.Second})
	orders := streams.Caller("orders", stream.CallerOptions{Timeout: 30 * time.Second})
	for round := range 3 {
		for i := range 5 {
			name := fmt.Sprint("Ada ", round, i)
			howdy, err := stream.Call[examples.Howdy](t.Context(), greetings, "hello", examples.Hello{Name: name})
			if err != nil || howdy.Howdy != "there, "+name {
				t.Errorf("got %+v, %v, want howdy", howdy, err)
			}
			if got, want := <-heard, fmt.Sprintf(`{"name":%q}`, name); got != want {
				t.Errorf("heard %s, want %s", got, want)
			}
		}
		bill, err := stream.Call[examples.Bill](t.Context(), orders, "order", examples.Bill{Item: "nail", Count: round})
		if err != nil || bill.Sum != 2*round {
			t.Errorf("got %+v, %v, want a sum of %d", bill, err, 2*round)
		}
		_, err = stream.Call[examples.Bill](t.Context(), orders, "order", examples.Bill{Item: "moon"})
		if edda.ReasonOf(err) != edda.Failed || !strings.Contains(err.Error(), "there is no moon") {
			t.Errorf("got %v, want that there is none", err)
		}
		stop()
		url, stop = serveNodeAt(t, dir, strings.TrimPrefix(url, "http://"))
	}
}

// Variables of the test program: memberOf makes it a member of a group, of the node whose
// URL it holds, and holds makes that one hold what it has until it is killed.
const (
	memberOf = "EDDA_TEST_MEMBER_OF"
	holds    = "EDDA_TEST_MEMBER_HOLDS"
)

// TestMember is no test, but what a member of TestGroupOfThreeWorkers runs.
func TestMember(t *testing.T) {
	url := os.Getenv(memberOf)
	if url == "" {
		return
	}
	c := stream.NewConsumer("work", "three")
	c.Group.From, c.Concurrency, c.To.Name = edda.FromStart, 4, "done"
	stream.Handle(c, "do", func(ctx *edda.Context, n int) (int, error) {
		fmt.Fprintln(os.Stdout, "has", n)
		if os.Getenv(holds) != "" {
			<-ctx.Done()
		}
		return n, ctx.Err()
	})
	o := worker.Options{OnConnect: func(node string) { fmt.Fprintln(os.Stdout, "works for", node) }}
	if err := o.Run(t.Context(), url, consumers(t, c)...); err != nil {
		t.Error(err)
	}
}

// member starts a process that is a member, and returns it, with what it has begun, once
// the node has it.
func member(t *testing.T, url string, env ...string) (kill func(), has chan string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMember$")
	cmd.Env = append(append(os.Environ(), memberOf+"="+url), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	has = make(chan string, 1000)
	there := make(chan bool, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(there)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, ok := strings.CutPrefix(lines.Text(), "has "); ok {
				select {
				case has <- n:
				default: // it has begun enough
				}
			} else if strings.HasPrefix(lines.Text(), "works for ") {
				select {
				case there <- true:
				default: // it was away
				}
			}
		}
	}()
	kill = func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	if !<-there {
		t.Fatal("the member did not start")
	}
	return kill, has
}

// idle returns the first of the members that has begun nothing yet, -1 if there is none.
func idle(has []chan string) int {
	return slices.IndexFunc(has, func(c chan string) bool { return len(c) == 0 })
}

// Of three workers one is killed over its work. The others take it over, each key stays
// in order, and everything is done once.
func TestGroupOfThreeWorkers(t *testing.T) {
	url, _ := serveNode(t, t.TempDir())
	var kills []func()
	var has []chan string
	for _, env := range [][]string{nil, {holds + "=yes"}, nil} {
		kill, began := member(t, url, env...)
		kills, has = append(kills, kill), append(has, began)
	}
	streams := dial(t, url)
	if _, _, err := streams.Set(t.Context(), edda.StreamSpec{Name: "done"}); err != nil {
		t.Fatal(err)
	}
	const keys, each = 30, 10
	work := streams.Writer("work", stream.WriterOptions{})
	left := 0 // to be done
	more, late := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer more.Stop()
	for n := 0; n < keys*each || idle(has) >= 0; n++ { // each gets something to do
		if n >= keys*each {
			select {
			case <-more.C:
			case <-late:
				t.Fatalf("member %d had nothing to do", idle(has))
			}
		}
		m := edda.StreamMessage{ID: fmt.Sprint(n), Type: "do", Key: fmt.Sprint(n % keys), Payload: fmt.Append(nil, n)}
		if _, err := work.Append(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		left++
	}
	kills[1]()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	next := map[string]int{} // of each key
	for m, err := range streams.Reader(stream.ReaderOptions{}, stream.Source{Stream: "done"}).Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		n, err := stream.Decode[int](m)
		if err != nil || fmt.Sprint(n) != m.ID || n != next[m.Key]*keys+n%keys {
			t.Fatalf("of key %s came %d, %v, want its number %d", m.Key, n, err, next[m.Key])
		}
		next[m.Key]++
		if left--; left == 0 {
			break
		}
	}
}
