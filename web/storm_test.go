package web_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/gateway/wsgw"
	"github.com/edda-io/edda/node"
)

// The connections of a client are cut, and fall silent, again and again. Whatever it asks
// for is done once and in order, and whatever it listens to it hears once and in order.
func TestClientInAStorm(t *testing.T) {
	js := nodejs(t)
	const n = 600
	proxy := newProxy(t, serveLive(t, wsgw.Options{}))
	storm := make(chan struct{})
	var blowing sync.WaitGroup
	seed := rand.Uint64()
	blowing.Go(func() { proxy.blow(seed, storm) })

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, js[0], append(js[1:], "testdata/storm.js", "http://"+proxy.l.Addr().String(), strconv.Itoa(n))...)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	over := time.Now().Add(10 * time.Second)
	out, err := follow(cmd, func() (stop func()) { // once the client has had connections enough
		calm := time.AfterFunc(time.Until(over), func() { close(storm) })
		return func() {
			if calm.Stop() {
				close(storm)
			}
		}
	})
	blowing.Wait()
	var got struct {
		Connections                    int
		Values, Offsets, Heard, Looped []int
	}
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	if err != nil {
		t.Fatalf("the client, seed %d: %v\n%s%s", seed, err, out, &errOut)
	}
	from0 := make([]int, n)
	from1 := make([]int, n)
	for i := range n {
		from0[i], from1[i] = i, i+1
	}
	for what, c := range map[string]struct{ got, want []int }{
		"values of calls": {got.Values, from1}, "offsets of appends": {got.Offsets, from0},
		"heard of the channel": {got.Heard, from0}, "heard of the stream": {got.Looped, from0},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %v, want %d in order from %d", what, c.got, n, c.want[0])
		}
	}
	t.Logf("%d connections, seed %d", got.Connections, seed)
	if got.Connections < 5 {
		t.Errorf("there were %d connections, want a storm", got.Connections)
	}
}

// follow runs a command that writes a line before what it has to say, which is returned.
// Begun is called after the line, and what it returns at the end.
func follow(cmd *exec.Cmd, begun func() (end func())) ([]byte, error) {
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		defer begun()()
		return nil, err
	}
	in := bufio.NewReader(pipe)
	_, _ = in.ReadString('\n')
	defer begun()()
	out, err := io.ReadAll(in)
	return out, errors.Join(err, cmd.Wait())
}

// serveLive serves live connections to a node with the example services and two channels,
// of which room keeps little, and returns its address.
func serveLive(t *testing.T, opts wsgw.Options) string {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Dir: t.TempDir(), Partitions: 4, Durability: edda.OS, Services: examples.Services()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []edda.ChannelSpec{{Name: "storm"}, {Name: "room", History: edda.History{Count: 10}}} {
		if _, _, err := n.SetChannel(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "log"}); err != nil {
		t.Fatal(err)
	}
	g, err := wsgw.New(n, opts)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: g, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = g.Drain(ctx)
		_ = n.Stop(ctx)
		_ = server.Shutdown(ctx)
		serving.Wait()
	})
	return l.Addr().String()
}

// proxy stands between clients and a server.
type proxy struct {
	l      net.Listener
	server string

	mu     sync.Mutex // guards what follows
	pairs  map[*pair]bool
	closed bool
}

// pair is a connection through a proxy.
type pair struct {
	client, server net.Conn
	silent         chan struct{} // closed: nothing goes through any more
	hush           func()
	left           bool // silent, and not cut: only the client finds that out
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, server: server, pairs: map[*pair]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.each(func(c *pair) { c.cut() })
		running.Wait()
	})
	return p
}

// serve passes on what a client and the server say until one of them ends.
func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	silent := make(chan struct{})
	c := &pair{client: client, server: server, silent: silent, hush: sync.OnceFunc(func() { close(silent) })}
	p.mu.Lock()
	p.pairs[c] = true
	closed := p.closed
	p.mu.Unlock()
	if closed {
		c.cut()
	}
	var passing sync.WaitGroup
	passing.Go(func() { c.pass(server, client) })
	passing.Go(func() { c.pass(client, server) })
	passing.Wait()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

// pass copies what one side says to the other, which hears nothing more once the pair is
// silent.
func (c *pair) pass(to, from net.Conn) {
	defer c.cut()
	b := make([]byte, 4<<10)
	for {
		n, err := from.Read(b)
		select {
		case <-c.silent:
			_, _ = io.Copy(io.Discard, from) // until somebody has enough of it
			return
		default:
		}
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *pair) cut() {
	_ = c.client.Close()
	_ = c.server.Close()
}

func (p *proxy) each(f func(*pair)) {
	p.mu.Lock()
	all := make([]*pair, 0, len(p.pairs))
	for c := range p.pairs {
		all = append(all, c)
	}
	p.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

// blow cuts connections, or has them fall silent, until it is told to stop. Now and then
// what is silent is left so. It grows milder, so that something gets through however slow
// the machine is.
func (p *proxy) blow(seed uint64, stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(seed, 0))
	start := time.Now()
	for hushed := 0; ; {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(30+r.IntN(150))*time.Millisecond + time.Since(start)/50):
		}
		if r.IntN(4) == 0 {
			p.each(func(c *pair) {
				c.hush()
				c.left = c.left || hushed%8 == 0
				hushed++
			})
		} else {
			p.each(func(c *pair) {
				if !c.left {
					c.cut()
				}
			})
		}
	}
}

// nodejs returns how Node.js is run with WebSockets: before 22 they need a flag.
func nodejs(t *testing.T) []string {
	t.Helper()
	path := find(t, "node")
	out, err := exec.CommandContext(t.Context(), path, "-p", "typeof WebSocket").Output()
	if err == nil && strings.TrimSpace(string(out)) == "undefined" {
		return []string{path, "--experimental-websocket", "--no-warnings"}
	}
	return []string{path}
}
