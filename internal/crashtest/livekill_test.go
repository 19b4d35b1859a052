package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/internal/freeport"
)

// TestKillLive kills the real program again and again, and breaks connections, while
// messages are published over HTTP, WebSockets and from Go, callers call over WebSockets,
// and subscribers listen to a channel and to streams over WebSockets and server-sent
// events. In the end each has heard every offset once and in order.
func TestKillLive(t *testing.T) {
	t.Run("fsync", func(t *testing.T) { killLive(t, "fsync", either(1, 8)) })
	t.Run("os", func(t *testing.T) { killLive(t, "os", either(1, 4)) })
}

const (
	livePublishers = 4
	liveCallers    = 4
)

// liveKill is what all share.
type liveKill struct {
	load       *load // directly
	network    *badNetwork
	through    *http.Client // by way of the bad network
	ledger     *liveLedger
	unanswered atomic.Int64
	stop       context.CancelCauseFunc
	// patience is with the subscribers, once nothing comes any more and nothing is broken
	// any more.
	patience atomic.Pointer[patience]

	hearers []*hearer
	callers []*liveCaller
}

func (k *liveKill) calm() bool { return k.network.calm.Load() }

// fail ends everything with an error.
func (k *liveKill) fail(err error) {
	if err != nil {
		k.stop(err)
	}
}

func killLive(t *testing.T, durability string, kills int) {
	t.Helper()
	seed := newSeed(t)
	rng := newRand(seed, 0)
	ctx, cancel := killing(t)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p := newProcess(t, durability)
	p.listen = freeport.Localhost(t)
	if err := p.start(ctx); err != nil {
		t.Fatal(err)
	}
	k := &liveKill{ledger: &liveLedger{byName: map[string]*utterance{}}, network: startBadNetwork(t, seed, p.listen), stop: stop}
	k.load = &load{process: p, http: &http.Client{Timeout: 15 * time.Second}}
	k.through = &http.Client{Transport: &http.Transport{DialContext: k.network.dial, DisableKeepAlives: true}}
	if err := k.create(ctx); err != nil {
		t.Fatal(err)
	}
	conn, err := client.Dial(p.url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	speakers, hearers := k.begin(ctx, seed, conn)
	for range kills {
		pause(ctx, time.Duration(150+rng.IntN(900))*time.Millisecond)
		restart(ctx, t, p)
	}
	pause(ctx, 200*time.Millisecond)
	k.load.over.Store(true)
	speakers.Wait()
	restart(ctx, t, p)
	k.network.calm.Store(true)
	late := newPatience(ctx, nil, func(context.Context) string { return "not all is heard" })
	alive := context.AfterFunc(late, func() { stop(context.Cause(late)) })
	k.patience.Store(late)
	k.fail(k.finish(ctx))
	hearers.Wait()
	alive()
	k.fail(late.end())
	if ctx.Err() == nil {
		k.fail(k.compare(ctx, conn))
	}
	if err := context.Cause(ctx); err != nil {
		t.Error(err)
	}
	if err := p.kill(); err != nil {
		t.Error(err)
	}
	k.summary(t, durability, kills)
}

func restart(ctx context.Context, t *testing.T, p *process) {
	t.Helper()
	if ctx.Err() != nil {
		return
	}
	if err := p.kill(); err != nil {
		t.Fatalf("kill %d: %v", p.lives(), err)
	}
	if err := p.start(ctx); err != nil {
		t.Fatalf("after kill %d: %v", p.lives(), err)
	}
}

// The channel keeps everything.
const (
	roomSpec    = `{"from":[{"stream":"orders"},{"stream":"news"}],"history":{"count":1000000}}`
	roomWithAds = `{"from":[{"stream":"orders"},{"stream":"ads"},{"stream":"news"}],"history":{"count":1000000}}`
)

// create creates what is listened to.
func (k *liveKill) create(ctx context.Context) error {
	for _, c := range [][2]string{
		{"/v1/streams/" + orders, ""},
		{"/v1/streams/" + news, ""},
		{"/v1/streams/" + ads, ""},
		{"/v1/channels/" + room, roomSpec},
	} {
		a, err := k.load.ask(ctx, http.MethodPut, c[0], c[1], jsonHeader)
		if err == nil && a.status != http.StatusCreated {
			err = fmt.Errorf("create %s: got %v", c[0], a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// change has one more stream feed the channel, and not any more, again and again. Who
// listens hears it in order and misses nothing of the others.
func (k *liveKill) change(ctx context.Context, r *rand.Rand) error {
	for with := true; !k.load.over.Load(); with = !with {
		spec := roomSpec
		if with {
			spec = roomWithAds
		}
		a, err := k.load.ask(ctx, http.MethodPut, "/v1/channels/"+room, spec, jsonHeader)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("change the channel: got %v", a)
		}
		if err != nil {
			return err
		}
		pause(ctx, time.Duration(r.IntN(400))*time.Millisecond)
	}
	return nil
}

// begin starts speakers and hearers.
func (k *liveKill) begin(ctx context.Context, seed uint64, conn edda.StreamBackend) (speakers, hearers *sync.WaitGroup) {
	speakers, hearers = &sync.WaitGroup{}, &sync.WaitGroup{}
	talker := func(kind string, i int, r *rand.Rand) talker {
		return talker{liveKill: k, name: fmt.Sprint(kind, i), rng: r}
	}
	bad := &load{process: k.load.process, http: &http.Client{Timeout: 2 * silence, Transport: k.through.Transport}}
	for i := range livePublishers {
		c := &publisher{talker: talker("publisher", i, newRand(seed, uint64(i)+1)), load: k.load}
		switch i {
		case 0, 1:
			c.load = bad
		case 2:
			c.conn = conn
		}
		speakers.Go(func() { k.fail(c.run(ctx)) })
	}
	for i := range liveCallers {
		c := &liveCaller{talker: talker("caller", i, newRand(seed, uint64(i)+100)), id: i}
		k.callers = append(k.callers, c)
		speakers.Go(func() { k.fail(c.run(ctx)) })
	}
	speakers.Go(func() { k.fail(k.change(ctx, newRand(seed, 50))) })
	const all = shards + 2
	some := []string{"note.*", "note.a", "*.a"}
	for i, h := range []*hearer{
		{name: "socket to the channel", channel: room, wants: all},
		{name: "socket to the channel with credit", channel: room, wants: all, credit: 40, lazy: true},
		{name: "lazy socket to the channel", channel: room, wants: all, lazy: true},
		{name: "socket with patterns", channel: room, wants: all, patterns: some},
		{name: "late socket", channel: room, wants: all, late: true},
		{name: "late socket with patterns and credit", channel: room, wants: all, late: true, patterns: some, credit: 10},
		{name: "socket to a stream", stream: orders, wants: shards},
		{name: "lazy socket to a stream with credit", stream: orders, wants: shards, credit: 200, lazy: true},
		{name: "events of the channel", channel: room, wants: all, sse: true},
		{name: "lazy events of the channel with patterns", channel: room, wants: all, sse: true, patterns: some, lazy: true},
		{name: "events of a shard", stream: orders, shard: "s1", wants: 1, sse: true},
	} {
		h.liveKill, h.rng, h.from = k, newRand(seed, uint64(i)+200), edda.FromStart
		if h.late {
			h.from = edda.FromEnd
		}
		k.hearers = append(k.hearers, h)
		hearers.Go(func() { k.fail(h.run(ctx)) })
	}
	return speakers, hearers
}

// finish publishes the last message of each shard.
func (k *liveKill) finish(ctx context.Context) error {
	p := &publisher{talker: talker{liveKill: k}, load: k.load}
	places := []*utterance{{shard: edda.DefaultShard}, {stream: news, shard: edda.DefaultShard}}
	for i := range shards {
		places = append(places, &utterance{stream: orders, shard: fmt.Sprint("s", i)})
	}
	for i, u := range places {
		u.name, u.id, u.typ = lastName+u.at(), fmt.Sprint("last", i), "note.last"
		k.ledger.send([]*utterance{u})
		if err := p.post(ctx, []*utterance{u}); err != nil {
			return err
		}
		k.patience.Load().step()
	}
	return nil
}

// compare compares what there is, what was sent, and what everybody has heard.
func (k *liveKill) compare(ctx context.Context, conn edda.StreamBackend) error {
	all := map[string][]stored{}
	for _, stream := range []string{orders, news, ads} {
		if err := read(ctx, conn, stream, all); err != nil {
			return err
		}
	}
	if err := k.history(ctx, all); err != nil {
		return err
	}
	if err := k.ledger.compare(all); err != nil {
		return err
	}
	for _, h := range k.hearers {
		if err := h.compare(all); err != nil {
			return err
		}
	}
	for _, c := range k.callers {
		if err := c.compare(ctx); err != nil {
			return err
		}
	}
	return nil
}

// read reads all that a stream has.
func read(ctx context.Context, conn edda.StreamBackend, stream string, all map[string][]stored) error {
	st, err := conn.Stream(ctx, "", stream)
	if err != nil {
		return err
	}
	for shard, o := range st.Offsets {
		at := stream + "/" + shard
		for uint64(len(all[at])) < o.End {
			page, err := conn.ReadStream(ctx, edda.Read{Stream: stream, Shard: shard, From: edda.FromOffset(uint64(len(all[at]))), Limit: 1000})
			if err != nil {
				return err
			}
			if len(page.Messages) == 0 {
				return fmt.Errorf("%s ends at %d, not at %d", at, len(all[at]), o.End)
			}
			for i := range page.Messages {
				m := &page.Messages[i]
				var s said
				if err := json.Unmarshal(m.Payload, &s); err != nil || m.Offset != uint64(len(all[at])) {
					return fmt.Errorf("%s has %s at %d, read at %d", at, m.Payload, m.Offset, len(all[at]))
				}
				all[at] = append(all[at], stored{s.Name, m.Type})
			}
		}
	}
	return nil
}

// history reads what was published to the channel from its history, which has the streams'
// messages too: the same as they have.
func (k *liveKill) history(ctx context.Context, all map[string][]stored) error {
	next := map[string]int{}
	from := string(edda.FromStart)
	for {
		a, err := k.load.ask(ctx, http.MethodGet, "/v1/channels/"+room+"/history?limit=1000&from="+from, "", http.Header{})
		if err != nil {
			return err
		}
		var page struct {
			Items []spoken
			Next  string
		}
		if err := json.Unmarshal(a.body, &page); err != nil || a.status != http.StatusOK {
			return fmt.Errorf("history: got %v", a)
		}
		if len(page.Items) == 0 {
			break
		}
		from = page.Next
		for i := range page.Items {
			m := &page.Items[i]
			at, is := m.Stream+"/"+m.Shard, stored{m.Data.Name, m.Type}
			if m.Stream == ads {
				continue
			}
			if m.Stream == "" {
				all[at] = append(all[at], is)
			}
			n := next[at]
			if m.Offset != uint64(n) || n >= len(all[at]) || all[at][n] != is {
				return fmt.Errorf("history has %v at %s/%d as number %d", is, at, m.Offset, n)
			}
			next[at]++
		}
	}
	for at, list := range all {
		if next[at] != len(list) && at != ads+"/"+edda.DefaultShard {
			return fmt.Errorf("history has %d messages of %s, which has %d", next[at], at, len(list))
		}
	}
	return nil
}

func (k *liveKill) summary(t *testing.T, durability string, kills int) {
	t.Helper()
	heard, now, resumed, back, ops, sockets, lost := 0, 0, 0, 0, 0, 0, 0
	for _, h := range k.hearers {
		for _, all := range h.heard {
			heard += len(all)
		}
		now += len(h.heard[ads+"/"+edda.DefaultShard])
		resumed, back = resumed+h.resumed, back+h.back
	}
	for _, c := range k.callers {
		ops, sockets, lost = ops+c.ops, sockets+c.sockets, lost+c.lost
	}
	n := k.network
	t.Logf("SUMMARY kill -9 with subscribers, durability %s: %d kills; %d messages sent, %d acknowledged, %d sends of unknown outcome; %d subscribers heard %d messages, %d of them of a source that comes and goes, "+
		"resumed %d times, %d of them further back; %d operations over %d WebSockets, %d given up; of %d connections %d were reset, %d cut, %d deaf, %d slow",
		durability, kills+1, len(k.ledger.byName), k.ledger.acked, k.unanswered.Load(), len(k.hearers), heard, now, resumed, back, ops, sockets, lost,
		n.conns.Load(), n.resets.Load(), n.cuts.Load(), n.deaf.Load(), n.slow.Load())
}
