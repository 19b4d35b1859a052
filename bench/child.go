package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// The roles of a child, and what some say when they are ready.
const (
	roleBare    = "bare"    // serves HTTP without a node
	roleServe   = "serve"   // serves a node
	roleLoad    = "load"    // fills a node's directory
	roleSagas   = "sagas"   // fills one with sagas that wait
	roleStreams = "streams" // fills one with streams
	saidLoaded  = "loaded"
	roleWork    = "work"   // connects workers that echo
	roleJobs    = "jobs"   // connects workers whose handlers take a second
	roleEcho    = "echo"   // serves a gRPC echo
	roleListen  = "listen" // listens on WebSockets
	// saidConnected is what one that connects workers or WebSockets says, and saidHeard
	// what these say when all have heard one more message.
	saidConnected = "connected"
	saidHeard     = "heard"
)

// Child is what the process runs that Options.Child makes. It says one line on
// stdout, the address it listens on or that it has loaded, and then stays until
// ctx ends; as a rule it is killed.
func Child(ctx context.Context, stdout io.Writer, args []string) error {
	f := flag.NewFlagSet("bench child", flag.ContinueOnError)
	role := f.String("role", "", "what to do")
	dir := f.String("dir", "", "the node's directory")
	durability := f.String("durability", string(edda.Fsync), "the node's durability")
	completed := f.Int("completed", 0, "requests to complete")
	pending := f.Int("pending", 0, "requests to leave pending")
	connect := f.String("connect", "", "the node to connect workers to")
	workers := f.Int("workers", 0, "how many workers, or WebSockets")
	first := f.Int("first", 0, "the number of the first one")
	if err := f.Parse(args); err != nil {
		return err
	}
	d := edda.Durability(*durability)
	switch *role {
	case roleBare:
		s, err := serveEcho()
		return serveChild(ctx, stdout, s, err)
	case roleServe:
		n, err := openNode(ctx, *dir, d, parkService())
		if err != nil {
			return err
		}
		s, err := serveNode(n, nil)
		return errors.Join(serveChild(ctx, stdout, s, err), stopNode(n))
	case roleWork:
		return workerChild(ctx, stdout, *connect, *first, *workers, workerService)
	case roleJobs:
		return workerChild(ctx, stdout, *connect, *first, *workers, jobService)
	case roleListen:
		return listenChild(ctx, stdout, *connect, *workers)
	case roleEcho:
		return echoChild(ctx, stdout)
	case roleLoad:
		return loadChild(ctx, stdout, *dir, d, func(n *node.Node) error { return load(ctx, n, *completed, *pending) }, parkService())
	case roleSagas:
		return loadChild(ctx, stdout, *dir, d, func(n *node.Node) error { return leaveSagas(ctx, n, *pending) }, stepService(stepName, edda.Balanced))
	case roleStreams:
		return loadChild(ctx, stdout, *dir, d, func(n *node.Node) error { return fillStreams(ctx, n, *completed) })
	default:
		return fmt.Errorf("no role %q", *role)
	}
}

// loadChild fills a node's directory, says so, and stays.
func loadChild(ctx context.Context, stdout io.Writer, dir string, d edda.Durability, fill func(*node.Node) error, services ...*edda.Service) error {
	n, err := openNode(ctx, dir, d, services...)
	if err != nil {
		return err
	}
	if err := fill(n); err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, saidLoaded)
	<-ctx.Done()
	return errors.Join(err, stopNode(n))
}

// serveChild says where the server listens and stops it when ctx ends. It takes
// the error of starting it, too.
func serveChild(ctx context.Context, stdout io.Writer, s *server, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, s.addr)
	<-ctx.Done()
	return errors.Join(err, s.stop())
}

// parkName names a service that is paused: what is sent to it stays pending.
const parkName = "bench-parked"

func parkService() *edda.Service {
	s := edda.NewOrdered(parkName)
	s.HandleAny(func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, nil })
	return s
}

// load completes requests whose outcomes are kept, because they have idempotency
// keys, and leaves others pending: half of them queued behind a pause, half
// delayed.
func load(ctx context.Context, n *node.Node, completed, pending int) error {
	const inFlight = 1024
	body := payload()
	err := times(completed, inFlight, func(i int) error {
		return call(ctx, n, keyName(i), strconv.Itoa(i), body)
	})
	if err != nil {
		return fmt.Errorf("complete requests: %w", err)
	}
	if _, err := n.PauseService(ctx, edda.DefaultNamespace, parkName); err != nil {
		return err
	}
	due := time.Now().Add(24 * time.Hour)
	err = times(pending, inFlight, func(i int) error {
		m := newMessage(keyName(i), body)
		m.To.Name = parkName
		if i%2 == 0 {
			m.To.Name, m.Due = serviceName, due
		}
		_, err := n.Send(ctx, m)
		return err
	})
	if err != nil {
		return fmt.Errorf("leave requests pending: %w", err)
	}
	return nil
}

// times calls f with 0 to count-1, at most inFlight at a time, until one fails.
func times(count, inFlight int, f func(i int) error) error {
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		failed error
		once   sync.Once
	)
	for range min(inFlight, count) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					once.Do(func() { failed = err })
					next.Store(math.MaxInt64 / 2)
				}
			}
		})
	}
	wg.Wait()
	return failed
}
