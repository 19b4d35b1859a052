package saga_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/saga"
)

// open returns a client of a node that hosts the service, and what stops it.
func open(s *edda.Service) (client *saga.Client, stop func()) {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Partitions: 1, Services: []*edda.Service{s}})
	if err != nil {
		panic(err)
	}
	return saga.NewClient(n), func() { n.Stop(ctx) }
}

// A head and a handle are made at the same time, then a hammer of both.
func Example() {
	type Part struct{ Name string }
	type Hammer struct{ Head, Handle Part }

	smithy := edda.NewBalanced("smithy")
	saga.Handle(smithy, "forge-head", func(_ *saga.Context, kind string) (Part, error) { return Part{kind}, nil })
	saga.Handle(smithy, "carve-handle", func(_ *saga.Context, size string) (Part, error) { return Part{size}, nil })
	saga.Handle(smithy, "assemble", func(ctx *saga.Context, _ saga.None) (Hammer, error) {
		var h Hammer
		err := ctx.Dependencies(&h.Head, &h.Handle)
		return h, err
	})
	client, stop := open(smithy)
	defer stop()

	def := saga.New("hammer")
	head := def.AddStep("head", "smithy", "forge-head", "iron")
	handle := def.AddStep("handle", "smithy", "carve-handle", "short")
	def.AddStep("hammer", "smithy", "assemble").DependsOn(head, handle)

	ctx := context.Background()
	started, err := client.Start(ctx, def)
	if err != nil {
		panic(err)
	}
	hammer, err := saga.Result[Hammer](ctx, client, started.ID, "hammer")
	fmt.Println(hammer, err)
	// Output: {{iron} {short}} <nil>
}

// When a step fails, what had succeeded is undone.
func ExampleUndoneError() {
	smithy := edda.NewBalanced("smithy")
	saga.Handle(smithy, "forge-head", func(_ *saga.Context, kind string) (string, error) { return kind + " head", nil })
	saga.Handle(smithy, "carve-handle", func(*saga.Context, saga.None) (string, error) {
		return "", edda.Final("NO_WOOD", "the shed is empty")
	})
	saga.Compensator(smithy, "melt-head", func(ctx *saga.Context, head string) error {
		into, err := saga.Arg[string](ctx, 0)
		fmt.Println("melting the", head, "into", into)
		return err
	})
	client, stop := open(smithy)
	defer stop()

	def := saga.New("hammer")
	head := def.AddStep("head", "smithy", "forge-head", "iron").CompensateWith("smithy", "melt-head", "an ingot")
	def.AddStep("handle", "smithy", "carve-handle").DependsOn(head)

	ctx := context.Background()
	started, err := client.Start(ctx, def)
	if err != nil {
		panic(err)
	}
	_, err = saga.Result[string](ctx, client, started.ID, "handle")
	if undone, ok := errors.AsType[*saga.UndoneError](err); ok {
		fmt.Println(undone.Saga.State, "because of", undone.Step().ID)
		fmt.Println(undone.Step().Error.Message)
	}
	// Output:
	// melting the iron head into an ingot
	// compensated because of handle
	// NO_WOOD: the shed is empty
}

// A step may be finished by anybody who has its reference, whenever that is.
func ExampleClient_StepFinished() {
	orders := make(chan saga.Ref, 1)
	wood := edda.NewBalanced("wood")
	saga.Handle(wood, "order-handle", func(ctx *saga.Context, size string) (saga.None, error) {
		orders <- ctx.Ref() // to the carver: as JSON, if need be
		return saga.None{}, saga.Pending
	})
	client, stop := open(wood)
	defer stop()

	def := saga.New("handle")
	def.AddStep("handle", "wood", "order-handle", "short")
	ctx := context.Background()
	started, err := client.Start(ctx, def)
	if err != nil {
		panic(err)
	}

	order := <-orders
	for range 2 {
		answer, err := client.StepFinished(ctx, order, "a short handle")
		fmt.Println(answer.Applied, answer.State, err)
	}
	handle, err := saga.Result[string](ctx, client, started.ID, "handle")
	fmt.Println(handle, err)
	// Output:
	// true succeeded <nil>
	// false succeeded <nil>
	// a short handle <nil>
}

// A handler decides while the saga runs what is to be done.
func ExampleContext_AddStep() {
	shop := edda.NewBalanced("shop")
	saga.Handle(shop, "plan", func(ctx *saga.Context, sizes []string) (int, error) {
		var all []*saga.Step
		for i, size := range sizes {
			all = append(all, ctx.AddStep(fmt.Sprint("handle-", i), "shop", "carve", size))
		}
		ctx.AddStep("crate", "shop", "pack").DependsOn(all...)
		return len(sizes), nil
	})
	saga.Handle(shop, "carve", func(_ *saga.Context, size string) (string, error) { return "a " + size + " handle", nil })
	saga.Handle(shop, "pack", func(ctx *saga.Context, _ saga.None) ([]string, error) {
		var crate []string
		for i := range ctx.Input().Dependencies {
			handle, err := saga.Dependency[string](ctx, i)
			if err != nil {
				return nil, err
			}
			crate = append(crate, handle)
		}
		return crate, nil
	})
	client, stop := open(shop)
	defer stop()

	def := saga.New("crate")
	def.AddStep("plan", "shop", "plan", []string{"short", "long"})
	ctx := context.Background()
	started, err := client.Start(ctx, def)
	if err != nil {
		panic(err)
	}
	crate, err := saga.Result[[]string](ctx, client, started.ID, "crate")
	fmt.Println(crate, err)
	// Output: [a short handle a long handle] <nil>
}

// A step may be a saga of its own; its result has the results of its last steps.
func ExampleSteps_AddSaga() {
	smithy := edda.NewBalanced("smithy")
	saga.Handle(smithy, "make", func(_ *saga.Context, what string) (string, error) { return "a " + what, nil })
	saga.Handle(smithy, "hang-up", func(ctx *saga.Context, _ saga.None) (string, error) {
		made, err := saga.Dependency[struct{ Hammer, Tongs string }](ctx, 0)
		return made.Hammer + " and " + made.Tongs, err
	})
	client, stop := open(smithy)
	defer stop()

	tools := saga.New("tools")
	tools.AddStep("hammer", "smithy", "make", "hammer")
	tools.AddStep("tongs", "smithy", "make", "pair of tongs")
	def := saga.New("workshop")
	made := def.AddSaga("tools", tools)
	def.AddStep("wall", "smithy", "hang-up").DependsOn(made)

	ctx := context.Background()
	started, err := client.Start(ctx, def)
	if err != nil {
		panic(err)
	}
	wall, err := saga.Result[string](ctx, client, started.ID, "wall")
	fmt.Println(wall, err)
	// Output: a hammer and a pair of tongs <nil>
}

// Mistakes in a definition are collected, and told all at once.
func ExampleDefinition_Err() {
	def := saga.New("hammer")
	def.AddStep("head", "smithy", "forge-head", make(chan int))
	def.AddStep("head", "smithy/", "forge-head")
	err := def.Err()
	fmt.Println(err)
	fmt.Println(edda.ReasonOf(err))
	// Output:
	// define saga hammer: define step head: argument 0: json: unsupported type: chan int
	// define step head: the id is used twice
	// define step head: check address: "smithy/" has an empty key
	// BAD_JSON
}
