// Package examples holds five small services: what a first service looks like,
// and something to call while trying out a node. "edda dev --example" and
// "edda demo" host them.
//
//   - users: state of a key, and replies with a status of their own
//   - counter: typed methods; one key's requests never overlap
//   - echo: a balanced service, without keys and without state
//   - slow: a handler that takes its time and obeys cancellation
//   - flaky: errors, retries and dead letters
//
// The functions are safe for concurrent use; each returns a service of its own.
// Delivery is as for every service: a handler runs at least once, the state it
// changes and the reply it gives are kept exactly once.
package examples

import "github.com/edda-io/edda"

// Services returns all the example services.
func Services() []*edda.Service {
	return []*edda.Service{Users(), Counter(), Echo(), Slow(), Flaky()}
}
