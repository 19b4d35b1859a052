package channel

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

var (
	randomSeed  = flag.Uint64("random.seed", 0, "the only seed that TestRandom takes")
	randomSeeds = flag.Uint64("random.seeds", 60, "how many seeds TestRandom takes")
)

// model is what channels are, said as plainly as can be.
type model struct {
	channels map[string]*modelChannel
	streams  map[string]int // that callers made, with how many messages they have
}

type modelChannel struct {
	spec    edda.ChannelSpec
	created int64
	first   int
	all     []modelMessage // ever published, by offset
}

type modelMessage struct {
	id       string
	time     int64 // which no other record's messages have
	until    int64 // when its id is forgotten
	position uint64
}

func (c *modelChannel) retain(now int64) {
	for c.first < len(c.all) && (len(c.all)-c.first > int(c.spec.History.Count) || c.all[c.first].time < now-int64(c.spec.History.Age)) {
		c.first++
	}
}

func own(name string) string { return edda.ChannelStream(name) }

func noSuch(name string) string {
	return fmt.Sprintf(`NO_CHANNEL: there is no channel %q in the namespace "default"`, name)
}

// set returns what the record is to bring about; so do the others.
func (m *model) set(spec edda.ChannelSpec, now int64) string {
	what := "changed"
	c := m.channels[spec.Name]
	if c == nil {
		c, what = &modelChannel{created: now}, "created"
		m.channels[spec.Name] = c
	}
	c.spec = spec.WithDefaults()
	c.retain(now)
	return fmt.Sprintf("%s %s, stream %s %s", what, spec.Name, what, own(spec.Name))
}

func (m *model) remove(name string) string {
	if m.channels[name] == nil {
		return "refused " + noSuch(name)
	}
	delete(m.channels, name)
	return fmt.Sprintf("removed %s true, stream removed %s", name, own(name))
}

// publish is for a record of a caller, or of a handler, who is not answered.
func (m *model) publish(name string, ids []string, position uint64, now int64, answered bool) (said []string) {
	c := m.channels[name]
	switch {
	case c == nil && answered:
		return []string{"stream refused " + noSuch(name)}
	case c == nil:
		return []string{"stream dropped " + noSuch(name)}
	}
	var items []string
	first, n, at := len(c.all), 0, now
	if first > 0 {
		at = max(now, c.all[first-1].time+1)
	}
	for _, id := range ids {
		known := slices.IndexFunc(c.all, func(msg modelMessage) bool {
			return id != "" && msg.id == id && msg.until > now
		})
		if known >= 0 {
			items = append(items, fmt.Sprintf("{Offset:%d Position:%d Shard:0 Replayed:true Unknown:false}", known, c.all[known].position))
			continue
		}
		items = append(items, fmt.Sprintf("{Offset:%d Position:%d Shard:0 Replayed:false Unknown:false}", len(c.all), position))
		c.all = append(c.all, modelMessage{id, at, now + int64(edda.DefaultDedupe), position})
		n++
	}
	if n > 0 {
		said = append(said, fmt.Sprintf("stream appended %s %d+%d", own(name), first, n))
		c.retain(now)
	}
	if answered {
		said = append(said, fmt.Sprintf("stream answered %s [%s]", own(name), strings.Join(items, " ")))
	}
	return said
}

// check compares all that can be known with the model.
func (m *model) check(tb testing.TB, w *world) {
	tb.Helper()
	var names []string
	for c := range w.m.From("", "") {
		names = append(names, c.Spec.Name)
		want := m.channels[c.Spec.Name]
		if want == nil || fmt.Sprintf("%+v", c.Spec) != fmt.Sprintf("%+v", want.spec) || c.CreatedAt != want.created || c.Removed() || w.m.Channel(c.Spec.Namespace, c.Spec.Name) != c {
			tb.Fatalf("there is a channel %+v, want %+v", c, want)
		}
		want.check(tb, w)
	}
	if !slices.Equal(names, slices.Sorted(maps.Keys(m.channels))) {
		tb.Fatalf("there are the channels %q, want %d", names, len(m.channels))
	}
	streams := 0
	for s := range w.streams.All() {
		if _, own := edda.ChannelOf(s.Spec.Name); own {
			streams++
		} else if got, want := int(s.Shards()[0].End), m.streams[s.Spec.Name]; got != want {
			tb.Fatalf("stream %q has %d messages, want %d", s.Spec.Name, got, want)
		}
	}
	if streams != len(names) || w.streams.Len() != streams+len(m.streams) {
		tb.Fatalf("%d channels have %d streams, and there are %d others, want %d", len(names), streams, w.streams.Len()-streams, len(m.streams))
	}
}

func (c *modelChannel) check(tb testing.TB, w *world) {
	tb.Helper()
	s := w.streams.Stream(edda.DefaultNamespace, own(c.spec.Name))
	if s == nil || s.Spec.Retention != (edda.Retention{Count: c.spec.History.Count, Age: c.spec.History.Age}) || len(s.Spec.Shards) > 0 {
		tb.Fatalf("the stream of %+v is %+v", c.spec, s)
	}
	sh := s.Shard(edda.DefaultShard)
	if sh == nil {
		if len(c.all) > 0 || len(s.Shards()) > 0 {
			tb.Fatalf("channel %q has %d shards, and no messages, want %d", c.spec.Name, len(s.Shards()), len(c.all))
		}
		return
	}
	v := w.streams.View(s, sh)
	entries, _, err := v.Read(w.tree, 0, 1<<30, 1<<30)
	if err != nil || sh.End != uint64(len(c.all)) || sh.First != uint64(c.first) || len(entries) != len(c.all)-c.first || len(s.Shards()) != 1 {
		tb.Fatalf("channel %q keeps %d to %d, of which %d are read (%v), want %d to %d", c.spec.Name, sh.First, sh.End, len(entries), err, c.first, len(c.all))
	}
	for i, e := range entries {
		var msg edda.StreamMessage
		want := c.all[c.first+i]
		if err := msg.UnmarshalBinary(e.Message); err != nil || e.Time != want.time || string(msg.Payload) != "payload of "+want.id {
			tb.Fatalf("message %d of channel %q is %+v at %d (%v), want %+v", e.Offset, c.spec.Name, msg, e.Time, err, want)
		}
	}
}

// The names of channels in the world's partition.
var randomChannels = []string{"floor", atHome("b"), atHome("floor.")}

// atHome returns a name that begins so, of a channel in the world's partition.
func atHome(prefix string) string {
	for n := 0; ; n++ {
		if name := fmt.Sprint(prefix, n); home(name) == testHome {
			return name
		}
	}
}

// walk is a random walk.
type walk struct {
	*world
	model *model
	rng   *rand.Rand
	sent  uint64 // by partition 3
	all   [][]byte
}

// Channels in all ways of use are at every step what the plain model says; and wherever
// in the log the table was written and read again, what comes of it is the same.
func TestRandom(t *testing.T) {
	from, to := uint64(1), *randomSeeds
	if *randomSeed != 0 {
		from, to = *randomSeed, *randomSeed
	}
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &walk{world: newWorld(t), model: &model{channels: map[string]*modelChannel{}, streams: map[string]int{}}, rng: rand.New(rand.NewPCG(seed, 1))}
			for step := range 60 {
				if w.rng.IntN(3) > 0 {
					w.now += int64(w.rng.ExpFloat64() * float64(time.Hour))
				}
				w.step(t)
				if t.Failed() {
					t.Fatalf("at step %d, seed %d", step, seed)
				}
				w.model.check(t, w.world)
			}
			w.everywhere(t)
		})
	}
}

func (w *walk) step(t *testing.T) {
	t.Helper()
	name := randomChannels[w.rng.IntN(len(randomChannels))]
	position := w.env.Position + 1
	switch n := w.rng.IntN(100); {
	case n < 35:
		ids := w.randomIDs()
		w.want(t, published(name, ids...).AppendTo(nil), w.model.publish(name, ids, position, w.now, true)...)
	case n < 42:
		w.sent++
		ids := w.randomIDs()
		a := published(name, ids...)
		a.Origin = record.Origin{From: 3, Number: w.sent}
		w.want(t, a.AppendTo(nil), w.model.publish(name, ids, position, w.now, false)...)
		w.want(t, a.AppendTo(nil)) // it has come before
	case n < 50:
		w.outcome(t, position)
	case n < 55:
		w.others(t)
	case n < 70:
		spec := w.randomSpec(name)
		w.want(t, (&record.ChannelSet{ChannelSpec: spec}).AppendTo(nil), w.model.set(spec, w.now))
	case n < 77:
		w.want(t, (&record.ChannelRemoved{Namespace: edda.DefaultNamespace, Name: name}).AppendTo(nil), w.model.remove(name))
	case n < 82:
		w.expire(t)
	case n < 91:
		w.checkpoint(t)
	case n < 95:
		w.batch(t) // a checkpoint that does not come to its end
		w.crash(t)
	default:
		w.crash(t)
	}
}

func (w *walk) want(t *testing.T, rec []byte, want ...string) {
	t.Helper()
	if got, want := w.apply(t, rec), strings.Join(want, ", "); got != want {
		t.Errorf("the record brings about\n%s, want\n%s", got, want)
	}
	w.all = append(w.all, rec)
}

func (w *walk) randomIDs() (ids []string) {
	for range 1 + int(w.rng.ExpFloat64()*2) {
		id := ""
		if w.rng.IntN(2) == 0 {
			id = fmt.Sprint("id-", w.rng.IntN(20))
		}
		ids = append(ids, id)
	}
	return ids
}

// outcome is a handler that publishes several times.
func (w *walk) outcome(t *testing.T, position uint64) {
	t.Helper()
	c := record.Completed{Seq: 1}
	var want []string
	for range 1 + w.rng.IntN(3) {
		name, ids := randomChannels[w.rng.IntN(len(randomChannels))], w.randomIDs()
		c.Appends = append(c.Appends, *published(name, ids...))
		want = append(want, w.model.publish(name, ids, position, w.now, false)...)
	}
	w.want(t, c.AppendTo(nil), want...)
}

// others appends to a stream of a caller, that is like a channel in name.
func (w *walk) others(t *testing.T) {
	t.Helper()
	a := published("x")
	a.Stream = "floor"
	a.Messages = [][]byte{(&edda.StreamMessage{}).AppendEnvelope(nil, edda.ID{1}, edda.Anonymous)}
	n := w.model.streams[a.Stream]
	var want []string
	if n == 0 {
		want = append(want, "stream created floor")
	}
	want = append(want, fmt.Sprintf("stream appended floor %d+1", n), fmt.Sprintf("stream answered floor [{Offset:%d Position:%d Shard:0 Replayed:false Unknown:false}]", n, w.env.Position+1))
	w.model.streams[a.Stream]++
	w.want(t, a.AppendTo(nil), want...)
}

func (w *walk) randomSpec(name string) edda.ChannelSpec {
	c := edda.ChannelSpec{Namespace: edda.DefaultNamespace, Name: name}
	for i := range w.rng.IntN(3) {
		s := edda.ChannelSource{Stream: fmt.Sprint("s", i)}
		for j := range w.rng.IntN(3) {
			s.Patterns = append(s.Patterns, fmt.Sprint("p.", j))
		}
		c.From = append(c.From, s)
	}
	if w.rng.IntN(2) == 0 {
		c.History.Count = uint64(1 + w.rng.IntN(8))
	}
	if w.rng.IntN(2) == 0 {
		c.History.Age = time.Duration(1 + w.rng.Int64N(int64(10*time.Hour)))
	}
	return c
}

// expire does what the partition's loop does with what has become too old.
func (w *walk) expire(t *testing.T) {
	t.Helper()
	for _, r := range w.streams.Expired(w.now) {
		name, ok := edda.ChannelOf(r.Name)
		c := w.model.channels[name]
		if !ok || c == nil {
			t.Fatalf("what there is not has expired: %+v", r)
		}
		for c.first < len(c.all) && c.all[c.first].time < r.Time {
			c.first++
		}
		w.want(t, r.AppendTo(nil), "stream trimmed "+r.Name)
	}
}

// everywhere applies all records again, and writes the table and reads it at each of them.
func (w *walk) everywhere(t *testing.T) {
	t.Helper()
	want := w.state(t)
	for at := range w.all {
		again := newWorld(t)
		for i, rec := range w.all {
			again.applyAt(t, rec)
			if i == at {
				again.checkpoint(t)
				again.load(t)
			}
		}
		if got := again.state(t); got != want {
			t.Fatalf("with a restart after record %d there is\n%s, want\n%s", at+1, got, want)
		}
	}
}
