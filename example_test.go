package edda_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda"
)

// A service is a named set of handlers. Each typed method is guarded by the JSON
// Schema of its Go type.
func ExampleHandle() {
	type greeting struct {
		Name string `json:"name"`
	}
	s := edda.NewBalanced("greeter")
	edda.Handle(s, "greet", func(_ *edda.Context, in greeting) (string, error) {
		return "hello " + in.Name, nil
	})
	fmt.Println(s.Name, s.Kind, s.Methods())
	// Output: greeter balanced [greet]
}

// Invoke runs one attempt without a node, as a test of a handler does.
func ExampleService_Invoke() {
	s := edda.NewBalanced("greeter")
	edda.Handle(s, "greet", func(ctx *edda.Context, name string) (string, error) {
		return "hello " + name, ctx.Send(&edda.Message{To: edda.Address{Name: "log"}, Type: "greeted", Payload: edda.JSON(name)})
	})
	m := &edda.Message{To: edda.Address{Name: "greeter"}, Type: "greet", Payload: edda.JSON("ann")}
	out := s.Invoke(context.Background(), &edda.Dispatch{Message: m, Attempt: 1})
	fmt.Println(string(out.Reply.Payload), out.Err)
	for _, sent := range out.Sends {
		fmt.Println("sends", sent.Type, "to", sent.To.Name)
	}
	// Output:
	// "hello ann" <nil>
	// sends greeted to log
}

// Delays grow by the factor of Backoff up to MaxDelay.
func ExampleRetryPolicy() {
	p := edda.RetryPolicy{Max: 5, Delay: time.Second, MaxDelay: 5 * time.Second, Jitter: -1}
	for attempts := 1; ; attempts++ {
		delay, again := p.Next(attempts, 0)
		if !again {
			fmt.Println("dead after attempt", attempts)
			return
		}
		fmt.Println("attempt", attempts+1, "after", delay)
	}
	// Output:
	// attempt 2 after 1s
	// attempt 3 after 2s
	// attempt 4 after 4s
	// attempt 5 after 5s
	// dead after attempt 5
}

// Programs branch on the reason of an error.
func ExampleReasonOf() {
	err := fmt.Errorf("pay: %w", &edda.Error{Op: "call accounts/ann", Reason: edda.Overloaded, RetryAfter: time.Second})
	fmt.Println(edda.ReasonOf(err), edda.ReasonOf(err).HTTPStatus(), edda.ReasonOf(err).Code())
	fmt.Println(errors.Is(err, &edda.Error{Reason: edda.Overloaded}))
	// Output:
	// OVERLOADED 429 resource_exhausted
	// true
}

func ExampleParseAddress() {
	a, err := edda.ParseAddress("users/eu/42")
	fmt.Println(a.Name, a.Key, err)
	// Output: users eu/42 <nil>
}
