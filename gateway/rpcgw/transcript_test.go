package rpcgw_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/rpcgw"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts into docs/protocol.md")

const (
	protocolDoc    = "../../docs/protocol.md"
	beginMark      = "<!-- transcript: written by a test -->\n```\n"
	beginSagaMark  = "<!-- transcript of a saga: written by a test -->\n```\n"
	beginGroupMark = "<!-- transcript of a consumer: written by a test -->\n```\n"
	endMark        = "```\n<!-- end of the transcript -->"
)

// transcript plays a worker and writes down what both sides say.
type transcript struct {
	*link
	strings.Builder
}

func (w *transcript) note(text string) { fmt.Fprintf(w, "\n# %s\n", text) }

func (w *transcript) say(fs ...*eddav1.WorkerFrame) {
	w.t.Helper()
	w.write("→", &eddav1.WorkerFrames{Frames: fs})
	w.send(fs...)
}

// hear takes the next frame.
func (w *transcript) hear() *eddav1.NodeFrame {
	w.t.Helper()
	f := w.next("any", func(*eddav1.NodeFrame) bool { return true })
	w.write("←", &eddav1.NodeFrames{Frames: []*eddav1.NodeFrame{f}})
	return f
}

// write writes a message as JSON, its fields in the order of their names, without
// what is different each time.
func (w *transcript) write(who string, m proto.Message) {
	w.t.Helper()
	b, err := protojson.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		w.t.Fatal(err)
	}
	hide(v)
	if b, err = json.Marshal(v); err != nil {
		w.t.Fatal(err)
	}
	fmt.Fprintf(w, "%s %s\n", who, b)
}

func hide(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			switch name {
			case "id":
				if text, isText := field.(string); isText && len(text) == base64.StdEncoding.EncodedLen(len(edda.ID{})) {
					v[name] = "..." // and not a name
				}
			case "time", "deadline", "nodeId", "fence", "requestId", "correlationId", "createdAt", "startedAt", "endedAt", "completionKey",
				"lease", "position", "causationId":
				v[name] = "..."
			case "leases":
				v[name] = []any{"..."}
			case "payload":
				v[name] = readable(field)
			default:
				hide(field)
			}
		}
	case []any:
		for _, e := range v {
			hide(e)
		}
	}
}

// readable is a payload in base64, or, when it is JSON, the value itself without what
// is different each time.
func readable(field any) any {
	text, err := base64.StdEncoding.DecodeString(field.(string))
	var v any
	if err != nil || json.Unmarshal(text, &v) != nil {
		return field
	}
	if _, isObject := v.(map[string]any); !isObject {
		return field
	}
	hide(v)
	return v
}

// The transcript in the documentation is what is really said.
func TestTranscript(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Heartbeat: time.Minute}})
	w := &transcript{link: s.open(t)}
	w.note("The worker says who it is and what it hosts. It hears who shares the keys of its ordered service.")
	w.say(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Register{Register: &eddav1.Register{
		WorkerId: "w1", Version: "1.4.0", Sdk: "by hand", Labels: map[string]string{"zone": "a"},
		Services: []*eddav1.Service{{Name: "counter", Kind: eddav1.Kind_KIND_ORDERED, Concurrency: 8, Retry: &eddav1.Retry{Delay: 1}}},
	}}})
	w.hear()
	w.hear()

	w.note("Somebody calls counter/visits, method add. The key has no state yet.")
	first := s.call(t, "counter/visits", "add", "1")
	d := w.hear().GetDispatch()
	w.note("It begins. A part of the reply is on its way to whoever reads parts.")
	w.say(taken(d.GetAttemptId()), &eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Part{Part: &eddav1.Part{
		AttemptId: d.GetAttemptId(), ContentType: "text/plain", Payload: []byte("half"),
	}}})
	w.hear()
	w.note("Reply and state, in one.")
	w.say(outcome(&eddav1.Outcome{
		AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{ContentType: "text/plain", Payload: []byte("1")}},
		Set: []*eddav1.StateEntry{{Name: "n", Value: []byte("1")}},
	}))
	(<-first).text(t)

	w.note("The next call comes with the state. This attempt fails, and is tried again at once.")
	second := s.call(t, "counter/visits", "add", "2")
	d = w.hear().GetDispatch()
	w.say(taken(d.GetAttemptId()), outcome(&eddav1.Outcome{AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_Failure{Failure: &eddav1.Failure{
		Reason: "BUSY", Message: "the database is locked", RetryAfter: 1,
	}}}))
	d = w.hear().GetDispatch()
	w.note("State beyond 64 KiB would be asked for like this. Then the worker hands the request back, which costs no attempt.")
	w.say(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_StateGet{StateGet: &eddav1.StateGet{AttemptId: d.GetAttemptId(), QueryId: 1, Name: "n"}}})
	w.hear()
	w.say(outcome(&eddav1.Outcome{AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_HandedBack{HandedBack: true}}))
	d = w.hear().GetDispatch()
	w.say(reply(d.GetAttemptId(), "3"))
	(<-second).text(t)

	w.note("A request is cancelled while its handler runs. The handler is ended, then the attempt, with any outcome.")
	ack, err := s.client(t).Send(within(t), &eddav1.SendRequest{Message: &eddav1.Message{Type: "add", Service: "counter", Key: "visits"}})
	if err != nil {
		t.Fatal(err)
	}
	d = w.hear().GetDispatch()
	w.say(taken(d.GetAttemptId()))
	if _, err := s.client(t).Cancel(within(t), &eddav1.GetRequest{Id: ack.GetId()}); err != nil {
		t.Fatal(err)
	}
	w.hear()
	w.say(outcome(&eddav1.Outcome{AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_HandedBack{HandedBack: true}}))
	w.note("A sign of life, and progress of an attempt that the worker does not have any more.")
	w.say(beat(d.GetAttemptId()))
	w.hear()

	w.note("The node wants the worker to finish. It takes no more, and closes its side; the node ends the stream with OK.")
	if _, err := s.node.DrainWorker("w1"); err != nil {
		t.Fatal(err)
	}
	// News of the members comes before or after, as it happens.
	drain := w.next("Drain", func(f *eddav1.NodeFrame) bool { return f.GetDrain() != nil })
	w.write("←", &eddav1.NodeFrames{Frames: []*eddav1.NodeFrame{drain}})
	w.say(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Drain{Drain: &eddav1.Drain{}}})
	w.leave()
	compareTranscript(t, beginMark, w)
}

// ask makes a call and writes down both sides.
func ask[Req, Res proto.Message](w *transcript, method string, r Req, call func(context.Context, Req, ...grpc.CallOption) (Res, error)) Res {
	w.t.Helper()
	w.write("→ "+method, r)
	res, err := call(within(w.t), r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("←", res)
	return res
}

// The same of a saga whose second step fails, so that the first is undone.
func TestSagaTranscript(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Heartbeat: time.Minute}})
	sagas := eddav1.NewSagaServiceClient(s.dial(t))
	w := &transcript{link: s.join(t, "w1", balanced("flights"), balanced("hotels"))}
	w.note("A client creates a saga of two steps: a flight, and a room in a hotel once there is a flight.")
	ask(w, "CreateSaga", &eddav1.CreateSagaRequest{Saga: &eddav1.SagaSpec{Id: "trip-1", Name: "trip", Start: true, Steps: []*eddav1.StepSpec{
		{
			Id: "fly", Task: &eddav1.Task{Service: "flights", Method: "book", Args: [][]byte{[]byte(`"LH 1"`)}},
			Compensate: &eddav1.Task{Service: "flights", Method: "cancel"},
		},
		{Id: "sleep", Task: &eddav1.Task{Service: "hotels", Method: "book"}, After: []string{"fly"}},
	}}}, sagas.CreateSaga)

	w.note("A worker is given the first step, as a request like any other, and books the flight.")
	d := w.hear().GetDispatch()
	w.say(outcome(&eddav1.Outcome{AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{Payload: []byte(`{"seat":"12A"}`)}}}))
	w.note("The second step is sent the first one's result. The hotel will answer later: the step is left pending.")
	d = w.hear().GetDispatch()
	w.say(outcome(&eddav1.Outcome{AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_Pending{Pending: true}}))
	for pending := false; !pending; { // the outcome and the question come over different streams
		v, err := sagas.GetSaga(within(t), &eddav1.GetSagaRequest{Id: "trip-1"})
		if err != nil {
			t.Fatal(err)
		}
		pending = v.GetSteps()[1].GetPending()
	}
	ask(w, "GetSaga", &eddav1.GetSagaRequest{Id: "trip-1"}, sagas.GetSaga)

	w.note("It has no room. Whoever was given the completion key says so, without credentials.")
	var in edda.StepInput
	if err := json.Unmarshal(d.GetMessage().GetPayload(), &in); err != nil {
		t.Fatal(err)
	}
	ask(w, "FinishStep", &eddav1.FinishStepRequest{
		Id: "trip-1", Step: "sleep", CompletionKey: in.CompletionKey,
		Outcome: &eddav1.FinishStepRequest_Error{Error: &eddav1.StepError{Message: "no room"}},
	}, sagas.FinishStep)
	w.note("So the flight is cancelled: a compensation is a request too.")
	d = w.hear().GetDispatch()
	w.say(outcome(&eddav1.Outcome{AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{}}}))
	w.note("With wait, GetSaga answers once the saga has ended.")
	ask(w, "GetSaga", &eddav1.GetSagaRequest{Id: "trip-1", Wait: int64(patience)}, sagas.GetSaga)
	compareTranscript(t, beginSagaMark, w)
}

// The same of a stream and a group: a worker consumes it, then somebody who reads.
func TestConsumerTranscript(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Heartbeat: time.Minute}})
	streams := eddav1.NewStreamServiceClient(s.dial(t))
	w := &transcript{link: s.open(t)}
	w.note("A worker consumes the group billing of the stream orders. Neither is there, so both are created.")
	w.say(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Register{Register: &eddav1.Register{WorkerId: "w1", Services: []*eddav1.Service{{
		Name: "orders/billing", Kind: eddav1.Kind_KIND_ORDERED, Concurrency: 8, Methods: []*eddav1.Method{{Name: "placed"}},
		Group: &eddav1.GroupSpec{Stream: "orders", Name: "billing", From: "start", ProcessingTimeout: int64(time.Minute)},
	}}}}})
	w.hear()

	w.note("Somebody appends an order, and wants the reply on the stream bills.")
	ask(w, "Append", &eddav1.AppendRequest{Stream: "orders", Messages: []*eddav1.StreamMessage{{
		Id: "o-1", Type: "placed", Key: "ada", ContentType: "application/json", Payload: []byte(`{"total":7}`), ReplyTo: &eddav1.Address{Name: "bills"},
	}}}, streams.Append)
	w.note("The worker is given it as a request. Its id is made of group and place, the message's own stands in delivery.")
	d := w.hear().GetDispatch()
	w.note("State, reply and an appended message, in one.")
	w.say(taken(d.GetAttemptId()), outcome(&eddav1.Outcome{
		AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{}}, Set: []*eddav1.StateEntry{{Name: "sum", Value: []byte("7")}},
		Appends: []*eddav1.AppendRequest{{Stream: "bills", Messages: []*eddav1.StreamMessage{{Id: "o-1", Type: "bill", Payload: []byte(`{"bill":1}`)}}}},
	}))
	ask(w, "AwaitMessage", &eddav1.AwaitMessageRequest{Stream: "bills", Id: "o-1", Wait: int64(patience)}, streams.AwaitMessage)

	w.note("The worker goes. A member that reads by itself gets the next order under a lease, and acknowledges it.")
	w.leave()
	ask(w, "Append", &eddav1.AppendRequest{
		Stream: "orders", Messages: []*eddav1.StreamMessage{{Id: "o-2", Type: "placed", Key: "ada"}}, Expect: &eddav1.AppendRequest_IfLast{IfLast: 0},
	}, streams.Append)
	group := &eddav1.GroupRef{Stream: "orders", Group: "billing"}
	got := ask(w, "ReadGroup", &eddav1.ReadGroupRequest{Group: group, Member: "m1", Max: 1, Wait: int64(patience)}, streams.ReadGroup)
	ask(w, "Ack", &eddav1.SettleRequest{Group: group, Leases: []string{got.GetItems()[0].GetLease()}}, streams.Ack)
	compareTranscript(t, beginGroupMark, w)
}

// compareTranscript compares what was said with the documentation, after the mark.
func compareTranscript(t *testing.T, beginMark string, w *transcript) {
	t.Helper()
	got := strings.TrimPrefix(w.String(), "\n")
	doc, err := os.ReadFile(protocolDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), beginMark)
	want, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the transcript", protocolDoc)
	}
	if *rewrite {
		if err := os.WriteFile(protocolDoc, []byte(before+beginMark+got+endMark+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("docs/protocol.md says otherwise (run this test with -rewrite if it should not):\n%s", got)
	}
}

// The table of reasons in the documentation says the codes that are sent.
func TestReasonsInTheDocumentation(t *testing.T) {
	doc, err := os.ReadFile(protocolDoc)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "| reason | gRPC code |\n")
	n := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 4 {
			break
		}
		for reason := range strings.SplitSeq(cells[1], ",") {
			r := edda.Reason(strings.Trim(reason, "` "))
			if r == "" || strings.HasPrefix(string(r), "-") {
				continue
			}
			n++
			code := strings.ToLower(strings.Trim(cells[2], "` "))
			if want := strings.ReplaceAll(string(r.Code()), "canceled", "cancelled"); code != want {
				t.Errorf("%s has the code %s, the documentation says %s", r, want, code)
			}
		}
	}
	if n < 40 {
		t.Errorf("the table has %d reasons", n)
	}
}

// The example of owners in the documentation is what the node decides by.
func TestOwnersInTheDocumentation(t *testing.T) {
	doc, err := os.ReadFile(protocolDoc)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"1", "2", "42"} {
		h := edda.Address{Name: "users", Key: key}.Hash()
		row := fmt.Sprintf("| `users/%s` | `%#x` |", key, h)
		if !strings.Contains(string(doc), row) {
			t.Errorf("the documentation does not say %s", row)
		}
	}
}
