package stream_test

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// open returns a client of a node that hosts the consumers, and what stops it.
func open(consumers ...interface {
	Service() (*edda.Service, error)
}) (client *stream.Client, stop func()) {
	var services []*edda.Service
	for _, c := range consumers {
		s, err := c.Service()
		if err != nil {
			panic(err)
		}
		services = append(services, s)
	}
	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Partitions: 1, Services: services})
	if err != nil {
		panic(err)
	}
	return stream.NewClient(n), func() { n.Stop(ctx) }
}

// A consumer answers, and the caller gets what it has returned.
func Example() {
	greeter := stream.NewConsumer("greetings", "greeters")
	stream.Handle(greeter, "hello", func(_ *edda.Context, in Hello) (Howdy, error) {
		return Howdy{"there, " + in.Name}, nil
	})
	client, stop := open(greeter)
	defer stop()

	caller := client.Caller("greetings", stream.CallerOptions{Timeout: time.Minute})
	howdy, err := stream.Call[Howdy](context.Background(), caller, "hello", Hello{"Ada"})
	fmt.Println(howdy.Howdy, err)
	// Output: there, Ada <nil>
}

// Whoever was slower learns what the last message is.
func ExampleWriter_AppendAfter() {
	client, stop := open()
	defer stop()

	ctx := context.Background()
	w := client.Writer("ledger", stream.WriterOptions{})
	first, err := w.AppendFirst(ctx, edda.StreamMessage{Payload: []byte("opened")})
	fmt.Println(first.Items[0].Offset, err)
	for range 2 {
		ack, err := w.AppendAfter(ctx, 0, edda.StreamMessage{Payload: []byte("paid")})
		if err != nil {
			fmt.Println(edda.ReasonOf(err))
			continue
		}
		fmt.Println(ack.Items[0].Offset)
	}
	// Output:
	// 0 <nil>
	// 1
	// EXPECTED_OFFSET
}

// The same message twice is there once.
func ExampleWriter_AppendJSON() {
	client, stop := open()
	defer stop()

	w := client.Writer("orders", stream.WriterOptions{Shard: "eu"})
	for range 2 {
		at, err := w.AppendJSON(context.Background(), edda.StreamMessage{ID: "order-7", Type: "placed", Key: "ada"}, Hello{"Ada"})
		fmt.Println(at.Shard, at.Offset, at.Replayed, err)
	}
	// Output:
	// eu 0 false <nil>
	// eu 0 true <nil>
}

// Two streams are read together; one is added when the reader is under way already.
func ExampleReader() {
	client, stop := open()
	defer stop()

	ctx := context.Background()
	for _, name := range []string{"orders", "prices"} {
		w := client.Writer(name, stream.WriterOptions{})
		if _, err := w.Append(ctx, edda.StreamMessage{Payload: []byte("one")}, edda.StreamMessage{Payload: []byte("two")}); err != nil {
			panic(err)
		}
	}
	r := client.Reader(stream.ReaderOptions{StopAtEnd: true}, stream.Source{Stream: "orders"})
	for m, err := range r.Messages(ctx) {
		if err != nil {
			panic(err)
		}
		fmt.Println(m.Stream, m.Offset, string(m.Payload))
		if m.Stream == "orders" && m.Offset == 1 {
			r.Add(stream.Source{Stream: "prices", From: edda.FromOffset(1)})
		}
	}
	fmt.Println(r.Positions())
	// Output:
	// orders 0 one
	// orders 1 two
	// prices 1 two
	// [{orders default 2} {prices default 2}]
}

// What a handler says is final comes back to the caller with its own word.
func ExampleCaller() {
	bank := stream.NewConsumer("payments", "bank")
	stream.Handle(bank, "pay", func(*edda.Context, int) (stream.None, error) {
		return stream.None{}, edda.Final("NO_FUNDS", "the account is empty")
	})
	client, stop := open(bank)
	defer stop()

	caller := client.Caller("payments", stream.CallerOptions{Timeout: time.Minute})
	_, err := stream.Call[stream.None](context.Background(), caller, "pay", 500)
	fmt.Println(edda.ReasonOf(err))
	if h, ok := errors.AsType[*edda.HandlerError](err); ok {
		fmt.Println(h.Reason, "-", h.Message)
	}
	// Output:
	// FAILED
	// NO_FUNDS - the account is empty
}

// A chain: what one consumer returns is what the next one gets, and the last one's
// return value is the reply.
func ExampleConsumer() {
	double := stream.NewConsumer("numbers", "doubling")
	double.Mode, double.To.Name = stream.Route, "doubled"
	stream.Handle(double, "n", func(_ *edda.Context, n int) (int, error) { return 2 * n, nil })
	describe := stream.NewConsumer("doubled", "describing")
	stream.Handle(describe, "n", func(_ *edda.Context, n int) (string, error) { return fmt.Sprint("it is ", n), nil })
	client, stop := open(double, describe)
	defer stop()

	said, err := stream.Call[string](context.Background(), client.Caller("numbers", stream.CallerOptions{Timeout: time.Minute}), "n", 21)
	fmt.Println(said, err)
	// Output: it is 42 <nil>
}

// A pipe keeps one shard of a stream in another one, without what nobody may know.
func ExamplePipe() {
	pipe := stream.NewPipe("visits", "publish", "public", func(_ *edda.Context, m *edda.StreamMessage) (*edda.StreamMessage, error) {
		if m.Type == "secret" {
			return nil, nil
		}
		return m, nil
	})
	client, stop := open(pipe)
	defer stop()

	ctx := context.Background()
	w := client.Writer("visits", stream.WriterOptions{})
	for _, kind := range []string{"open", "secret", "open"} {
		if _, err := w.AppendJSON(ctx, edda.StreamMessage{Type: kind, Key: "door"}, kind); err != nil {
			panic(err)
		}
	}
	n := 0
	r := client.Reader(stream.ReaderOptions{}, stream.Source{Stream: "public"})
	if _, _, err := client.Set(ctx, edda.StreamSpec{Name: "public"}); err != nil {
		panic(err)
	}
	for m, err := range r.Messages(ctx) {
		if err != nil {
			panic(err)
		}
		fmt.Println(m.Offset, m.Type)
		if n++; n == 2 {
			break
		}
	}
	// Output:
	// 0 open
	// 1 open
}
