package record

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "add to testdata what is missing there")

// body is what every record's body can do.
type body interface{ Decode(b []byte) error }

// newBody returns an empty body of each type.
func newBody(t Type) body {
	switch t {
	case TypeOwned:
		return new(Owned)
	case TypeAccepted:
		return new(Accepted)
	case TypeDispatched:
		return new(Dispatched)
	case TypeCompleted:
		return new(Completed)
	case TypeAttemptFailed:
		return new(AttemptFailed)
	case TypeEnded:
		return new(Ended)
	case TypeDue:
		return new(Due)
	case TypeReleased:
		return new(Released)
	case TypeOutboxAcked:
		return new(OutboxAcked)
	case TypeLetterRetried, TypeLetterDropped:
		return new(Letter)
	case TypeKeyResumed:
		return new(KeyResumed)
	case TypeServiceSet:
		return new(ServiceSet)
	case TypeServiceRemoved, TypeServicePaused:
		return new(ServiceChanged)
	case TypePart:
		return new(Part)
	case TypeSagaCreated:
		return new(SagaCreated)
	case TypeSagaStarted, TypeSagaAdvanced, TypeSagaRemoved:
		return new(SagaChanged)
	case TypeSagaStepsAdded:
		return new(SagaStepsAdded)
	case TypeStepFinished:
		return new(StepFinished)
	case TypeSagaCancelled:
		return new(SagaCancelled)
	case TypeCompensationChanged:
		return new(CompensationChanged)
	case TypeStepEnded:
		return new(StepEnded)
	case TypeStepCancelled:
		return new(StepCancelled)
	case TypeStreamAppended:
		return new(StreamAppended)
	case TypeStreamSet:
		return new(StreamSet)
	case TypeStreamRemoved:
		return new(StreamRemoved)
	case TypeStreamTrimmed:
		return new(StreamTrimmed)
	case TypeGroupSet:
		return new(GroupSet)
	case TypeGroupRemoved, TypeGroupAdvanced:
		return new(GroupChanged)
	case TypeGroupReset:
		return new(GroupReset)
	case TypeChannelSet:
		return new(ChannelSet)
	case TypeChannelRemoved:
		return new(ChannelRemoved)
	default:
		return nil
	}
}

// appendBody encodes a record of any type.
func appendBody(t Type, v body) []byte {
	switch v := v.(type) {
	case interface{ AppendTo(b []byte) []byte }:
		return v.AppendTo(nil)
	case interface{ AppendTo(b []byte, t Type) []byte }:
		return v.AppendTo(nil, t)
	default:
		panic(fmt.Sprintf("%T cannot be encoded", v))
	}
}

// full returns a record of each type with every field set.
func full(t Type) body {
	address := edda.Address{Namespace: "shop", Name: "users", Key: "42"}
	service := edda.Address{Namespace: "shop", Name: "users"}
	failure := Failure{Reason: edda.Dead, Message: "it broke"}
	id := edda.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	accepted := Accepted{
		Hash: 0x8877665544332211, Kind: edda.Balanced, Message: []byte("message"), Keep: true, Fingerprint: []byte("print"),
		GivenID: true, Refused: failure,
	}
	switch t {
	case TypeOwned:
		return &Owned{Epoch: 3, Node: "node-a"}
	case TypeAccepted:
		accepted.Origin = Origin{From: 0, Number: 7}
		return &accepted
	case TypeDispatched:
		return &Dispatched{Seq: 1025}
	case TypeCompleted:
		ordered := Accepted{Hash: 1, Kind: edda.Ordered, Message: []byte{}}
		return &Completed{
			Seq: 1025, Fence: 1 << 32, Reply: []byte("reply"), Failure: failure, KeepUntil: 1_800_000_000_000_000_000,
			Changes: []Change{{Name: "set", Value: []byte("1")}, {Name: "empty", Value: []byte{}}, {Name: "gone"}},
			Sends:   []Accepted{accepted, ordered},
		}
	case TypeAttemptFailed:
		return &AttemptFailed{Seq: 1025, Fence: 9, Failure: failure, RetryAt: 5, Then: ThenPause, Uncounted: true}
	case TypeEnded:
		return &Ended{Seq: 1025, Failure: failure, KeepUntil: 5}
	case TypeDue:
		return &Due{Seq: 1025}
	case TypeReleased:
		return &Released{Seq: 1025, Fence: 9}
	case TypeOutboxAcked:
		return &OutboxAcked{To: 0, Number: 7}
	case TypeLetterRetried, TypeLetterDropped:
		return &Letter{ID: id, KeepUntil: 5}
	case TypeKeyResumed:
		return &KeyResumed{Address: address}
	case TypeServiceSet:
		return &ServiceSet{
			Address: service, Kind: edda.Ordered, Methods: []string{"login", "logout"},
			Schemas:     []Schema{{Method: "login", JSON: []byte(`{"type":"object"}`)}},
			Concurrency: 7, AttemptTimeout: time.Second, OnDead: edda.StopKey,
			Retry: edda.RetryPolicy{Max: -1, Delay: time.Second, MaxDelay: time.Minute, Backoff: 1.5, Jitter: -1},
			Endpoint: &Endpoint{
				URL: "http://127.0.0.1:8000/users", Protocol: edda.Envelope, HealthPath: "/healthz", HealthInterval: time.Second, Secret: "whsec_c2VjcmV0",
			},
		}
	case TypeServiceRemoved, TypeServicePaused:
		return &ServiceChanged{Address: service, Paused: true, Origin: Origin{From: 3, Number: 7}}
	case TypePart:
		return &Part{Seq: 1025, Fence: 9, Number: 2, ContentType: []byte("text/plain"), Payload: []byte("part")}
	case TypeSagaCreated:
		return &SagaCreated{
			Namespace: "shop", ID: "trip-1", Name: "trip", Start: true, Deadline: 5, OnFailure: edda.CancelSteps, Steps: EncodeSteps(someSteps()[:3]),
			IdempotencyKey: "key", Fingerprint: []byte("print"), Principal: "ada", Correlation: "story", TraceParent: "parent", TraceState: "state",
			Secret: []byte("0123456789abcdef"), Keep: time.Hour, Starts: []uint32{0, 300},
		}
	case TypeSagaStarted, TypeSagaAdvanced, TypeSagaRemoved:
		return &SagaChanged{Namespace: "shop", ID: "trip-1", Starts: []uint32{0, 300}}
	case TypeSagaStepsAdded:
		return &SagaStepsAdded{Namespace: "shop", ID: "trip-1", Steps: EncodeSteps(someSteps()[:2])}
	case TypeStepFinished:
		return &StepFinished{
			Namespace: "shop", ID: "trip-1", Step: "hotel", Result: []byte(`{"room":7}`),
			Error: &edda.StepError{Reason: edda.Failed, Message: "no room", Status: 409}, Starts: []uint32{2},
		}
	case TypeSagaCancelled:
		return &SagaCancelled{Namespace: "shop", ID: "trip-1", Failure: failure}
	case TypeCompensationChanged:
		return &CompensationChanged{Namespace: "shop", ID: "trip-1", Step: "hotel", Action: edda.ResolveCompensation}
	case TypeStepEnded:
		return &StepEnded{
			Namespace: "shop", Step: Step{Hash: 0x8877665544332211, Saga: "trip", Index: 300, Undo: true, Run: 2}, State: edda.StateFailed,
			Reply: []byte("reply"), Failure: failure, Origin: Origin{From: 0, Number: 7}, Pending: true, Attempts: 3,
			Added: [][]byte{[]byte("step"), {}}, Starts: []uint32{0, 300},
		}
	case TypeStepCancelled:
		return &StepCancelled{ID: id, Origin: Origin{From: 0, Number: 7}}
	case TypeStreamAppended:
		return &StreamAppended{
			Namespace: "shop", Stream: "orders", Shard: "eu", Expect: 43, Messages: [][]byte{[]byte("message"), {}},
			Origin: Origin{From: 0, Number: 7}, Starts: []GroupStart{{Group: 1 << 20, Index: 1}, {Group: 3}},
		}
	case TypeStreamSet:
		return &StreamSet{edda.StreamSpec{
			Namespace: "shop", Name: "orders", Shards: []string{"eu", "us"}, Dedupe: time.Hour,
			Retention: edda.Retention{Age: time.Hour, Count: 1000, Bytes: 1 << 20},
		}}
	case TypeStreamRemoved:
		return &StreamRemoved{Namespace: "shop", Name: "orders"}
	case TypeStreamTrimmed:
		return &StreamTrimmed{Namespace: "shop", Name: "orders", Shard: "eu", Offset: 42, Time: 5}
	case TypeGroupSet:
		return &GroupSet{edda.GroupSpec{
			Namespace: "shop", Stream: "orders", Name: "billing", From: edda.FromOffset(42), MinMembers: 2, MaxMembers: 4,
			ProcessingTimeout: time.Second, IdleTimeout: time.Minute, Retry: edda.RetryPolicy{Max: 3, Delay: time.Second},
		}}
	case TypeGroupRemoved, TypeGroupAdvanced:
		return &GroupChanged{Namespace: "shop", Stream: "orders", Group: "billing"}
	case TypeGroupReset:
		return &GroupReset{GroupChanged: GroupChanged{Namespace: "shop", Stream: "orders", Group: "billing"}, Shard: "eu", To: edda.FromStart}
	case TypeChannelSet:
		return &ChannelSet{edda.ChannelSpec{
			Namespace: "shop", Name: "floor", From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"order.*", "audit.:what"}}, {Stream: "stock"}},
			History: edda.History{Count: 1000, Age: time.Hour},
		}}
	case TypeChannelRemoved:
		return &ChannelRemoved{Namespace: "shop", Name: "floor"}
	default:
		panic(t)
	}
}

// stepForms are records with the fields that were added for sagas and streams. The records of
// full are as they were before.
func stepForms() map[string]body {
	step := &Step{
		Hash: 0x8877665544332211, Saga: "trip", Index: 300, Undo: true, Run: 2, AttemptTimeout: time.Second,
		Retry: edda.RetryPolicy{Max: -1, Delay: time.Second, MaxDelay: time.Minute, Backoff: 1.5, Jitter: -1},
	}
	accepted := Accepted{Hash: 1, Kind: edda.Balanced, Message: []byte("message"), Step: step}
	return map[string]body{
		"accepted/step":  &accepted,
		"accepted/least": &Accepted{Hash: 1, Kind: edda.Balanced, Message: []byte("message"), Step: &Step{}},
		"completed/step": &Completed{
			Seq: 1025, Fence: 1 << 32, Sends: []Accepted{accepted}, Pending: true, Added: [][]byte{[]byte("step"), {}}, Starts: []uint32{0, 300},
		},
		"completed/appends": &Completed{Seq: 1025, Fence: 1 << 32, Appends: []StreamAppended{
			{Namespace: "shop", Stream: "orders", Shard: "eu", Messages: [][]byte{[]byte("message")}},
			{Namespace: edda.DefaultNamespace, Stream: "orders", Shard: edda.DefaultShard, Messages: [][]byte{{}}},
		}},
		"completed/numbers": &Completed{Seq: 1025, Fence: 1 << 32, Appends: []StreamAppended{
			{Namespace: "shop", Stream: "orders", Shard: "eu", Messages: [][]byte{[]byte("message")}, Producer: "relay", Numbers: []uint64{7}},
		}},
		"stream-appended/numbers": &StreamAppended{
			Namespace: "shop", Stream: "orders", Shard: "eu", Messages: [][]byte{[]byte("message"), {}, {}},
			Producer: "relay", Numbers: []uint64{1, 300, 1<<64 - 1}, Origin: Origin{From: 0, Number: 7}, Starts: []GroupStart{{Group: 3, Index: 2}},
		},
		"step-ended/id": &StepEnded{
			Namespace: "shop", Step: Step{Hash: 1, Saga: "trip"}, State: edda.StateSucceeded, Reply: []byte("reply"), Attempts: 1, ID: edda.ID{0: 1, 15: 9},
		},
		"saga-steps-added/queue": &SagaStepsAdded{Namespace: "shop", ID: "trip-1", Steps: EncodeSteps(someSteps()[3:])},
	}
}

// types are all there are.
func types() []Type {
	var all []Type
	for t := Type(1); int(t) < len(typeNames); t++ {
		if typeNames[t] != "" {
			all = append(all, t)
		}
	}
	return all
}

// plain takes off what a decoded record remembers beside its fields.
func plain(v body) body {
	if c, ok := v.(*Completed); ok {
		for i := range c.Sends {
			c.Sends[i].raw = nil
		}
		for i := range c.Appends {
			c.Appends[i].raw = nil
		}
	}
	return v
}

// Every record that any release has written must be read for ever. The lines of
// testdata/v1.txt are never changed: a type and a record in hex.
func TestGoldenRecordsAreRead(t *testing.T) {
	lines := readGolden(t, goldenFile)
	for _, typ := range types() {
		golden(t, lines, typ.String(), typ, full(typ))
	}
	forms := stepForms()
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		kind, _, _ := strings.Cut(name, "/")
		typ := Type(slices.Index(typeNames[:], kind))
		golden(t, lines, name, typ, forms[name])
	}
}

const goldenFile = "testdata/v1.txt"

// golden checks that the line of that name reads as want, and that want is written so.
func golden(t *testing.T, lines map[string]string, name string, typ Type, want body) {
	t.Helper()
	rec := appendBody(typ, want)
	Stamp(rec, FlagStart, 1_800_000_000_000_000_001)
	line, ok := lines[name]
	if !ok && *rewrite {
		f, err := os.OpenFile(goldenFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(f, "%s %x\n", name, rec)
		f.Close()
		return
	}
	old, err := hex.DecodeString(line)
	if !ok || err != nil {
		t.Errorf("%s: no golden record, %v", name, err)
		return
	}
	r, err := Parse(old)
	if err != nil || r.Type != typ || r.Flags != FlagStart || r.Time != 1_800_000_000_000_000_001 {
		t.Errorf("%s: header is %+v, %v", name, r, err)
	}
	got := newBody(typ)
	if err := got.Decode(r.Body); err != nil || !reflect.DeepEqual(plain(got), want) {
		t.Errorf("%s: reads as %+v, %v, want %+v", name, got, err, want)
	}
	if string(old) != string(rec) {
		t.Errorf("%s: is written as\n%x, was\n%x", name, rec, old)
	}
}

func readGolden(t *testing.T, file string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	f, err := os.Open(file)
	if err != nil {
		if *rewrite {
			return lines
		}
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, hex, _ := strings.Cut(s.Text(), " ")
		lines[name] = hex
	}
	return lines
}

// A release passes over fields that a later one has added, wherever they stand.
func TestUnknownFieldsArePassedOver(t *testing.T) {
	for _, typ := range types() {
		want := full(typ)
		b := appendBody(typ, want)[HeaderBytes:]
		later := wire.AppendUint(nil, 1000, 1)
		later = wire.AppendFixed(later, 1001, 1)
		later = wire.AppendString(later, 1002, "later")
		for _, b := range [][]byte{append(slices.Clip(later), b...), append(b, later...)} {
			got := newBody(typ)
			if err := got.Decode(b); err != nil || !reflect.DeepEqual(plain(got), want) {
				t.Errorf("%s: reads as %+v, %v, want %+v", typ, got, err, want)
			}
		}
	}
}

// What a handler sends to another partition goes there with the fields of a
// later release.
func TestSendsKeepUnknownFields(t *testing.T) {
	a := Accepted{Hash: 1, Kind: edda.Ordered, Message: []byte("m")}
	sent := wire.AppendString(a.AppendBody(nil), 1000, "later")
	b := wire.AppendBytes(nil, 6, sent)
	var c Completed
	if err := c.Decode(b); err != nil {
		t.Fatal(err)
	}
	if got := c.Sends[0].AppendBody(nil); string(got) != string(sent) {
		t.Errorf("goes on as %x, want %x", got, sent)
	}
	d := AppendDelivery(nil, TypeAccepted, sent, Origin{From: 0, Number: 4})
	var got Accepted
	if err := got.Decode(d[HeaderBytes:]); err != nil || got.Origin != (Origin{From: 0, Number: 4}) || string(got.Message) != "m" {
		t.Errorf("arrives as %+v, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	malformed := []byte{0xff}
	for _, typ := range types() {
		if err := newBody(typ).Decode(malformed); err == nil || !strings.HasPrefix(err.Error(), newName(typ)) {
			t.Errorf("%s: malformed fields: %v", typ, err)
		}
	}
	message := slices.Clip(wire.AppendBytes(nil, 3, []byte("m")))
	ordered := wire.AppendUint(nil, 2, kindOrdered)
	numbered := slices.Clip(wire.AppendBytes(wire.AppendString(nil, 2, "orders"), 5, []byte("m")))
	zero := func(field byte) []byte { return []byte{field << 3, 0} }
	for _, c := range []struct {
		name string
		v    body
		b    []byte
	}{
		{"no kind", new(Accepted), message},
		{"no message", new(Accepted), ordered},
		{"unknown kind", new(Accepted), wire.AppendUint(message, 2, 3)},
		{"partition", new(Accepted), append(append(message, ordered...), zero(6)...)},
		{"refused", new(Accepted), wire.AppendBytes(append(message, ordered...), 8, malformed)},
		{"send", new(Completed), wire.AppendBytes(nil, 6, ordered)},
		{"change", new(Completed), wire.AppendBytes(nil, 5, malformed)},
		{"failure", new(Completed), wire.AppendBytes(nil, 4, malformed)},
		{"acked", new(OutboxAcked), zero(1)},
		{"paused", new(ServiceChanged), zero(6)},
		{"letter", new(Letter), wire.AppendString(nil, 1, "short")},
		{"service", new(ServiceSet), wire.AppendString(nil, 2, "users")},
		{"step", new(Accepted), wire.AppendBytes(append(message, ordered...), 10, malformed)},
		{"step's retry", new(Accepted), wire.AppendBytes(append(message, ordered...), 10, wire.AppendBytes(nil, 7, malformed))},
		{"step's index", new(Accepted), wire.AppendBytes(append(message, ordered...), 10, wire.AppendUint(nil, 3, 1<<32))},
		{"starts", new(Completed), wire.AppendBytes(nil, 10, malformed)},
		{"starts' index", new(Completed), wire.AppendBytes(nil, 10, binary.AppendUvarint(nil, 1<<32))},
		{"step-ended without a step", new(StepEnded), wire.AppendUint(nil, 3, 5)},
		{"step-ended without a state", new(StepEnded), wire.AppendBytes(nil, 2, []byte{})},
		{"step-ended that goes on", new(StepEnded), wire.AppendUint(wire.AppendBytes(nil, 2, []byte{}), 3, 4)},
		{"step-cancelled", new(StepCancelled), wire.AppendString(nil, 1, "short")},
		{"saga without a secret", new(SagaCreated), wire.AppendString(wire.AppendString(nil, 1, "shop"), 2, "trip")},
		{"saga's starts", new(SagaCreated), wire.AppendBytes(nil, 16, malformed)},
		{"error", new(StepFinished), wire.AppendBytes(nil, 5, malformed)},
		{"unknown action", new(CompensationChanged), wire.AppendUint(nil, 4, 4)},
		{"no action", new(CompensationChanged), nil},
		{"numbers without a producer", new(StreamAppended), wire.AppendBytes(numbered, 10, []byte{1})},
		{"a producer without numbers", new(StreamAppended), wire.AppendString(numbered, 9, "relay")},
		{"too many numbers", new(StreamAppended), wire.AppendBytes(wire.AppendString(numbered, 9, "relay"), 10, []byte{1, 1})},
		{"a number that does not rise", new(StreamAppended), wire.AppendBytes(wire.AppendString(numbered, 9, "relay"), 10, []byte{0})},
		{"a number that is too large", new(StreamAppended), wire.AppendBytes(wire.AppendString(wire.AppendBytes(numbered, 5, []byte("m")), 9, "relay"),
			10, binary.AppendUvarint([]byte{1}, 1<<64-1))},
		{"a number that is cut", new(StreamAppended), wire.AppendBytes(wire.AppendString(numbered, 9, "relay"), 10, malformed)},
		{"schema", new(ServiceSet), wire.AppendBytes(nil, 6, malformed)},
	} {
		if err := c.v.Decode(c.b); err == nil {
			t.Errorf("%s: taken as %+v", c.name, c.v)
		}
	}
}

// newName is the name that errors give a type; some types share a body.
func newName(t Type) string {
	switch t {
	case TypeLetterDropped:
		return TypeLetterRetried.String()
	case TypeServiceRemoved:
		return TypeServicePaused.String()
	case TypeSagaAdvanced, TypeSagaRemoved:
		return TypeSagaStarted.String()
	case TypeGroupReset, TypeGroupAdvanced:
		return TypeGroupRemoved.String()
	default:
		return t.String()
	}
}
