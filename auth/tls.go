package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ServerTLSOptions name the files of a node's TLS. All are PEM.
type ServerTLSOptions struct {
	// CertFile and KeyFile hold the node's certificate, with the chain behind it, and
	// its key. Both are required.
	CertFile, KeyFile string
	// ClientCAFile holds the authorities that sign clients' certificates. Empty means
	// that clients are not asked for one.
	ClientCAFile string
	// RequireClient refuses connections without a client's certificate; else they are
	// taken, and only a certificate that is shown and not valid is refused. It needs
	// ClientCAFile.
	RequireClient bool
	// Logger gets files that changed, and those that could not be read then;
	// discarded when nil.
	Logger *slog.Logger
}

// recheck is how old the look at the files may be when a handshake begins.
const recheck = time.Second

// ServerTLS returns a configuration for a server of HTTP/1.1 and HTTP/2 over TLS
// 1.2 or 1.3. The files are read now, and again at the first handshake after one
// of them has changed. When they cannot be read then, or do not fit together
// because only one has been written, those before stay in use. Connections that
// are open stay as they are.
func ServerTLS(opts ServerTLSOptions) (*tls.Config, error) {
	switch {
	case opts.CertFile == "" || opts.KeyFile == "":
		return nil, badOption("TLS needs both a certificate and a key")
	case opts.RequireClient && opts.ClientCAFile == "":
		return nil, badOption("to require certificates of clients, TLS needs the CA that signs them")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &serverTLS{opts: opts, seen: opts.look(), looked: time.Now()}
	c, err := opts.load()
	if err != nil {
		return nil, err
	}
	s.current.Store(c)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.config(), nil },
	}, nil
}

var protocols = []string{"h2", "http/1.1"}

// serverTLS is the configuration that holds now. It has no goroutine: handshakes
// look whether the files have changed.
type serverTLS struct {
	opts    ServerTLSOptions
	current atomic.Pointer[tls.Config]

	// looking guards the fields below. It is held while files are read, but nobody
	// waits for it: other handshakes go on with what is current.
	looking sync.Mutex
	looked  time.Time
	seen    [3]fs.FileInfo
}

func (s *serverTLS) config() *tls.Config {
	if s.looking.TryLock() {
		s.reload()
		s.looking.Unlock()
	}
	return s.current.Load()
}

// reload reads the files if they have changed. They are looked at before they are
// read: what changes in between is seen the next time.
func (s *serverTLS) reload() {
	now := time.Now()
	if now.Sub(s.looked) < recheck {
		return
	}
	s.looked = now
	seen := s.opts.look()
	if same(seen, s.seen) {
		return
	}
	s.seen = seen
	c, err := s.opts.load()
	if err != nil {
		s.opts.Logger.LogAttrs(context.Background(), slog.LevelError, "TLS files changed and cannot be used: those before stay in use",
			slog.Any("error", err))
		return
	}
	s.current.Store(c)
	s.opts.Logger.LogAttrs(context.Background(), slog.LevelInfo, "TLS files changed and are in use",
		slog.Time("validUntil", c.Certificates[0].Leaf.NotAfter))
}

// look returns what the file system says of the files, nil for those that are not
// there.
func (o *ServerTLSOptions) look() [3]fs.FileInfo {
	var seen [3]fs.FileInfo
	for i, name := range [...]string{o.CertFile, o.KeyFile, o.ClientCAFile} {
		if info, err := os.Stat(name); err == nil {
			seen[i] = info
		}
	}
	return seen
}

func same(as, bs [3]fs.FileInfo) bool {
	for i, a := range as {
		b := bs[i]
		if (a == nil) != (b == nil) {
			return false
		}
		if a != nil && (!os.SameFile(a, b) || !a.ModTime().Equal(b.ModTime()) || a.Size() != b.Size()) {
			return false
		}
	}
	return true
}

// load reads the files into a configuration of its own, which shares nothing with
// the one before: no session of a client whose authority is gone can be resumed.
func (o *ServerTLSOptions) load() (*tls.Config, error) {
	pair, err := loadPair(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, Certificates: []tls.Certificate{pair}}
	if o.ClientCAFile == "" {
		return c, nil
	}
	if c.ClientCAs, err = loadPool(o.ClientCAFile); err != nil {
		return nil, err
	}
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if o.RequireClient {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// ClientTLSOptions name the files of a client's or worker's TLS. All are PEM, and
// all may be empty.
type ClientTLSOptions struct {
	// CAFile holds the authorities that sign nodes' certificates, in the place of the
	// system's. It is read once.
	CAFile string
	// CertFile and KeyFile hold the client's own certificate and key, both or none.
	// They are read at each handshake, so that they can be replaced.
	CertFile, KeyFile string
}

// ClientTLS returns a configuration for TLS 1.2 or 1.3 to a node.
func ClientTLS(opts ClientTLSOptions) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if opts.CAFile != "" {
		var err error
		if c.RootCAs, err = loadPool(opts.CAFile); err != nil {
			return nil, err
		}
	}
	if opts.CertFile == "" && opts.KeyFile == "" {
		return c, nil
	}
	if opts.CertFile == "" || opts.KeyFile == "" {
		return nil, badOption("a client's certificate needs its key, and a key its certificate")
	}
	load := func() (*tls.Certificate, error) {
		pair, err := loadPair(opts.CertFile, opts.KeyFile)
		return &pair, err
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return c, nil
}

func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return pair, badOption("read the certificate and its key: %w", err)
	}
	if err != nil {
		return pair, badOption("certificate %s and key %s: %w", certFile, keyFile, err)
	}
	return pair, nil
}

func loadPool(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, badOption("read the CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, badOption("the CA file %s has no certificate in PEM", file)
	}
	return pool, nil
}
