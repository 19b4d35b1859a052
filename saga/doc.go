// Package saga makes sagas in Go: steps that depend on each other, run in parallel where
// they can, and are undone in reverse order when one of them fails.
//
// A step is a request to a service. [Handle] adds a method that steps call to an
// [edda.Service], [Compensator] one that undoes them; their first argument and their
// result are typed. A [Definition] says which steps there are, what each depends on and
// how it is undone. A [Client] starts it, waits for it, and finishes steps that were
// left pending.
//
//	def := saga.New("hammer")
//	head := def.AddStep("head", "smithy", "forge-head", "iron").CompensateWith("smithy", "melt-head")
//	handle := def.AddStep("handle", "smithy", "carve-handle", "short")
//	def.AddStep("hammer", "smithy", "assemble").DependsOn(head, handle)
//	started, err := client.Start(ctx, def)
//
// Building a definition returns no errors: they are collected, and whoever is given the
// definition returns them all.
//
// Delivery: a saga is stored before Start returns, and comes to its end through crashes.
// What Edda keeps of it (results, who depends on what, state that handlers change)
// changes exactly once; a handler runs at least once, so what it does to the outside
// world it must be able to do again. A compensation runs after what it undoes, and at
// least once too.
//
// A Client is safe for concurrent use. A Definition is not while it is built; afterwards
// it may be started by many at once.
package saga
