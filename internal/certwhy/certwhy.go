// Package certwhy puts into words why the certificate of a node was not accepted, or
// a connection could not be made because one side speaks TLS and the other does not.
// Its functions are pure.
package certwhy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Explain says what is wrong with the certificate of the node at addr, HOST:PORT, and
// what would be right. Passes says that it may be over without a change here: the
// certificate can be renewed, or a clock set. Ok is false when the error is about
// something else.
func Explain(addr string, err error) (text string, passes, ok bool) {
	if e, is := errors.AsType[x509.CertificateInvalidError](err); is && e.Reason == x509.Expired {
		if e.Cert != nil && time.Now().Before(e.Cert.NotBefore) {
			return fmt.Sprintf("the certificate of %s is valid from %s on: look at the clocks of both machines", addr, date(e.Cert.NotBefore)), true, true
		}
		if e.Cert != nil {
			return fmt.Sprintf("the certificate of %s, or of an authority behind it, has expired at %s: give the node a new one", addr, date(e.Cert.NotAfter)), true, true
		}
	}
	if e, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		issuer := ""
		if e.Cert != nil {
			issuer = fmt.Sprintf(" (%s)", e.Cert.Issuer)
		}
		return fmt.Sprintf("the certificate of %s is of an authority%s that is not trusted here: trust the certificate of the node's CA", addr, issuer), false, true
	}
	if e, is := errors.AsType[x509.HostnameError](err); is {
		return fmt.Sprintf("the certificate of %s is for %s and not for %q: connect under a name that it has", addr, names(e.Certificate), e.Host), false, true
	}
	if e, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		return fmt.Sprintf("the certificate of %s is not accepted: %s", addr, e.Err), false, true
	}
	return "", false, false
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// names are those that a certificate is for.
func names(c *x509.Certificate) string {
	if c == nil {
		return "other names"
	}
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name"
	}
	const shown = 5
	if len(all) > shown {
		all = append(all[:shown], "others")
	}
	return strings.Join(all, ", ")
}

// NotTLS reports whether the error is that the other side of a handshake does not
// speak TLS.
func NotTLS(err error) bool {
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}

// WantsTLS reports whether the beginning of an answer to what was sent without TLS
// says that TLS was expected.
func WantsTLS(answer []byte) bool {
	alert := len(answer) >= 2 && answer[0] == 21 && answer[1] == 3
	words := strings.ToLower(string(answer))
	return alert || strings.Contains(words, "http request to an https server") || strings.Contains(words, "http request was sent to https port")
}
