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
	if r.port, err = serveNode(r.node); err != nil {
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
func workerChild(ctx context.Context, stdout io.Writer, url string, workers int, services func() []*edda.Service) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	connected := make(chan struct{}, workers)
	var wg sync.WaitGroup
	for i := range workers {
		var once sync.Once
		o := worker.Options{
			ID: fmt.Sprintf("bench-%d", i), OnConnect: func(string) { once.Do(func() { connected <- struct{}{} }) },
		}
		wg.Go(func() { cancel(o.Run(ctx, url, services()...)) })
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

// jobName is a service whose handlers take a second.
const jobName = "bench-job"

func jobService() *edda.Service {
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
	w, err := e.launch(ctx, roleWork, "", "-connect="+p.said, "-workers="+strconv.Itoa(s.inFlight))
	if err != nil {
		return r, err
	}
	defer w.kill()
	took := time.Since(begin)
	sleep(ctx, 2*settle)
	r.ResidentBytes, r.PeakBytes, err = residentBytes(p.cmd.Process.Pid)
	r.Value, r.P50Micros, r.P99Micros = took.Seconds(), float64(took.Microseconds()), float64(took.Microseconds())
	return r, err
}
