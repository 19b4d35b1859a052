package channel_test

import (
	"context"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/channel"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/stream"
)

// open returns a node with channels, and what stops it.
func open(channels ...edda.ChannelSpec) (n *node.Node, stop func()) {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Partitions: 4})
	if err != nil {
		panic(err)
	}
	for _, c := range channels {
		if _, _, err := n.SetChannel(ctx, c); err != nil {
			panic(err)
		}
	}
	return n, func() { n.Stop(ctx) }
}

// A channel hears what is published to it, and what is appended to the streams that feed
// it.
func Example() {
	n, stop := open(edda.ChannelSpec{Name: "floor", From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"order.*"}}}})
	defer stop()
	ctx := context.Background()

	if _, err := stream.NewClient(n).Writer("orders", stream.WriterOptions{}).Append(ctx,
		edda.StreamMessage{Type: "order.placed", Payload: []byte("two chairs")},
		edda.StreamMessage{Type: "audit", Payload: []byte("who ordered them")},
	); err != nil {
		fmt.Println(err)
	}
	if _, err := channel.Publish(ctx, n, "floor", edda.StreamMessage{Type: "note", Payload: []byte("we open late")}); err != nil {
		fmt.Println(err)
	}

	heard := 0
	for m, err := range channel.Subscribe(ctx, n, edda.Subscribe{Channel: "floor", From: edda.FromStart}) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("%s: %s\n", m.Message.Type, m.Message.Payload)
		if heard++; heard == 2 {
			break
		}
	}
	// Output:
	// order.placed: two chairs
	// note: we open late
}

// Each message says where to go on from: nothing is missed, and nothing comes twice.
func ExampleSubscribe_resume() {
	n, stop := open(edda.ChannelSpec{Name: "floor"})
	defer stop()
	ctx := context.Background()
	for _, text := range []string{"one", "two", "three"} {
		if _, err := channel.Publish(ctx, n, "floor", edda.StreamMessage{Payload: []byte(text)}); err != nil {
			fmt.Println(err)
		}
	}

	from := edda.FromStart
	for range 3 { // as after a lost connection
		for m, err := range channel.Subscribe(ctx, n, edda.Subscribe{Channel: "floor", From: from}) {
			if err != nil {
				fmt.Println(err)
				break
			}
			fmt.Printf("%s\n", m.Message.Payload)
			from = m.From
			break
		}
	}
	// Output:
	// one
	// two
	// three
}

// An ephemeral subscription gets one message of each pattern.
func ExampleSubscribe_ephemeral() {
	n, stop := open(edda.ChannelSpec{Name: "floor"})
	defer stop()
	ctx := context.Background()
	for _, typ := range []string{"tick", "door.open", "tick", "door.close"} {
		if _, err := channel.Publish(ctx, n, "floor", edda.StreamMessage{Type: typ}); err != nil {
			fmt.Println(err)
		}
	}

	for m, err := range channel.Subscribe(ctx, n, edda.Subscribe{
		Channel: "floor", From: edda.FromStart, Patterns: []string{"door.*", "tick"}, Ephemeral: true,
	}) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(m.Message.Type)
	}
	// Output:
	// tick
	// door.open
}
