package httppush_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker/httppush"
)

// A node that runs endpoints, and a service behind one. What answers could be
// written in any language.
func Example() {
	shout := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "HELLO %s", name)
	}))
	defer shout.Close()

	if err := run(shout.URL); err != nil {
		log.Print(err)
	}
	// Output: HELLO ada
}

func run(url string) error {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{
		Durability: edda.Memory,
		Endpoints: func(spec edda.EndpointSpec) (node.Endpoint, error) {
			return httppush.New(spec, httppush.Options{})
		},
	})
	if err != nil {
		return err
	}
	defer func() { _ = n.Stop(ctx) }()

	info, _, err := n.SetEndpoint(ctx, edda.EndpointSpec{
		ServiceSpec: edda.ServiceSpec{Name: "shout", Kind: edda.Balanced},
		URL:         url,
	})
	if err != nil {
		return err
	}
	_ = info.Secret // the node made it: give it to the endpoint, which can then check who asks

	reply, err := n.Client().Call(ctx, &edda.Message{To: edda.Address{Name: "shout"}, Type: "hello", Payload: []byte("ada")})
	if err != nil {
		return err
	}
	fmt.Println(string(reply.Payload))
	return nil
}
