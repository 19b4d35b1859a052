package auth_test

import (
	"crypto/x509"
	"net/url"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

func TestCertificates(t *testing.T) {
	valid := func(change func(*x509.Certificate)) *x509.Certificate {
		c := &x509.Certificate{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		change(c)
		return c
	}
	id := &url.URL{Scheme: "spiffe", Host: "example.com", Path: "/billing"}
	named := valid(func(c *x509.Certificate) { c.Subject.CommonName = "ada" })
	sans := valid(func(c *x509.Certificate) {
		c.DNSNames, c.EmailAddresses, c.URIs = []string{"billing.example.com"}, []string{"ada@example.com"}, []*url.URL{id}
	})
	for _, tc := range []struct {
		name     string
		identity auth.Identity
		cert     *x509.Certificate
		want     edda.Principal
		refuse   string
	}{
		{"common name", "", named, "x:ada", ""},
		{"dns", auth.DNSName, sans, "x:billing.example.com", ""},
		{"uri", auth.URIName, sans, "x:spiffe://example.com/billing", ""},
		{"email", auth.EmailName, sans, "x:ada@example.com", ""},
		{"no common name", auth.CommonName, sans, "", "no common name"},
		{"no dns name", auth.DNSName, named, "", "it has 0 alternative names of the kind dns"},
		{"two dns names", auth.DNSName, valid(func(c *x509.Certificate) { c.DNSNames = []string{"a", "b"} }), "", "it has 2 alternative names"},
		{"control characters", "", valid(func(c *x509.Certificate) { c.Subject.CommonName = "a\x00b" }), "", "control characters"},
		{"over", "", valid(func(c *x509.Certificate) { c.Subject.CommonName, c.NotAfter = "ada", time.Now() }), "", "not valid at this time"},
		{"not yet", "", valid(func(c *x509.Certificate) { c.Subject.CommonName, c.NotBefore = "ada", time.Now().Add(time.Minute) }), "", "not valid at this time"},
	} {
		a, err := auth.NewCertificates(auth.CertificateOptions{
			Identity: tc.identity, Prefix: "x:",
			Rights: func(p edda.Principal) auth.Rights { return auth.Rights{Manage: p == tc.want} },
		})
		if err != nil {
			t.Fatal(err)
		}
		g, err := auth.Admit(t.Context(), a, auth.Credential{Certificate: tc.cert})
		if tc.refuse != "" {
			wantReason(t, tc.name, err, edda.NoCredentials, tc.refuse)
			continue
		}
		if err != nil || g.Principal != tc.want || !g.Manage || !g.Expires.Equal(tc.cert.NotAfter) {
			t.Errorf("%s: got %+v, %v, want %s", tc.name, g, err, tc.want)
		}
		_, err = auth.Admit(t.Context(), a, auth.Credential{Certificate: tc.cert, Token: "wrong"})
		wantReason(t, tc.name+" beside a wrong token", err, edda.NoCredentials)
	}
	_, err := auth.NewCertificates(auth.CertificateOptions{Identity: "serial"})
	wantReason(t, "identity", err, edda.BadValue, "must be commonName, dns, uri or email")
	a, err := auth.NewCertificates(auth.CertificateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if g, err := auth.Admit(t.Context(), a, auth.Credential{Certificate: named}); err != nil || g.CheckManage() == nil {
		t.Errorf("without rights: got %+v, %v, want a grant of nothing", g, err)
	}
}
