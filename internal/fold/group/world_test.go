package group

import (
	"fmt"
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

func (c *counted) View(s *stream.Stream, sh *stream.Shard) stream.View {
	c.w.scans++
	return c.Machine.View(s, sh)
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
