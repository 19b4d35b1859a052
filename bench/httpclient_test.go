package bench

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// A server gives a connection some seconds to show something, which those that wait for
// hundreds of others would pass on a slow machine.
func TestEachConnectionShowsSomethingAtOnce(t *testing.T) {
	var mu sync.Mutex // guards silent and most
	silent, most := map[net.Conn]bool{}, 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if state == http.StateNew {
			silent[c] = true
		} else {
			delete(silent, c)
		}
		most = max(most, len(silent))
	}
	s.Start()
	defer s.Close()
	clients, err := dialAll(s.Listener.Addr().String(), "/"+keyPlace, 16)
	if err != nil {
		t.Fatal(err)
	}
	closeAll(clients)
	mu.Lock()
	defer mu.Unlock()
	if most != 1 {
		t.Errorf("%d connections at once had shown nothing, want 1", most)
	}
}
