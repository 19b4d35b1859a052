// Howdy is the streams of the README: a greeting is appended to one, a consumer answers
// it in another, and a reader reads what was said.
package main

import (
	"context"
	"log"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/stream"
)

type Hello struct {
	Name string `json:"name"`
}
type Howdy struct {
	Howdy string `json:"howdy"`
}

func main() {
	greeter := stream.NewConsumer("greetings", "greeters") // of a group's members one gets each message
	stream.Handle(greeter, "hello", func(ctx *edda.Context, in Hello) (Howdy, error) {
		return Howdy{"there, " + in.Name}, nil // the reply and the acknowledgement are kept together
	})
	service, err := greeter.Service()
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Dir: "howdy-data", Services: []*edda.Service{service}})
	if err != nil {
		log.Fatal(err)
	}
	streams := stream.NewClient(n)
	caller := streams.Caller("greetings", stream.CallerOptions{})
	howdy, err := stream.Call[Howdy](ctx, caller, "hello", Hello{"Ada"}) // appended, handled, answered by id
	log.Println(howdy, err)                                              // {there, Ada} <nil>

	all := streams.Reader(stream.ReaderOptions{StopAtEnd: true}, stream.Source{Stream: "greetings"})
	for m, err := range all.Messages(ctx) { // whoever has consumed them, they are there
		if err != nil {
			log.Fatal(err)
		}
		log.Println(m.Offset, m.Type, string(m.Payload)) // 0 hello {"name":"Ada"}
	}
}
