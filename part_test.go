package edda_test

import (
	"context"
	"slices"
	"testing"

	"github.com/edda-io/edda"
)

func TestPartIDs(t *testing.T) {
	for _, id := range []edda.PartID{{}, {Attempt: 1}, {Attempt: 2, Number: 7}, {Attempt: 1<<31 - 1, Number: 1<<31 - 1}} {
		got, err := edda.ParsePartID(id.String())
		if err != nil || got != id {
			t.Errorf("%q reads as %+v, %v, want %+v", id, got, err, id)
		}
	}
	if id, err := edda.ParsePartID(""); err != nil || id != (edda.PartID{}) {
		t.Errorf("nothing reads as %+v, %v, want zero", id, err)
	}
	for _, bad := range []string{"2", "2.", ".7", "0.7", "2.-7", "+2.7", "2.07", "2.7.1", "a.b", " 2.7", "2.9999999999"} {
		if id, err := edda.ParsePartID(bad); edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("%q reads as %+v, %v, want BAD_VALUE", bad, id, err)
		}
	}
	order := []edda.PartID{{}, {Attempt: 1}, {Attempt: 1, Number: 9}, {Attempt: 2}, {Attempt: 2, Number: 10}, {Attempt: 10, Number: 1}}
	if !slices.IsSortedFunc(order, edda.PartID.Compare) || order[1].Compare(edda.PartID{Attempt: 1}) != 0 {
		t.Errorf("%v are not in order", order)
	}
}

// parts takes parts as text.
type parts []string

func (p *parts) WritePart(_ context.Context, contentType string, payload []byte) error {
	*p = append(*p, contentType+" "+string(payload))
	return nil
}

func TestContextYieldsParts(t *testing.T) {
	var yield func(ctx *edda.Context) error
	s := edda.NewBalanced("s")
	s.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) { return nil, yield(ctx) })
	invoke := func(w edda.PartWriter, f func(ctx *edda.Context) error) error {
		yield = f
		return s.Invoke(t.Context(), &edda.Dispatch{Message: &edda.Message{Type: "m"}, Parts: w}).Err
	}
	var got parts
	if err := invoke(&got, func(ctx *edda.Context) error {
		if err := ctx.Part("text/plain", []byte("a")); err != nil {
			return err
		}
		return edda.Yield(ctx, 7)
	}); err != nil || !slices.Equal(got, parts{"text/plain a", "application/json 7"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := invoke(nil, func(ctx *edda.Context) error { return ctx.Part("", nil) }); err == nil {
		t.Error("a part is taken where nobody takes parts")
	}
	if err := invoke(&got, func(ctx *edda.Context) error { return edda.Yield(ctx, make(chan int)) }); err == nil {
		t.Error("a channel is yielded as JSON")
	}
	err := invoke(&got, func(ctx *edda.Context) error { return ctx.Part("", make([]byte, edda.MaxPartBytes+1)) })
	if edda.ReasonOf(err) != edda.TooLarge {
		t.Errorf("a part over the limit: %v, want TOO_LARGE", err)
	}
	var kept *edda.Context
	_ = invoke(&got, func(ctx *edda.Context) error { kept = ctx; return nil })
	if err := kept.Part("", nil); err == nil || len(got) != 2 {
		t.Errorf("a part after the handler has returned: %v, parts %v", err, got)
	}
}
