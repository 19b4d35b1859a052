package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/worker"
)

const (
	workerURL = "EDDA_CRASHTEST_URL"
	workerID  = "EDDA_CRASHTEST_WORKER"
)

// runWorker hosts the example services until it is asked to end.
func runWorker() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return worker.Options{ID: os.Getenv(workerID)}.Run(ctx, os.Getenv(workerURL), examples.Counter(), examples.Flaky())
}

// workerProcess is a worker as a process that ends in all ways.
type workerProcess struct {
	t   *testing.T
	id  string
	url string
	cmd *exec.Cmd
}

func (w *workerProcess) start() {
	w.t.Helper()
	w.cmd = helper(w.t, "worker", workerURL+"="+w.url, workerID+"="+w.id)
	w.cmd.Stderr = os.Stderr
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workerProcess) signal(s os.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil {
		w.t.Fatalf("signal worker %s: %v", w.id, err)
	}
}

// ended waits for the process, and fails the test unless it ended as it should.
func (w *workerProcess) ended(killed bool) {
	w.t.Helper()
	err := w.cmd.Wait()
	var exit *exec.ExitError
	if killed != errors.As(err, &exit) {
		w.t.Errorf("worker %s ended with %v", w.id, err)
	}
}

// farm is a node without services, which gets the flags, and workers that host them.
func farm(ctx context.Context, t *testing.T, workers int, flags ...string) (*process, []*workerProcess) {
	t.Helper()
	p := newProcess(t, "fsync")
	p.flags = flags
	if err := p.start(ctx); err != nil {
		t.Fatal(err)
	}
	all := make([]*workerProcess, workers)
	for i := range all {
		all[i] = &workerProcess{t: t, id: fmt.Sprintf("worker-%d", i), url: p.url}
		all[i].start()
	}
	return p, all
}

// waitForWorkers returns when that many workers are ready.
func waitForWorkers(ctx context.Context, t *testing.T, l *load, want int) {
	t.Helper()
	for {
		a, err := l.ask(ctx, "GET", "/v1/workers", "", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Items []struct{ State string } }
		if err := json.Unmarshal(a.body, &list); err != nil {
			t.Fatalf("list workers: %v: %v", a, err)
		}
		ready := 0
		for _, w := range list.Items {
			if w.State == "ready" {
				ready++
			}
		}
		if ready == want {
			return
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// One of three workers is killed or stopped for longer than its lifetime again and
// again: every request is answered, in order, and what it changes is changed once.
func TestKillWorkers(t *testing.T) {
	seed := newSeed(t)
	rng := newRand(seed, 0)
	ctx, cancel := killing(t)
	defer cancel()
	p, workers := farm(ctx, t, 3)
	load := &load{process: p, http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: killClients}}}
	defer load.http.CloseIdleConnections()
	waitForWorkers(ctx, t, load, 3)
	var clients []*killClient
	var wg sync.WaitGroup
	for i := range killClients {
		c := &killClient{load: load, id: i, rng: newRand(seed, uint64(i)+1), counts: map[string]int{}}
		clients = append(clients, c)
		wg.Go(func() { c.err = c.run(ctx) })
	}
	kills, stops := 0, 0
	for i := range either(2, 60) {
		w := workers[rng.IntN(len(workers))]
		if i%4 == 3 {
			stops++
			w.signal(syscall.SIGSTOP)
			pause(ctx, 4*time.Second) // longer than its lifetime
			w.signal(syscall.SIGCONT)
			continue
		}
		kills++
		pause(ctx, time.Duration(rng.IntN(1000))*time.Millisecond)
		w.signal(syscall.SIGKILL)
		w.ended(true)
		w.start()
	}
	load.over.Store(true)
	wg.Wait()
	lost, doubled, broken := 0, 0, 0
	for _, c := range clients {
		if c.err != nil {
			t.Errorf("client %d: %v", c.id, c.err)
		}
		broken += c.broken
		l, d, err := c.compare(ctx)
		if err != nil {
			t.Errorf("client %d: %v", c.id, err)
		}
		lost, doubled = lost+l, doubled+d
	}
	t.Logf("SUMMARY workers killed %d times and stopped %d times: %d adds acknowledged (%d asynchronous, %d delayed), %d flaky ended (%d dead), "+
		"%d calls repeated; lost %d, doubled %d, order broken %d",
		kills, stops, load.adds.Load(), load.async.Load(), load.delayed.Load(), load.flaky.Load(), load.dead.Load(), load.repeated.Load(), lost, doubled, broken)
	if lost+doubled+broken > 0 {
		t.Error("the state is not what was acknowledged")
	}
	waitForWorkers(ctx, t, load, len(workers)) // one that has only just begun would die of the signal
	for _, w := range workers {
		w.signal(syscall.SIGTERM)
		w.ended(false)
	}
	if err := p.kill(); err != nil {
		t.Error(err)
	}
}

// Workers are restarted one after the other, each told to end first: nobody
// notices, and nothing is tried twice.
func TestRollingRestartOfWorkers(t *testing.T) {
	ctx, cancel := killing(t)
	defer cancel()
	// A machine that stands still for seconds is not what is tested here.
	p, workers := farm(ctx, t, 3, "--workers-lifetime", "1m")
	load := &load{process: p, http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: killClients}}}
	defer load.http.CloseIdleConnections()
	waitForWorkers(ctx, t, load, 3)
	var wg sync.WaitGroup
	var calls atomic.Int64
	for i := range killClients {
		wg.Go(func() {
			for n := 1; !load.over.Load(); n++ {
				a, err := load.once(ctx, "POST", fmt.Sprintf("%s/v1/call/counter/r%d/add", p.url, i), `{"n":1}`, http.Header{"Content-Type": {"application/json"}})
				if err != nil || string(a.body) != fmt.Sprintf(`{"value":%d}`, n) || a.header.Get("Edda-Attempts") != "1" {
					t.Errorf("client %d, call %d: %v, %v; want the value after one attempt", i, n, a, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	for range either(1, 4) {
		for _, w := range workers {
			w.signal(syscall.SIGTERM)
			w.ended(false)
			w.start()
			waitForWorkers(ctx, t, load, 3)
		}
	}
	load.over.Store(true)
	wg.Wait()
	t.Logf("SUMMARY rolling restart of 3 workers: %d calls, each answered after one attempt", calls.Load())
	if err := p.kill(); err != nil {
		t.Error(err)
	}
}
