package wsgw

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// world is a node with a gateway on a port, whose subscriptions a test makes up.
type world struct {
	node *node.Node
	g    *Gateway
	srv  *httptest.Server
	live *fakeLive
	// network is nil where connections are the machine's.
	network *memory
}

// inBubble runs a test whose time is its own, with connections in memory. Start in it
// returns a world for which settled knows when nothing happens any more.
func inBubble(t *testing.T, f func(t *testing.T, start func(Options, ...*edda.Service) *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, func(opts Options, services ...*edda.Service) *world {
			live := &fakeLive{subs: map[*fakeSub]struct{}{}}
			w := startOn(t, &memory{conns: make(chan net.Conn), closed: make(chan struct{})}, opts, live, services...)
			w.live = live
			return w
		})
	})
}

// memory is a network of connections that hold nothing that is on its way.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case m.conns <- theirs:
		return ours, nil
	case <-m.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr are net.Listener's.
func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7400} }

// settled waits until nothing more happens by itself, and reports an error unless a
// condition holds then.
func settled(t *testing.T, what string, ok func() bool) {
	t.Helper()
	synctest.Wait()
	if !ok() {
		t.Errorf("it did not come to be: %s", what)
	}
}

// start starts a node in memory with a gateway whose subscriptions are made up.
func start(t *testing.T, opts Options, services ...*edda.Service) *world {
	t.Helper()
	live := &fakeLive{subs: map[*fakeSub]struct{}{}}
	w := startWith(t, opts, live, services...)
	w.live = live
	return w
}

// startReal is start with the node's own subscriptions.
func startReal(t *testing.T, opts Options, services ...*edda.Service) *world {
	t.Helper()
	return startWith(t, opts, nil, services...)
}

func startWith(t *testing.T, opts Options, live edda.ChannelBackend, services ...*edda.Service) *world {
	t.Helper()
	return startOn(t, nil, opts, live, services...)
}

// startOn starts a node whose gateway listens on a network, or, where that is nil, on a
// port.
func startOn(t *testing.T, network *memory, opts Options, live edda.ChannelBackend, services ...*edda.Service) *world {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 4, Services: append(examples.Services(), services...)})
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(n, opts)
	if live != nil {
		g, err = build(backends{calls: n, streams: n, channels: live}, opts)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &world{node: n, g: g, srv: httptest.NewUnstartedServer(g), network: network}
	if network != nil {
		_ = w.srv.Listener.Close()
		w.srv.Listener = network
	}
	w.srv.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended, end := context.WithCancel(ctx)
		end()
		_ = g.Drain(ended)
		w.srv.Close()
		if err := n.Stop(ctx); err != nil {
			t.Errorf("stop the node: %v", err)
		}
	})
	return w
}

// url is that of a path, for WebSocket.
func (w *world) url(path string) string {
	if w.network != nil {
		return "ws://localhost" + path
	}
	return "ws" + strings.TrimPrefix(w.srv.URL, "http") + path
}

// connect opens a connection to the gateway.
func (w *world) connect(t *testing.T) net.Conn {
	t.Helper()
	conn, err := w.dialer()(t.Context(), "tcp", strings.TrimPrefix(w.srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// transport keeps no connections, which would not end with a bubble.
func (w *world) transport() *http.Transport {
	return &http.Transport{DialContext: w.dialer(), DisableKeepAlives: true}
}

func (w *world) dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	if w.network == nil {
		return (&net.Dialer{}).DialContext
	}
	return w.network.dial
}

// client is a WebSocket client.
type client struct {
	t  *testing.T
	ws *websocket.Conn
}

// dial connects with headers, given as name and value in turns.
func (w *world) dial(t *testing.T, header ...string) *client {
	t.Helper()
	return w.dialTo(t, "/v1/live", header...)
}

func (w *world) dialTo(t *testing.T, path string, header ...string) *client {
	t.Helper()
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, w.url(path), &websocket.DialOptions{ //nolint:bodyclose // the connection has it
		Subprotocols: []string{Subprotocol}, HTTPHeader: h, HTTPClient: &http.Client{Transport: w.transport()},
	})
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	ws.SetReadLimit(64 << 20)
	c := &client{t, ws}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return c
}

// send sends frames.
func (c *client) send(frames ...string) {
	c.t.Helper()
	for _, f := range frames {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := c.ws.Write(ctx, websocket.MessageText, []byte(f))
		cancel()
		if err != nil {
			c.t.Fatalf("send %s: %v", f, err)
		}
	}
}

// read reads a frame.
func (c *client) read() (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kind, b, err := c.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		return nil, fmt.Errorf("got a frame of type %v", kind)
	}
	var f map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: %w", b, err)
	}
	return f, nil
}

// want reads a frame that has at least these members, and returns it. A value of "*" is any.
func (c *client) want(frame string) map[string]any {
	c.t.Helper()
	got, err := c.read()
	if err != nil {
		c.t.Fatalf("got %v, want %s", err, frame)
	}
	if why := differs(got, frame); why != "" {
		c.t.Fatalf("got %v, want %s: %s", got, frame, why)
	}
	return got
}

func differs(got map[string]any, want string) string {
	var w map[string]any
	d := json.NewDecoder(strings.NewReader(want))
	d.UseNumber()
	if err := d.Decode(&w); err != nil {
		return err.Error()
	}
	for name, v := range w {
		g, there := got[name]
		if !there || v != "*" && !reflect.DeepEqual(g, v) {
			return fmt.Sprintf("%s is %v", name, g)
		}
	}
	return ""
}

// wantAll reads as many frames as there are, in any order.
func (c *client) wantAll(frames ...string) []map[string]any {
	c.t.Helper()
	found := make([]map[string]any, len(frames))
	for range frames {
		got, err := c.read()
		if err != nil {
			c.t.Fatalf("got %v, want one of %v", err, frames)
		}
		ok := false
		for i, f := range frames {
			if !ok && found[i] == nil && differs(got, f) == "" {
				found[i], ok = got, true
			}
		}
		if !ok {
			c.t.Fatalf("got %v, want one of %v", got, frames)
		}
	}
	return found
}

// wantClose reads the end of the connection.
func (c *client) wantClose(code websocket.StatusCode) {
	c.t.Helper()
	f, err := c.read()
	if got := websocket.CloseStatus(err); got != code {
		c.t.Fatalf("got %v, %v, want a close with %d", f, err, code)
	}
}

// alive shows that the connection stays.
func (c *client) alive() {
	c.t.Helper()
	c.send(`{"op":"ping","ref":"alive?"}`)
	c.want(`{"op":"pong","ref":"alive?"}`)
}

// fakeLive is a backend whose subscriptions get what a test gives them.
type fakeLive struct {
	edda.ChannelBackend

	mu      sync.Mutex
	subs    map[*fakeSub]struct{}
	last    *fakeSub
	refuse  error
	present []edda.Presence
	gap     bool
}

func (l *fakeLive) Subscribe(_ context.Context, s *edda.Subscribe) (edda.Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return nil, l.refuse
	}
	sub := &fakeSub{live: l, want: s, patterns: s.Patterns, ephemeral: map[string]bool{}}
	if s.Ephemeral {
		for _, p := range s.Patterns {
			sub.ephemeral[p] = true
		}
	}
	l.subs[sub] = struct{}{}
	l.last = sub
	return sub, nil
}

func (l *fakeLive) Presence(context.Context, string, string) ([]edda.Presence, error) {
	return l.present, nil
}

// sub returns the subscription that was begun last.
func (l *fakeLive) sub() *fakeSub {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// open returns how many subscriptions there are.
func (l *fakeLive) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.subs)
}

// publish gives a message to all subscriptions.
func (l *fakeLive) publish(m *edda.LiveMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.subs {
		s.give(m)
	}
}

// message is the nth message of a stream.
func message(n int, payload string) *edda.LiveMessage {
	return &edda.LiveMessage{
		Namespace: edda.DefaultNamespace, From: edda.From(fmt.Sprintf("p%d", n)),
		Message: edda.StreamMessage{
			ID: fmt.Sprintf("m%d", n), Shard: edda.DefaultShard, Offset: uint64(n), Type: "t", Principal: edda.Anonymous,
			ContentType: "application/json", Payload: []byte(payload),
		},
	}
}

type fakeSub struct {
	live *fakeLive
	want *edda.Subscribe

	mu        sync.Mutex
	patterns  []string
	ephemeral map[string]bool
	queue     []*edda.LiveMessage
	behind    int64
	takes     int // calls of Take
	taken     int // messages
	fail      error
	closed    int
	over      bool
	hold      chan struct{} // Take waits for it, when it is not nil
}

func (s *fakeSub) give(m *edda.LiveMessage) {
	s.mu.Lock()
	s.queue = append(s.queue, m)
	s.mu.Unlock()
	s.want.Notify()
}

// end has Take fail.
func (s *fakeSub) end(err error) {
	s.mu.Lock()
	s.fail = err
	s.mu.Unlock()
	s.want.Notify()
}

func (s *fakeSub) Take(_ context.Context, n int) (edda.LiveBatch, error) {
	s.mu.Lock()
	hold := s.hold
	s.takes++
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return edda.LiveBatch{}, s.fail
	}
	var b edda.LiveBatch
	for len(b.Messages) < n && len(s.queue) > 0 && !s.over {
		m := s.queue[0]
		s.queue = s.queue[1:]
		b.Messages = append(b.Messages, m)
		if s.ephemeral[m.Message.Type] {
			b.Spent = []string{m.Message.Type}
			s.remove(m.Message.Type)
			break
		}
	}
	s.taken += len(b.Messages)
	b.Over = s.over
	return b, nil
}

func (s *fakeSub) remove(p string) {
	var kept []string
	for _, q := range s.patterns {
		if q != p {
			kept = append(kept, q)
		}
	}
	s.patterns = kept
	s.over = len(kept) == 0
}

func (s *fakeSub) Add(patterns []string, ephemeral bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.patterns = append(s.patterns, patterns...)
	for _, p := range patterns {
		s.ephemeral[p] = ephemeral
	}
	return nil
}

func (s *fakeSub) Remove(patterns ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range patterns {
		s.remove(p)
	}
	if len(patterns) == 0 {
		s.patterns, s.over = nil, true
	}
}

func (s *fakeSub) Patterns() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.patterns...)
}

func (s *fakeSub) From() edda.From { return "p-begin" }
func (s *fakeSub) Gap() bool       { return s.live.gap }

func (s *fakeSub) Behind() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behind
}

func (s *fakeSub) setBehind(n int64) {
	s.mu.Lock()
	s.behind = n
	s.mu.Unlock()
}

func (s *fakeSub) Close() {
	s.mu.Lock()
	s.closed++
	s.mu.Unlock()
	s.live.mu.Lock()
	delete(s.live.subs, s)
	s.live.mu.Unlock()
}

// keys is an authenticator whose grants a test changes.
type keys struct {
	mu sync.Mutex
	m  map[string]*auth.Grant
}

func newKeys() *keys { return &keys{m: map[string]*auth.Grant{}} }

// set says what a token stands for; nothing when nil.
func (k *keys) set(token string, g *auth.Grant) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if g == nil {
		delete(k.m, token)
		return
	}
	k.m[token] = g
}

func (k *keys) Authenticate(_ context.Context, c auth.Credential) (*auth.Grant, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if g := k.m[c.Token]; g != nil {
		return g, nil
	}
	return nil, auth.ErrUnknown
}

func everything(p edda.Principal) *auth.Grant {
	return &auth.Grant{Principal: p, Rights: auth.Everything()}
}
