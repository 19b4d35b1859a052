// Accounts is the program of the README: an ordered service with keyed state,
// durable, behind HTTP.
package main

import (
	"context"
	"log"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/node"
)

type Amount struct {
	Cents int64 `json:"cents"`
}

func main() {
	accounts := edda.NewOrdered("accounts")
	edda.Handle(accounts, "deposit", func(ctx *edda.Context, in Amount) (Amount, error) {
		balance, _, err := edda.Get[Amount](ctx, "balance")
		if err != nil {
			return Amount{}, err
		}
		balance.Cents += in.Cents
		return balance, edda.Set(ctx, "balance", balance) // kept with the reply, or not at all
	})

	n, err := node.Open(context.Background(), node.Options{Dir: "accounts-data", Services: []*edda.Service{accounts}})
	if err != nil {
		log.Fatal(err)
	}
	gateway, err := httpgw.New(n, httpgw.Options{Listen: []string{"127.0.0.1:7400"}})
	if err != nil {
		log.Fatal(err)
	}
	server := httpgw.NewServer(gateway, nil)
	server.Addr = "127.0.0.1:7400"
	log.Fatal(server.ListenAndServe())
}
