package auth

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/edda-io/edda"
)

// Identity is the part of a client's certificate that names its principal.
type Identity string

// The identities. Of a subject alternative name the certificate must have exactly
// one of the kind.
const (
	CommonName Identity = "commonName"
	DNSName    Identity = "dns"
	URIName    Identity = "uri" // a SPIFFE id, for example
	EmailName  Identity = "email"
)

// CertificateOptions say how certificates become principals.
type CertificateOptions struct {
	// Identity is CommonName when empty.
	Identity Identity
	// Prefix is put before the name, so that it cannot be another authenticator's
	// principal; nothing when empty.
	Prefix string
	// Rights returns what a principal may do. Nil allows nothing.
	Rights func(edda.Principal) Rights
}

// Certificates is the authenticator of clients' certificates. It knows every
// credential that has one and no token. It trusts that the TLS handshake has
// verified the chain, and checks the time again, because connections live long.
type Certificates struct{ opts CertificateOptions }

// NewCertificates returns an authenticator of certificates.
func NewCertificates(opts CertificateOptions) (*Certificates, error) {
	switch opts.Identity {
	case "":
		opts.Identity = CommonName
	case CommonName, DNSName, URIName, EmailName:
	default:
		return nil, badOption("option Identity is %q, must be commonName, dns, uri or email", string(opts.Identity))
	}
	if opts.Rights == nil {
		opts.Rights = func(edda.Principal) Rights { return Rights{} }
	}
	return &Certificates{opts}, nil
}

// Authenticate implements Authenticator.
func (a *Certificates) Authenticate(_ context.Context, c Credential) (*Grant, error) {
	cert := c.Certificate
	if c.Token != "" || cert == nil {
		return nil, ErrUnknown
	}
	if now := time.Now(); now.Before(cert.NotBefore) || !now.Before(cert.NotAfter) {
		return nil, refuse("the client's certificate is not valid at this time")
	}
	name, err := a.name(cert)
	if err != nil {
		return nil, refuse("the client's certificate: " + err.Error())
	}
	p := edda.Principal(a.opts.Prefix + name)
	if err := checkPrincipal(p); err != nil {
		return nil, refuse("the client's certificate: " + err.Error())
	}
	return &Grant{Principal: p, Rights: a.opts.Rights(p), Expires: cert.NotAfter}, nil
}

// name returns the part of the certificate that is the identity.
func (a *Certificates) name(cert *x509.Certificate) (string, error) {
	names := cert.DNSNames
	switch a.opts.Identity {
	case CommonName:
		if cert.Subject.CommonName == "" {
			return "", fmt.Errorf("its subject has no common name")
		}
		return cert.Subject.CommonName, nil
	case EmailName:
		names = cert.EmailAddresses
	case URIName:
		names = nil
		for _, u := range cert.URIs {
			names = append(names, u.String())
		}
	}
	if len(names) != 1 {
		return "", fmt.Errorf("it has %d alternative names of the kind %s, must have one", len(names), a.opts.Identity)
	}
	return names[0], nil
}
