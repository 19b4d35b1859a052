package saga

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

const testPartitions = 4

// asked is a request that the machine has made.
type asked struct {
	msg     *edda.Message
	step    *record.Step
	slot    bool
	remote  bool
	cancels bool // it was asked to be cancelled, elsewhere
}

// requests stands in for the request machine.
type requests struct {
	room int // what is left of that in the record being applied
	made int // in all
	open map[edda.ID]*asked
}

func (r *requests) AdmitStep(a *record.Accepted, msg *edda.Message, start bool) (bool, error) {
	if r.room == 0 {
		return false, nil
	}
	r.room--
	r.made++
	r.open[msg.ID] = &asked{msg: msg, step: a.Step, slot: start}
	return true, nil
}

func (r *requests) CancelStep(id edda.ID) error {
	delete(r.open, id)
	return nil
}

// queue stands in for the machine of streams.
type queue struct {
	tb  testing.TB
	all []sent
}

// sent is a message that the machine has appended.
type sent struct {
	Stream, Shard string
	Message       edda.StreamMessage
}

func (q *queue) Send(a *record.StreamAppended) error {
	for _, b := range a.Messages {
		s := sent{Stream: a.Stream, Shard: a.Shard}
		if err := s.Message.UnmarshalBinary(b); err != nil || a.Namespace != edda.DefaultNamespace {
			q.tb.Errorf("message for stream %s of %s: %v", a.Stream, a.Namespace, err)
		}
		q.all = append(q.all, s)
	}
	return nil
}

// side is a fold of sagas with all that is around it.
type side struct {
	tree *store.Tree
	env  *fold.Env
	box  *outbox.Machine
	req  *requests
	sent *queue
	m    *Machine
	// rehearsal is that by which the last record was foreseen, if it was.
	rehearsal *Rehearsal
	fold      *fold.Fold
	read      map[uint64]uint64 // how much was read of what is for each partition
}

func (s *side) load(tb testing.TB) {
	tb.Helper()
	s.env = &fold.Env{Table: s.tree, Partition: s.env.Partition, Partitions: testPartitions}
	s.box = outbox.New(s.env)
	s.m = New(s.env, s.box, s.req)
	s.m.SetStreams(s.sent)
	var err error
	if s.fold, err = fold.New(s.env, uint64(s.tree.Applied()), s.box, s.m); err != nil {
		tb.Fatal(err)
	}
}

func (s *side) checkpoint(tb testing.TB) {
	tb.Helper()
	var b store.Batch
	if err := s.fold.Checkpoint(&b); err != nil {
		tb.Fatal(err)
	}
	if err := s.tree.Commit(&b, engine.Position(s.env.Position)); err != nil {
		tb.Fatal(err)
	}
	s.fold.Committed()
}

// outgoing takes in what was sent to other partitions.
func (s *side) outgoing(tb testing.TB) {
	tb.Helper()
	for to := range uint64(testPartitions) {
		for _, e := range s.box.After(to, s.read[to], 1<<20) {
			s.read[to] = e.Number
			switch e.Type {
			case record.TypeAccepted:
				var a record.Accepted
				msg := new(edda.Message)
				if err := a.Decode(e.Body); err != nil {
					tb.Fatal(err)
				}
				if err := msg.UnmarshalBinary(a.Message); err != nil {
					tb.Fatal(err)
				}
				if to != s.env.Home(a.Hash) || a.Kind != edda.Ordered && a.Hash != a.Step.Hash {
					tb.Errorf("request for %s goes to partition %d as %s", msg.To, to, a.Kind)
				}
				s.req.open[msg.ID] = &asked{msg: msg, step: a.Step, remote: true}
			case record.TypeStepCancelled:
				var c record.StepCancelled
				if err := c.Decode(e.Body); err != nil {
					tb.Fatal(err)
				}
				if a := s.req.open[c.ID]; a != nil {
					a.cancels = true
				}
			default:
				tb.Errorf("%s record is sent", e.Type)
			}
		}
	}
}

// world applies records to three folds, which must agree on all that can be seen: one
// that never lets go of anything, one that is loaded anew after each record, and one
// with a checkpoint after each.
type world struct {
	tb    testing.TB
	room  int // for requests in each record
	time  int64
	sides [3]*side
	said  string // what the last record has brought about
}

// testHome is where the saga "t" of the default namespace lives.
var testHome = fold.Home(Hash(edda.DefaultNamespace, "t"), testPartitions)

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{tb: tb, room: 1000, time: 1_000}
	for i := range w.sides {
		s := &side{
			tree: store.NewTree(), env: &fold.Env{Partition: testHome}, req: &requests{open: map[edda.ID]*asked{}}, read: map[uint64]uint64{},
			sent: &queue{tb: tb},
		}
		s.load(tb)
		w.sides[i] = s
	}
	return w
}

// m is the machine that tests look into.
func (w *world) m() *Machine { return w.sides[0].m }

// do applies a record everywhere and returns what it has brought about.
func (w *world) do(rec []byte) string {
	w.tb.Helper()
	w.time++
	record.Stamp(rec, 0, w.time)
	var said [len(w.sides)]string
	for i, s := range w.sides {
		s.req.room = w.room
		f := w.foresee(s, rec)
		if err := s.fold.Apply(s.env.Position+1, slices.Clone(rec)); err != nil {
			w.tb.Fatal(err)
		}
		f.check(w.tb, s)
		said[i] = describe(s.m.Effects())
		s.outgoing(w.tb)
		switch i {
		case 1:
			s.checkpoint(w.tb)
			s.load(w.tb)
		case 2:
			s.checkpoint(w.tb)
		}
		if said[i] != said[0] {
			w.tb.Fatalf("%s record brings about\n%s, with checkpoints (%d)\n%s", record.Type(rec[0]), said[0], i, said[i])
		}
	}
	w.said = said[0]
	w.compare()
	return w.said
}

// compare compares all that can be seen.
func (w *world) compare() {
	w.tb.Helper()
	want := w.sides[0].seen(w.tb)
	for i, s := range w.sides[1:] {
		if got := s.seen(w.tb); !reflect.DeepEqual(got, want) {
			w.tb.Fatalf("with checkpoints (%d) it is\n%s\nwant\n%s", i+1, toJSON(got), toJSON(want))
		}
	}
}

type seen struct {
	Sagas      []*edda.Saga
	Listed     []string
	Due        []Ref
	Unadvanced []Ref
	Requests   []string
	Sent       []sent
}

func (s *side) seen(tb testing.TB) seen {
	tb.Helper()
	list, err := s.m.List(&edda.SagaFilter{}, Cursor{}, 1000, s.env.Time)
	if err != nil {
		tb.Fatal(err)
	}
	v := seen{Due: s.m.Due(1<<62, 1000), Unadvanced: s.m.Unadvanced(), Sent: s.sent.all}
	open := map[Kind]int{}
	for _, one := range list {
		if !one.State.Ended() {
			open[Kind{one.Namespace, one.Name, one.State}]++
		}
		v.Listed = append(v.Listed, fmt.Sprintf("%s %s %d/%d", one.ID, one.State, one.succeeded, one.count))
		full, err := s.m.Get(one.Namespace, one.ID, s.env.Time)
		if err != nil || full == nil {
			tb.Fatalf("saga %q is listed, but there is %v, %v", one.ID, full, err)
		}
		v.Sagas = append(v.Sagas, full.View(true))
	}
	got := s.m.Open()
	maps.DeleteFunc(got, func(k Kind, _ int) bool { return k.Namespace != edda.DefaultNamespace })
	if !maps.Equal(got, open) {
		tb.Errorf("sagas that have not ended: counted %v, want %v", got, open)
	}
	for id, a := range s.req.open {
		v.Requests = append(v.Requests, fmt.Sprintf("%s %v %v %s", id, *a.step, a.cancels, a.msg.Payload))
	}
	slices.Sort(v.Requests)
	return v
}

func toJSON(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func describe(effects []Effect) string {
	var b strings.Builder
	names := map[EffectKind]string{
		Created: "created", Joined: "joined", Refused: "refused", Applied: "applied", Unchanged: "unchanged", Ended: "ended",
		Advance: "advance", Arm: "arm", Spare: "spare",
	}
	for i, e := range effects {
		if i > 0 {
			b.WriteString("; ")
		}
		id := "-"
		if e.Saga != nil {
			id = e.Saga.ID
		}
		switch e.Kind {
		case Refused:
			fmt.Fprintf(&b, "refused %s %s", e.Reason, e.Detail)
		case StepEnded:
			fmt.Fprintf(&b, "step %s.%s %s%s", id, e.Saga.steps[e.Step].id, e.StepState, e.Undone)
		case Ended:
			fmt.Fprintf(&b, "ended %s %s", id, e.Saga.State)
		case Spare:
			fmt.Fprintf(&b, "spare %d", e.Step)
		default:
			fmt.Fprintf(&b, "%s %s", names[e.Kind], id)
		}
	}
	return b.String()
}

// secret is that of all sagas.
var secret = []byte("0123456789abcdef")

func (w *world) create(s *edda.SagaSpec, change ...func(c *record.SagaCreated)) string {
	w.tb.Helper()
	if s.ID == "" {
		s.ID = "t"
	}
	if err := s.Validate(); err != nil {
		w.tb.Fatal(err)
	}
	c := record.NewSagaCreated(s)
	c.Secret, c.Keep = secret, time.Hour
	for _, f := range change {
		f(c)
	}
	return w.do(c.AppendTo(nil))
}

func (w *world) changed(t record.Type, id string) string {
	w.tb.Helper()
	c := record.SagaChanged{Namespace: edda.DefaultNamespace, ID: id}
	return w.do(c.AppendTo(nil, t))
}

func (w *world) cancel(id string, reason edda.Reason) string {
	w.tb.Helper()
	c := record.SagaCancelled{Namespace: edda.DefaultNamespace, ID: id, Failure: record.Failure{Reason: reason, Message: "enough"}}
	return w.do(c.AppendTo(nil))
}

func (w *world) compensation(id, step string, a edda.CompensationAction) string {
	w.tb.Helper()
	c := record.CompensationChanged{Namespace: edda.DefaultNamespace, ID: id, Step: step, Action: a}
	return w.do(c.AppendTo(nil))
}

// finishStep completes a step by call, or fails it when there is no result.
func (w *world) finishStep(id, step, result string) string {
	w.tb.Helper()
	f := record.StepFinished{Namespace: edda.DefaultNamespace, ID: id, Step: step}
	if result == "" {
		f.Error = &edda.StepError{Message: "by call"}
	} else {
		f.Result = []byte(result)
	}
	return w.do(f.AppendTo(nil))
}

func (w *world) add(id string, steps ...edda.StepSpec) string {
	w.tb.Helper()
	a := record.SagaStepsAdded{Namespace: edda.DefaultNamespace, ID: id, Steps: record.EncodeSteps(steps)}
	return w.do(a.AppendTo(nil))
}

// asked returns the open request of a step: "saga.step", with a minus before it that
// of its compensation.
func (w *world) asked(name string) *asked {
	w.tb.Helper()
	a := w.sides[0].asked(name)
	if a == nil {
		w.tb.Fatalf("there is no request for %s", name)
	}
	return a
}

func (s *side) asked(name string) *asked {
	step, undo := strings.CutPrefix(name, "-")
	at := strings.LastIndex(step, ".")
	var found *asked
	for _, a := range s.req.open {
		saga := s.m.sagas[Ref{edda.DefaultNamespace, step[:at]}]
		if saga == nil {
			saga, _ = s.m.read(Ref{edda.DefaultNamespace, step[:at]})
		}
		if saga == nil || a.step.Saga != saga.ID || saga.steps[a.step.Index].id != step[at+1:] || a.step.Undo != undo {
			continue
		}
		if found == nil || a.step.Run > found.step.Run {
			found = a
		}
	}
	return found
}

// running names the open requests of a saga's steps.
func (w *world) running() string {
	var names []string
	for _, a := range w.sides[0].req.open {
		s, err := w.m().Get(edda.DefaultNamespace, a.step.Saga, w.time)
		if err != nil || s == nil {
			w.tb.Fatalf("request of saga %q: %v", a.step.Saga, err)
		}
		name := s.ID + "." + s.steps[a.step.Index].id
		if a.step.Undo {
			name = "-" + name
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// end ends the request of a step.
func (w *world) end(name string, change func(e *record.StepEnded)) string {
	w.tb.Helper()
	a := w.asked(name)
	e := record.StepEnded{
		Namespace: edda.DefaultNamespace, Step: record.Step{Hash: a.step.Hash, Saga: a.step.Saga, Index: a.step.Index, Undo: a.step.Undo, Run: a.step.Run},
		State: edda.StateSucceeded, Attempts: 1, ID: a.msg.ID,
	}
	change(&e)
	for _, s := range w.sides {
		delete(s.req.open, a.msg.ID)
	}
	return w.do(e.AppendTo(nil))
}

func encodeReply(r *edda.Reply) []byte {
	b, err := r.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// ok ends the request of a step with a result.
func (w *world) ok(name, result string) string {
	w.tb.Helper()
	return w.end(name, func(e *record.StepEnded) { e.Reply = encodeReply(&edda.Reply{Payload: []byte(result)}) })
}

// dies ends the request of a step without an outcome.
func (w *world) dies(name string) string {
	w.tb.Helper()
	return w.end(name, func(e *record.StepEnded) {
		e.State, e.Failure, e.Attempts = edda.StateDead, record.Failure{Reason: "PANIC", Message: "it broke"}, 3
	})
}

// states describes a saga: its state and those of its steps.
func (w *world) states(id string) string {
	w.tb.Helper()
	s, err := w.m().Get(edda.DefaultNamespace, id, w.time)
	if err != nil || s == nil {
		w.tb.Fatalf("there is no saga %q: %v", id, err)
	}
	v := s.View(true)
	out := string(v.State)
	for _, st := range v.Steps {
		out += " " + st.ID + ":" + string(st.State)
		if st.Pending {
			out += "(pending)"
		}
		if c := st.Compensation; c != nil && c.State != edda.CompensationWaiting {
			out += "/" + string(c.State)
		}
	}
	return out
}

func (w *world) view(id string) *edda.Saga {
	w.tb.Helper()
	s, err := w.m().Get(edda.DefaultNamespace, id, w.time)
	if err != nil || s == nil {
		w.tb.Fatalf("there is no saga %q: %v", id, err)
	}
	return s.View(true)
}

// want checks what holds of saga t.
func (w *world) want(states, running string) {
	w.tb.Helper()
	if got := w.states("t"); got != states {
		w.tb.Fatalf("saga is\n%s, want\n%s", got, states)
	}
	if got := w.running(); got != running {
		w.tb.Fatalf("%q runs, want %q", got, running)
	}
}

func check(tb testing.TB, got, want string) {
	tb.Helper()
	if got != want {
		tb.Fatalf("got\n%s, want\n%s", got, want)
	}
}

// steps reads steps: "c:a,b" depends on a and b. A step has a compensation unless it
// ends with an exclamation mark; with a slash it goes to a key, with an at sign it is a
// message on the stream "work".
func steps(text string) []edda.StepSpec {
	var out []edda.StepSpec
	for one := range strings.FieldsSeq(text) {
		id, after, _ := strings.Cut(one, ":")
		id, bare := strings.CutSuffix(id, "!")
		id, queue := strings.CutSuffix(id, "@")
		id, key, _ := strings.Cut(id, "/")
		s := edda.StepSpec{ID: id, Task: edda.Task{Service: "svc", Key: key, Method: "do-" + id, Args: []json.RawMessage{json.RawMessage(`"` + id + `"`)}}}
		if queue {
			s.Service, s.Queue = "", &edda.QueueSpec{Stream: "work", Success: "done", Failure: "failed"}
		}
		if after != "" {
			s.After = strings.Split(after, ",")
		}
		if !bare {
			s.Compensate = &edda.Task{Service: "svc", Method: "undo-" + id, Args: []json.RawMessage{json.RawMessage(`1`), json.RawMessage(`2`)}}
		}
		out = append(out, s)
	}
	return out
}

func saga(text string) *edda.SagaSpec { return &edda.SagaSpec{Start: true, Steps: steps(text)} }
