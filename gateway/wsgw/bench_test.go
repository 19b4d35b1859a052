package wsgw

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/node"
)

// lean is a client that costs little.
type lean struct {
	conn net.Conn
	r    *bufio.Reader
	buf  []byte
}

func dialLean(addr string) (*lean, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &lean{conn: conn, r: bufio.NewReaderSize(conn, 1024), buf: make([]byte, 0, 1024)}
	_, err = io.WriteString(conn, "GET /v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: "+Subprotocol+"\r\n\r\n")
	if err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("got %s", resp.Status)
	}
	if err == nil {
		_ = resp.Body.Close()
	}
	return c, err
}

func (c *lean) read() ([]byte, error) {
	var h [8]byte
	if _, err := io.ReadFull(c.r, h[:2]); err != nil {
		return nil, err
	}
	first, n := h[0], int(h[1])
	if n == 126 {
		if _, err := io.ReadFull(c.r, h[:2]); err != nil {
			return nil, err
		}
		n = int(binary.BigEndian.Uint16(h[:2]))
	}
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	c.buf = c.buf[:n]
	_, err := io.ReadFull(c.r, c.buf)
	if err == nil && first == fin|opPing {
		return c.read()
	}
	return c.buf, err
}

func benchNode(b *testing.B) *node.Node {
	b.Helper()
	n, err := node.Open(b.Context(), node.Options{Durability: edda.Memory, Services: examples.Services()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = n.Stop(context.Background()) })
	return n
}

// BenchmarkCall is a call that is answered at once, over as many connections.
func BenchmarkCall(b *testing.B) {
	n := benchNode(b)
	live, err := New(n, Options{Rate: 1e9})
	if err != nil {
		b.Fatal(err)
	}
	h, err := httpgw.New(n, httpgw.Options{})
	if err != nil {
		b.Fatal(err)
	}
	mux := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/live" {
			live.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer func() {
		ctx, end := context.WithCancel(context.Background())
		end()
		_ = live.Drain(ctx)
	}()
	addr := strings.TrimPrefix(srv.URL, "http://")
	payload := `{"text":"` + strings.Repeat("x", 200) + `"}`
	for _, conns := range []int{1, 64, 512} {
		run := func(name string, dial func() (call func() error, end func())) {
			b.Run(fmt.Sprintf("%s/%d", name, conns), func(b *testing.B) {
				calls := make([]func() error, conns)
				for i := range calls {
					call, end := dial()
					calls[i] = call
					defer end()
				}
				var left atomic.Int64
				left.Store(int64(b.N))
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for _, call := range calls {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if err := call(); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
		run("ws", func() (func() error, func()) {
			c, err := dialLean(addr)
			if err != nil {
				b.Fatal(err)
			}
			frame := frameBytes(fin|opText, `{"op":"call","ref":1,"service":"echo","method":"x","data":`+payload+`}`)
			return func() error {
				if _, err := c.conn.Write(frame); err != nil {
					return err
				}
				for {
					f, err := c.read()
					if err != nil || strings.HasPrefix(string(f), `{"op":"reply"`) {
						return err
					}
					if !strings.HasPrefix(string(f), `{"op":"ack"`) {
						return fmt.Errorf("got %s", f)
					}
				}
			}, func() { _ = c.conn.Close() }
		})
		run("http", func() (func() error, func()) {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			r := bufio.NewReader(conn)
			req := fmt.Sprintf("POST /v1/call/echo/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(payload), payload)
			return func() error {
				if _, err := io.WriteString(conn, req); err != nil {
					return err
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				return err
			}, func() { _ = conn.Close() }
		})
	}
}

// BenchmarkFanOut is one message of 256 B to many subscribers.
func BenchmarkFanOut(b *testing.B) {
	n := benchNode(b)
	if _, _, err := n.SetChannel(b.Context(), edda.ChannelSpec{Name: "room"}); err != nil {
		b.Fatal(err)
	}
	live, err := New(n, Options{Ping: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewServer(live)
	defer srv.Close()
	defer func() {
		ctx, end := context.WithCancel(context.Background())
		end()
		_ = live.Drain(ctx)
	}()
	const subscribers = 5000
	var got sync.WaitGroup
	var ended sync.WaitGroup
	clients := make([]*lean, subscribers)
	var dialled sync.WaitGroup
	for d := range 8 {
		dialled.Go(func() {
			for i := d; i < subscribers; i += 8 {
				c, err := dialLean(strings.TrimPrefix(srv.URL, "http://"))
				if err == nil {
					_, err = c.conn.Write(frameBytes(fin|opText, `{"op":"subscribe","ref":1,"channel":"room"}`))
				}
				if err == nil {
					_, err = c.read()
				}
				if err != nil {
					b.Error(err)
					return
				}
				clients[i] = c
			}
		})
	}
	dialled.Wait()
	if b.Failed() {
		return
	}
	defer ended.Wait()
	for _, c := range clients {
		defer func() { _ = c.conn.Close() }()
		ended.Go(func() {
			for {
				if _, err := c.read(); err != nil {
					return
				}
				got.Done()
			}
		})
	}
	m := edda.StreamMessage{Type: "said", ContentType: "application/json", Payload: []byte(`"` + strings.Repeat("x", 254) + `"`)}
	var slowest time.Duration
	b.ReportAllocs()
	for b.Loop() {
		got.Add(subscribers)
		begin := time.Now()
		if _, err := n.Append(b.Context(), &edda.Append{Channel: "room", Messages: []edda.StreamMessage{m}}); err != nil {
			b.Fatal(err)
		}
		got.Wait()
		slowest = max(slowest, time.Since(begin))
	}
	b.ReportMetric(float64(slowest.Milliseconds()), "ms-slowest")
}
