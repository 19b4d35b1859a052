package httpgw_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/node"
)

// A node in memory with one service, called over HTTP. A program would serve the
// gateway with httpgw.NewServer.
func Example() {
	greet := edda.NewBalanced("greet")
	greet.HandleAny(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return edda.TextReply(http.StatusOK, "hello, "+string(m.Payload)), nil
	})
	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Services: []*edda.Service{greet}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = n.Stop(ctx) }()
	g, err := httpgw.New(n, httpgw.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := httptest.NewServer(g)
	defer s.Close()

	resp, err := http.Post(s.URL+"/v1/call/greet/hi", "text/plain", strings.NewReader("world"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(b), resp.Header.Get("Edda-Durability"))
	// Output: 200 hello, world memory
}
