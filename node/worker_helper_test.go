package node_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// farWorker is a worker elsewhere, as a test plays it. Attempts wait until the test
// ends them, unless it says what is done with them.
type farWorker struct {
	*node.Worker

	mu      sync.Mutex // guards what follows
	handle  func(a *node.Attempt)
	started []*node.Attempt
	fenced  []uint64
	members []string
	drained []string
}

func (w *farWorker) Start(a *node.Attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started = append(w.started, a)
	if w.handle != nil {
		go w.handle(a)
	}
}

func (w *farWorker) Fenced(a *node.Attempt, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fenced = append(w.fenced, a.ID())
}

func (w *farWorker) Members(_ edda.Address, ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members = ids
}

func (w *farWorker) Drain(reason string, _ bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drained = append(w.drained, reason)
}

// got returns how many attempts the worker was given, once all has settled.
func (w *farWorker) got() int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.started)
}

// attempt returns the i-th attempt that the worker was given.
func (w *farWorker) attempt(t *testing.T, i int) *node.Attempt {
	t.Helper()
	if n := w.got(); i >= n {
		t.Fatalf("worker %s was given %d attempts, want more than %d", w.ID(), n, i)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.started[i]
}

// wasFenced reports whether the worker was told that the attempt is over.
func (w *farWorker) wasFenced(a *node.Attempt) bool {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.fenced, a.ID())
}

// answer answers all that the worker was given, and what it is given then.
func (w *farWorker) answer(t *testing.T) {
	t.Helper()
	for i := 0; ; i++ {
		if i == w.got() {
			return
		}
		answerAll(w.attempt(t, i))
	}
}

// told returns who the worker was last told shares its keys.
func (w *farWorker) told() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.members
}

// spec is a worker for services; an empty id is made by the node.
func spec(id string, services ...edda.ServiceSpec) node.WorkerSpec {
	return node.WorkerSpec{ID: id, Transport: "test", Services: services}
}

func orderedSpec(name string) edda.ServiceSpec {
	return edda.ServiceSpec{Name: name, Kind: edda.Ordered, Retry: everySecond}
}

func balancedSpec(name string) edda.ServiceSpec {
	return edda.ServiceSpec{Name: name, Kind: edda.Balanced, Retry: everySecond}
}

// attach attaches a worker that is detached when the test ends.
func attach(t *testing.T, n *node.Node, s node.WorkerSpec, handle func(*node.Attempt)) *farWorker {
	t.Helper()
	w := &farWorker{handle: handle}
	got, err := n.Attach(t.Context(), s, w)
	if err != nil {
		t.Fatalf("attach worker: %v", err)
	}
	w.Worker = got
	t.Cleanup(got.Detach)
	return w
}

// reply is an outcome.
func reply(payload string) *edda.Outcome {
	return &edda.Outcome{Reply: &edda.Reply{Payload: []byte(payload)}}
}

// done ends an attempt that has to be taken.
func done(t *testing.T, a *node.Attempt, out *edda.Outcome) {
	t.Helper()
	if err := a.Done(out); err != nil {
		t.Fatalf("end attempt: %v", err)
	}
}

// answerAll takes and answers everything at once.
func answerAll(a *node.Attempt) {
	a.Taken()
	_ = a.Done(reply(string(a.Dispatch().Message.Payload)))
}

func (w *farWorker) info(t *testing.T, n *node.Node) *edda.WorkerInfo {
	t.Helper()
	synctest.Wait()
	i, err := n.Worker(w.ID())
	if err != nil {
		t.Fatalf("look up worker: %v", err)
	}
	return i
}
