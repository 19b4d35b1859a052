package wsgw

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// raw is a connection that a test writes to byte by byte.
type raw struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// rawDial upgrades a connection; first is sent together with the request.
func (w *world) rawDial(t *testing.T, first ...byte) *raw {
	t.Helper()
	conn := w.connect(t)
	_ = conn.SetDeadline(time.Now().Add(patience))
	c := &raw{t, conn, bufio.NewReader(conn)}
	c.write(append([]byte("GET /v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: "+Subprotocol+"\r\n\r\n"), first...)...)
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v, want an upgrade", resp, err)
	}
	_ = resp.Body.Close()
	return c
}

func (c *raw) write(b ...byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil && !errors.Is(err, net.ErrClosed) {
		c.t.Logf("write: %v", err) // it was closed already, and says why
	}
}

const (
	fin    = 0x80
	rsv1   = 0x40
	opCont = 0
	opText = 1
	opBin  = 2
	opEnd  = 8
	opPing = 9
	masked = 0x80
)

// frameBytes is a masked frame, the length of which is said as it is.
func frameBytes(first byte, payload string) []byte {
	return append(header(first, uint64(len(payload))), mask(payload)...)
}

// header is the beginning of a masked frame with the mask 1, 2, 3, 4.
func header(first byte, length uint64) []byte {
	b := []byte{first}
	switch {
	case length < 126:
		b = append(b, masked|byte(length))
	case length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, masked|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, masked|127), length)
	}
	return append(b, 1, 2, 3, 4)
}

func mask(s string) []byte {
	b := []byte(s)
	for i := range b {
		b[i] ^= byte(i%4) + 1
	}
	return b
}

// frame reads a frame of the node.
func (c *raw) frame() (first byte, payload []byte, err error) {
	var h [2]byte
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1])
	switch h[1] {
	case 126:
		var l [2]byte
		_, err = io.ReadFull(c.r, l[:])
		n = uint64(binary.BigEndian.Uint16(l[:]))
	case 127:
		var l [8]byte
		_, err = io.ReadFull(c.r, l[:])
		n = binary.BigEndian.Uint64(l[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.r, payload)
	return h[0], payload, err
}

// closed reads up to a close frame, and returns its code; 0 for a connection that ends
// without one.
func (c *raw) closed() websocket.StatusCode {
	c.t.Helper()
	for {
		first, payload, err := c.frame()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				c.t.Fatal(err)
			}
			return 0
		}
		if first == fin|opEnd && len(payload) >= 2 {
			return websocket.StatusCode(binary.BigEndian.Uint16(payload))
		}
	}
}

func TestMalformedFramesCloseTheConnection(t *testing.T) {
	w := start(t, Options{MaxFrame: 1000})
	ping := `{"op":"ping"}`
	for _, tc := range []struct {
		name string
		sent []byte
		code websocket.StatusCode
	}{
		{"binary", frameBytes(fin|opBin, ping), closeBinary},
		{"binary that is not whole", frameBytes(opBin, ping), closeBinary},
		{"bad UTF-8", frameBytes(fin|opText, "{\"op\":\"\xff\"}"), closeBadText},
		{"bad UTF-8 over two fragments", append(frameBytes(opText, "{\"op\":\"\xc3"), frameBytes(fin|opCont, "\"}")...), closeBadText},
		{"a surrogate in UTF-8", frameBytes(fin|opText, "\"\xed\xa0\x80\""), closeBadText},
		{"too large", frameBytes(fin|opText, strings.Repeat("x", 1001)), closeTooLarge},
		{"too large in fragments", append(frameBytes(opText, strings.Repeat("x", 600)), frameBytes(fin|opCont, strings.Repeat("x", 401))...), closeTooLarge},
		{"too large by what it says", append(header(fin|opText, 1<<40), make([]byte, 2000)...), closeTooLarge},
		{"not masked", append([]byte{fin | opText, byte(len(ping))}, ping...), closeProtocol},
		{"compressed", frameBytes(fin|rsv1|opText, "\xaa\x56\x2a\xc8\xcc\x4b\x57\xb2\x52\x00\x02\x00"), closeProtocol},
		{"a reserved opcode", frameBytes(fin|3, ping), closeProtocol},
		{"a reserved control opcode", frameBytes(fin|11, ""), closeProtocol},
		{"a continuation of nothing", frameBytes(fin|opCont, ping), closeProtocol},
		{"a message within a message", append(frameBytes(opText, "{"), frameBytes(fin|opText, ping)...), closeProtocol},
		{"a ping in fragments", frameBytes(opPing, "x"), closeProtocol},
		{"a ping that is too long", frameBytes(fin|opPing, strings.Repeat("x", 126)), closeProtocol},
		{"a length below zero", append(header(fin|opText, 1<<63), 1), closeProtocol},
		{"a close of one byte", frameBytes(fin|opEnd, "x"), closeProtocol},
		{"a close with a code that may not be", frameBytes(fin|opEnd, "\x03\xed"), closeProtocol},
		{"a close", frameBytes(fin|opEnd, "\x03\xe8"), websocket.StatusNormalClosure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := w.rawDial(t)
			c.write(tc.sent...)
			if got := c.closed(); got != tc.code {
				t.Errorf("got close %d, want %d", got, tc.code)
			}
			w.dial(t).alive() // nobody else is disturbed
		})
	}
}

func TestFramesMayComeInPieces(t *testing.T) {
	w := start(t, Options{MaxFrame: 1000})
	for _, tc := range []struct {
		name  string
		first []byte // with the request
		sent  [][]byte
	}{
		{"with the request", frameBytes(fin|opText, `{"op":"ping"}`), nil},
		{"half with the request", frameBytes(fin|opText, `{"op":"ping"}`)[:7], [][]byte{frameBytes(fin|opText, `{"op":"ping"}`)[7:]}},
		{"fragments", nil, [][]byte{frameBytes(opText, `{"op":`), frameBytes(opCont, ``), frameBytes(opCont, `"pi`), frameBytes(fin|opCont, `ng"}`)}},
		{"a ping between fragments", nil, [][]byte{frameBytes(opText, `{"op":`), frameBytes(fin|opPing, `x`), frameBytes(fin|opCont, `"ping"}`)}},
		{"a character over two fragments", nil, [][]byte{frameBytes(opText, "{\"op\":\"ping\",\"ref\":\"\xc3"), frameBytes(fin|opCont, "\xa9\"}")}},
		{"as large as may be", nil, [][]byte{frameBytes(fin|opText, `{"op":"ping"}`+strings.Repeat(" ", 987))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := w.rawDial(t, tc.first...)
			for _, b := range tc.sent {
				c.write(b...)
			}
			for {
				first, payload, err := c.frame()
				if err != nil {
					t.Fatal(err)
				}
				if first == fin|opText {
					if !strings.HasPrefix(string(payload), `{"op":"pong"`) {
						t.Errorf("got %s", payload)
					}
					return
				}
			}
		})
	}
}

// Whoever takes forever over the request never gets a connection.
func TestSlowUpgrade(t *testing.T) {
	w := start(t, Options{MaxConnections: 1})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /v1/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: webs"); err != nil {
		t.Fatal(err)
	}
	w.dial(t).alive() // the one there may be
}
