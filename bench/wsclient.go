package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
)

// wsClient is one WebSocket connection. It knows just enough of RFC 6455 for text
// frames, so that it costs little beside the server it shares the machine with.
type wsClient struct {
	conn net.Conn
	r    *bufio.Reader
	buf  []byte
}

const (
	wsPath = "/v1/live"
	// wsText begins a text frame that is whole, and wsMask the length of one that is
	// masked. The mask is zero: it is there for proxies, of which there is none here.
	wsText = 0x81
	wsMask = 0x80
	// wsLength16 and wsLength64 say that a length follows in so many bits.
	wsLength16 = 126
	wsLength64 = 127
)

// dialLive opens a WebSocket to a node.
func dialLive(addr string, buffer int) (*wsClient, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &wsClient{conn: conn, r: bufio.NewReaderSize(conn, buffer)}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: edda.v1.json\r\n\r\n", wsPath, addr)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	status := ""
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if status == "" {
			status = strings.TrimSpace(line)
		}
		if len(line) <= 2 {
			break
		}
	}
	if !strings.HasPrefix(status, "HTTP/1.1 101 ") {
		return nil, errors.Join(fmt.Errorf("server answered %q", status), conn.Close())
	}
	return c, nil
}

// send sends a text.
func (c *wsClient) send(text []byte) error {
	b := append(c.buf[:0], wsText)
	if len(text) < wsLength16 {
		b = append(b, wsMask|byte(len(text)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, wsMask|wsLength16), uint16(len(text)))
	}
	c.buf = append(append(b, 0, 0, 0, 0), text...)
	_, err := c.conn.Write(c.buf)
	return err
}

// receive returns the next text, until the next one. Pings are passed over: no
// measurement takes so long that one must be answered.
func (c *wsClient) receive() ([]byte, error) {
	for {
		head, err := c.r.Peek(2)
		if err != nil {
			return nil, err
		}
		kind, size, header := head[0], int(head[1]), 2
		switch size {
		case wsLength16:
			header = 4
		case wsLength64:
			return nil, errors.New("a frame is larger than any that was asked for")
		}
		if head, err = c.r.Peek(header); err != nil {
			return nil, err
		}
		if size == wsLength16 {
			size = int(binary.BigEndian.Uint16(head[2:]))
		}
		if _, err := c.r.Discard(header); err != nil {
			return nil, err
		}
		b, err := c.r.Peek(size)
		if errors.Is(err, bufio.ErrBufferFull) {
			b = make([]byte, size)
			_, err = io.ReadFull(c.r, b)
			size = 0
		}
		if err != nil {
			return nil, err
		}
		if _, err := c.r.Discard(size); err != nil {
			return nil, err
		}
		if kind == wsText {
			return b, nil
		}
		if kind == wsText+7 {
			return nil, fmt.Errorf("server closed: %q", b)
		}
	}
}

// expect receives texts until one is of the operation.
func (c *wsClient) expect(op string) ([]byte, error) {
	want, refused := []byte(`"op":"`+op+`"`), []byte(`"op":"error"`)
	for {
		b, err := c.receive()
		switch {
		case err != nil:
			return nil, err
		case bytes.Contains(b, want):
			return b, nil
		case bytes.Contains(b, refused):
			return nil, fmt.Errorf("server answered %s", b)
		}
	}
}

// call calls the echo with a key by chance, and reads until it is answered. Like a call over
// HTTP it has one answer.
func (c *wsClient) call() error {
	text := fmt.Appendf(nil, `{"op":"call","ref":1,"service":%q,"key":"k%05d","method":%q,"contentType":"text/plain","data":%q,"ack":false}`,
		serviceName, rand.IntN(keyCount), methodName, wsBody)
	if err := c.send(text); err != nil {
		return err
	}
	b, err := c.expect("reply")
	if err == nil && !bytes.Contains(b, []byte(wsBody)) {
		err = fmt.Errorf("server answered %s", b)
	}
	return err
}

// wsBody is the payload as a text.
var wsBody = strings.Repeat("x", payloadBytes)
