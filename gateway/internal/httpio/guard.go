package httpio

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/httpheader"
	"github.com/edda-io/edda/internal/ownhost"
)

// crossOrigin refuses what another site's page has a browser send. A token does
// not come of itself, but a browser shows a certificate to whoever asks.
var crossOrigin = http.NewCrossOriginProtection()

var (
	errHost = &edda.Error{Reason: edda.NotAllowed, Err: errors.New("the Host is not this node's")}
	// ErrOrigin refuses what the page of another site has a browser send. Nobody changes it.
	ErrOrigin = &edda.Error{Reason: edda.NotAllowed, Err: errors.New("the Origin is not this node's")}
	// ErrEmbedded refuses what it has it send without saying its origin. Nobody changes it.
	ErrEmbedded = &edda.Error{Reason: edda.NotAllowed, Err: errors.New("there is no Origin, and Sec-Fetch-Site says that a page of another site had the browser send this")}
)

// Credential returns the credential of a request: a bearer token, one in a header that
// is listed by its canonical name, or a certificate, which counts for nothing when
// another site's page had the browser send it.
func Credential(r *http.Request, keyHeaders []string) (auth.Credential, error) {
	c, err := auth.Read(r.Header["Authorization"], r.TLS)
	for _, name := range keyHeaders {
		if err == nil {
			c, err = c.WithKey(name, r.Header[name])
		}
	}
	if err == nil && c.Token == "" && c.Certificate != nil && crossOrigin.Check(r) != nil {
		err = ErrOrigin
		if r.Header.Get("Origin") == "" {
			err = ErrEmbedded
		}
	}
	return c, err
}

// KeyHeaders returns the canonical names of headers that tokens may be shown in, and
// refuses those that already mean something else.
func KeyHeaders(names []string) ([]string, error) {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = textproto.CanonicalMIMEHeaderKey(n)
		switch {
		case !httpheader.IsToken(n), httpheader.OwnOfReply(all[i]), all[i] == "Authorization", all[i] == "Cookie", all[i] == "Host":
			return nil, fmt.Errorf("%q, which is no header for keys: name one such as X-Api-Key", n)
		case slices.Contains(all[:i], all[i]):
			return nil, fmt.Errorf("%q twice", n)
		}
	}
	return all, nil
}

// Embedded reports whether a page, or a link, of another site has the browser send the
// request without saying its origin: for an image, or a form with GET. That page cannot read
// the answer, but what was asked for has been done.
func Embedded(r *http.Request) bool {
	return r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "cross-site"
}

// CheckNames refuses, where nobody is asked for credentials, what was not sent to the
// node by one of its names, or was sent by the page of another origin that is not
// listed.
func CheckNames(names *ownhost.Names, r *http.Request, listed func(origin string) bool) error {
	if !names.Host(r.Host) {
		return errHost
	}
	for i, o := range r.Header["Origin"] {
		if i > 0 || !names.Origin(o, r.Host) && !listed(o) {
			return ErrOrigin
		}
	}
	return nil
}

// CheckOrigins refuses what is no origin of pages, and to let every page in where nobody
// needs credentials.
func CheckOrigins(origins []string, anonymous bool) error {
	for _, o := range origins {
		switch u, err := url.Parse(o); {
		case o == "*" && anonymous:
			return errors.New(`"*": where nobody is asked for credentials every page in a browser on this machine could do everything: list the origins`)
		case o == "*":
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != o || strings.Contains(o, "*"):
			return fmt.Errorf("%q: must be SCHEME://HOST or SCHEME://HOST:PORT, such as https://app.example.com, or *", o)
		}
	}
	return nil
}
