package group

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// setup is what a world is made with.
type setup struct {
	partitions uint64 // 1 when zero
	window     window // the usual one when zero
	room       int    // for deliveries in a record; zero is what requests have
}

// world is one partition's fold with all that groups need, on a tree.
type world struct {
	tb      testing.TB
	setup   setup
	tree    *store.Tree
	env     *fold.Env
	box     *outbox.Machine
	req     *request.Machine
	streams *stream.Machine
	m       *Machine
	fold    *fold.Fold
	now     int64
	log     [][]byte // every record from position 1
	said    []string // what each of them brought about
	events  []event  // of the last record
	scans   int      // how often a shard was read
	advance []*Group // that have asked for it since somebody looked
}

// event is something that became of a request.
type event struct {
	kind request.EffectKind
	req  *request.Request
}

func newWorld(tb testing.TB, s setup) *world {
	tb.Helper()
	s.partitions = max(s.partitions, 1)
	w := &world{tb: tb, setup: s, tree: store.NewTree(), now: 1_000_000}
	w.load()
	return w
}

// load makes new machines of what the table holds.
func (w *world) load() {
	w.tb.Helper()
	w.env = &fold.Env{Table: w.tree, Partitions: w.setup.partitions}
	w.box = outbox.New(w.env)
	w.req = request.New(w.env, w.box)
	w.streams = stream.New(w.env, w.box)
	w.m = New(w.env, &counted{w.streams, w}, &cramped{Machine: w.req, w: w})
	if w.setup.window != (window{}) {
		w.m.window = w.setup.window
	}
	w.streams.SetFeeds(w.m)
	w.req.SetDeliveries(w.m)
	w.req.SetAppends(w.streams.Send)
	var err error
	if w.fold, err = fold.New(w.env, uint64(w.tree.Applied()), w.box, w.req, w.streams, w.m); err != nil {
		w.tb.Fatal(err)
	}
}

// counted counts how often shards are read.
type counted struct {
	*stream.Machine
	w *world
}

func (c *counted) Scan(s *stream.Stream, sh *stream.Shard, from uint64) iter.Seq2[stream.Entry, error] {
	c.w.scans++
	return c.Machine.Scan(s, sh, from)
}

// cramped makes records have little room.
type cramped struct {
	*request.Machine
	w    *world
	at   uint64
	made int
}

func (c *cramped) AdmitDelivery(a *record.Accepted, msg *edda.Message, start bool) (bool, error) {
	if c.at != c.w.env.Position {
		c.at, c.made = c.w.env.Position, 0
	}
	if c.w.setup.room > 0 && c.made == c.w.setup.room {
		return false, nil
	}
	c.made++
	return c.Machine.AdmitDelivery(a, msg, start)
}

// try applies the next record.
func (w *world) try(rec []byte) error {
	if err := w.fold.Apply(w.env.Position+1, rec); err != nil {
		return err
	}
	w.log = append(w.log, rec)
	w.said = append(w.said, w.effects())
	return nil
}

// apply applies the next record and returns what it brought about.
func (w *world) apply(rec []byte) string {
	w.tb.Helper()
	record.Stamp(rec, 0, w.now)
	if err := w.try(rec); err != nil {
		w.tb.Fatalf("apply record %d: %v", w.env.Position, err)
	}
	return w.said[len(w.said)-1]
}

// effects takes what the last record brought about, as text, a line each.
func (w *world) effects() string {
	var b []byte
	w.events = w.events[:0]
	for _, e := range w.req.Effects() {
		w.events = append(w.events, event{e.Kind, e.Request})
		if name := requestEffects[e.Kind]; name != "" {
			b = fmt.Appendf(b, "%s %s\n", name, w.name(e.Request))
		}
	}
	for _, e := range w.streams.Effects() {
		switch e.Kind {
		case stream.Refused, stream.Dropped:
			b = fmt.Appendf(b, "stream refused %s\n", e.Reason)
		case stream.Removed:
			b = fmt.Appendf(b, "stream removed %s\n", e.Stream.Spec.Name)
		}
	}
	for _, e := range w.m.Effects() {
		switch e.Kind {
		case Refused:
			b = fmt.Appendf(b, "refused %s: %s\n", e.Reason, e.Detail)
			continue
		case Advance:
			w.advance = append(w.advance, e.Group)
		}
		b = fmt.Appendf(b, "%s %s", groupEffects[e.Kind], e.Group.Spec.Service())
		if e.Created {
			b = append(b, " created"...)
		}
		b = append(b, '\n')
	}
	return string(b)
}

var requestEffects = [...]string{
	request.Accepted: "accepted", request.Dispatch: "dispatch", request.Ready: "ready", request.Ended: "ended",
	request.Fenced: "fenced", request.Spare: "spare", request.Yielded: "",
}

var groupEffects = [...]string{Set: "set", Removed: "removed", Reset: "reset", Advance: "advance"}

// name is how tests call a request.
func (w *world) name(r *request.Request) string {
	switch {
	case r == nil:
		return "-"
	case r.Delivery == nil:
		return r.ID.String()
	}
	name := fmt.Sprintf("%s/%d", r.Delivery.Shard, r.Delivery.Offset)
	name = r.To.Name + ":" + strings.TrimPrefix(name, edda.DefaultShard+"/")
	if r.State.Ended() {
		name += " " + string(r.State)
	}
	return name
}

// checkpoint commits what changed to the table.
func (w *world) checkpoint() {
	w.tb.Helper()
	var b store.Batch
	if err := w.fold.Checkpoint(&b); err != nil {
		w.tb.Fatal(err)
	}
	if err := w.tree.Commit(&b, engine.Position(len(w.log))); err != nil {
		w.tb.Fatal(err)
	}
	w.fold.Committed()
}

func (w *world) reload() {
	w.tb.Helper()
	w.checkpoint()
	w.load()
}

// crash loses all memory, loads the last checkpoint and replays the log. What the
// records bring about must be what they brought about the first time.
func (w *world) crash() {
	w.tb.Helper()
	w.load()
	for i := int(w.tree.Applied()); i < len(w.log); i++ {
		if err := w.fold.Apply(uint64(i+1), w.log[i]); err != nil {
			w.tb.Fatalf("replay record %d: %v", i+1, err)
		}
		if got := w.effects(); got != w.said[i] {
			w.tb.Fatalf("replay of record %d brings about\n%swant\n%s", i+1, got, w.said[i])
		}
	}
}

// rows returns the keys of the table's rows of some kinds.
func (w *world) rows(kinds string) (rows []string) {
	for p := range w.tree.Scan(nil, nil) {
		if strings.IndexByte(kinds, p.Key[0]) >= 0 {
			rows = append(rows, fmt.Sprintf("%c %x = %x", p.Key[0], p.Key[1:], p.Value))
		}
	}
	return rows
}

// --- records, as tests write them

// msg makes a message "key=payload", or "payload" without a key.
func msg(text string) edda.StreamMessage {
	key, payload, found := strings.Cut(text, "=")
	if !found {
		key, payload = "", text
	}
	return edda.StreamMessage{Key: key, Payload: []byte(payload)}
}

func encode(m edda.StreamMessage, n int) []byte {
	e := m.Envelope()
	if e.IdempotencyKey == "" {
		e.ID[0], e.ID[14], e.ID[15] = 1, byte(n>>8), byte(n)
	}
	b, err := e.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// append appends messages to "stream" or "stream/shard".
func (w *world) append(to string, texts ...string) string {
	w.tb.Helper()
	msgs := make([]edda.StreamMessage, len(texts))
	for i, text := range texts {
		msgs[i] = msg(text)
	}
	return w.appendAll(to, nil, msgs...)
}

func (w *world) appendAll(to string, starts []record.GroupStart, msgs ...edda.StreamMessage) string {
	w.tb.Helper()
	return w.apply(appended(to, starts, msgs...).AppendTo(nil))
}

func appended(to string, starts []record.GroupStart, msgs ...edda.StreamMessage) *record.StreamAppended {
	name, shard, _ := strings.Cut(to, "/")
	a := &record.StreamAppended{Namespace: edda.DefaultNamespace, Stream: name, Shard: edda.DefaultShard, Starts: starts}
	if shard != "" {
		a.Shard = shard
	}
	for i, m := range msgs {
		a.Messages = append(a.Messages, encode(m, i))
	}
	return a
}

// set creates the group "stream/group", or changes it.
func (w *world) set(name string, from edda.From) string {
	w.tb.Helper()
	set := record.GroupSet{GroupSpec: spec(name, from)}
	return w.apply(set.AppendTo(nil))
}

func spec(name string, from edda.From) edda.GroupSpec {
	s, g, _ := strings.Cut(name, "/")
	return edda.GroupSpec{Namespace: edda.DefaultNamespace, Stream: s, Name: g, From: from}
}

func changed(name string) record.GroupChanged {
	s, g, _ := strings.Cut(name, "/")
	return record.GroupChanged{Namespace: edda.DefaultNamespace, Stream: s, Group: g}
}

func (w *world) remove(name string) string {
	w.tb.Helper()
	c := changed(name)
	return w.apply(c.AppendTo(nil, record.TypeGroupRemoved))
}

func (w *world) reset(name, shard string, to edda.From) string {
	w.tb.Helper()
	r := record.GroupReset{GroupChanged: changed(name), Shard: shard, To: to}
	return w.apply(r.AppendTo(nil))
}

func (w *world) advanced(name string) string {
	w.tb.Helper()
	c := changed(name)
	return w.apply(c.AppendTo(nil, record.TypeGroupAdvanced))
}

func (w *world) trim(name, shard string, before uint64) string {
	w.tb.Helper()
	t := record.StreamTrimmed{Namespace: edda.DefaultNamespace, Name: name, Shard: shard, Offset: before}
	return w.apply(t.AppendTo(nil))
}

func (w *world) removeStream(name string) string {
	w.tb.Helper()
	r := record.StreamRemoved{Namespace: edda.DefaultNamespace, Name: name}
	return w.apply(r.AppendTo(nil))
}

func (w *world) group(name string) *Group {
	s, g, _ := strings.Cut(name, "/")
	return w.m.Group(edda.DefaultNamespace, s, g)
}

// request returns the open request that tests call by a name, nil when there is none.
func (w *world) request(name string) *request.Request {
	for r := range w.req.All() {
		if w.name(r) == name {
			return r
		}
	}
	return nil
}

// open returns the names of the open requests, in order.
func (w *world) open() string {
	var names []string
	for r := range w.req.All() {
		names = append(names, w.name(r))
	}
	return strings.Join(names, " ")
}

func (w *world) must(name string) *request.Request {
	w.tb.Helper()
	r := w.request(name)
	if r == nil {
		w.tb.Fatalf("no request %s is open, but %s", name, w.open())
	}
	return r
}

// start dispatches a request unless it runs.
func (w *world) start(name string) *request.Request {
	w.tb.Helper()
	r := w.must(name)
	if r.Fence == 0 {
		d := record.Dispatched{Seq: r.Seq}
		if w.apply(d.AppendTo(nil)); r.Fence == 0 {
			w.tb.Fatalf("%s does not start", name)
		}
	}
	return r
}

// ack has a message handled.
func (w *world) ack(names ...string) (said string) {
	w.tb.Helper()
	for _, name := range names {
		r := w.start(name)
		c := record.Completed{Seq: r.Seq, Fence: r.Fence}
		said = w.apply(c.AppendTo(nil))
	}
	return said
}

// die has a message's handler fail for good.
func (w *world) die(name string) string {
	w.tb.Helper()
	r := w.start(name)
	c := record.Completed{Seq: r.Seq, Fence: r.Fence, Failure: record.Failure{Reason: "NO_FUNDS", Message: "none \"left\""}}
	return w.apply(c.AppendTo(nil))
}

func (w *world) letter(id edda.ID, t record.Type) string {
	w.tb.Helper()
	l := record.Letter{ID: id}
	return w.apply(l.AppendTo(nil, t))
}

func (w *world) letters() (all []*request.Request) {
	w.tb.Helper()
	for r, err := range w.req.Letters(0) {
		if err != nil {
			w.tb.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// message reads one message of a stream.
func (w *world) message(to string, offset uint64) *edda.StreamMessage {
	w.tb.Helper()
	name, shard, _ := strings.Cut(to, "/")
	if shard == "" {
		shard = edda.DefaultShard
	}
	s := w.streams.Stream(edda.DefaultNamespace, name)
	if s == nil {
		return nil
	}
	for e, err := range w.streams.Scan(s, s.Shard(shard), offset) {
		if err != nil {
			w.tb.Fatal(err)
		}
		m := &edda.StreamMessage{Shard: shard, Offset: e.Offset}
		if err := m.UnmarshalBinary(e.Message); err != nil {
			w.tb.Fatal(err)
		}
		if e.Offset == offset {
			return m
		}
		break
	}
	return nil
}

func (w *world) expect(got, want string) {
	w.tb.Helper()
	if got != want {
		w.tb.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

// where shows how far a group has come.
func (w *world) where(name string) string { return w.whereIs(w.group(name)) }

func (w *world) whereIs(g *Group) string {
	b, err := json.Marshal(g.Cursor())
	if err != nil {
		w.tb.Fatal(err)
	}
	return fmt.Sprintf("%s lag %d open %d", bytes.ReplaceAll(b, []byte{'"'}, nil), g.Lag(), g.Open())
}

// check checks the machine's own bookkeeping, and what must hold of any state.
func (w *world) check() {
	w.tb.Helper()
	m := w.m
	groups := 0
	for s := range w.streams.All() {
		f := m.feeds[s.Serial]
		if f == nil {
			continue
		}
		if !slices.IsSortedFunc(f.groups, func(a, b *Group) int { return strings.Compare(a.Spec.Name, b.Spec.Name) }) || len(f.groups) == 0 {
			w.tb.Fatalf("the groups of %s are not in order", s.Spec.Name)
		}
		caught := 0
		for _, g := range f.groups {
			groups++
			if m.groups[g.Serial] != g || g.Stream != s {
				w.tb.Fatalf("%s is not found by its number", g.service)
			}
			caught += w.checkGroup(f, g)
		}
		for _, list := range f.caught {
			caught -= len(list)
		}
		if caught != 0 {
			w.tb.Fatalf("the feed of %s lists %d more that are caught up than there are", s.Spec.Name, -caught)
		}
	}
	if groups != len(m.groups) {
		w.tb.Fatalf("%d groups by number, %d of streams", len(m.groups), groups)
	}
	for r := range w.req.All() {
		if r.Delivery == nil || r.Delivery.Retried {
			continue
		}
		g := m.groups[r.Delivery.Group]
		if g == nil {
			w.tb.Fatalf("%s is open, its group is gone", w.name(r))
		}
		if h, ok := g.open[r.ID]; !ok || h.size != r.Size() || h.offset != r.Delivery.Offset || h.cursor.shard.Name != r.Delivery.Shard {
			w.tb.Fatalf("%s is open, its group has %+v", w.name(r), h)
		}
	}
}

// checkGroup returns how many shards a group is caught up in.
func (w *world) checkGroup(f *feed, g *Group) (caught int) {
	w.tb.Helper()
	shards := g.Stream.Shards()
	if len(g.cursors) != len(shards) {
		w.tb.Fatalf("%s has %d cursors in %d shards", g.service, len(g.cursors), len(shards))
	}
	behind, size := 0, 0
	for i, c := range g.cursors {
		if c.group != g || c.shard != shards[i] || c.index != uint32(i) || c.behind != (c.next < c.shard.End) {
			w.tb.Fatalf("%s: cursor %d is %+v, the shard ends with %d", g.service, i, c, c.shard.End)
		}
		if c.behind {
			behind++
			continue
		}
		caught++
		if at, found := f.findCaught(c); !found || f.caught[c.index][at] != c {
			w.tb.Fatalf("%s is caught up in shard %d and not listed", g.service, i)
		}
	}
	for id, h := range g.open {
		size += h.size
		if r, err := w.req.Lookup(id, w.env.Time); err != nil || r == nil || r.State.Ended() {
			w.tb.Fatalf("%s has %d open, which is %v (%v)", g.service, h.offset, r, err)
		}
	}
	switch {
	case behind != g.behind.Len():
		w.tb.Fatalf("%s is behind in %d shards, lists %d", g.service, behind, g.behind.Len())
	case size != g.bytes || len(g.open) > g.window.open || len(g.open) > 1 && size > g.window.bytes:
		w.tb.Fatalf("%s has %d open of %d bytes, counts %d; the window is %+v", g.service, len(g.open), size, g.bytes, g.window)
	case behind > 0 && len(g.open) == 0 && !g.filling:
		w.tb.Fatalf("%s is behind, and nothing has it go on", g.service)
	case g.filling && behind == 0:
		w.tb.Fatalf("%s is to take in more of nothing", g.service)
	}
	return caught
}
