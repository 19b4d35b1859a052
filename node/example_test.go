package node_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// A whole service: a bank account whose deposits and withdrawals come one after
// the other, whoever sends them, and are never lost or done twice.
func Example() {
	type amount struct {
		Cents int64 `json:"cents"`
	}
	type balance struct {
		Cents int64 `json:"cents"`
	}
	accounts := edda.NewOrdered("accounts")
	change := func(ctx *edda.Context, by int64) (balance, error) {
		cents, _, err := edda.Get[int64](ctx, "cents")
		if err != nil {
			return balance{}, err
		}
		if cents+by < 0 {
			return balance{}, edda.Final("NO_FUNDS", "%d cents are missing", -(cents + by))
		}
		return balance{cents + by}, edda.Set(ctx, "cents", cents+by)
	}
	edda.Handle(accounts, "deposit", func(ctx *edda.Context, in amount) (balance, error) { return change(ctx, in.Cents) })
	edda.Handle(accounts, "withdraw", func(ctx *edda.Context, in amount) (balance, error) { return change(ctx, -in.Cents) })

	// Options.Dir keeps everything on disk; in memory it is gone with the process.
	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Services: []*edda.Service{accounts}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Stop(ctx)

	client := n.Client()
	b, err := edda.Call[balance](ctx, client, "accounts/ann", "deposit", amount{500})
	fmt.Println(b.Cents, err)
	b, err = edda.Call[balance](ctx, client, "accounts/ann", "withdraw", amount{200})
	fmt.Println(b.Cents, err)
	_, err = edda.Call[balance](ctx, client, "accounts/ann", "withdraw", amount{1000})
	fmt.Println(edda.ReasonOf(err), err)
	_, err = edda.Call[balance](ctx, client, "accounts/ann", "deposit", "a lot")
	fmt.Println(edda.ReasonOf(err))
	// Output:
	// 500 <nil>
	// 300 <nil>
	// FAILED call accounts/ann: NO_FUNDS: 700 cents are missing
	// SCHEMA
}

// Send returns as soon as the request is stored; the reply can be fetched later,
// by anybody who has the id. With an idempotency key it is safe to send again.
func ExampleNode_Send() {
	reports := edda.NewBalanced("reports")
	edda.Handle(reports, "make", func(_ *edda.Context, of string) (string, error) { return "report of " + of, nil })

	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Services: []*edda.Service{reports}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Stop(ctx)

	m := &edda.Message{To: edda.Address{Name: "reports"}, Type: "make", Payload: edda.JSON("may"), IdempotencyKey: "may-1"}
	first, err := n.Client().Send(ctx, m)
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := n.Client().Send(ctx, m)
	if err != nil {
		fmt.Println(err)
		return
	}
	reply, err := n.Client().Wait(ctx, first.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(again.ID == first.ID, again.Joined, string(reply.Payload))
	// Output: true true "report of may"
}

// A handler that fails is tried again by the service's policy; when that gives
// up there is a dead letter, which can be retried once the cause is mended.
func ExampleNode_RetryDeadLetter() {
	mended := false
	mails := edda.NewOrdered("mails")
	mails.Retry = edda.RetryPolicy{Max: 3, Delay: time.Millisecond}
	edda.Handle(mails, "send", func(ctx *edda.Context, text string) (string, error) {
		if !mended {
			return "", errors.New("mail server is away")
		}
		return fmt.Sprintf("sent at attempt %d", ctx.Attempt()), nil
	})

	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Services: []*edda.Service{mails}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Stop(ctx)

	_, err = edda.Call[string](ctx, n.Client(), "mails/ann", "send", "hello")
	fmt.Println(edda.ReasonOf(err))
	letters, _, err := n.DeadLetters(ctx, node.DeadLetterFilter{Service: "mails"}, node.Page{})
	if err != nil {
		fmt.Println(err)
		return
	}
	letter := letters[0]
	fmt.Println(letter.Reason, letter.Detail, letter.Attempts)

	mended = true
	if _, err := n.RetryDeadLetter(ctx, "", letter.ID); err != nil {
		fmt.Println(err)
		return
	}
	reply, err := n.Client().Wait(ctx, letter.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(reply.Payload))
	// Output:
	// DEAD
	// FAILED mail server is away 3
	// "sent at attempt 4"
}

// A handler that works for long yields what it has so far. Callers read it as it
// comes; the reply is the outcome.
func ExampleNode_Parts() {
	counts := edda.NewBalanced("countdown")
	edda.Handle(counts, "from", func(ctx *edda.Context, n int) (string, error) {
		for ; n > 0; n-- {
			if err := edda.Yield(ctx, n); err != nil {
				return "", err
			}
		}
		return "lift-off", nil
	})

	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Services: []*edda.Service{counts}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Stop(ctx)

	client := n.Client()
	ack, err := client.Send(ctx, &edda.Message{
		To: edda.Address{Name: "countdown"}, Type: "from", ContentType: "application/json", Payload: edda.JSON(3),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for part, err := range client.Parts(ctx, ack.ID, edda.PartID{}) {
		if err != nil {
			fmt.Println(err) // how the request ended, if not with a reply
			break
		}
		fmt.Println(part.ID(), string(part.Payload))
	}
	reply, err := client.Wait(ctx, ack.ID)
	fmt.Println(string(reply.Payload), err)
	// Output:
	// 1.1 3
	// 1.2 2
	// 1.3 1
	// "lift-off" <nil>
}
