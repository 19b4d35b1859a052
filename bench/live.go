package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

const (
	// channelName is what the rows of live messages subscribe to.
	channelName = "bench-channel"
	// liveListeners is how many sockets the row live-fanout has, and idleSockets the row
	// live-idle.
	liveListeners = 5_000
	idleSockets   = 10_000
	// liveRate is how many frames a socket may send in a second: more than it does.
	liveRate = 1_000_000
	// liveBuffer is what a socket that waits reads at a time.
	liveBuffer = 2 << 10
)

// openLiveCall readies the row live-call: the load of the row http, each caller on a
// WebSocket of its own.
func openLiveCall(ctx context.Context, e *env, inFlight int) (*driver, error) {
	return openOnNode(ctx, e, func(n *node.Node) (func(context.Context, int) error, func() error, error) {
		s, err := serveNode(n, nil)
		if err != nil {
			return nil, nil, err
		}
		sockets, err := dialLives(s.addr, inFlight, 4<<10, nil)
		if err != nil {
			return nil, nil, errors.Join(err, s.stop())
		}
		return func(_ context.Context, caller int) error { return sockets[caller].call() },
			func() error { hangUp(sockets); return s.stop() }, nil
	})
}

// dialLives opens n WebSockets, and has greet do something with each; nil does nothing.
func dialLives(addr string, n, buffer int, greet func(*wsClient) error) ([]*wsClient, error) {
	sockets := make([]*wsClient, n)
	err := times(n, 64, func(i int) (err error) {
		if sockets[i], err = dialLive(addr, buffer); err == nil && greet != nil {
			err = greet(sockets[i])
		}
		return err
	})
	if err != nil {
		hangUp(sockets)
		return nil, err
	}
	return sockets, nil
}

func hangUp(sockets []*wsClient) {
	for _, s := range sockets {
		if s != nil {
			_ = s.conn.Close()
		}
	}
}

// listen subscribes to the channel.
func listen(c *wsClient) error {
	err := c.send(fmt.Appendf(nil, `{"op":"subscribe","ref":1,"channel":%q,"credit":1000000}`, channelName))
	if err == nil {
		_, err = c.expect("subscribed")
	}
	return err
}

// publish publishes the payload, and returns once it is durable.
func publish(ctx context.Context, n *node.Node) error {
	_, err := n.Append(ctx, &edda.Append{
		Channel: channelName, Messages: []edda.StreamMessage{{Type: methodName, ContentType: contentType, Payload: []byte(wsBody)}},
	})
	return err
}

// measureFanout measures how long it takes from a publication to its arrival at the
// last of many WebSockets, which are in another process.
func measureFanout(ctx context.Context, e *env, s *spec) (r Result, err error) {
	if e.Child == nil {
		return r, errNoChild
	}
	dir, remove, err := e.subdir()
	if err != nil {
		return r, err
	}
	defer remove()
	err = e.withNode(ctx, dir, func(n *node.Node) (err error) {
		if _, _, err := n.SetChannel(ctx, edda.ChannelSpec{Name: channelName}); err != nil {
			return err
		}
		port, err := serveNode(n, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, port.stop()) }()
		listeners, err := e.launch(ctx, roleListen, "", "-connect="+port.addr, "-workers="+strconv.Itoa(min(s.inFlight, e.Pending)))
		if err != nil {
			return err
		}
		defer listeners.kill()
		var all series
		for over := time.Now().Add(e.Duration); time.Now().Before(over) || all.ops == 0; all.ops++ {
			began := time.Now()
			if err := publish(ctx, n); err != nil {
				return err
			}
			if _, err := listeners.next(); err != nil {
				return err
			}
			all.hist.add(0, time.Since(began))
		}
		all.fill(&r)
		r.Value = r.P50Micros / 1e3
		return nil
	})
	return r, err
}

// listenChild opens WebSockets that subscribe to the channel, and says each time that
// all of them have heard one more message.
func listenChild(ctx context.Context, stdout io.Writer, addr string, count int) error {
	sockets, err := dialLives(addr, count, liveBuffer, listen)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, saidConnected); err != nil {
		return err
	}
	heard, failed := make(chan struct{}, count), make(chan error, count)
	var all sync.WaitGroup
	for _, s := range sockets {
		all.Go(func() {
			for {
				if _, err := s.expect("message"); err != nil {
					failed <- err
					return
				}
				heard <- struct{}{}
			}
		})
	}
	defer all.Wait()
	defer hangUp(sockets)
	for n := 1; ; n++ {
		select {
		case <-heard:
			if n%count == 0 {
				if _, err := fmt.Fprintln(stdout, saidHeard); err != nil {
					return err
				}
			}
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// measureIdleSockets measures the memory of a node with many sockets that have
// subscribed to a channel in which nothing happens. Its value is how long they took to
// connect.
func measureIdleSockets(ctx context.Context, e *env, s *spec) (r Result, err error) {
	if e.Child == nil {
		return r, errNoChild
	}
	dir, remove, err := e.subdir()
	if err != nil {
		return r, err
	}
	defer remove()
	err = e.withNode(ctx, dir, func(n *node.Node) error {
		_, _, err := n.SetChannel(ctx, edda.ChannelSpec{Name: channelName})
		return err
	})
	if err != nil {
		return r, err
	}
	p, err := e.launch(ctx, roleServe, dir)
	if err != nil {
		return r, err
	}
	defer p.kill()
	begin := time.Now()
	sockets, err := dialLives(p.said, min(s.inFlight, e.Pending), liveBuffer, listen)
	if err != nil {
		return r, err
	}
	defer hangUp(sockets)
	took := time.Since(begin)
	sleep(ctx, 2*settle)
	r.ResidentBytes, r.PeakBytes, err = residentBytes(p.cmd.Process.Pid)
	r.Value, r.P50Micros, r.P99Micros = took.Seconds(), float64(took.Microseconds()), float64(took.Microseconds())
	return r, err
}
