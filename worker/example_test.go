package worker_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/gateway/rpcgw"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker"
)

type amount struct {
	Cents int64 `json:"cents"`
}

// accounts is an ordered service, as a node or a worker hosts it.
func accounts() *edda.Service {
	s := edda.NewOrdered("accounts")
	edda.Handle(s, "deposit", func(ctx *edda.Context, in amount) (amount, error) {
		balance, _, err := edda.Get[amount](ctx, "balance")
		if err != nil {
			return amount{}, err
		}
		balance.Cents += in.Cents
		return balance, edda.Set(ctx, "balance", balance)
	})
	return s
}

// A worker is a program whose main is little more than this. It ends in good order
// when it is told to.
func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	go func() { stop() }() // a worker would run until it is interrupted

	if err := worker.Run(ctx, "http://127.0.0.1:7400", accounts()); err != nil {
		fmt.Println(err)
	}
	// Output:
}

// A node, a worker that hosts the service, and a client that calls it: three
// programs, here in one.
func ExampleOptions_Run() {
	ctx, stop := context.WithCancel(context.Background())
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory})
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

	connected := make(chan string, 1)
	ended := make(chan error, 1)
	o := worker.Options{ID: "accounts-1", Version: "1.0", OnConnect: func(node string) { connected <- node }}
	go func() { ended <- o.Run(ctx, l.Addr().String(), accounts()) }()
	<-connected

	conn, err := client.Dial(l.Addr().String(), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		balance, err := edda.Call[amount](ctx, conn.Client(), "accounts/ada", "deposit", amount{500})
		fmt.Println(balance.Cents, err)
	}
	_ = conn.Close()

	stop()
	fmt.Println("worker:", <-ended)
	gateway.Close(context.Background())
	<-served
	fmt.Println("node:", n.Stop(context.Background()))
	// Output:
	// 500 <nil>
	// 1000 <nil>
	// worker: <nil>
	// node: <nil>
}
