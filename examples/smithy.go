package examples

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/saga"
)

type (
	// Head is what forge-head makes.
	Head struct {
		HeadID string `json:"headId"`
		Kind   string `json:"kind"`
	}
	// Handle is what carve-handle makes.
	Handle struct {
		HandleID string `json:"handleId"`
		Size     string `json:"size"`
	}
	// Hammer is what assemble makes of both.
	Hammer struct {
		HammerID string `json:"hammerId"`
		Head     Head   `json:"head"`
		Handle   Handle `json:"handle"`
	}
)

// Smithy returns a balanced service whose methods are steps of sagas:
//
//	forge-head    args [kind]                      a Head
//	carve-handle  args [size]                      a Handle
//	assemble      after a head and a handle        a Hammer
//	melt-head     compensates forge-head           args [why]
//	broken                                         fails at once, for good
//
// What they make is named after the saga, so that a step which is tried again makes
// the same thing again.
func Smithy() *edda.Service {
	s := edda.NewBalanced("smithy")
	saga.Handle(s, "forge-head", func(ctx *saga.Context, kind string) (Head, error) {
		return Head{HeadID: "head-" + ctx.SagaID(), Kind: kind}, nil
	})
	saga.Handle(s, "carve-handle", func(ctx *saga.Context, size string) (Handle, error) {
		return Handle{HandleID: "handle-" + ctx.SagaID(), Size: size}, nil
	})
	saga.Handle(s, "assemble", func(ctx *saga.Context, _ saga.None) (Hammer, error) {
		h := Hammer{HammerID: "hammer-" + ctx.SagaID()}
		err := ctx.Dependencies(&h.Head, &h.Handle)
		return h, err
	})
	saga.Compensator(s, "melt-head", func(ctx *saga.Context, head Head) error {
		_, err := saga.Arg[string](ctx, 0) // a real smithy writes down why
		return err
	})
	saga.Handle(s, "broken", func(*saga.Context, saga.None) (saga.None, error) {
		return saga.None{}, edda.Final("COLD", "the fire is out")
	})
	return s
}

// HammerSaga returns a saga of the smithy: a head and a handle, which are made at the
// same time, and then a hammer. Last is the method that makes it: "assemble", or
// "broken" for a saga that is undone.
func HammerSaga(last string) *saga.Definition {
	def := saga.New("hammer")
	head := def.AddStep("head", "smithy", "forge-head", "ThunderBestowed").
		CompensateWith("smithy", "melt-head", "anExampleArg")
	handle := def.AddStep("handle", "smithy", "carve-handle", "short")
	def.AddStep("hammer", "smithy", last).DependsOn(head, handle)
	return def
}
