package crashtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/sqlitedb"
)

// TestKillCommands kills a process with an app again and again, or stops it in a hurry, while it runs commands that
// make calls to a third party: one that has the node in it too, and one whose node is another
// process, which stays. In the end each command is committed, with all of its calls, or
// is not stored, and each of its calls that was made is undone, the later one first.
func TestKillCommands(t *testing.T) {
	t.Run("node and app", func(t *testing.T) { killCommands(t, either(2, 30), false) })
	t.Run("app alone", func(t *testing.T) { killCommands(t, either(1, 30), true) })
}

const commandClients = 8

func killCommands(t *testing.T, kills int, elsewhere bool) {
	t.Helper()
	seed := newSeed(t)
	rng := newRand(seed, 0)
	ctx, cancel := killing(t)
	defer cancel()
	third := newThirdParty(t, seed)
	p := &appProcess{t: t, dir: t.TempDir(), ledger: third.url}
	if elsewhere {
		n := newProcess(t, "fsync")
		n.flags = nil
		if err := n.start(ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.kill(); err != nil {
				t.Error(err)
			}
		})
		p.node = n.url
	}
	p.start()
	stop := make(chan struct{})
	clients := make([]*commandClient, commandClients)
	var wg sync.WaitGroup
	for i := range clients {
		clients[i] = &commandClient{p: p, rng: newRand(seed, uint64(i)+1), ended: map[edda.ID]edda.Reason{}}
		wg.Go(func() { clients[i].err = clients[i].run(ctx, stop) })
	}
	for range kills {
		pause(ctx, time.Duration(50+rng.IntN(250))*time.Millisecond)
		p.end(rng.IntN(3) > 0)
		p.start()
	}
	close(stop)
	wg.Wait()
	p.settle(ctx)
	relayed := p.relayed(ctx)
	p.end(true)
	checkCommands(t, p, third, clients)
	// The events of what was committed are on the stream, once and in the order of the
	// table, and no others.
	if _, _, _, inOrder := p.read(); !slices.Equal(relayed, inOrder) {
		t.Errorf("the stream has %d events, the table %d, or in another order", len(relayed), len(inOrder))
	}
}

// checkCommands compares what clients were told, what the database has, and what the third
// party heard.
func checkCommands(t *testing.T, p *appProcess, third *thirdParty, clients []*commandClient) {
	t.Helper()
	stored, events, rows, _ := p.read()
	told := map[edda.ID]edda.Reason{}
	for i, c := range clients {
		if c.err != nil {
			t.Errorf("client %d: %v", i, c.err)
		}
		maps.Copy(told, c.ended)
	}
	tally := map[edda.Reason]int{}
	for id, reason := range told {
		tally[reason]++
		committed := stored[id.String()] != ""
		if reason == "" != committed && reason != edda.OutcomeUnknown && reason != left {
			t.Errorf("command %s: the client was told %q, and it is committed: %v", id, reason, committed)
		}
	}
	runs := third.runs()
	undone, again := 0, 0
	for saga, entries := range runs {
		id, run, _ := strings.Cut(saga, ".")
		if run != "1" {
			again++
		}
		if stored[id] == run {
			if err := checkKept(entries, "reserve", "charge"); err != nil {
				t.Errorf("run %s: %v", saga, err)
			}
			continue
		}
		undone++
		if err := checkUndone(entries); err != nil {
			t.Errorf("run %s: %v", saga, err)
		}
	}
	for id, run := range stored {
		if runs[id+"."+run] == nil {
			t.Errorf("command %s was committed by run %s without any call", id, run)
		}
		if events[id] != 1 || rows[id] != 1 {
			t.Errorf("command %s was committed, with %d events and %d rows", id, events[id], rows[id])
		}
	}
	if len(events) != len(stored) || len(rows) != len(stored) {
		t.Errorf("%d commands were committed, %d have events and %d rows", len(stored), len(events), len(rows))
	}
	t.Logf("SUMMARY kill -9 with commands: %d ends, %d commands, %d committed, %d runs undone, %d runs not the first; clients were told %v",
		p.ends, len(told), len(stored), undone, again, tally)
}

// left is what a client notes of a command that it asks no more about.
const left edda.Reason = "LEFT"

// commandClient has commands run, one after the other. What has no answer because the
// process was killed it repeats, mostly.
type commandClient struct {
	p     *appProcess
	rng   *rand.Rand
	ended map[edda.ID]edda.Reason
	err   error
}

var commandKinds = []string{"good", "good", "good", "good", "refused charge", "refused after", "refused in the transaction", "impatient"}

func (c *commandClient) run(ctx context.Context, stop chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		o := order{ID: edda.NewID(c.rng.Uint64(), time.Now()), Kind: commandKinds[c.rng.IntN(len(commandKinds))]}
		if o.Kind == "impatient" {
			o.Wait = time.Duration(1+c.rng.IntN(15)) * time.Millisecond
		}
		for first := true; ; first = false {
			r, err := c.p.ask(ctx, o)
			if err != nil {
				return err
			}
			if r != nil {
				c.ended[o.ID] = r.Reason
				if (r.Reason == edda.Timeout || r.Reason == edda.Cancelled) && !first { // it says nothing of what went on since the kill
					c.ended[o.ID] = left
				}
				if r.Reason == edda.WorkerLost || r.Reason == edda.Unavailable { // it may be repeated
					continue
				}
				break
			}
			c.ended[o.ID] = left
			if c.rng.IntN(4) == 0 {
				break
			}
		}
	}
}

// appProcess is a process with an app, which is killed and started again.
type appProcess struct {
	t                 *testing.T
	dir, ledger, node string
	ends              int

	mu      sync.Mutex // guards what follows
	cmd     *exec.Cmd
	in      io.WriteCloser
	up      chan struct{} // closed while it is up
	waiting *listeners
}

// listeners wait for what one life of the process says. The process's lock guards them.
type listeners struct {
	by   map[edda.ID][]chan result // closed when it is killed
	over bool                      // it was
}

// start starts the process, and returns once it takes commands.
func (p *appProcess) start() {
	p.t.Helper()
	cmd := helper(p.t, "cqrs", cqrsDir+"="+p.dir, cqrsLedger+"="+p.ledger, cqrsNode+"="+p.node)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		p.t.Fatalf("the process with the app did not start: %v", cmd.Wait())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.in, p.waiting = cmd, in, &listeners{by: map[edda.ID][]chan result{}}
	if p.up == nil {
		p.up = make(chan struct{})
	}
	close(p.up)
	go p.hear(lines, p.waiting) // until the process is killed
}

// hear hands on what the process says.
func (p *appProcess) hear(lines *bufio.Scanner, waiting *listeners) {
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			break // killed in the middle of a line
		}
		p.mu.Lock()
		all := waiting.by[r.ID]
		delete(waiting.by, r.ID)
		p.mu.Unlock()
		for _, c := range all {
			c <- r
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting.over = true
	for _, all := range waiting.by {
		for _, c := range all {
			close(c)
		}
	}
}

// end ends the process: without any warning, or by asking it to.
func (p *appProcess) end(kill bool) {
	p.t.Helper()
	p.mu.Lock()
	cmd := p.cmd
	p.up = make(chan struct{})
	p.mu.Unlock()
	p.ends++
	by := os.Signal(syscall.SIGTERM)
	if kill {
		by = os.Kill
	}
	if err := cmd.Process.Signal(by); err != nil {
		p.t.Fatal(err)
	}
	err := cmd.Wait()
	if exit, failed := errors.AsType[*exec.ExitError](err); failed != kill || failed && exit.Exited() {
		p.t.Fatalf("the process with the app got the signal %q, and ended with %v", by, err)
	}
}

// ask has the process do something, and returns its result; nil when it was killed first.
func (p *appProcess) ask(ctx context.Context, o order) (*result, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	up := p.up
	p.mu.Unlock()
	select {
	case <-up:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c := make(chan result, 1)
	p.mu.Lock()
	in, l := p.in, p.waiting
	if l.over {
		p.mu.Unlock()
		return nil, nil
	}
	l.by[o.ID] = append(l.by[o.ID], c)
	p.mu.Unlock()
	_, _ = in.Write(append(line, '\n')) // when that fails it was killed, which closes c
	select {
	case r, ok := <-c:
		if !ok {
			return nil, nil
		}
		return &r, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("command %s, %s, has no answer: %w", o.ID, o.Kind, context.Cause(ctx))
	}
}

// settle waits until all sagas have ended.
func (p *appProcess) settle(ctx context.Context) {
	p.t.Helper()
	for {
		r, err := p.ask(ctx, order{})
		if err != nil {
			p.t.Fatal(err)
		}
		if r != nil && r.Text == "" {
			return
		}
		if ctx.Err() != nil {
			p.t.Fatalf("not all sagas end: %+v", r)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// relayed returns the commands whose events are on the stream, once all are.
func (p *appProcess) relayed(ctx context.Context) []string {
	p.t.Helper()
	for {
		r, err := p.ask(ctx, order{Kind: "events"})
		if err != nil {
			p.t.Fatal(err)
		}
		all := strings.Fields(r.Text)
		if _, events, _, _ := p.read(); len(all) >= len(events) {
			return all
		}
		if ctx.Err() != nil {
			p.t.Fatalf("the relay does not get to its end: %s", r.Text)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// read returns what the database has: the runs of commands that were committed, how many
// events and rows each has, and the commands of all events in their order.
func (p *appProcess) read() (stored map[string]string, events, rows map[string]int, inOrder []string) {
	p.t.Helper()
	db, err := sqlitedb.Open(filepath.Join(p.dir, "app.db"), sqlitedb.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			p.t.Error(err)
		}
	}()
	pairs := func(query string) (all [][2]string) {
		r, err := db.SQL().QueryContext(p.t.Context(), query)
		if err != nil {
			p.t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		for r.Next() {
			var pair [2]string
			if err := r.Scan(&pair[0], &pair[1]); err != nil {
				p.t.Fatal(err)
			}
			all = append(all, pair)
		}
		if err := r.Err(); err != nil {
			p.t.Fatal(err)
		}
		return all
	}
	stored, events, rows = map[string]string{}, map[string]int{}, map[string]int{}
	for _, c := range pairs("SELECT command_uuid, run FROM edda_commands WHERE status = 'committed'") {
		stored[c[0]] = c[1]
	}
	for _, e := range pairs("SELECT command_uuid, key FROM edda_events ORDER BY seq") {
		if e[0] != e[1] {
			p.t.Errorf("the event of command %s is about %s", e[0], e[1])
		}
		events[e[0]]++
		inOrder = append(inOrder, e[0])
	}
	for _, a := range pairs("SELECT id, ref FROM accounts") {
		if a[1] != a[0]+"."+stored[a[0]]+".reserve" {
			p.t.Errorf("account %s has the reference %s, want that of run %s", a[0], a[1], stored[a[0]])
		}
		rows[a[0]]++
	}
	return stored, events, rows, inOrder
}
