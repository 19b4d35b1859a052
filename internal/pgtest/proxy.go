package pgtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Fate is what becomes of a statement on its way through a Proxy.
type Fate int

// The fates.
const (
	// Pass lets it through.
	Pass Fate = iota
	// CutBefore closes the connection in its place: the server never has it.
	CutBefore
	// CutAfter lets the server do it, and closes the connection in place of the answer.
	CutAfter
	// Hold lets the server do it, and keeps the answer and all that follows.
	Hold
)

// Proxy stands between clients and the server, and decides what gets through. Its methods
// are safe for concurrent use.
type Proxy struct {
	dsn, server string
	listener    net.Listener
	wg          sync.WaitGroup

	mu    sync.Mutex // guards what follows
	fate  func(statement string) Fate
	conns map[net.Conn]struct{}
	done  bool
}

// NewProxy makes a proxy to a database, whose connection string Open has returned. It is
// closed after the test.
func NewProxy(t testing.TB, dsn string) *Proxy {
	t.Helper()
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "edda-pgproxy-") //nolint:usetesting // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		server: filepath.Join(c.Host, socket), dsn: dsnOf(dir, c.Database),
		fate: func(string) Fate { return Pass }, conns: map[net.Conn]struct{}{},
	}
	if p.listener, err = net.Listen("unix", filepath.Join(dir, socket)); err != nil {
		t.Fatal(err)
	}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		p.close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return p
}

// DSN is the connection string by which clients come through the proxy.
func (p *Proxy) DSN() string { return p.dsn }

// Decide sets what decides on each statement from now on. It is called by the goroutine of
// the client's connection.
func (p *Proxy) Decide(fate func(statement string) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fate = fate
}

func (p *Proxy) decide(statement string) Fate {
	p.mu.Lock()
	fate := p.fate
	p.mu.Unlock()
	return fate(statement)
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.done = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// keep notes a connection, to be closed with the proxy, or closes it now.
func (p *Proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		_ = c.Close()
	}
	p.conns[c] = struct{}{}
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // it was closed
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	p.keep(client)
	defer p.drop(client)
	server, err := net.Dial("unix", p.server)
	if err != nil {
		return // the client sees that its connection is closed
	}
	p.keep(server)
	defer p.drop(server)
	l := &link{p: p, client: client, server: server, statements: map[string]string{}}
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		l.answers()
		_ = client.Close()
	}()
	l.requests()
	_ = server.Close()
	<-answers
}

// link is a client's connection through the proxy.
type link struct {
	p              *Proxy
	client, server net.Conn
	statements     map[string]string // those prepared, by name

	mu   sync.Mutex
	fate Fate // of the answers
}

func (l *link) set(f Fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fate = f
}

func (l *link) get() Fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fate
}

var errCut = errors.New("the connection was cut")

// requests carries what the client sends.
func (l *link) requests() {
	r := bufio.NewReader(l.client)
	if err := l.carry(r, 0); err != nil { // the first message has no type
		return
	}
	for {
		kind, err := r.ReadByte()
		if err != nil || l.carry(r, kind) != nil {
			return
		}
	}
}

// carry carries one message.
func (l *link) carry(r io.Reader, kind byte) error {
	message, body, err := read(r, kind)
	if err != nil {
		return err
	}
	switch kind {
	case 'Q':
		err = l.statement(text(body))
	case 'P':
		name := text(body)
		l.statements[name] = text(body[len(name)+1:])
	case 'B':
		portal := text(body)
		err = l.statement(l.statements[text(body[len(portal)+1:])])
	}
	if err == nil {
		_, err = l.server.Write(message)
	}
	return err
}

// statement decides on a statement.
func (l *link) statement(s string) error {
	switch f := l.p.decide(s); f {
	case CutBefore:
		return errCut
	case CutAfter, Hold:
		l.set(f)
	}
	return nil
}

// answers carries what the server answers.
func (l *link) answers() {
	r := bufio.NewReader(l.server)
	for {
		kind, err := r.ReadByte()
		if err != nil {
			return
		}
		message, _, err := read(r, kind)
		if err != nil {
			return
		}
		switch l.get() {
		case Pass:
			if _, err := l.client.Write(message); err != nil {
				return
			}
		case CutAfter:
			if kind == 'Z' { // the server is ready for the next statement
				return
			}
		}
	}
}

// read reads the rest of a message whose type was read, if it has one.
func read(r io.Reader, kind byte) (message, body []byte, err error) {
	var head []byte
	if kind != 0 {
		head = []byte{kind}
	}
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, nil, err
	}
	head = append(head, length[:]...)
	message = append(head, make([]byte, binary.BigEndian.Uint32(length[:])-4)...)
	body = message[len(head):]
	_, err = io.ReadFull(r, body)
	return message, body, err
}

// text is the text at the beginning of b, up to the zero that ends it.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
