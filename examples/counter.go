package examples

import "github.com/edda-io/edda"

// Add is what the counter's method add takes. Its JSON Schema follows from the
// type; a payload that does not fit is refused before anything is stored.
type Add struct {
	N int64 `json:"n"`
}

// Value is what the counter's methods reply.
type Value struct {
	Value int64 `json:"value"`
}

// Counter returns an ordered service whose keys are counters:
//
//	add {"n":1}  {"value":1}
//	get          {"value":1}
//
// Reading, adding and writing needs no lock and no transaction: the requests of
// one key come one after the other, and state and reply are kept together.
func Counter() *edda.Service {
	s := edda.NewOrdered("counter")
	edda.Handle(s, "add", func(ctx *edda.Context, in Add) (Value, error) {
		value, _, err := edda.Get[int64](ctx, "value")
		if err != nil {
			return Value{}, err
		}
		value += in.N
		return Value{value}, edda.Set(ctx, "value", value)
	})
	edda.Handle(s, "get", func(ctx *edda.Context, _ []byte) (Value, error) {
		value, _, err := edda.Get[int64](ctx, "value")
		return Value{value}, err
	})
	return s
}
