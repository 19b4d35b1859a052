package routegw_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/route"
)

// Routes to a service, beside other handlers in a mux.
func Example() {
	ctx := context.Background()
	users := edda.NewOrdered("users")
	users.Add(edda.Method{Name: "greet", Handler: func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return edda.TextReply(200, "hello "+route.Param(m, "id")+", "+string(m.Payload)), nil
	}})
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Services: []*edda.Service{users}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = n.Stop(ctx) }()

	routes, err := routegw.New(routegw.Backends{Calls: n, Streams: n}, routegw.Options{Routes: []routegw.Route{{
		Route: "POST /users/{id}/greeting", Service: "users", Method: "greet", Key: "path.id", Wait: time.Second,
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/users/", routes)
	server := httptest.NewServer(mux)
	defer server.Close()

	res, err := http.Post(server.URL+"/users/ada/greeting", "text/plain", strings.NewReader("how do you do"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Println(res.StatusCode, string(body), err)
	// Output: 200 hello ada, how do you do <nil>
}
