// Package examples holds small services: what a first service looks like, and
// something to call while trying out a node. "edda dev --example" and "edda demo"
// host them.
//
//   - users: state of a key, and replies with a status of their own
//   - counter: typed methods; one key's requests never overlap
//   - echo: a balanced service, without keys and without state
//   - slow: a handler that takes its time and obeys cancellation
//   - flaky: errors, retries and dead letters
//   - smithy: steps of a saga, and a compensation
//   - flights, hotels, cars: steps that change the state of a key, and change it back
//
// HammerSaga, TripSaga and PDFSaga are sagas of such services.
//
// The functions are safe for concurrent use; each returns a service of its own.
// Delivery is as for every service: a handler runs at least once, the state it
// changes and the reply it gives are kept exactly once.
package examples

import (
	"slices"

	"github.com/edda-io/edda"
)

// Services returns the example services.
func Services() []*edda.Service {
	return slices.Concat([]*edda.Service{Users(), Counter(), Echo(), Slow(), Flaky(), Smithy()}, Trip())
}
