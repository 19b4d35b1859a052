package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker"
)

// remoteNode is a node without services of its own, the port that workers connect
// to, and a process that hosts the echo service.
type remoteNode struct {
	node   *node.Node
	port   *server
	child  *process
	remove func()
}

// openRemoteNode starts a node, and a process with that many workers.
func openRemoteNode(ctx context.Context, e *env, role string, workers int) (_ *remoteNode, err error) {
	if e.Child == nil {
		return nil, errNoChild
	}
	r := &remoteNode{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	var dir string
	if dir, r.remove, err = e.subdir(); err != nil {
		return nil, err
	}
	if r.node, err = node.Open(ctx, node.Options{Dir: dir, Durability: e.Durability}); err != nil {
		return nil, err
	}
	if r.port, err = serveNode(r.node, nil); err != nil {
		return nil, err
	}
	if r.child, err = e.launch(ctx, role, "", "-connect="+r.port.addr, "-workers="+strconv.Itoa(workers)); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *remoteNode) close() error {
	if r.child != nil {
		r.child.kill()
	}
	var err error
	if r.node != nil {
		err = stopNode(r.node)
	}
	if r.port != nil {
		err = errors.Join(err, r.port.stop())
	}
	if r.remove != nil {
		r.remove()
	}
	return err
}

// openWorkers readies a row whose calls are handled by that many workers in
// another process.
func openWorkers(workers int) opener {
	return func(ctx context.Context, e *env, _ int) (*driver, error) {
		r, err := openRemoteNode(ctx, e, roleWork, workers)
		if err != nil {
			return nil, err
		}
		body, keys := payload(), allKeys()
		return &driver{
			op: func(ctx context.Context, caller int) error {
				return call(ctx, r.node, keys[rand.IntN(len(keys))], "", body)
			},
			close: r.close,
		}, nil
	}
}

// workerChild hosts the services of the benchmark until ctx ends. It says so once
// all workers are connected.
func workerChild(ctx context.Context, stdout io.Writer, url string, first, workers int, service func(worker string) *edda.Service) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	connected := make(chan struct{}, workers)
	var wg sync.WaitGroup
	for i := range workers {
		var once sync.Once
		o := worker.Options{
			ID: fmt.Sprintf("bench-%d", first+i), OnConnect: func(string) { once.Do(func() { connected <- struct{}{} }) },
		}
		wg.Go(func() { cancel(o.Run(ctx, url, service(o.ID))) })
	}
	for range workers {
		select {
		case <-connected:
		case <-ctx.Done():
			wg.Wait()
			return context.Cause(ctx)
		}
	}
	_, err := fmt.Fprintln(stdout, saidConnected)
	wg.Wait()
	return err
}

// remoteLatency measures an unloaded call to a worker elsewhere: what it takes
// longer than one in this process, as a ratio to an empty echo over the same
// transport.
func remoteLatency(ctx context.Context, e *env, _ *spec) (r Result, err error) {
	open := func(o opener) (d *driver) {
		if err == nil {
			d, err = o(ctx, e, 1)
		}
		return d
	}
	remote, local, echo := open(openWorkers(1)), open(openCall), open(openRPCFloor)
	defer func() {
		for _, d := range []*driver{remote, local, echo} {
			if d != nil {
				err = errors.Join(err, d.close())
			}
		}
	}()
	if err != nil {
		return r, err
	}
	var far, near, echoes series
	if err := takeTurns(ctx, e, turn{1, remote, &far}, turn{1, local, &near}); err != nil {
		return r, err
	}
	if err := takeTurns(ctx, e, turn{1, echo, &echoes}, turn{}); err != nil {
		return r, err
	}
	far.fill(&r)
	r.FloorName, r.Floor, r.Compares = "rpc-floor", echoes.p50(), "p50Micros above call's"
	r.Ratio = quotient(far.p50()-near.p50(), r.Floor)
	return r, nil
}

const (
	jobs       = 30
	jobSeconds = 1
)

// measureJobs measures how long 30 jobs of a second take on 3 workers with 10 slots
// each.
func measureJobs(ctx context.Context, e *env, _ *spec) (r Result, err error) {
	n, err := openRemoteNode(ctx, e, roleJobs, 3)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	var took series
	begin := time.Now()
	err = times(jobs, jobs, func(int) error {
		begin := time.Now()
		m := newMessage("", nil)
		m.To.Name = jobName
		_, err := n.node.Call(ctx, m)
		took.hist.add(0, time.Since(begin))
		return err
	})
	r.Value = time.Since(begin).Seconds()
	r.P50Micros, r.P99Micros = took.hist.quantile(0.5), took.hist.quantile(0.99)
	return r, err
}

// measureJoin measures which part of the keys moves when an eleventh worker joins
// ten under load, and by how much the others' requests become slower: the floor is
// the p99 before, the ratio the p99 after by that.
func measureJoin(ctx context.Context, e *env, s *spec) (r Result, err error) {
	n, err := openRemoteNode(ctx, e, roleWork, 10)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	keys, body := allKeys()[:min(joinKeys, e.Completed)], payload()
	before, err := n.places(ctx, keys, body)
	if err != nil {
		return r, err
	}
	d := &driver{op: func(ctx context.Context, _ int) error { return call(ctx, n.node, keys[rand.IntN(len(keys))], "", body) }}
	var calm, joined series
	if err := (turn{s.inFlight, d, &calm}).run(ctx, e.Duration/2); err != nil {
		return r, err
	}
	var eleventh *process
	launched := make(chan error, 1)
	go func() { // ends with launch, which its channel waits for
		var err error
		eleventh, err = e.launch(ctx, roleWork, "", "-connect="+n.port.addr, "-first=10", "-workers=1")
		launched <- err
	}()
	err = (turn{s.inFlight, d, &joined}).run(ctx, e.Duration/2)
	if err = errors.Join(err, <-launched); err != nil {
		return r, err
	}
	defer eleventh.kill()
	after, err := n.places(ctx, keys, body)
	if err != nil {
		return r, err
	}
	moved := 0
	for key, at := range after {
		switch at {
		case before[key]:
		case "bench-10":
			moved++
		default:
			return r, fmt.Errorf("key %s moved from %s to %s, which was there before", key, before[key], at)
		}
	}
	joined.fill(&r)
	r.Value = float64(moved) / float64(len(keys))
	r.FloorName, r.Floor, r.Compares = "the same before", calm.hist.quantile(0.99), "p99Micros"
	r.Ratio = quotient(r.P99Micros, r.Floor)
	return r, nil
}

// joinKeys is how many keys the row join looks at, at most.
const joinKeys = 5000

// places asks where each key is handled.
func (r *remoteNode) places(ctx context.Context, keys []string, body []byte) (map[string]string, error) {
	var mu sync.Mutex
	at := make(map[string]string, len(keys))
	err := times(len(keys), 64, func(i int) error {
		reply, err := r.node.Call(ctx, newMessage(keys[i], body))
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		at[keys[i]] = reply.Headers.Get(workerHeader)
		return nil
	})
	return at, err
}

// workerHeader names the worker in replies.
const workerHeader = "Worker"

// workerService is the echo, with the worker's name.
func workerService(name string) *edda.Service {
	s := edda.NewOrdered(serviceName)
	s.Add(edda.Method{Name: methodName, Handler: func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{
			Status: 200, ContentType: m.ContentType, Payload: m.Payload, Headers: edda.Headers{{Name: workerHeader, Value: name}},
		}, nil
	}})
	return s
}

// jobName is a service whose handlers take a second.
const jobName = "bench-job"

func jobService(string) *edda.Service {
	s := edda.NewBalanced(jobName)
	s.Concurrency = jobs / 3
	s.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		select {
		case <-time.After(jobSeconds * time.Second):
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return s
}

// idleWorkers is how many workers the row of that name connects.
const idleWorkers = 2000

// measureIdleWorkers measures the memory of a node with many idle workers. Its
// value is how long they took to connect.
func measureIdleWorkers(ctx context.Context, e *env, s *spec) (r Result, err error) {
	if e.Child == nil {
		return r, errNoChild
	}
	dir, remove, err := e.subdir()
	if err != nil {
		return r, err
	}
	defer remove()
	p, err := e.launch(ctx, roleServe, dir)
	if err != nil {
		return r, err
	}
	defer p.kill()
	begin := time.Now()
	w, err := e.launch(ctx, roleWork, "", "-connect="+p.said, "-workers="+strconv.Itoa(min(s.inFlight, e.Pending)))
	if err != nil {
		return r, err
	}
	defer w.kill()
	took := time.Since(begin)
	sleep(ctx, min(2*settle, e.Duration))
	r.ResidentBytes, r.PeakBytes, err = residentBytes(p.cmd.Process.Pid)
	r.Value, r.P50Micros, r.P99Micros = took.Seconds(), float64(took.Microseconds()), float64(took.Microseconds())
	return r, err
}
