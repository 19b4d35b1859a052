package examples

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/saga"
)

// Trip returns three ordered services, flights, hotels and cars, whose keys are
// things with so many places: the flight LH1, the hotel ritz. All have the same
// methods, of which book and cancel are for sagas:
//
//	open    {"places":n}                  there are n places now
//	left    {}                            {"places":n}
//	book    args [places]                 a Booking; fails at once when too few are left
//	cancel  compensates book
//
// The places are state of the key, which Edda changes once for each step, however
// often a handler was started.
func Trip() []*edda.Service {
	return []*edda.Service{bookable("flights"), bookable("hotels"), bookable("cars")}
}

// Places is how many places there are.
type Places struct {
	Places int `json:"places"`
}

// Booking is what was booked, for which saga.
type Booking struct {
	At     string `json:"at"`
	Places int    `json:"places"`
	For    string `json:"for"`
}

// places is the name under which a key keeps how many are left.
const places = "places"

func bookable(name string) *edda.Service {
	s := edda.NewOrdered(name)
	edda.Handle(s, "open", func(ctx *edda.Context, in Places) (Places, error) {
		return in, edda.Set(ctx, places, in.Places)
	})
	edda.Handle(s, "left", func(ctx *edda.Context, _ struct{}) (Places, error) {
		n, _, err := edda.Get[int](ctx, places)
		return Places{n}, err
	})
	saga.Handle(s, "book", func(ctx *saga.Context, n int) (Booking, error) {
		left, _, err := edda.Get[int](ctx.Context, places)
		if err != nil {
			return Booking{}, err
		}
		if n > left {
			return Booking{}, edda.Final("FULL", "%s/%s has %d places left, not %d", name, ctx.Key(), left, n)
		}
		return Booking{At: ctx.Key(), Places: n, For: ctx.SagaID()}, edda.Set(ctx.Context, places, left-n)
	})
	saga.Compensator(s, "cancel", func(ctx *saga.Context, b Booking) error {
		left, _, err := edda.Get[int](ctx.Context, places)
		if err != nil {
			return err
		}
		return edda.Set(ctx.Context, places, left+b.Places)
	})
	return s
}

// TripSaga returns a saga that books a flight, a hotel and a car at once. When one of
// them is full, what was booked is cancelled.
func TripSaga(flight, hotel, car string, persons int) *saga.Definition {
	def := saga.New("trip")
	def.AddStep("flight", "flights/"+flight, "book", persons).CompensateWith("flights/"+flight, "cancel")
	def.AddStep("hotel", "hotels/"+hotel, "book", persons).CompensateWith("hotels/"+hotel, "cancel")
	def.AddStep("car", "cars/"+car, "book", persons).CompensateWith("cars/"+car, "cancel")
	return def
}
