// Hammer is the saga of the README: a head and a handle, which are made at the same
// time, and a hammer of both.
package main

import (
	"context"
	"log"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/saga"
)

type Part struct{ Name string }
type Hammer struct{ Head, Handle Part }

func main() {
	smithy := edda.NewBalanced("smithy")
	saga.Handle(smithy, "forge-head", func(_ *saga.Context, kind string) (Part, error) { return Part{kind}, nil })
	saga.Handle(smithy, "carve-handle", func(_ *saga.Context, size string) (Part, error) { return Part{size}, nil })
	saga.Handle(smithy, "assemble", func(ctx *saga.Context, _ saga.None) (h Hammer, err error) {
		err = ctx.Dependencies(&h.Head, &h.Handle) // the results of the steps that it depends on
		return h, err
	})
	saga.Compensator(smithy, "melt-head", func(_ *saga.Context, head Part) error { return nil })
	n, err := node.Open(context.Background(), node.Options{Dir: "smithy-data", Services: []*edda.Service{smithy}})
	if err != nil {
		log.Fatal(err)
	}
	def, client := saga.New("hammer"), saga.NewClient(n)
	head := def.AddStep("head", "smithy", "forge-head", "iron").CompensateWith("smithy", "melt-head")
	handle := def.AddStep("handle", "smithy", "carve-handle", "short")
	def.AddStep("hammer", "smithy", "assemble").DependsOn(head, handle)
	started, err := client.Start(context.Background(), def) // on disk: it will be done, or undone
	if err != nil {
		log.Fatal(err)
	}
	hammer, err := saga.Result[Hammer](context.Background(), client, started.ID, "hammer")
	log.Println(hammer, err) // {{iron} {short}} <nil>
}
