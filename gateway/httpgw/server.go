package httpgw

import (
	"log/slog"
	"net/http"
	"time"
)

// Bounds of a server's connections.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// NewServer returns a server for a handler, with bounds on what a connection may
// take: 10 s for a header of at most 64 KiB, 2 min of idleness. There is none on
// how long an answer may take, because callers may wait for minutes; a Gateway
// bounds the time of large bodies itself. HTTP/1.1 and HTTP/2 without TLS are
// served on one port. Logger takes what net/http has to say; nil discards it.
func NewServer(h http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         new(http.Protocols),
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		// "OPTIONS *" is a request like any other, and refused as any other.
		DisableGeneralOptionsHandler: true,
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true) // behind TLS
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}
