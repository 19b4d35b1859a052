package node_test

import (
	"context"
	"fmt"
	"log"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// A channel tells its subscribers what is published to it, and what comes to the streams
// that feed it.
func ExampleNode_SetChannel() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Stop(ctx)

	floor := edda.ChannelSpec{Name: "floor", From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"order.:what"}}}}
	if _, _, err := n.SetChannel(ctx, floor); err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range []edda.Append{
		{Channel: "floor", Messages: []edda.StreamMessage{{Type: "hello", Payload: []byte("the floor is open")}}},
		{Stream: "orders", Messages: []edda.StreamMessage{{Type: "order.placed", Payload: []byte("42")}, {Type: "audit", Payload: []byte("by ann")}}},
	} {
		if _, err := n.Append(ctx, &a); err != nil {
			fmt.Println(err)
			return
		}
	}
	messages, _, err := n.History(ctx, "", "floor", edda.FromStart, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range messages {
		fmt.Printf("%s: %s (%q)\n", m.Message.Type, m.Message.Payload, m.Message.Stream)
	}
	// Output:
	// hello: the floor is open ("")
	// order.placed: 42 ("orders")
}
