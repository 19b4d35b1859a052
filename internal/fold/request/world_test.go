package request

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	services "github.com/edda-io/edda/internal/fold/service"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// The partition under test, of how many.
const (
	testPartition  = 1
	testPartitions = 4
)

// home returns an address hash that the given partition owns.
func home(partition uint64) uint64 { return partition<<62 | 0x1234 }

// testID returns the id that tests call r<n>.
func testID(n int) edda.ID {
	var id edda.ID
	binary.BigEndian.PutUint64(id[:], uint64(n))
	id[15] = 0x40
	return id
}

// idName is the inverse of testID, as text.
func idName(id edda.ID) string {
	if id.IsZero() {
		return "-"
	}
	return fmt.Sprintf("r%d", binary.BigEndian.Uint64(id[:]))
}

// op is one record before it is encoded.
type op struct {
	rec  any // one of package record's
	typ  record.Type
	msg  *edda.Message // of an accepted record
	time int64
	// start is record.FlagStart.
	start bool
}

// encode returns the record as it stands in the log.
func (o *op) encode() []byte {
	var b []byte
	switch r := o.rec.(type) {
	case *record.Owned:
		b = r.AppendTo(nil)
	case *record.Accepted:
		b = r.AppendTo(nil)
	case *record.Dispatched:
		b = r.AppendTo(nil)
	case *record.Completed:
		b = r.AppendTo(nil)
	case *record.AttemptFailed:
		b = r.AppendTo(nil)
	case *record.Ended:
		b = r.AppendTo(nil)
	case *record.Due:
		b = r.AppendTo(nil)
	case *record.Released:
		b = r.AppendTo(nil)
	case *record.OutboxAcked:
		b = r.AppendTo(nil)
	case *record.Letter:
		b = r.AppendTo(nil, o.typ)
	case *record.KeyResumed:
		b = r.AppendTo(nil)
	case *record.ServiceSet:
		b = r.AppendTo(nil)
	case *record.ServiceChanged:
		b = r.AppendTo(nil, o.typ)
	case *record.Part:
		b = r.AppendTo(nil)
	case *record.StepCancelled:
		b = r.AppendTo(nil)
	default:
		panic(fmt.Sprintf("no record: %T", r))
	}
	var f record.Flags
	if o.start {
		f = record.FlagStart
	}
	record.Stamp(b, f, o.time)
	return b
}

func mustEncode(m *edda.Message) []byte {
	b, err := m.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

func encodeReply(r *edda.Reply) []byte {
	b, err := r.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// world is one partition's fold on a tree.
type world struct {
	tb   testing.TB
	tree *store.Tree
	env  *fold.Env
	box  *outbox.Machine
	req  *Machine
	svc  *services.Machine
	told *told
	fold *fold.Fold
	log  [][]byte // every record from position 1
	said []string // what each of them brought about
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{tb: tb, tree: store.NewTree()}
	w.load()
	return w
}

// load makes new machines from what the table holds.
func (w *world) load() {
	w.tb.Helper()
	loaded, err := loadFold(w.tree)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.env, w.box, w.req, w.svc, w.fold, w.told = loaded.env, loaded.box, loaded.req, loaded.svc, loaded.fold, loaded.told
}

// loadFold makes a fold of what a table holds.
func loadFold(tree *store.Tree) (w world, err error) {
	w.env = &fold.Env{Table: tree, Partition: testPartition, Partitions: testPartitions}
	w.box = outbox.New(w.env)
	w.req = New(w.env, w.box)
	w.told = &told{m: w.req}
	w.req.SetSteps(w.told)
	w.req.SetDeliveries(w.told)
	w.svc = services.New(w.env, w.box)
	w.fold, err = fold.New(w.env, uint64(tree.Applied()), w.box, w.req, w.svc)
	return w, err
}

// apply applies the next record and returns what it brought about.
func (w *world) apply(rec []byte, hint *edda.Message) string {
	w.tb.Helper()
	if hint != nil {
		w.req.Hint(hint, FlatAddress(hint.To))
	}
	w.log = append(w.log, rec)
	foreseen := w.foresee(rec)
	if err := w.fold.Apply(uint64(len(w.log)), rec); err != nil {
		w.tb.Fatalf("apply record %d: %v", len(w.log), err)
	}
	foreseen.check()
	said := w.effects()
	w.said = append(w.said, said)
	return said
}

func (w *world) do(o op) string {
	w.tb.Helper()
	return w.apply(o.encode(), nil)
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

// changes returns how many changes a checkpoint would write.
func (w *world) changes() int {
	w.tb.Helper()
	var b store.Batch
	if err := w.fold.Checkpoint(&b); err != nil {
		w.tb.Fatal(err)
	}
	return b.Len()
}

// crash loses all memory, loads the last checkpoint and replays the log. What
// the records bring about must be what they brought about the first time.
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
	bytes := w.req.Bytes()
	w.req.Pack()
	for _, r := range w.req.open {
		if r.Message != nil && r.encoded != nil {
			w.tb.Fatalf("%s has its message twice in memory", idName(r.ID))
		}
	}
	if got := w.req.Bytes(); got != bytes {
		w.tb.Fatalf("packed, %d bytes wait; %d before", got, bytes)
	}
}

// effects takes the effects, and what sagas were told, as text, a line each.
func (w *world) effects() string {
	var b []byte
	for _, e := range w.req.Effects() {
		b = appendEffect(b, e)
	}
	b = append(b, w.told.said...)
	w.told.said = nil
	return string(b)
}

var effectNames = [...]string{
	Accepted: "accepted", Joined: "joined", Mismatch: "mismatch", Dispatch: "dispatch", Ready: "ready", Arm: "arm",
	Spare: "spare", Ended: "ended", Fenced: "fenced", Stale: "stale", KeyStopped: "key-stopped", KeyGone: "key-gone",
	NoLetter: "no-letter", LetterDropped: "letter-dropped", Yielded: "yielded",
}

func appendEffect(b []byte, e Effect) []byte {
	b = append(b, effectNames[e.Kind]...)
	if r := e.Request; r != nil {
		b = append(b, ' ')
		b = append(b, idName(r.ID)...)
		switch e.Kind {
		case Dispatch:
			b = fmt.Appendf(b, " attempt %d", r.Attempts)
		case Arm:
			b = fmt.Appendf(b, " at %d", r.Due)
		case Ended:
			b = fmt.Appendf(b, " %s", r.State)
		}
	}
	if e.Fence != 0 {
		b = fmt.Appendf(b, " fence %s", fenceName(e.Fence))
	}
	return append(b, '\n')
}

// fenceName shows an epoch and the number in it.
func fenceName(f uint64) string {
	if f>>32 == 0 {
		return fmt.Sprint(f)
	}
	return fmt.Sprintf("%d:%d", f>>32, f&0xffffffff)
}

// view is all that can be seen of a request, to compare and print.
type view struct {
	Seq                                                      uint64
	ID, Causation                                            edda.ID
	Hash                                                     uint64
	Kind                                                     edda.Kind
	To                                                       edda.Address
	Method                                                   string
	Principal                                                edda.Principal
	Correlation                                              string
	State                                                    edda.State
	Attempts                                                 int
	Fence                                                    uint64
	Due, Deadline, AcceptedAt, StartedAt, EndedAt, KeepUntil int64
	Keep, Letter, Queued, Head, Stopped                      bool
	Failure                                                  record.Failure
	ReplyStatus                                              int
	ReplyType                                                string
	ReplySize                                                int
	Reply                                                    string
	Message                                                  string // encoded
	Parts                                                    string
	Step, Delivery                                           string // encoded
}

// view returns what can be seen of a request.
func (w *world) view(r *Request) view {
	v := view{
		Seq: r.Seq, ID: r.ID, Causation: r.Causation, Hash: r.Hash, Kind: r.Kind, To: r.To, Method: r.Method,
		Principal: r.Principal, Correlation: r.Correlation, State: r.State, Attempts: r.Attempts, Fence: r.Fence,
		Due: r.Due, Deadline: r.Deadline, AcceptedAt: r.AcceptedAt, StartedAt: r.StartedAt, EndedAt: r.EndedAt,
		KeepUntil: r.KeepUntil, Keep: r.Keep, Letter: r.Letter, Failure: r.Failure,
		ReplyStatus: int(r.ReplyStatus), ReplyType: r.ReplyType, ReplySize: r.ReplySize, Reply: string(r.Reply),
		Step: string(record.AppendStep(nil, 1, r.Step)), Delivery: string(record.AppendDeliveryRef(nil, 1, r.Delivery)),
	}
	if !r.State.Ended() {
		v.Queued, v.Head, v.Stopped = r.Queued(), r.Head(), r.Stopped()
	}
	if !r.State.Ended() || r.Letter {
		msg, err := r.Load(w.tree)
		if err != nil {
			w.tb.Fatalf("message of %s: %v", idName(r.ID), err)
		}
		if !msg.Time.IsZero() && msg.Time.UnixNano() != r.AcceptedAt {
			w.tb.Fatalf("the message of %s is of %v, and was accepted at %d", idName(r.ID), msg.Time, r.AcceptedAt)
		}
		plain := *msg
		plain.Time = time.Time{}
		v.Message = string(mustEncode(&plain))
	}
	v.Parts = w.parts(r)
	return v
}

// lookup returns what can be seen of the request with the id, nil for nothing.
func (w *world) lookup(id edda.ID) *view {
	w.tb.Helper()
	r, err := w.req.Lookup(id, w.env.Time)
	if err != nil {
		w.tb.Fatal(err)
	}
	if r == nil {
		return nil
	}
	return new(w.view(r))
}

// letters returns the dead letters' ids in order.
func (w *world) letters(after uint64) []edda.ID {
	var ids []edda.ID
	for r, err := range w.req.Letters(after) {
		if err != nil {
			w.tb.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

// state returns the state of a key.
func (w *world) state(a edda.Address) map[string]string {
	m := map[string]string{}
	last := ""
	v := w.req.View(&Request{Addr: FlatAddress(a)})
	for e, err := range v.List(w.tb.Context(), "") {
		if err != nil {
			w.tb.Fatal(err)
		}
		if e.Name <= last && last != "" {
			w.tb.Fatalf("state of %s lists %q after %q", a, e.Name, last)
		}
		last = e.Name
		m[e.Name] = string(e.Value)
		if got, found, err := v.Get(w.tb.Context(), e.Name); err != nil || !found || !bytes.Equal(got, e.Value) {
			w.tb.Fatalf("state %q of %s is listed as %q, got as %q, %t, %v", e.Name, a, e.Value, got, found, err)
		}
	}
	return m
}

// queues returns the requests of each key in order, by flat address.
func (w *world) queues() map[string][]edda.ID {
	qs := map[string][]edda.ID{}
	for addr, k := range w.req.keys {
		ids := []edda.ID{}
		for r := k.Head(); r != nil; r = k.Next(r) {
			ids = append(ids, r.ID)
		}
		qs[addr] = ids
	}
	return qs
}

// check checks the machine's own bookkeeping, and what must hold of any state.
func (w *world) check() {
	w.tb.Helper()
	m := w.req
	bytes, running := 0, map[string]int{}
	for seq, r := range m.open {
		bytes += r.memory()
		switch {
		case r.Seq != seq || r.State.Ended():
			w.tb.Fatalf("%s at %d is open as %d in state %s", idName(r.ID), r.Seq, seq, r.State)
		case m.byID[r.ID] != r:
			w.tb.Fatalf("%s is open but not found by its id", idName(r.ID))
		case r.scope != "" && m.scope[r.scope] != r:
			w.tb.Fatalf("%s is open but not found by its scope", idName(r.ID))
		case (r.key != nil) != (r.Kind == edda.Ordered && r.order != 0):
			w.tb.Fatalf("%s: in a queue: %t, %s, order %d", idName(r.ID), r.key != nil, r.Kind, r.order)
		case r.key != nil && m.keys[r.Addr] != r.key:
			w.tb.Fatalf("%s is in a queue that is not its key's", idName(r.ID))
		case r.Fence > m.fence:
			w.tb.Fatalf("%s has fence %d, the last one was %d", idName(r.ID), r.Fence, m.fence)
		case r.Fence != 0 && (!r.Head() || r.Stopped() || r.State != edda.Dispatched || r.Attempts < 1):
			w.tb.Fatalf("%s runs: head %t, stopped %t, %s, attempt %d", idName(r.ID), r.Head(), r.Stopped(), r.State, r.Attempts)
		case r.Fence == 0 && r.State == edda.Dispatched:
			w.tb.Fatalf("%s is dispatched without a fence", idName(r.ID))
		case r.Attempts < 0:
			w.tb.Fatalf("%s has %d attempts", idName(r.ID), r.Attempts)
		}
		if r.Fence != 0 && r.Kind == edda.Ordered {
			if running[r.Addr]++; running[r.Addr] > 1 {
				w.tb.Fatalf("key %q runs two attempts", r.Addr)
			}
		}
	}
	for _, r := range m.ended {
		if p := r.parts; p != nil && p.Last < p.Reset+uint64(len(p.Recent)) {
			w.tb.Fatalf("%s has parts %d to %d, %d of them in memory", idName(r.ID), p.Reset, p.Last, len(p.Recent))
		}
	}
	if bytes != m.Bytes() || len(m.open) != m.Count() {
		w.tb.Fatalf("bytes %d, count %d, want %d and %d", m.Bytes(), m.Count(), bytes, len(m.open))
	}
	for addr, k := range m.keys {
		w.checkKey(addr, k)
	}
	for id, r := range m.byID {
		if r.ID != id || !r.State.Ended() && m.open[r.Seq] != r {
			w.tb.Fatalf("%s is found by the id %s, state %s", idName(r.ID), idName(id), r.State)
		}
	}
}

func (w *world) checkKey(addr string, k *Key) {
	w.tb.Helper()
	n, last := 0, uint64(0)
	var prev *Request
	for r := k.head; r != nil; r = r.next {
		if r.prev != prev || r.key != k || r.Addr != addr || r.order < last || w.req.open[r.Seq] != r {
			w.tb.Fatalf("queue of %q is broken at %s", addr, idName(r.ID))
		}
		prev, last = r, r.order
		n++
	}
	if k.tail != prev || k.Len != n || n == 0 && !k.Stopped || FlatAddress(lane(k.Address, k.Shard)) != addr {
		w.tb.Fatalf("key %q: %d in queue, Len %d, stopped %t", addr, n, k.Len, k.Stopped)
	}
}

// rows returns the table's rows as text, a line each.
func (w *world) rows() []string {
	var rows []string
	for p := range w.tree.Scan(nil, nil) {
		rows = append(rows, fmt.Sprintf("%c %x = %x", p.Key[0], p.Key[1:], p.Value))
	}
	return rows
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	ks := make([]K, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}
