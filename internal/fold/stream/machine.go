package stream

import (
	"cmp"
	"fmt"
	"iter"

	"github.com/google/btree"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
)

// Feeds is told what happens to streams, within the application of the record that
// brings it about. The machine of the groups is one.
type Feeds interface {
	// Appended says that the messages first … first+n-1 are new, before anything is
	// trimmed because of them. Starts are the slots that the record's proposer has reserved
	// for them; their indexes count the new messages, those that were there before left out.
	Appended(s *Stream, sh *Shard, first uint64, n int, starts []record.GroupStart) error
	// Removed says that the stream is about to go.
	Removed(s *Stream) error
}

// Ref names a stream.
type Ref struct{ Namespace, Name string }

// Ref returns what the stream is called.
func (s *Stream) Ref() Ref { return Ref{s.Spec.Namespace, s.Spec.Name} }

func (r Ref) compare(other Ref) int {
	return cmp.Or(cmp.Compare(r.Namespace, other.Namespace), cmp.Compare(r.Name, other.Name))
}

// Machine is the state of the streams of one partition.
type Machine struct {
	env    *fold.Env
	outbox *outbox.Machine
	feeds  Feeds

	byRef    map[Ref]*Stream
	bySerial map[uint64]*Stream
	names    *btree.BTreeG[*Stream] // by Ref
	expiries *btree.BTreeG[expiry]

	ids       map[idKey]remembered // given since the last checkpoint
	numbers   map[numberKey]Last   // raised since then
	dirty     []*Stream            // whose rows have to be written
	shards    []*Shard             // changed or trimmed since then
	removed   []*Stream            // since then, with rows in the table
	removals  removals
	heads     []*Shard // with something in Shard.head
	parts     [][]byte // of a checkpoint, empty
	headMarks int      // see fill
	rowBytes  int      // see rowBytes
	bytes     int

	made   uint64 // how many streams the record at madeAt has made
	madeAt uint64

	effects []Effect
	items   []Item // those of effects
	taken   int    // as many effects were handed out last

	record record.StreamAppended // room to read into
	key    []byte                // room for the key of a row
}

// New returns a machine without streams.
func New(env *fold.Env, box *outbox.Machine) *Machine {
	return &Machine{
		env: env, outbox: box, byRef: map[Ref]*Stream{}, bySerial: map[uint64]*Stream{}, ids: map[idKey]remembered{}, numbers: map[numberKey]Last{},
		headMarks: headMarks,
		rowBytes:  rowBytes,
		names:     btree.NewG(32, func(a, b *Stream) bool { return a.Ref().compare(b.Ref()) < 0 }),
		expiries:  btree.NewG(32, expiry.less),
	}
}

// SetFeeds sets who is told. It is called once, before the first record; without it
// nobody is.
func (m *Machine) SetFeeds(f Feeds) { m.feeds = f }

// Types are the record types the machine owns.
func (m *Machine) Types() []record.Type {
	return []record.Type{record.TypeStreamAppended, record.TypeStreamSet, record.TypeStreamRemoved, record.TypeStreamTrimmed}
}

// Effects returns what the records since the last call brought about. The slice, and
// the items in it, are valid until the next record is applied.
func (m *Machine) Effects() []Effect {
	e := m.effects
	if len(e) < m.taken {
		clear(e[len(e):m.taken]) // so that they hold on to nothing
	}
	m.taken = len(e)
	m.effects, m.items = e[:0], m.items[:0]
	if cap(m.items) > keptRoom {
		m.items = nil
	}
	return e
}

// Bytes is about what messages, and ids, in memory take until the next checkpoint.
func (m *Machine) Bytes() int { return m.bytes }

// Stream returns a stream, nil when there is none.
func (m *Machine) Stream(namespace, name string) *Stream { return m.byRef[Ref{namespace, name}] }

// BySerial returns the stream with the number, nil when there is none.
func (m *Machine) BySerial(serial uint64) *Stream { return m.bySerial[serial] }

// All yields all streams by namespace and name. No record may be applied meanwhile.
func (m *Machine) All() iter.Seq[*Stream] { return m.From("", "") }

// From is All without those of lesser namespaces, and without those of the namespace
// whose names are less.
func (m *Machine) From(namespace, name string) iter.Seq[*Stream] {
	return func(yield func(*Stream) bool) {
		from := &Stream{Spec: edda.StreamSpec{Namespace: namespace, Name: name}}
		m.names.AscendGreaterOrEqual(from, yield)
	}
}

// Len returns how many streams there are.
func (m *Machine) Len() int { return m.names.Len() }

// Apply changes the state by one record.
func (m *Machine) Apply(r record.Record) error {
	switch r.Type {
	case record.TypeStreamAppended:
		return m.applyAppended(r.Body)
	case record.TypeStreamSet:
		return m.applySet(r.Body)
	case record.TypeStreamRemoved:
		return m.applyRemoved(r.Body)
	case record.TypeStreamTrimmed:
		return m.applyTrimmed(r.Body)
	default:
		return fmt.Errorf("%s record is not the stream machine's", r.Type)
	}
}

func (m *Machine) refuse(kind EffectKind, s *Stream, sh *Shard, r *refusal) {
	m.effects = append(m.effects, Effect{Kind: kind, Stream: s, Shard: sh, Reason: r.reason, Detail: r.detail})
}

// Ensure returns the stream, which it creates with defaults when there is none.
func (m *Machine) Ensure(namespace, name string) *Stream {
	if s := m.byRef[Ref{namespace, name}]; s != nil {
		return s
	}
	return m.create(edda.StreamSpec{Namespace: namespace, Name: name})
}

// serialBits are what a record's position is shifted by in the serial numbers of what it
// makes.
const serialBits = 10

func (m *Machine) create(spec edda.StreamSpec) *Stream {
	if m.madeAt != m.env.Position {
		m.madeAt, m.made = m.env.Position, 0
	}
	if m.made == 1<<serialBits {
		panic("stream: a record makes more than 1,024 streams")
	}
	s := &Stream{Serial: m.env.Position<<serialBits | m.made, earlierUntil: m.RemovedAt(spec.Namespace, spec.Name), storedAt: -1}
	s.CreatedAt = m.firstTime(s.earlierUntil)
	s.lastAt = s.CreatedAt - 1
	m.made++
	s.setSpec(spec)
	m.index(s)
	m.touch(s)
	m.env.RowsVersion = max(m.env.RowsVersion, fold.RowsOfStreams)
	m.effects = append(m.effects, Effect{Kind: Created, Stream: s})
	return s
}

// room reports whether the record may make another stream.
func (m *Machine) room() bool { return m.madeAt != m.env.Position || m.made < 1<<serialBits }

func (m *Machine) index(s *Stream) {
	m.byRef[s.Ref()] = s
	m.bySerial[s.Serial] = s
	m.names.ReplaceOrInsert(s)
}

// touch has the stream's row written with the next checkpoint.
func (m *Machine) touch(s *Stream) {
	if !s.dirty {
		s.dirty = true
		m.dirty = append(m.dirty, s)
	}
}

// touchShard is touch for a shard.
func (m *Machine) touchShard(sh *Shard) {
	if !sh.dirty {
		sh.dirty = true
		m.shards = append(m.shards, sh)
	}
}

func noStream(namespace, name string) *refusal {
	return &refusal{edda.NoStream, fmt.Sprintf("there is no stream %q in the namespace %q", name, namespace)}
}

func noShard(s *Stream, shard string) *refusal {
	return &refusal{edda.NoShard, fmt.Sprintf("stream %q has the shards that were listed, and %q is not one of them", s.Spec.Name, shard)}
}

func noChannel(namespace, name string) *refusal {
	return &refusal{edda.NoChannel, fmt.Sprintf("there is no channel %q in the namespace %q", name, namespace)}
}

func (m *Machine) applySet(body []byte) error {
	var set record.StreamSet
	if err := set.Decode(body); err != nil {
		return err
	}
	return m.Set(set.StreamSpec)
}

// Set creates a stream, or changes one, in the record being applied.
func (m *Machine) Set(spec edda.StreamSpec) error {
	s := m.byRef[Ref{spec.Namespace, spec.Name}]
	if s == nil {
		m.create(spec)
		return nil
	}
	before := s.Spec
	s.setSpec(spec)
	for _, sh := range s.shards {
		if !s.May(sh.Name) {
			s.setSpec(before)
			m.refuse(Refused, s, sh, &refusal{edda.Conflict, fmt.Sprintf("shard %q has had messages and is not listed", sh.Name)})
			return nil
		}
	}
	m.touch(s)
	m.effects = append(m.effects, Effect{Kind: Changed, Stream: s})
	for _, sh := range s.shards {
		if err := m.retain(sh); err != nil {
			return err
		}
		m.disarm(sh)
		m.arm(sh)
	}
	return nil
}

func (m *Machine) applyRemoved(body []byte) error {
	var r record.StreamRemoved
	if err := r.Decode(body); err != nil {
		return err
	}
	if m.byRef[Ref{r.Namespace, r.Name}] == nil {
		m.refuse(Refused, nil, nil, noStream(r.Namespace, r.Name))
		return nil
	}
	return m.Remove(r.Namespace, r.Name)
}

// Remove removes a stream, if there is one, in the record being applied.
func (m *Machine) Remove(namespace, name string) error {
	s := m.byRef[Ref{namespace, name}]
	if s == nil {
		return nil
	}
	if m.feeds != nil {
		if err := m.feeds.Removed(s); err != nil {
			return err
		}
	}
	delete(m.byRef, s.Ref())
	delete(m.bySerial, s.Serial)
	m.names.Delete(s)
	s.removed = true
	m.removals.add(s.Ref().hash(), max(m.env.Time, s.lastAt+1))
	for _, sh := range s.shards {
		m.disarm(sh)
		for i := range sh.recent {
			m.bytes -= len(sh.recent[i].data) + messageOverhead
		}
		sh.recent, sh.head = nil, nil // who has a view has the slice
	}
	if s.stored {
		m.removed = append(m.removed, s)
	}
	m.effects = append(m.effects, Effect{Kind: Removed, Stream: s})
	return nil
}

var _ fold.Machine = (*Machine)(nil)
