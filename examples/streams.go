package examples

import (
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/stream"
)

type (
	// Hello is a greeting.
	Hello struct {
		Name string `json:"name"`
	}
	// Howdy is the answer to one.
	Howdy struct {
		Howdy string `json:"howdy"`
	}
)

// Greeter returns a consumer of the stream greetings, whose group is greeters. It answers
// {"name":"Ada"}, of the type hello, with {"howdy":"there, Ada"}, in the stream that the
// greeting names as its reply-to.
func Greeter() *stream.Consumer {
	c := stream.NewConsumer("greetings", "greeters")
	stream.Handle(c, "hello", func(_ *edda.Context, in Hello) (Howdy, error) {
		return Howdy{"there, " + in.Name}, nil
	})
	return c
}

// Doorman returns a one-way consumer of the stream visits: for each message of the type
// visit, whose key is who came, he adds one to the key's counter. He replies to nobody.
func Doorman() *stream.Consumer {
	c := stream.NewConsumer("visits", "doormen")
	c.Mode = stream.OneWay
	stream.Handle(c, "visit", func(ctx *edda.Context, _ stream.None) (stream.None, error) {
		// It is sent when, and only if, the visit is acknowledged: nobody is counted twice.
		return stream.None{}, ctx.SendAfter(0, "counter/"+ctx.Key(), "add", map[string]int{"n": 1})
	})
	return c
}

// Bill is an order on its way: the stream orders has the item and the count, priced the
// price too, bills the sum.
type Bill struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
	Cents int    `json:"cents,omitempty"`
	Sum   int    `json:"sum,omitempty"`
}

// Prices are in cents.
var Prices = map[string]int{"nail": 2, "hammer": 1500}

// Billing returns the consumers of a chain of streams, orders → priced → bills. The last
// one replies to whoever has sent the order, and knows nothing of the streams before.
func Billing() []*stream.Consumer {
	pricing := stream.NewConsumer("orders", "pricing")
	pricing.Mode, pricing.To.Name = stream.Route, "priced"
	stream.Handle(pricing, "order", func(_ *edda.Context, b Bill) (Bill, error) {
		var known bool
		if b.Cents, known = Prices[strings.ToLower(b.Item)]; !known {
			return b, edda.Final("NO_SUCH_ITEM", "there is no %s", b.Item) // a dead letter, and an error for who waits
		}
		return b, nil
	})

	adding := stream.NewConsumer("priced", "adding")
	adding.Mode, adding.To.Name, adding.RouteType = stream.Route, "bills", "bill"
	stream.Handle(adding, "order", func(_ *edda.Context, b Bill) (Bill, error) {
		b.Sum = b.Count * b.Cents
		return b, nil
	})

	clerk := stream.NewConsumer("bills", "clerks")
	stream.Handle(clerk, "bill", func(_ *edda.Context, b Bill) (Bill, error) { return b, nil })
	return []*stream.Consumer{pricing, adding, clerk}
}

// HammerOrder is what the stream hammers has, of the type order.
type HammerOrder struct {
	Kind string `json:"kind"`
	Size string `json:"size"`
}

// HammerParts is a hammer in the making: in the stream handles it has a head and the
// size of its handle, in assembly the handle too.
type HammerParts struct {
	Head   Head   `json:"head"`
	Size   string `json:"size,omitempty"`
	Handle Handle `json:"handle,omitzero"`
}

// Forge returns two consumers that make hammers together with a third one, which is in
// another program: hammers → handles → assembly. One forges a head for each order and
// asks in handles for a handle, whoever carves that (python/carver.py) passes both on to
// assembly, where the other one makes a hammer and replies with it.
func Forge() []*stream.Consumer {
	forge := stream.NewConsumer("hammers", "forge")
	forge.Mode, forge.To.Name, forge.RouteType = stream.Route, "handles", "carve"
	stream.Handle(forge, "order", func(ctx *edda.Context, in HammerOrder) (HammerParts, error) {
		return HammerParts{Head: Head{HeadID: "head-" + orderOf(ctx), Kind: in.Kind}, Size: in.Size}, nil
	})

	assembly := stream.NewConsumer("assembly", "assemblers")
	stream.Handle(assembly, "assemble", func(ctx *edda.Context, in HammerParts) (Hammer, error) {
		return Hammer{HammerID: "hammer-" + orderOf(ctx), Head: in.Head, Handle: in.Handle}, nil
	})
	return []*stream.Consumer{forge, assembly}
}

// orderOf returns the id of the order that a message is about: it stays the same from
// stream to stream.
func orderOf(ctx *edda.Context) string { return ctx.Delivery().ID }
