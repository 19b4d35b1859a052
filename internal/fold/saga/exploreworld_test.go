package saga_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// The saga under test lives in partition exploreHome of two; its steps of ordered
// services live here or there, by their keys.
const (
	exploreNamespace  = edda.DefaultNamespace
	explorePartitions = 2
	exploreTime       = int64(1_000_000_000)
)

var (
	exploreSaga = "s"
	exploreHome = fold.Home(saga.Hash(exploreNamespace, exploreSaga), explorePartitions)
	// hereKey and awayKey are keys of the ordered service whose requests live in the
	// saga's partition and in the other one.
	hereKey, awayKey = orderedKeys()
	exploreSecret    = []byte("0123456789abcdef")
)

// ordered is the service whose requests have a key, balanced the one without.
const ordered, balanced = "ordered", "balanced"

func orderedKeys() (here, away string) {
	for i := 0; here == "" || away == ""; i++ {
		k := fmt.Sprint("k", i)
		if fold.Home((edda.Address{Namespace: exploreNamespace, Name: ordered, Key: k}).Hash(), explorePartitions) == exploreHome {
			here = k
		} else {
			away = k
		}
	}
	return here, away
}

// memory says what happens between records: nothing, or checkpoints, restarts and
// crashes. All must look the same.
type memory int

const (
	plain memory = iota
	// checkpoints after every record; what is not touched leaves the memory.
	checkpoints
	// restarts after every record.
	restarts
	// crashes after every record: the last checkpoint is loaded, which every third record
	// makes, and what came after it is applied again and must bring about the same.
	crashes
	memories
	// mixed is one of them at random.
	mixed
)

func (m memory) String() string {
	return [...]string{"plain", "checkpoints", "restarts", "crashes", "", "mixed"}[m]
}

// place is the saga's partition.
type place struct {
	tb    testing.TB
	how   memory
	tree  *store.Tree
	env   *fold.Env
	box   *outbox.Machine
	req   *request.Machine
	sagas *saga.Machine
	fold  *fold.Fold
	log   [][]byte
	said  []string // what each record brought about
	last  sight    // made, cancelled, answers and ends of the last record
	slots []string // given back or used in the last record, and what it had no room for
	seen  int      // entries of the lane that were looked at
	sent  []made   // messages that were not looked at
	names map[edda.ID]name
	rng   *rand.Rand // of mixed
	// rehearsal, of the saga rehearsed, is that by which the last record was foreseen, if it
	// was.
	rehearsal *saga.Rehearsal
	rehearsed saga.Ref
}

func newPlace(tb testing.TB, how memory) *place {
	tb.Helper()
	p := &place{tb: tb, how: how, tree: store.NewTree(), names: map[edda.ID]name{}}
	p.load()
	return p
}

func (p *place) load() {
	p.tb.Helper()
	p.env = &fold.Env{Table: p.tree, Partition: exploreHome, Partitions: explorePartitions}
	p.box = outbox.New(p.env)
	p.req = request.New(p.env, p.box)
	p.sagas = saga.New(p.env, p.box, p.req)
	p.sagas.SetStreams(p)
	p.req.SetSteps(p.sagas)
	var err error
	if p.fold, err = fold.New(p.env, uint64(p.tree.Applied()), p.box, p.req, p.sagas); err != nil {
		p.tb.Fatal(err)
	}
	p.seen, p.rehearsal = len(p.lane()), nil
}

// lane returns all that was ever sent to the other partition: nothing is
// acknowledged here.
func (p *place) lane() []outbox.Entry { return p.box.After(1-exploreHome, 0, 1<<30) }

// apply applies a record, and whatever happens between this one and the next.
func (p *place) apply(rec []byte) {
	p.tb.Helper()
	p.log = append(p.log, rec)
	p.one(len(p.log))
	if p.how == crashes || p.how == mixed {
		p.said = append(p.said, p.text())
	}
	how := p.how
	if how == mixed {
		how = memory(p.rng.IntN(int(memories)))
	}
	switch how {
	case checkpoints:
		p.checkpoint()
	case restarts:
		p.checkpoint()
		p.load()
	case crashes:
		if len(p.log)%3 == 0 {
			p.checkpoint()
		}
		p.crash()
	}
}

func (p *place) one(position int) {
	p.tb.Helper()
	f := p.foresee(p.log[position-1])
	if err := p.fold.Apply(uint64(position), p.log[position-1]); err != nil {
		p.tb.Fatalf("record %d: %v", position, err)
	}
	p.look()
	f.check(p)
}

func (p *place) checkpoint() {
	p.tb.Helper()
	var b store.Batch
	if err := p.fold.Checkpoint(&b); err != nil {
		p.tb.Fatal(err)
	}
	if err := p.tree.Commit(&b, engine.Position(len(p.log))); err != nil {
		p.tb.Fatal(err)
	}
	p.fold.Committed()
}

func (p *place) crash() {
	p.tb.Helper()
	last, slots := p.last, p.slots
	p.load()
	for i := int(p.tree.Applied()); i < len(p.log); i++ {
		p.one(i + 1)
		if got := p.text(); got != p.said[i] {
			p.tb.Fatalf("record %d applied again brings about\n%swant\n%s", i+1, got, p.said[i])
		}
	}
	p.last, p.slots = last, slots
}

// text is what the last record brought about.
func (p *place) text() string {
	s := &p.last
	return fmt.Sprintf("made %v\ncancelled %v\nanswers %v ends %v slots %v\n", s.made, s.cancelled, s.answers, s.ends, p.slots)
}

// look takes what the last record brought about.
func (p *place) look() {
	p.last, p.slots = sight{}, nil
	p.lookRequests()
	for _, e := range p.sagas.Effects() {
		id := ""
		if e.Saga != nil {
			id = e.Saga.ID
		}
		switch e.Kind {
		case saga.Created:
			if !strings.Contains(id, "~") {
				p.last.answers = append(p.last.answers, "created")
			}
		case saga.Joined:
			p.last.answers = append(p.last.answers, "joined")
		case saga.Refused:
			p.last.answers = append(p.last.answers, "refused "+string(e.Reason))
		case saga.Applied:
			p.last.answers = append(p.last.answers, "applied")
		case saga.Unchanged:
			p.last.answers = append(p.last.answers, "unchanged")
		case saga.Ended:
			p.last.ends = append(p.last.ends, id)
		case saga.Advance:
			p.slots = append(p.slots, "advance")
		case saga.Spare:
			p.slots = append(p.slots, fmt.Sprint("spare ", e.Step))
		}
	}
}

func (p *place) lookRequests() {
	for _, e := range p.req.Effects() {
		r := e.Request
		switch {
		case e.Kind == request.Spare:
			p.slots = append(p.slots, "spare")
		case r == nil || r.Step == nil:
		case e.Kind == request.Accepted:
			p.note(r.Step, r.ID, r.Message, false)
		case e.Kind == request.Dispatch:
			p.slots = append(p.slots, fmt.Sprint("used ", r.Step.Index))
		case e.Kind == request.Ended && r.State == edda.StateCancelled:
			p.last.cancelled = append(p.last.cancelled, p.names[r.ID])
		}
	}
	for _, e := range p.lane()[p.seen:] {
		p.seen++
		switch e.Type {
		case record.TypeAccepted:
			a, msg := p.accepted(e.Body)
			p.note(a.Step, msg.ID, msg, true)
		case record.TypeStepCancelled:
			p.last.cancelled = append(p.last.cancelled, p.names[p.told(e.Body)])
		default:
			p.tb.Fatalf("the saga sends a %s record", e.Type)
		}
	}
	p.last.made = append(p.last.made, p.sent...)
	p.sent = nil
}

// Send stands in for the machine of streams: a message is looked at like a request.
func (p *place) Send(a *record.StreamAppended) error {
	for _, b := range a.Messages {
		var msg edda.StreamMessage
		if err := msg.UnmarshalBinary(b); err != nil {
			return err
		}
		id, err := edda.ParseID(msg.ID)
		if err != nil {
			return err
		}
		m := made{id: id, to: edda.Address{Name: a.Stream, Key: msg.Key}, method: msg.Type}
		m.saga, m.step = msg.Headers.Get(edda.SagaIDHeader), msg.Headers.Get(edda.StepIDHeader)
		if err := json.Unmarshal(msg.Payload, &m.input); err != nil {
			return err
		}
		if k := msg.Headers.Get(edda.CompletionKeyHeader); k != m.input.CompletionKey {
			return fmt.Errorf("the completion key is %q in the header, %q in the data", k, m.input.CompletionKey)
		}
		p.sent = append(p.sent, m)
	}
	return nil
}

func (p *place) accepted(body []byte) (*record.Accepted, *edda.Message) {
	var a record.Accepted
	msg := &edda.Message{}
	if err := a.Decode(body); err != nil {
		p.tb.Fatal(err)
	}
	if err := msg.UnmarshalBinary(a.Message); err != nil {
		p.tb.Fatal(err)
	}
	return &a, msg
}

func (p *place) told(body []byte) edda.ID {
	var c record.StepCancelled
	if err := c.Decode(body); err != nil {
		p.tb.Fatal(err)
	}
	return c.ID
}

// note notes a request that was made for a step.
func (p *place) note(step *record.Step, id edda.ID, msg *edda.Message, remote bool) {
	n := name{saga: step.Saga, undo: step.Undo, run: step.Run, step: p.view(step.Saga).Steps[step.Index].ID}
	m := made{name: n, id: id, remote: remote, to: msg.To, method: msg.Type}
	if err := json.Unmarshal(msg.Payload, &m.input); err != nil {
		p.tb.Fatalf("request of %s is sent %q: %v", n, msg.Payload, err)
	}
	p.names[id] = n
	p.last.made = append(p.last.made, m)
}

func (p *place) view(id string) *edda.Saga {
	p.tb.Helper()
	s, err := p.sagas.Get(exploreNamespace, id, p.env.Time)
	if err != nil {
		p.tb.Fatal(err)
	}
	if s == nil {
		return nil
	}
	return s.View(true)
}

// views returns the saga and all that its steps are.
func (p *place) views() map[string]*edda.Saga {
	out := map[string]*edda.Saga{}
	todo := []string{exploreSaga}
	for at := 0; at < len(todo); at++ {
		s := p.view(todo[at])
		if s == nil {
			continue
		}
		out[s.ID] = s
		for i := range s.Steps {
			if c := s.Steps[i].SagaID; c != "" {
				todo = append(todo, c)
			}
		}
	}
	return out
}

// local returns the open requests of steps, in the order in which they were made.
func (p *place) local() []*request.Request {
	var out []*request.Request
	for r := range p.req.All() {
		if r.Step != nil {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *request.Request) int { return int(a.Seq) - int(b.Seq) })
	return out
}

// sight returns what is to be seen of everything.
func (p *place) sight(d *distance) sight {
	s := p.last
	s.sagas = p.views()
	for _, ref := range p.sagas.Unadvanced() {
		s.more = append(s.more, ref.ID)
	}
	for _, r := range p.local() {
		s.open = append(s.open, p.names[r.ID])
	}
	lane := p.lane()
	for _, e := range lane[d.received:] {
		if e.Type == record.TypeAccepted {
			_, msg := p.accepted(e.Body)
			s.away = append(s.away, p.names[msg.ID])
		} else {
			s.doomed = append(s.doomed, p.names[p.told(e.Body)])
		}
	}
	for i := range d.open {
		s.away = append(s.away, d.open[i].name)
	}
	for _, b := range d.back[d.returned:] {
		s.away = append(s.away, b.name)
		s.doomed = append(s.doomed, b.name) // it has ended there
	}
	return s
}

// stamped gives a record its time.
func stamped(rec []byte, time int64) []byte {
	record.Stamp(rec, 0, time)
	return rec
}

// fingerprint is what a spec's is, for idempotency keys.
func fingerprint(s *edda.SagaSpec) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(len(s.Steps)))
}
