package crashtest

import (
	"context"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// subject is what a crash test runs on nodes, and what has been told of it.
type subject interface {
	// host returns the services of a node that is to be opened, and the subject there.
	host() ([]*edda.Service, run)
	// now is the present moment: what was told before it must hold.
	now() int
	// rewind makes a moment the present: what came later did not happen, though it may
	// have left something behind.
	rewind(moment int)
	// contradictions are the answers that contradict each other, or did not come.
	contradictions() error
	fmt.Stringer
}

// run is a subject on one node.
type run interface {
	// work has callers do something, and returns when all of them have their answers, for
	// which they wait by the stopwatch.
	work(n *node.Node, w *stopwatch, seed uint64, callers, requests int)
	// check waits until nothing is left to do, and compares the node with what was told
	// before the crash.
	check(ctx context.Context, n *node.Node, k *crash) error
	// learn notes what the last check has found, which no crash from here on may change.
	learn()
}

// requests are the subject that consists of requests to services.
type requests struct {
	ledger *ledger
	found  *check
}

func (l *ledger) host() ([]*edda.Service, run) { return services(), &requests{ledger: l} }

func (l *ledger) String() string { return fmt.Sprintf("%d requests", len(l.entries)) }

func (r *requests) work(n *node.Node, w *stopwatch, seed uint64, callers, requests int) {
	l := workload{seed: seed, callers: callers, requests: requests, ledger: r.ledger, watch: w}
	l.run(n.Client())
}

func (r *requests) check(ctx context.Context, n *node.Node, k *crash) error {
	r.found = &check{node: n, entries: r.ledger.at(k.moment), weak: k.weak, unread: k.unread, watch: k.watch}
	return r.found.run(ctx)
}

func (r *requests) learn() { r.found.learn(r.ledger) }
