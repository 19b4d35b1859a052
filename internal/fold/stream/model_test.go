package stream

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// model is what streams are, said as plainly as can be: everything that was ever
// appended is kept, and looked through from the beginning.
type model struct {
	streams map[string]*modelStream
	gone    map[string]int64 // when the last one of a name was removed
}

type modelStream struct {
	spec   edda.StreamSpec
	serial uint64
	shards []*modelShard
	ids    map[string]modelID
	made   int64
}

// lastAt is when the stream had its last message.
func (s *modelStream) lastAt() int64 {
	last := s.made - 1
	for _, sh := range s.shards {
		if n := len(sh.all); n > 0 {
			last = max(last, sh.all[n-1].Time)
		}
	}
	return last
}

type modelShard struct {
	name  string
	first uint64
	all   []Entry // by offset
	last  map[string]Last
}

type modelID struct {
	Place
	until int64
}

func (sh *modelShard) end() uint64   { return uint64(len(sh.all)) }
func (sh *modelShard) kept() []Entry { return sh.all[sh.first:] }

func (sh *modelShard) bytes() (n uint64) {
	for _, e := range sh.kept() {
		n += uint64(len(e.Message))
	}
	return n
}

func (s *modelStream) shard(name string) *modelShard {
	for _, sh := range s.shards {
		if sh.name == name {
			return sh
		}
	}
	return nil
}

func (s *modelStream) may(shard string) bool {
	return len(s.spec.Shards) == 0 || slices.Contains(s.spec.Shards, shard)
}

// set returns the effects that are to come.
func (m *model) set(spec edda.StreamSpec, position uint64, now int64) []Effect {
	spec.Dedupe = cmp.Or(spec.Dedupe, edda.DefaultDedupe)
	s := m.streams[spec.Name]
	if s == nil {
		m.streams[spec.Name] = &modelStream{spec: spec, serial: position << 10, ids: map[string]modelID{}, made: m.made(spec.Name, now)}
		return []Effect{{Kind: Created, Detail: " of " + spec.Name}}
	}
	before := s.spec
	s.spec = spec
	for _, sh := range s.shards {
		if !s.may(sh.name) {
			s.spec = before
			return []Effect{{
				Kind: Refused, Reason: edda.Conflict,
				Detail: fmt.Sprintf("shard %q has had messages and is not listed of %s in %s", sh.name, spec.Name, sh.name),
			}}
		}
	}
	return []Effect{{Kind: Changed, Detail: " of " + spec.Name}}
}

func (m *model) append(a *record.StreamAppended, otherwise EffectKind, position uint64, now int64, count *uint64) []Effect {
	s := m.streams[a.Stream]
	var sh *modelShard
	of := ""
	if s != nil {
		sh = s.shard(a.Shard)
		of = " of " + a.Stream
	}
	if sh != nil {
		of += " in " + a.Shard
	}
	answer := func(items []Item) []Effect {
		if otherwise == Dropped {
			return nil
		}
		return []Effect{{Kind: Answered, Items: items, Detail: of, Last: sh.lastOf(a.Producer)}}
	}
	if reason, detail := s.refusal(sh, a); reason != "" {
		var items []Item
		for i, msg := range a.Messages {
			if item, ok := s.known(sh, a, i, idOf(msg), now); ok {
				items = append(items, item)
			}
		}
		if len(items) == len(a.Messages) {
			return answer(items)
		}
		return []Effect{{Kind: otherwise, Reason: reason, Detail: detail + of}}
	}
	var effects []Effect
	if s == nil {
		s = &modelStream{
			spec:   edda.StreamSpec{Namespace: edda.DefaultNamespace, Name: a.Stream, Dedupe: edda.DefaultDedupe},
			serial: position<<10 | *count, ids: map[string]modelID{}, made: m.made(a.Stream, now),
		}
		*count++
		m.streams[a.Stream] = s
		effects = append(effects, Effect{Kind: Created, Detail: " of " + a.Stream})
	}
	var items []Item
	first, n, at := uint64(0), 0, max(now, s.lastAt()+1)
	if sh != nil {
		first = sh.end()
	}
	for i, msg := range a.Messages {
		id := idOf(msg)
		if item, ok := s.known(sh, a, i, id, now); ok {
			items = append(items, item)
			continue
		}
		if sh == nil {
			sh = &modelShard{name: a.Shard, last: map[string]Last{}}
			s.shards = append(s.shards, sh)
		}
		item := Item{Offset: sh.end(), Position: position, Shard: uint32(slices.Index(s.shards, sh))}
		if id != "" {
			s.ids[id] = modelID{Place{Shard: item.Shard, Offset: item.Offset, Position: position}, now + int64(s.spec.Dedupe)}
		}
		if a.Producer != "" {
			sh.last[a.Producer] = Last{Number: a.Numbers[i], Offset: sh.end(), Position: position, ID: id}
		}
		sh.all = append(sh.all, Entry{Offset: sh.end(), Time: at, Message: msg})
		items = append(items, item)
		n++
	}
	of = " of " + a.Stream
	if sh != nil {
		of += " in " + a.Shard
	}
	if n > 0 {
		effects = append(effects, Effect{Kind: Appended, First: first, N: n, Detail: of})
		sh.retain(s.spec.Retention, now)
	}
	return append(effects, answer(items)...)
}

func (s *modelStream) refusal(sh *modelShard, a *record.StreamAppended) (edda.Reason, string) {
	if s != nil && !s.may(a.Shard) {
		return edda.NoShard, fmt.Sprintf("stream %q has the shards that were listed, and %q is not one of them", a.Stream, a.Shard)
	}
	empty, next := true, uint64(0)
	if sh != nil {
		empty, next = sh.first == sh.end(), sh.end()
	}
	if a.Expect == 0 || a.Expect == 1 && empty || a.Expect > 1 && a.Expect-2 == next-1 {
		return "", ""
	}
	if empty {
		return edda.ExpectedOffset, ""
	}
	return edda.ExpectedOffset, strconv.FormatUint(next-1, 10)
}

func (sh *modelShard) lastOf(producer string) Last {
	if sh == nil {
		return Last{}
	}
	return sh.last[producer]
}

// known says where message i of an append was before, if it was there.
func (s *modelStream) known(sh *modelShard, a *record.StreamAppended, i int, id string, now int64) (Item, bool) {
	if s == nil {
		return Item{}, false
	}
	last, number := sh.lastOf(a.Producer), uint64(0)
	if a.Producer != "" {
		number = a.Numbers[i]
	}
	known, ok := s.ids[id]
	switch index := uint32(slices.Index(s.shards, sh)); {
	case number != 0 && number == last.Number:
		return Item{Offset: last.Offset, Position: last.Position, Shard: index, Replayed: true}, true
	case id != "" && ok && known.until > now:
		return Item{Offset: known.Offset, Position: known.Position, Shard: known.Shard, Replayed: true}, true
	case number != 0 && number < last.Number:
		return Item{Position: last.Position, Shard: index, Replayed: true, Unknown: true}, true
	}
	return Item{}, false
}

// retain drops messages one by one until the retention holds.
func (sh *modelShard) retain(r edda.Retention, now int64) {
	for len(sh.kept()) > 0 {
		switch {
		case r.Count > 0 && uint64(len(sh.kept())) > r.Count,
			r.Bytes > 0 && sh.bytes() > r.Bytes && len(sh.kept()) > 1,
			r.Age > 0 && sh.kept()[0].Time < now-int64(r.Age):
			sh.first++
		default:
			return
		}
	}
}

func (m *model) trim(t *record.StreamTrimmed) []Effect {
	s := m.streams[t.Name]
	if s == nil {
		return []Effect{{Kind: Refused, Reason: edda.NoStream, Detail: noStream(edda.DefaultNamespace, t.Name).detail}}
	}
	of := " of " + t.Name
	if t.Shard != "" && s.shard(t.Shard) != nil {
		of += " in " + t.Shard
	} else if t.Shard != "" && !s.may(t.Shard) {
		return []Effect{{
			Kind: Refused, Reason: edda.NoShard,
			Detail: fmt.Sprintf("stream %q has the shards that were listed, and %q is not one of them%s", t.Name, t.Shard, of),
		}}
	}
	n := 0
	for _, sh := range s.shards {
		if t.Shard != "" && t.Shard != sh.name {
			continue
		}
		for len(sh.kept()) > 0 && (sh.first < t.Offset || t.Time != 0 && sh.kept()[0].Time < t.Time) {
			sh.first++
			n++
		}
	}
	return []Effect{{Kind: Trimmed, N: n, Detail: of}}
}

// made is when a stream that is made now was made: later than anything of one before it.
func (m *model) made(name string, now int64) int64 { return max(now, m.gone[name]+1) }

func (m *model) remove(name string, now int64) []Effect {
	if m.streams[name] == nil {
		return []Effect{{Kind: Refused, Reason: edda.NoStream, Detail: noStream(edda.DefaultNamespace, name).detail}}
	}
	m.gone[name] = max(now, m.streams[name].lastAt()+1)
	delete(m.streams, name)
	return []Effect{{Kind: Removed, Detail: " of " + name}}
}

func idOf(msg []byte) string {
	var m edda.StreamMessage
	if err := m.UnmarshalBinary(msg); err != nil {
		panic(err)
	}
	return m.ID
}

// check compares all that can be known of the machine with the model.
func (m *model) check(tb testing.TB, w *world, ids []string) {
	tb.Helper()
	n := 0
	for s := range w.m.All() {
		n++
		want := m.streams[s.Spec.Name]
		if want == nil {
			tb.Fatalf("there is a stream %q", s.Spec.Name)
		}
		if w.m.Stream(s.Spec.Namespace, s.Spec.Name) != s || w.m.BySerial(s.Serial) != s || s.Serial != want.serial {
			tb.Fatalf("stream %q has the number %d, want %d", s.Spec.Name, s.Serial, want.serial)
		}
		if got, want := fmt.Sprintf("%+v", s.Spec), fmt.Sprintf("%+v", want.spec); got != want {
			tb.Fatalf("a stream is %s, want %s", got, want)
		}
		producers := 0
		for _, sh := range want.shards {
			producers += len(sh.last)
		}
		if s.producers != uint64(producers) {
			tb.Fatalf("stream %q has %d producers, want %d", s.Spec.Name, s.producers, producers)
		}
		if len(s.Shards()) != len(want.shards) {
			tb.Fatalf("stream %q has %d shards, want %d", s.Spec.Name, len(s.Shards()), len(want.shards))
		}
		for i, sh := range want.shards {
			sh.check(tb, w, s, uint32(i))
		}
		for _, id := range ids {
			p, found, err := w.m.Find(s, id)
			known, ok := want.ids[id]
			if ok = ok && known.until > w.env.Time; err != nil || found != ok || ok && p != known.Place {
				tb.Fatalf("stream %q: id %q is at %+v, %t, %v, want %+v, %t", s.Spec.Name, id, p, found, err, known.Place, ok)
			}
		}
	}
	if n != len(m.streams) || w.m.Len() != n {
		tb.Fatalf("there are %d streams, want %d", n, len(m.streams))
	}
}

func (sh *modelShard) check(tb testing.TB, w *world, s *Stream, index uint32) {
	tb.Helper()
	got := s.ByIndex(index)
	if got != s.Shard(sh.name) || got.Name != sh.name || got.Index != index {
		tb.Fatalf("shard %d of %q is %+v, want %q", index, s.Spec.Name, got, sh.name)
	}
	last := int64(0)
	if sh.end() > 0 {
		last = sh.all[sh.end()-1].Time
	}
	if got.First != sh.first || got.End != sh.end() || got.Bytes != sh.bytes() || got.LastAt != last {
		tb.Fatalf("shard %q of %q has %d to %d, %d bytes, last at %d, want %d to %d, %d, %d", sh.name, s.Spec.Name,
			got.First, got.End, got.Bytes, got.LastAt, sh.first, sh.end(), sh.bytes(), last)
	}
	if len(sh.kept()) > 0 && got.firstAt != sh.kept()[0].Time {
		tb.Fatalf("shard %q of %q begins at %d, want %d", sh.name, s.Spec.Name, got.firstAt, sh.kept()[0].Time)
	}
	if sh.first > 0 && got.goneAt != sh.all[sh.first-1].Time {
		tb.Fatalf("shard %q of %q had its last message that is gone at %d, want %d", sh.name, s.Spec.Name, got.goneAt, sh.all[sh.first-1].Time)
	}
	for _, p := range randomProducers {
		if last, err := w.m.last(s, got, p); err != nil || last != sh.last[p] {
			tb.Fatalf("the last message of %q in shard %q of %q is %+v, %v, want %+v", p, sh.name, s.Spec.Name, last, err, sh.last[p])
		}
	}
	if entries := w.read(tb, s, sh.name); !slices.EqualFunc(entries, sh.kept(), sameEntry) {
		tb.Fatalf("shard %q of %q has\n%v, want\n%v", sh.name, s.Spec.Name, entries, sh.kept())
	}
	sh.checkAge(tb, w, s, got)
}

// checkAge checks that what has become too old goes in time.
func (sh *modelShard) checkAge(tb testing.TB, w *world, s *Stream, got *Shard) {
	tb.Helper()
	age := s.Spec.Retention.Age
	if age == 0 || len(sh.kept()) == 0 {
		return
	}
	if late := sh.kept()[0].Time + int64(age+time.Minute/2); got.armed == 0 || got.armed > max(late, w.now+int64(time.Minute/2)) || w.m.NextExpiry() > got.armed {
		tb.Fatalf("shard %q of %q is looked at at %d, want at the latest at %d; next is %d", sh.name, s.Spec.Name, got.armed, late, w.m.NextExpiry())
	}
}

func sameEntry(a, b Entry) bool {
	return a.Offset == b.Offset && a.Time == b.Time && string(a.Message) == string(b.Message)
}
