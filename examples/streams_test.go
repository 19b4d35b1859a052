package examples_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddatest"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/stream"
)

// consumers returns consumers as services.
func consumers(t *testing.T, all ...*stream.Consumer) []*edda.Service {
	t.Helper()
	var services []*edda.Service
	for _, c := range all {
		s, err := c.Service()
		if err != nil {
			t.Fatal(err)
		}
		services = append(services, s)
	}
	return services
}

func TestHowdy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := eddatest.Start(t, consumers(t, examples.Greeter())...)
		caller := stream.NewClient(n.Node).Caller("greetings", stream.CallerOptions{})
		r, err := caller.Call(t.Context(), edda.StreamMessage{Type: "hello", Payload: []byte(`{"name":"Ada"}`)})
		if err != nil || string(r.Payload) != `{"howdy":"there, Ada"}` {
			t.Errorf("got %+v, %v, want howdy", r, err)
		}
	})
}

// Every visit is counted once, and nobody is told.
func TestOneWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := eddatest.Start(t, append(consumers(t, examples.Doorman()), examples.Counter())...)
		client := stream.NewClient(n.Node)
		w := client.Writer("visits", stream.WriterOptions{ReplyTo: edda.Address{Name: "answers"}})
		for i := range 100 {
			visit := edda.StreamMessage{ID: fmt.Sprint(i), Type: "visit", Key: []string{"ada", "bob"}[i%2]}
			if _, err := w.Append(t.Context(), visit); err != nil {
				t.Fatal(err)
			}
		}
		n.Settle(time.Second)
		for _, who := range []string{"ada", "bob"} {
			got, err := edda.Call[struct{ Value int }](t.Context(), n.Client(), "counter/"+who, "get", struct{}{})
			if err != nil || got.Value != 50 {
				t.Errorf("%s came %d times, %v, want 50", who, got.Value, err)
			}
		}
		if _, err := client.Stream(t.Context(), "answers"); edda.ReasonOf(err) != edda.NoStream {
			t.Errorf("somebody was answered: got %v", err)
		}
	})
}

// An order goes from a to b to c, and its answer back to who has sent it.
func TestRouting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := eddatest.Start(t, consumers(t, examples.Billing()...)...)
		client := stream.NewClient(n.Node)
		caller := client.Caller("orders", stream.CallerOptions{})
		bill, err := stream.Call[examples.Bill](t.Context(), caller, "order", examples.Bill{Item: "nail", Count: 100})
		if want := (examples.Bill{Item: "nail", Count: 100, Cents: 2, Sum: 200}); err != nil || bill != want {
			t.Errorf("got %+v, %v, want %+v", bill, err, want)
		}
		_, err = stream.Call[examples.Bill](t.Context(), caller, "order", examples.Bill{Item: "moon", Count: 1})
		if h, ok := errors.AsType[*edda.HandlerError](err); !ok || h.Reason != "NO_SUCH_ITEM" {
			t.Errorf("got %v, want NO_SUCH_ITEM", err)
		}
		for m, err := range client.Reader(stream.ReaderOptions{StopAtEnd: true}, stream.Source{Stream: "bills"}).Messages(t.Context()) {
			if err != nil || m.Type != "bill" || m.Offset > 0 {
				t.Errorf("got %+v, %v, want one bill", m, err)
			}
		}
	})
}
