package crashtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// TestCrashChangesNothing runs the same random script on the log in memory and on
// the one in files, which is restarted, cleanly or by a loss of power, at random
// moments. All answers, the state of all accounts, all requests and all dead
// letters are the same in the end.
func TestCrashChangesNothing(t *testing.T) {
	seed := newSeed(t)
	for i := range either(uint64(4), 80) {
		seed := seed + i
		memory := &scriptRun{t: t, options: node.Options{Durability: edda.Memory, Partitions: 4, Services: services()}}
		memory.play(seed)
		disk := newDisk(t)
		files := &scriptRun{t: t, options: small(disk, edda.Fsync), disk: disk}
		files.play(seed)
		if diff := cmp.Diff(memory.transcript, files.transcript); diff != "" {
			t.Fatalf("seed %d: memory (-) and files (+) differ:\n%s", seed, diff)
		}
	}
}

// scriptRun plays a script on one node, one request after the other.
type scriptRun struct {
	t          *testing.T
	options    node.Options
	disk       *vfs.MemFS // nil: the node cannot be restarted
	node       *node.Node
	ledger     ledger
	transcript []string
}

func (r *scriptRun) notef(format string, args ...any) {
	r.transcript = append(r.transcript, fmt.Sprintf(format, args...))
}

func (r *scriptRun) play(seed uint64) {
	r.t.Helper()
	r.node = mustOpen(r.t, r.options)
	script := caller{rng: newRand(seed, 0)}
	restarts := newRand(seed, 1)
	for range 60 {
		e := script.random()
		e.task.HoldMicros = 0
		r.ledger.submit(e)
		cancel := script.rng.IntN(6) == 0
		r.step(e, cancel)
		r.ledger.over(e)
		if restarts.IntN(8) == 0 && r.disk != nil {
			r.restart(restarts.IntN(3))
		}
	}
	r.sum()
	if err := stopped(r.t, r.node); err != nil {
		r.t.Error(err)
	}
}

// step sends one request, waits for it and everything it brings about, and writes
// down the answers.
func (r *scriptRun) step(e *entry, cancel bool) {
	r.t.Helper()
	ctx, stop := context.WithTimeout(r.t.Context(), callBound)
	defer stop()
	c := r.node.Client()
	var reply *edda.Reply
	var err error
	if e.far {
		a, err := c.Send(ctx, e.message())
		r.ledger.sent(e, a, err)
		if err == nil && cancel {
			v, err := c.Cancel(ctx, a.ID)
			if err != nil {
				r.t.Fatal(err)
			}
			r.ledger.seen(e, v)
			r.notef("%s: %s", e.task.Name, v.State)
		}
		return
	}
	if e.sent {
		a, failed := c.Send(ctx, e.message())
		if failed != nil {
			r.t.Fatal(failed)
		}
		reply, err = c.Wait(ctx, a.ID)
	} else {
		reply, err = c.Call(ctx, e.message())
	}
	r.ledger.replied(e, reply, err)
	if err == nil {
		r.notef("%s: %s after %d attempts", e.task.Name, reply.Payload, reply.Attempts)
	} else {
		r.notef("%s: %s", e.task.Name, edda.ReasonOf(err))
	}
	if len(e.task.To) == 0 {
		return
	}
	check := check{node: r.node, entries: r.ledger.at(r.ledger.now()), states: map[string]edda.State{}}
	// What is sent on meets at its accounts in an order that time alone decides.
	if err := check.arrive(ctx); err != nil {
		r.t.Fatal(err)
	}
}

// restart opens the node anew: after a stop, or after a loss of power.
func (r *scriptRun) restart(how int) {
	r.t.Helper()
	if how > 0 {
		power := r.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * (how - 1), RNG: newRand(1, 1)})
		r.disk, r.options.FS = power, power
	}
	if err := stopped(r.t, r.node); err != nil {
		r.t.Fatal(err)
	}
	r.node = mustOpen(r.t, r.options)
}

// sum writes down what the node knows in the end.
func (r *scriptRun) sum() {
	r.t.Helper()
	ctx := r.t.Context()
	c := check{node: r.node, entries: r.ledger.at(r.ledger.now()), states: map[string]edda.State{}}
	if err := c.look(ctx); err != nil {
		r.t.Fatal(err)
	}
	for _, k := range slices.Sorted(maps.Keys(c.accounts)) {
		r.notef("account %s: %v", k, c.accounts[k])
	}
	for _, name := range slices.Sorted(maps.Keys(c.states)) {
		r.notef("request %s: %s", name, c.states[name])
	}
	open, _, err := r.node.Requests(ctx, node.RequestFilter{}, node.Page{Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	r.notef("%d requests have not ended", len(open))
	letters, _, err := r.node.DeadLetters(ctx, node.DeadLetterFilter{}, node.Page{Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for _, d := range letters {
		lines = append(lines, fmt.Sprintf("dead: %s/%s %s %s after %d: %s", d.Service, d.Key, d.Payload, d.Reason, d.Attempts, d.Detail))
	}
	slices.Sort(lines)
	r.transcript = append(r.transcript, lines...)
}
