package eddatest_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddatest"
)

// shop is a service that takes orders and has them paid.
func shop() *edda.Service {
	s := edda.NewOrdered("shop")
	edda.Handle(s, "order", func(ctx *edda.Context, in amount) (string, error) {
		if in.Cents > 100_000 {
			return "", edda.Final("TOO_MUCH", "%d cents are more than we take", in.Cents)
		}
		if err := edda.Set(ctx, "owes", in.Cents); err != nil {
			return "", err
		}
		return "thank you", ctx.SendAfter(time.Millisecond, "payments", "charge", in)
	})
	return s
}

// A test of a service whose payments are mocked. In a test of your own t is that of
// the test, and synctest.Test around it makes the millisecond take no time.
func Example() {
	test(func(t testing.TB) {
		n := eddatest.Start(t, shop())
		payments := n.Mock("payments")
		payments.On("charge").With(amount{500}).Reply("paid").Times(1)

		reply, err := edda.Call[string](t.Context(), n.Client(), "shop/ann", "order", amount{500})
		fmt.Println(reply, err)

		n.Settle(time.Minute)
		payments.AssertCalls(`payments charge {"cents":500}`)
		owes, _ := eddatest.Get[int64](n, "shop/ann", "owes")
		fmt.Println("ann owes", owes)
	})
	// Output:
	// thank you <nil>
	// ann owes 500
	// PASS
}

// What nobody expected fails the test, and says what was expected. A call that is
// missing fails it too, when it ends.
func ExampleMock_On() {
	test(func(t testing.TB) {
		n := eddatest.Start(t, shop())
		payments := n.Mock("payments")
		payments.On("charge").With(amount{500}).Reply("paid")
		payments.On("refund").Maybe()

		for _, cents := range []int64{500, 700} {
			if _, err := edda.Call[string](t.Context(), n.Client(), "shop/ann", "order", amount{cents}); err != nil {
				t.Error(err)
			}
			n.Settle(time.Minute)
		}
	})
	// Output:
	// eddatest: unexpected call, number 2 to payments: nobody expected it
	// 	payments charge {"cents":700}
	// expected:
	// 	payments charge {"cents":500}, at least 1 time (example_test.go:58): came 1 time
	// 	payments refund with any payload, any number of times (example_test.go:59): came 0 times
	// FAIL
}

// Expectations that fit a call take turns: the first attempt fails, the next one
// does not. InOrder says what comes before what, of several mocks too.
func ExampleInOrder() {
	test(func(t testing.TB) {
		n := eddatest.Start(t)
		payments, mails := n.Mock("payments"), n.Mock("mails")
		eddatest.InOrder(
			payments.On("charge").Times(1).Fail(edda.Retry(time.Millisecond, "the bank is away")),
			payments.On("charge").Times(1).Reply("paid"),
			mails.On("send").Times(1),
		)
		for _, m := range []*edda.Message{to("payments", "charge"), to("mails", "send")} {
			if _, err := n.Client().Call(t.Context(), m); err != nil {
				t.Error(err)
			}
		}
		for _, c := range n.Calls() {
			fmt.Println(c, c.Attempt)
		}
	})
	// Output:
	// payments charge 1
	// payments charge 2
	// mails send 1
	// PASS
}

// One handler can be run alone, with the state that its key is to have.
func ExampleInvoke() {
	test(func(t testing.TB) {
		out := eddatest.Invoke(t, shop(), "order", "ann", amount{500}, eddatest.WithState(map[string]string{"name": `"Ann"`}))
		fmt.Println(eddatest.ReplyOf[string](out))
		state := out.State()
		for _, name := range slices.Sorted(maps.Keys(state)) {
			fmt.Println(name, state[name])
		}
		out.AssertSends(`payments charge {"cents":500}`)

		out = eddatest.Invoke(t, shop(), "order", "ann", amount{200_000})
		out.AssertFinal("TOO_MUCH")
	})
	// Output:
	// thank you
	// name "Ann"
	// owes 500
	// PASS
}

// test stands for go test: it runs f as a test and prints how that went.
func test(f func(t testing.TB)) {
	failures := runTest(nil, f)
	verdict := "PASS"
	if len(failures) > 0 {
		verdict = "FAIL"
	}
	for _, text := range append(failures, verdict) {
		fmt.Fprintln(os.Stdout, text)
	}
}
