package main

import (
	"context"
	"crypto/tls"
	"log/slog"

	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/cmd/edda/internal/setting"
	"github.com/edda-io/edda/node"
)

// authenticator returns the one that the settings describe, nil when nobody is
// asked for credentials, and what must be called when it is not needed any more.
func authenticator(ctx context.Context, s *setting.Node, logger *slog.Logger) (auth.Authenticator, func(), error) {
	if s.Anonymous() {
		return nil, func() {}, nil
	}
	tokens, err := auth.NewTokens(s.Tokens...)
	if err != nil {
		return nil, nil, err
	}
	certificates, stop := s.Certificates, func() {}
	certificates.Rights = s.Rights
	byCertificate, err := auth.NewCertificates(certificates)
	if err != nil {
		return nil, nil, err
	}
	all := []auth.Authenticator{tokens, byCertificate}
	if s.JWT.Keys != "" {
		o := s.JWT
		o.Logger = logger
		if s.Grants != nil { // else the claims alone say what somebody may do
			o.Rights = s.Rights
		}
		byJWT, err := auth.OpenJWT(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		all, stop = append(all, byJWT), byJWT.Close
	}
	return auth.FirstOf(all...), stop, nil
}

// withService adds the service that the settings name to those who know callers.
func withService(known auth.Authenticator, n *node.Node, s *setting.Node, logger *slog.Logger) (auth.Authenticator, error) {
	if s.AuthService.Service == "" {
		return known, nil
	}
	o := s.AuthService
	o.Logger = logger
	service, err := auth.NewService(n, o)
	if err != nil {
		return nil, err
	}
	return auth.FirstOf(known, service), nil
}

// serverTLS returns what the settings say of TLS, nil when they say nothing.
func serverTLS(s *setting.Node, logger *slog.Logger) (*tls.Config, error) {
	if !s.Encrypted() {
		if !setting.Loopback(s.Listen) {
			logger.Warn("credentials and payloads travel as clear text: set tls.cert and tls.key, unless something before the node ends TLS",
				slog.String("listen", s.Listen))
		}
		return nil, nil
	}
	o := s.TLS
	o.Logger = logger
	return auth.ServerTLS(o)
}
