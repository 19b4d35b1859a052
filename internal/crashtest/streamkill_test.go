package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
)

// TestKillStreams kills the real program again and again while producers append over
// HTTP, members read, acknowledge, reject and forget, a worker hosts consumers that
// append to other streams, and readers follow the tail by Last-Event-ID.
func TestKillStreams(t *testing.T) {
	t.Run("fsync", func(t *testing.T) { killStreams(t, "fsync", either(1, 8)) })
	t.Run("os", func(t *testing.T) { killStreams(t, "os", either(1, 4)) })
}

const (
	streamProducers = 8
	streamMembers   = 4
)

func killStreams(t *testing.T, durability string, kills int) {
	t.Helper()
	seed := newSeed(t)
	rng := newRand(seed, 0)
	ctx, cancel := killing(t)
	defer cancel()
	p := newProcess(t, durability)
	p.flags = nil
	k := &streamKill{
		ledger: newStreamLedger(), journal: newStreamJournal(),
		load: &load{process: p, http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: streamProducers + streamMembers}}},
	}
	defer k.load.http.CloseIdleConnections()
	lives := []*streamJournal{newStreamJournal()}
	life := startLife(ctx, t, p, lives[0].consumers()...)
	if err := k.setGroup(ctx, 300*time.Millisecond, http.StatusCreated); err != nil {
		t.Fatal(err)
	}
	again := func() {
		t.Helper()
		if err := life.kill(p); err != nil {
			t.Fatalf("kill %d: %v", p.lives(), err)
		}
		lives = append(lives, newStreamJournal())
		life = startLife(ctx, t, p, lives[len(lives)-1].consumers()...)
	}
	producers, members, tails := k.begin(ctx, seed)
	for range kills {
		pause(ctx, time.Duration(30+rng.IntN(350))*time.Millisecond)
		again()
	}
	k.load.over.Store(true)
	producers.Wait()
	if err := errors.Join(k.setGroup(ctx, drainLease, http.StatusOK), k.settle(ctx)); err != nil {
		t.Fatal(errors.Join(append(k.errs, err)...))
	}
	k.drained.Store(true)
	members.Wait()
	again() // what has come about is so after one more kill
	if err := k.compare(ctx, p.url); err != nil {
		t.Fatal(errors.Join(append(k.errs, err)...))
	}
	tails.Wait()
	err := errors.Join(k.errs...)
	for _, j := range lives {
		err = errors.Join(err, j.errors())
	}
	if err = errors.Join(err, k.ledger.contradictions(), k.journal.errors(), life.kill(p)); err != nil {
		t.Error(err)
	}
	events, resumed := 0, 0
	for _, r := range k.tails {
		events, resumed = events+int(r.next), resumed+r.resumed
	}
	t.Logf("SUMMARY kill -9 with streams, durability %s: %d kills; %v, %d appends without an answer, %d appends and reads repeated; "+
		"%d effects of handlers in each of 3 streams; %d events followed, %d times resumed", durability, kills+1, k.ledger, k.unanswered.Load(),
		k.load.repeated.Load(), k.effects, events, resumed)
}

// streamKill is what producers, members and readers of a process that is killed share.
type streamKill struct {
	load       *load
	ledger     *streamLedger
	journal    *streamJournal
	drained    atomic.Bool
	unanswered atomic.Int64
	tails      []*tailReader
	effects    int

	mu   sync.Mutex // guards errs
	errs []error
}

func (k *streamKill) fail(err error) {
	if err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.errs = append(k.errs, err)
	}
}

var jsonHeader = http.Header{"Content-Type": {"application/json"}}

// setGroup creates the group, or changes how long its members have for a message.
func (k *streamKill) setGroup(ctx context.Context, lease time.Duration, want int) error {
	body := fmt.Sprintf(`{"from":"start","processingTimeout":"%v","idleTimeout":"%v","retry":{"max":-1,"delay":"1ms","maxDelay":"20ms"}}`, lease, max(lease, time.Second))
	a, err := k.load.ask(ctx, "PUT", polledPath, body, jsonHeader)
	if err == nil && a.status != want {
		err = fmt.Errorf("set the group: got %v, want %d", a, want)
	}
	return err
}

// begin starts producers, members and readers.
func (k *streamKill) begin(ctx context.Context, seed uint64) (producers, members, tails *sync.WaitGroup) {
	producers, members, tails = &sync.WaitGroup{}, &sync.WaitGroup{}, &sync.WaitGroup{}
	for i := range streamProducers {
		c := &httpProducer{streamKill: k, rng: newRand(seed, uint64(i)+1), own: fmt.Sprint("own", i)}
		producers.Go(func() { k.fail(c.run(ctx)) })
	}
	for i := range streamMembers {
		c := &httpMember{streamKill: k, rng: newRand(seed, uint64(i)+100), name: fmt.Sprint("m", i)}
		members.Go(func() { k.fail(c.run(ctx)) })
	}
	members.Go(func() { k.fail(k.lookOn(ctx)) })
	for _, shard := range []string{edda.DefaultShard, "eu", "own0"} {
		r := &tailReader{streamKill: k, shard: shard, known: make(chan struct{})}
		r.end.Store(^uint64(0))
		k.tails = append(k.tails, r)
		tails.Go(func() { k.fail(r.run(ctx)) })
	}
	return producers, members, tails
}

// group reads what is known of a group.
func (k *streamKill) group(ctx context.Context, path string) (cursor map[string]uint64, lag uint64, err error) {
	a, err := k.load.ask(ctx, "GET", path, "", http.Header{})
	if err != nil {
		return nil, 0, err
	}
	var g struct {
		Cursor map[string]uint64
		Lag    uint64
	}
	if err := json.Unmarshal(a.body, &g); err != nil || a.status != http.StatusOK {
		return nil, 0, fmt.Errorf("get group %s: got %v", path, a)
	}
	return g.Cursor, g.Lag, nil
}

// lookOn watches the cursor, which never goes back.
func (k *streamKill) lookOn(ctx context.Context) error {
	for !k.drained.Load() {
		cursor, _, err := k.group(ctx, polledPath)
		if err != nil {
			return err
		}
		for shard, at := range cursor {
			k.ledger.mark("cursor "+orders+"/"+polled, shard, at)
		}
		pause(ctx, 10*time.Millisecond)
	}
	return nil
}

// settle returns once the members that read have acknowledged everything, and tells the
// readers where the end is.
func (k *streamKill) settle(ctx context.Context) error {
	a, err := k.load.ask(ctx, "GET", "/v1/streams/orders", "", http.Header{})
	if err != nil {
		return err
	}
	var st struct{ Offsets map[string]edda.Offsets }
	if err := json.Unmarshal(a.body, &st); err != nil || a.status != http.StatusOK {
		return fmt.Errorf("get the stream: got %v", a)
	}
	for _, r := range k.tails {
		r.end.Store(st.Offsets[r.shard].End)
	}
	for {
		_, lag, err := k.group(ctx, polledPath)
		if err != nil || lag == 0 {
			return err
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// compare compares all streams with what was told.
func (k *streamKill) compare(ctx context.Context, at string) error {
	conn, err := client.Dial(at, client.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	now := k.ledger.now()
	c := &streamCheck{
		node: conn, limit: 10_000, ledger: k.ledger.at(now, now), now: k.ledger, journal: newStreamJournal(), crash: &crash{},
		drained: map[string]bool{}, probes: map[string]int{},
	}
	if err := errors.Join(c.checkMarks(ctx), c.settle(ctx)); err != nil {
		return err
	}
	k.effects = len(c.kept[onward])
	for _, r := range k.tails {
		for i := range c.kept[orders] {
			if f := &c.kept[orders][i]; f.shard == r.shard {
				r.want = append(r.want, f.Name)
			}
		}
		close(r.known)
	}
	return errors.Join(c.checkPosts(), c.checkEffects(), c.checkDrained(readGroups[0]), c.repeat(ctx))
}

// httpProducer appends, and repeats what has no answer if it has ids.
type httpProducer struct {
	*streamKill

	rng    *rand.Rand
	own    string // a shard that nobody else appends to
	ends   uint64 // where it ends
	serial int
}

func (c *httpProducer) run(ctx context.Context) error {
	for !c.load.over.Load() {
		var err error
		switch c.rng.IntN(5) {
		case 0:
			err = c.once(ctx)
		case 1:
			err = c.expected(ctx)
		default:
			_, err = c.post(ctx, c.random(true), []string{edda.DefaultShard, "eu"}[c.rng.IntN(2)], http.Header{})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// random makes up messages.
func (c *httpProducer) random(ids bool) []*note {
	notes := make([]*note, []int{1, 1, 1, 2, 5}[c.rng.IntN(5)])
	for i := range notes {
		n := &note{key: []string{"", "a", "b", "c", "d", "e"}[c.rng.IntN(6)]}
		if c.rng.IntN(10) == 0 {
			n.Fail = 1
		}
		if ids {
			c.serial++
			n.id = fmt.Sprintf("%s-%d", c.own, c.serial)
		}
		notes[i] = n
	}
	return notes
}

// batch is the body of an append, and its headers are added to h.
func batch(o *post, h http.Header) string {
	h.Set("Edda-Shard", o.shard)
	if n := o.notes[0]; len(o.notes) == 1 {
		h.Set("Content-Type", "application/json")
		h.Set("Edda-Type", "note")
		if n.key != "" {
			h.Set("Edda-Key", n.key)
		}
		if n.id != "" {
			h.Set("Edda-Id", n.id)
		}
		return string(edda.JSON(n))
	}
	h.Set("Content-Type", "application/vnd.edda.batch+json")
	items := make([]map[string]any, len(o.notes))
	for i, n := range o.notes {
		items[i] = map[string]any{"type": "note", "data": n}
		if n.key != "" {
			items[i]["key"] = n.key
		}
		if n.id != "" {
			items[i]["id"] = n.id
		}
	}
	return string(edda.JSON(items))
}

// post appends messages with ids, until there is an answer.
func (c *httpProducer) post(ctx context.Context, notes []*note, shard string, h http.Header) (*post, error) {
	o := &post{stream: orders, shard: shard, notes: notes}
	c.ledger.submit(o)
	a, err := c.load.ask(ctx, "POST", "/v1/streams/orders", batch(o, h), h)
	if err != nil {
		return nil, err
	}
	return o, c.acked(o, a)
}

// acked notes an answer.
func (c *httpProducer) acked(o *post, a *answer) error {
	type item struct {
		ID, Shard string
		Offset    uint64
		Replayed  bool
	}
	var got struct {
		item

		Items []item
	}
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != http.StatusCreated && a.status != http.StatusOK {
		return fmt.Errorf("append of %s: got %v", o.notes[0].Name, a)
	}
	if len(got.Items) == 0 {
		got.Items = []item{got.item}
	}
	ack := &edda.AppendAck{}
	for _, it := range got.Items {
		ack.Items = append(ack.Items, edda.Appended{ID: it.ID, Shard: it.Shard, Offset: it.Offset, Replayed: it.Replayed || a.header.Get("Idempotency-Replayed") != ""})
	}
	if len(ack.Items) != len(o.notes) {
		return fmt.Errorf("append of %d messages: got %v", len(o.notes), a)
	}
	c.ledger.answered(o, ack, nil)
	return nil
}

// once appends messages without ids. What has no answer stays unknown.
func (c *httpProducer) once(ctx context.Context) error {
	at, err := c.load.process.wait(ctx)
	if err != nil {
		return err
	}
	o := &post{stream: orders, shard: edda.DefaultShard, notes: c.random(false)}
	c.ledger.submit(o)
	h := http.Header{}
	body := batch(o, h)
	a, err := c.load.once(ctx, "POST", at+"/v1/streams/orders", body, h)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		c.ledger.answered(o, nil, &edda.Error{Reason: edda.Unavailable})
	case err != nil || a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout:
		c.unanswered.Add(1)
		c.ledger.answered(o, nil, &edda.Error{Reason: edda.OutcomeUnknown})
	default:
		return c.acked(o, a)
	}
	return nil
}

// expected appends to a shard that nobody else appends to, behind the offset that it
// knows to be the last one.
func (c *httpProducer) expected(ctx context.Context) error {
	h := http.Header{"If-None-Match": {"*"}}
	if c.ends > 0 {
		h = http.Header{"If-Match": {strconv.Quote(strconv.FormatUint(c.ends-1, 10))}}
	}
	o, err := c.post(ctx, c.random(true), c.own, h)
	if err != nil {
		return err
	}
	if got := o.notes[0].offset; got != c.ends {
		return fmt.Errorf("%s is at %s, appended behind %d", o.notes[0].Name, o.notes[0].place(), c.ends)
	}
	c.ends += uint64(len(o.notes))
	return nil
}
