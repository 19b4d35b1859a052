package client_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/gateway/rpcgw"
	"github.com/edda-io/edda/node"
)

// The client of a connection is used as that of a node in the same process.
func ExampleDial() {
	ctx := context.Background()
	hello := edda.NewBalanced("hello")
	edda.Handle(hello, "greet", func(_ *edda.Context, name string) (string, error) { return "hello, " + name, nil })
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Services: []*edda.Service{hello}})
	if err != nil {
		log.Fatal(err)
	}
	gateway, err := rpcgw.New(n, rpcgw.Options{})
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- gateway.Serve(l) }()

	conn, err := client.Dial("http://"+l.Addr().String(), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range []*edda.Client{n.Client(), conn.Client()} {
		fmt.Println(edda.Call[string](ctx, c, "hello", "greet", "Ada"))
	}

	fmt.Println(conn.Close())
	gateway.Close(ctx)
	<-served
	fmt.Println(n.Stop(ctx))
	// Output:
	// hello, Ada <nil>
	// hello, Ada <nil>
	// <nil>
	// <nil>
}
