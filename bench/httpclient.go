package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
)

// keyCount is the number of keys that calls are spread over.
const keyCount = 100_000

// keyPlace stands in a path for the key, which client.post fills in.
const keyPlace = "k00000"

// client posts the payload over one connection, again and again. It knows just
// enough HTTP/1.1 for that, so that it costs little beside the server it shares
// the machine with.
type client struct {
	conn    net.Conn
	r       *bufio.Reader
	request []byte
	key     []byte // the digits of the key within request
}

// dialAll opens n connections to a path that contains keyPlace once, and posts over each
// before it opens the next: a server closes those that show nothing for some seconds.
func dialAll(addr, path string, n int) ([]*client, error) {
	clients := make([]*client, 0, n)
	for range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			closeAll(clients)
			return nil, err
		}
		c := newClient(conn, addr, path)
		clients = append(clients, c)
		if err := c.post(); err != nil {
			closeAll(clients)
			return nil, err
		}
	}
	return clients, nil
}

func closeAll(clients []*client) {
	for _, c := range clients {
		_ = c.conn.Close()
	}
}

func newClient(conn net.Conn, host, path string) *client {
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n",
		path, host, payloadBytes)
	at := strings.Index(head, keyPlace)
	c := &client{conn: conn, r: bufio.NewReader(conn), request: append([]byte(head), payload()...)}
	c.key = c.request[at+1 : at+len(keyPlace)]
	return c
}

// post sends one request with a key by chance and reads the answer, which must
// be a 200 with the payload's size.
func (c *client) post() error {
	k := rand.IntN(keyCount)
	for i := len(c.key) - 1; i >= 0; i-- {
		c.key[i] = '0' + byte(k%10)
		k /= 10
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	return c.read()
}

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	contentLength = []byte("content-length:")
)

func (c *client) read() error {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, statusOK) {
		return fmt.Errorf("server answered %q", bytes.TrimSpace(line))
	}
	length := -1
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if n := len(contentLength); len(line) > n && bytes.EqualFold(line[:n], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[n:]))); err != nil {
				return err
			}
		}
	}
	if length != payloadBytes {
		return errors.New("server answered with a body of another size")
	}
	_, err = c.r.Discard(length)
	return err
}
