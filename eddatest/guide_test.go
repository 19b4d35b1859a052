package eddatest_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddatest"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/saga"
	"github.com/edda-io/edda/stream"
)

// The tests of this file are those that docs/testing.md shows.

func TestOrderIsPaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := eddatest.Start(t, orders())
		payments := n.Mock("payments")
		payments.On("charge").With(amount{500}).Reply("paid").Times(1)
		mails := n.MockOrdered("mails")
		mails.On("review")

		reply, err := edda.Call[string](t.Context(), n.Client(), "orders/7", "place", amount{500})
		if err != nil || reply != "placed" {
			t.Fatalf("got %q, %v, want placed", reply, err)
		}
		n.Settle(48 * time.Hour) // the review is sent a day later; here that takes no time
		n.AssertCalls(
			`payments charge {"cents":500}`,
			`mails/7 review "how was it?"`,
		)
	})
}

func TestBankIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := eddatest.Start(t, orders())
		payments := n.Mock("payments")
		eddatest.InOrder(
			payments.On("charge").Times(3).Fail(errors.New("the bank is away")),
			payments.On("charge").Times(1).Do(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
				return nil, ctx.SendAfter(0, "orders/7", "paid", nil)
			}),
		)
		n.MockOrdered("mails").On("review").Maybe()

		eddatest.Set(n, "orders/7", "status", "draft")
		if _, err := edda.Call[string](t.Context(), n.Client(), "orders/7", "place", amount{500}); err != nil {
			t.Fatal(err)
		}
		n.Settle(48 * time.Hour)
		if status, _ := eddatest.Get[string](n, "orders/7", "status"); status != "paid" {
			t.Errorf("got status %q, want paid", status)
		}
		if letters := n.DeadLetters(); len(letters) > 0 {
			t.Errorf("got dead letters %v, want none", letters)
		}
	})
}

func TestPlaceRefusesNothing(t *testing.T) {
	out := eddatest.Invoke(t, orders(), "place", "7", amount{0}, eddatest.WithState(map[string]string{"status": `"draft"`}))
	out.AssertFinal("NO_AMOUNT")
	out.AssertSends()
}

func TestTripIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := eddatest.Start(t, flights())
		n.Mock("cars").On("book").Fail(edda.Final("FULL", "no car is left")).Times(1)
		eddatest.Set(n, "flights/LH1", "places", 5)

		def := saga.New("trip")
		def.AddStep("flight", "flights/LH1", "book", 2).CompensateWith("flights/LH1", "cancel")
		def.AddStep("car", "cars", "book", 2)
		client := saga.NewClient(n.Node)
		started, err := client.Start(t.Context(), def)
		if err != nil {
			t.Fatal(err)
		}
		if ended, err := client.Wait(t.Context(), started.ID); err != nil || ended.State != edda.SagaCompensated {
			t.Fatalf("got %+v, %v, want it undone", ended, err)
		}
		if left, _ := eddatest.Get[int](n, "flights/LH1", "places"); left != 5 {
			t.Errorf("flight LH1 has %d places, want them all back", left)
		}
	})
}

// flights is a service of flights with so many places.
func flights() *edda.Service { return examples.Trip()[0] }

func TestGreetersGreet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		greeters, err := examples.Greeter().Service()
		if err != nil {
			t.Fatal(err)
		}
		n := eddatest.Start(t, greeters)
		caller := stream.NewClient(n.Node).Caller("greetings", stream.CallerOptions{})
		howdy, err := stream.Call[examples.Howdy](t.Context(), caller, "hello", examples.Hello{Name: "Ada"})
		if err != nil || howdy.Howdy != "there, Ada" {
			t.Errorf("got %+v, %v, want howdy", howdy, err)
		}
	})
}

// The tests that the guide shows are those that run.
func TestGuideShowsTheseTests(t *testing.T) {
	guide, err := os.ReadFile("../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(guide), "```go\n")[1:]
	if len(blocks) != 5 {
		t.Errorf("the guide shows %d tests, want 5", len(blocks))
	}
	for _, b := range blocks {
		if code, _, _ := strings.Cut(b, "```"); !strings.Contains(string(file), code) {
			t.Errorf("the guide shows what does not stand in guide_test.go:\n%s", code)
		}
	}
}
