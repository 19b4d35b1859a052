package httppush

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/edda-io/edda"
)

// answerRaw answers the requests of each connection in turn with what is given, byte by byte
// as it is, over TLS where there is a certificate.
func answerRaw(t *testing.T, cert *tls.Certificate, answers ...string) (address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if cert != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12})
	}
	served := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close()
		<-served
	})
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(c)
			for _, answer := range answers {
				r, err := http.ReadRequest(in)
				if err != nil {
					break // it was only to see whether somebody is there
				}
				_, _ = io.Copy(io.Discard, r.Body)
				for i := range answer { // in as many pieces as can be
					if _, err = io.WriteString(c, answer[i:i+1]); err != nil {
						break
					}
				}
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// What Connection names is of the connection, also where net/http takes it away because the
// connection is closed.
func TestHeadersOfTheConnection(t *testing.T) {
	const end = "Content-Length: 2\r\n\r\nok"
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	pool := certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, answers := range map[string][]string{
		"close":                    {"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-A: 2\r\n" + end},
		"two of them":              {"HTTP/1.1 200 OK\r\nX-Hop: 1\r\nconnection: close\r\nX-A: 2\r\nCONNECTION:x-hop\r\n" + end},
		"bare line ends":           {"HTTP/1.1 200 OK\nConnection: X-Hop , close\nX-Hop: 1\nX-A: 2\nContent-Length: 2\n\nok"},
		"after what is to come":    {"HTTP/1.1 103 Early Hints\r\nConnection: X-A\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-A: 2\r\n" + end},
		"after one that went on":   {"HTTP/1.1 200 OK\r\nX-A: 2\r\n" + end, "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-A: 2\r\n" + end},
		"not closed":               {"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-A: 2\r\n" + end},
		"HTTP/1.0":                 {"HTTP/1.0 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-A: 2\r\n" + end},
		"close without any others": {"HTTP/1.1 200 OK\r\nConnection: close\r\nX-A: 2\r\n" + end},
	} {
		for scheme, cert := range map[string]*tls.Certificate{"http": nil, "https": &certified.TLS.Certificates[0]} {
			t.Run(name+" over "+scheme, func(t *testing.T) {
				r, _ := serveRunner(t, users(scheme+"://"+answerRaw(t, cert, answers...)), Options{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})
				for range answers {
					a := attemptAt(t.Context(), &edda.Message{Type: "x", To: edda.Address{Name: "users", Key: "k"}, Payload: []byte("hi")}, state{})
					r.start(a)
					out := a.outcome(t)
					if out.Err != nil || string(out.Reply.Payload) != "ok" || len(out.Reply.Headers) != 1 || out.Reply.Headers.Get("X-A") != "2" {
						t.Errorf("got %+v, %v, want X-A alone", out.Reply, out.Err)
					}
				}
			})
		}
	}
}
