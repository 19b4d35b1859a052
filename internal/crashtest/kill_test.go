package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestKill kills the real program again and again while clients call it over
// HTTP. They repeat what has no answer, under the same idempotency key, until it
// has one. In the end every counter is what was acknowledged.
func TestKill(t *testing.T) {
	t.Run("fsync", func(t *testing.T) { killLoop(t, "fsync", either(2, 20)) })
	t.Run("os", func(t *testing.T) { killLoop(t, "os", either(1, 10)) })
}

const (
	killClients   = 32
	keysPerClient = 32
	killBound     = 4 * time.Minute
)

// killing returns the context of a test that kills processes, which ends when that takes too
// long. What is to be killed is built before.
func killing(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	if _, err := build(); err != nil {
		t.Fatal(err)
	}
	return context.WithTimeoutCause(t.Context(), killBound, errors.New("the kill loop takes too long"))
}

func killLoop(t *testing.T, durability string, kills int) {
	t.Helper()
	seed := newSeed(t)
	rng := newRand(seed, 0)
	ctx, cancel := killing(t)
	defer cancel()
	p := newProcess(t, durability)
	if err := p.start(ctx); err != nil {
		t.Fatal(err)
	}
	load := &load{process: p, http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: killClients}}}
	defer load.http.CloseIdleConnections()
	var clients []*killClient
	var wg sync.WaitGroup
	for i := range killClients {
		c := &killClient{load: load, id: i, rng: newRand(seed, uint64(i)+1), counts: map[string]int{}}
		clients = append(clients, c)
		wg.Go(func() { c.err = c.run(ctx) })
	}
	var shared []*sharedClient
	for i := range 4 {
		c := &sharedClient{load: load, id: i, rng: newRand(seed, uint64(i)+1000)}
		shared = append(shared, c)
		wg.Go(func() { c.err = c.run(ctx) })
	}
	for i := range kills {
		pause(ctx, time.Duration(30+rng.IntN(350))*time.Millisecond)
		if err := p.kill(); err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		if err := p.start(ctx); err != nil {
			t.Fatalf("after kill %d: %v", i, err)
		}
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
	var ops []*operation
	for _, c := range shared {
		if c.err != nil {
			t.Errorf("client of shared keys: %v", c.err)
		}
		ops = append(ops, c.ops...)
	}
	unknown := linearizable(t, seed, ops)
	if err := p.kill(); err != nil {
		t.Error(err)
	}
	restarts := slices.Sorted(slices.Values(p.started[1:]))
	t.Logf("SUMMARY kill -9, durability %s: %d kills, %d keys, %d adds acknowledged (%d asynchronous, %d delayed), %d flaky ended (%d dead), %d calls repeated; "+
		"lost %d, doubled %d, order broken %d; %d calls of shared keys linearizable, %d of them without an answer; restart median %v, max %v",
		durability, kills, killClients*keysPerClient, load.adds.Load(), load.async.Load(), load.delayed.Load(), load.flaky.Load(), load.dead.Load(),
		load.repeated.Load(), lost, doubled, broken, len(ops), unknown, restarts[len(restarts)/2].Round(time.Millisecond), restarts[len(restarts)-1].Round(time.Millisecond))
	if lost+doubled+broken > 0 {
		t.Error("the state is not what was acknowledged")
	}
}

// load is what the clients share.
type load struct {
	process *process
	http    *http.Client
	over    atomic.Bool

	clock atomic.Int64

	adds, async, delayed, flaky, dead, repeated atomic.Int64
}

// answer is an HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// ask sends a request until it has an answer that says what became of it.
func (l *load) ask(ctx context.Context, method, path, body string, header http.Header) (*answer, error) {
	for {
		url, err := l.process.wait(ctx)
		if err != nil {
			return nil, err
		}
		a, err := l.once(ctx, method, url+path, body, header)
		if err == nil && a.status != http.StatusServiceUnavailable && a.status != http.StatusTooManyRequests && a.status != http.StatusGatewayTimeout {
			return a, nil
		}
		l.repeated.Add(1)
		pause(ctx, 5*time.Millisecond)
	}
}

func (l *load) once(ctx context.Context, method, url, body string, header http.Header) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	res, err := l.http.Do(req)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	return &answer{res.StatusCode, res.Header, b}, nil
}

// killClient has keys that nobody else uses.
type killClient struct {
	load   *load
	id     int
	rng    *rand.Rand
	serial int
	counts map[string]int // acknowledged adds by key
	broken int
	err    error
}

// run calls until the load is over. At the end each key has been used.
func (c *killClient) run(ctx context.Context) error {
	for _, k := range c.rng.Perm(keysPerClient) {
		if err := c.add(ctx, c.key(k), "", 1); err != nil {
			return err
		}
	}
	for !c.load.over.Load() {
		var err error
		switch key := c.key(c.rng.IntN(keysPerClient)); c.rng.IntN(10) {
		case 0, 1:
			err = c.burst(ctx, key, 1+c.rng.IntN(4))
		case 2:
			c.load.delayed.Add(1)
			err = c.add(ctx, key, strconv.Itoa(1+c.rng.IntN(60))+"ms", 1)
		case 3, 4:
			err = c.flaky(ctx, key)
		default:
			err = c.add(ctx, key, "", 1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *killClient) key(n int) string { return fmt.Sprintf("c%d-k%d", c.id, n) }

func (c *killClient) headers() http.Header {
	c.serial++
	return http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {fmt.Sprintf("c%d-%d", c.id, c.serial)}}
}

// add adds to a counter and waits for the value.
func (c *killClient) add(ctx context.Context, key, delay string, n int) error {
	h := c.headers()
	if delay != "" {
		h.Set("Edda-Delay", delay)
	}
	a, err := c.load.ask(ctx, "POST", "/v1/call/counter/"+key+"/add", fmt.Sprintf(`{"n":%d}`, n), h)
	if err != nil {
		return err
	}
	return c.added(key, a)
}

// added notes the value of a counter, which nobody else adds to.
func (c *killClient) added(key string, a *answer) error {
	var got struct{ Value int }
	if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil {
		return fmt.Errorf("add to %s: got %v", key, a)
	}
	c.load.adds.Add(1)
	c.counts[key]++
	if got.Value != c.counts[key] {
		c.broken++
		return fmt.Errorf("add number %d to %s gave %d", c.counts[key], key, got.Value)
	}
	return nil
}

// burst sends several adds, each once the one before is acknowledged, and then
// asks for the values.
func (c *killClient) burst(ctx context.Context, key string, n int) error {
	var locations []string
	for range n {
		h := c.headers()
		h.Set("Prefer", "respond-async")
		a, err := c.load.ask(ctx, "POST", "/v1/call/counter/"+key+"/add", `{"n":1}`, h)
		if err != nil {
			return err
		}
		if a.status == http.StatusOK { // it was repeated, and had ended
			locations = append(locations, "/v1/requests/"+a.header.Get("Edda-Request-Id"))
			continue
		}
		if a.status != http.StatusAccepted {
			return fmt.Errorf("add to %s: got %v, want 202", key, a)
		}
		locations = append(locations, a.header.Get("Location"))
	}
	for _, l := range locations {
		for {
			a, err := c.load.ask(ctx, "GET", l+"/reply?wait=10s", "", http.Header{})
			if err != nil {
				return err
			}
			if a.status == http.StatusAccepted {
				continue
			}
			c.load.async.Add(1)
			if err := c.added(key, a); err != nil {
				return fmt.Errorf("%s, which was acknowledged: %w", l, err)
			}
			break
		}
	}
	return nil
}

// flaky calls a service whose attempts fail; lost nodes cost attempts too.
func (c *killClient) flaky(ctx context.Context, key string) error {
	fail := c.rng.IntN(4) - 1
	a, err := c.load.ask(ctx, "POST", "/v1/call/flaky/"+key+"/try", fmt.Sprintf(`{"fail":%d}`, fail), c.headers())
	if err != nil {
		return err
	}
	c.load.flaky.Add(1)
	attempts, err := strconv.Atoi(a.header.Get("Edda-Attempts"))
	if err != nil {
		return fmt.Errorf("flaky %s: got %v without attempts", key, a)
	}
	const most = 5
	var got struct{ Attempts int }
	switch {
	case a.status == http.StatusInternalServerError && bytes.Contains(a.body, []byte(`"DEAD"`)) && attempts == most:
		c.load.dead.Add(1)
		return nil
	case a.status == http.StatusOK && fail >= 0 && json.Unmarshal(a.body, &got) == nil && got.Attempts == attempts && attempts > fail && attempts <= most:
		return nil
	}
	return fmt.Errorf("flaky %s with fail %d: got %v after %d attempts", key, fail, a, attempts)
}

// compare reads every counter.
func (c *killClient) compare(ctx context.Context) (lost, doubled int, err error) {
	for key, want := range c.counts {
		a, err := c.load.ask(ctx, "POST", "/v1/call/counter/"+key+"/get", "", http.Header{})
		if err != nil {
			return lost, doubled, err
		}
		var got struct{ Value int }
		if err := json.Unmarshal(a.body, &got); err != nil {
			return lost, doubled, fmt.Errorf("get %s: %v: %w", key, a, err)
		}
		lost += max(0, want-got.Value)
		doubled += max(0, got.Value-want)
	}
	return lost, doubled, nil
}

// sharedClient calls counters that others call as well, once and without an
// idempotency key: what has no answer stays unknown.
type sharedClient struct {
	load *load
	id   int
	rng  *rand.Rand
	ops  []*operation
	err  error
}

func (c *sharedClient) run(ctx context.Context) error {
	for !c.load.over.Load() {
		url, err := c.load.process.wait(ctx)
		if err != nil {
			return err
		}
		// Each key lives through one kill, or a checker could not cope with all that
		// is unknown of it.
		o := &operation{
			key: fmt.Sprintf("shared-%d-%d", c.load.process.lives()/2, c.rng.IntN(3)), method: "add", n: 1 + c.rng.IntN(9), client: c.id,
		}
		body := fmt.Sprintf(`{"n":%d}`, o.n)
		if c.rng.IntN(3) == 0 {
			o.method, body = "get", ""
		}
		o.call = c.load.clock.Add(1)
		a, err := c.load.once(ctx, "POST", url+"/v1/call/counter/"+o.key+"/"+o.method, body, http.Header{"Content-Type": {"application/json"}})
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			continue
		case err != nil || a.status == http.StatusServiceUnavailable:
		case a.status == http.StatusOK:
			var got struct{ Value int }
			if err := json.Unmarshal(a.body, &got); err != nil {
				return err
			}
			o.result, o.back = got.Value, c.load.clock.Add(1)
		default:
			return fmt.Errorf("%s %s: got %v", o.method, o.key, a)
		}
		c.ops = append(c.ops, o)
		pause(ctx, time.Millisecond)
	}
	return nil
}
