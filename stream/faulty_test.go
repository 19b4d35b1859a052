package stream_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddatest"
	"github.com/edda-io/edda/stream"
)

// faulty is a node whose calls fail when they are told to, as if the way to it were
// broken.
type faulty struct {
	*eddatest.Node
	stream.Backend

	mu     sync.Mutex // guards what follows
	fail   func(op string) error
	broken chan struct{} // closed when fail changes: what waits has its connection broken
	calls  map[string]int
}

// start starts a node that hosts the services, until the test ends.
func start(t *testing.T, services ...*edda.Service) *faulty {
	t.Helper()
	n := eddatest.Start(t, services...)
	return &faulty{Node: n, Backend: n.Node, broken: make(chan struct{}), calls: map[string]int{}}
}

// failWith says what calls fail with from now on; nil: they do not.
func (f *faulty) failWith(fail func(op string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
	close(f.broken)
	f.broken = make(chan struct{})
}

func (f *faulty) called(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// begin begins a call.
func (f *faulty) begin(op string) (broken <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	if f.fail != nil {
		err = f.fail(op)
	}
	return f.broken, err
}

// long makes a call that may wait, until it has an answer or fails.
func long[T any](ctx context.Context, f *faulty, op string, call func(context.Context) (*T, error)) (*T, error) {
	for {
		broken, err := f.begin(op)
		if err != nil {
			return nil, err
		}
		v, err := unless(ctx, broken, call)
		select {
		case <-broken: // whatever it has said, nobody heard it
		default:
			return v, err
		}
	}
}

// unless makes a call with a context that ends when the connection breaks.
func unless[T any](ctx context.Context, broken <-chan struct{}, call func(context.Context) (*T, error)) (*T, error) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-broken:
			cancel()
		case <-ctx.Done():
		}
	})
	return call(ctx)
}

func (f *faulty) ReadStream(ctx context.Context, r edda.Read) (*edda.StreamPage, error) {
	return long(ctx, f, "ReadStream", func(ctx context.Context) (*edda.StreamPage, error) { return f.Backend.ReadStream(ctx, r) })
}

func (f *faulty) AwaitMessage(ctx context.Context, ns, name, id string, wait time.Duration) (*edda.StreamMessage, error) {
	return long(ctx, f, "AwaitMessage", func(ctx context.Context) (*edda.StreamMessage, error) {
		return f.Backend.AwaitMessage(ctx, ns, name, id, wait)
	})
}

func (f *faulty) Append(ctx context.Context, a *edda.Append) (*edda.AppendAck, error) {
	if _, err := f.begin("Append"); err != nil {
		return nil, err
	}
	return f.Backend.Append(ctx, a)
}

func (f *faulty) Stream(ctx context.Context, ns, name string) (*edda.Stream, error) {
	if _, err := f.begin("Stream"); err != nil {
		return nil, err
	}
	return f.Backend.Stream(ctx, ns, name)
}

func (f *faulty) SetGroup(ctx context.Context, g edda.GroupSpec) (*edda.Group, bool, error) {
	if _, err := f.begin("SetGroup"); err != nil {
		return nil, false, err
	}
	return f.Backend.SetGroup(ctx, g)
}

func (f *faulty) Group(ctx context.Context, g edda.GroupRef) (*edda.Group, error) {
	if _, err := f.begin("Group"); err != nil {
		return nil, err
	}
	return f.Backend.Group(ctx, g)
}

func (f *faulty) ResetGroup(ctx context.Context, g edda.GroupRef, shard string, to edda.From) (*edda.Group, error) {
	if _, err := f.begin("ResetGroup"); err != nil {
		return nil, err
	}
	return f.Backend.ResetGroup(ctx, g, shard, to)
}
