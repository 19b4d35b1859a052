package methodschema_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/methodschema"
	"github.com/edda-io/edda/internal/record"
)

type in struct {
	Count uint8  `json:"count"`
	Bytes []byte `json:"bytes,omitempty"`
}

// service has a method whose type is checked, one that checks itself, and one that takes
// anything.
func service(t *testing.T, check func(string, []byte) error) *edda.Service {
	t.Helper()
	s := edda.NewBalanced("s")
	edda.Handle(s, "typed", func(*edda.Context, in) (string, error) { return "", nil })
	anything := func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, nil }
	s.Add(edda.Method{Name: "own", Handler: anything, Check: check})
	s.Add(edda.Method{Name: "any", Handler: anything})
	return s
}

func TestCheck(t *testing.T) {
	own := errors.New("own")
	of, err := methodschema.Of(service(t, func(_ string, payload []byte) error {
		if string(payload) == "panic" {
			panic("ouch")
		}
		return own
	}))
	if err != nil {
		t.Fatal(err)
	}
	logged := methodschema.FromLog(of.ForLog())
	for _, c := range []struct {
		method, contentType, payload string
		want, fromLog                edda.Reason
	}{
		{"typed", "application/json", `{"count":1}`, "", ""},
		{"typed", "", `{"count":1,"more":true}`, "", ""},
		{"typed", "text/plain", `{"count":1}`, edda.BadMediaType, edda.BadMediaType},
		{"typed", "", `{"count":"one"}`, edda.BadSchema, edda.BadSchema},
		{"typed", "", `{"count":1,"bytes":"?"}`, edda.BadSchema, ""}, // no schema says what base64 is
		{"own", "", "panic", edda.Panicked, ""},
		{"any", "text/plain", "anything", "", ""},
	} {
		if err := of.Check(c.method, c.contentType, []byte(c.payload)); edda.ReasonOf(err) != c.want {
			t.Errorf("%s %s: got %v, want reason %q", c.method, c.payload, err, c.want)
		}
		if err := logged.Check(c.method, c.contentType, []byte(c.payload)); edda.ReasonOf(err) != c.fromLog {
			t.Errorf("%s %s, from the log: got %v, want reason %q", c.method, c.payload, err, c.fromLog)
		}
	}
	if err := of.Check("own", "", nil); err != own { //nolint:errorlint // it is handed through as it is
		t.Errorf("got %v, want the method's own error", err)
	}
	if err := new(methodschema.Set).Check("m", "", nil); err != nil {
		t.Errorf("no schemas refuse a payload: %v", err)
	}
}

func TestOfRefusesATypeWithoutSchema(t *testing.T) {
	s := edda.NewBalanced("s")
	edda.Handle(s, "m", func(*edda.Context, struct{ C chan int }) (string, error) { return "", nil })
	if _, err := methodschema.Of(s); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("got %v, want BadValue", err)
	}
}

func TestOfConsumerHasNone(t *testing.T) {
	s := service(t, nil)
	s.Group = &edda.GroupSpec{}
	of, err := methodschema.Of(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := of.Check("typed", "text/plain", []byte("anything")); err != nil {
		t.Errorf("got %v, want that anything may be on a stream", err)
	}
}

func TestCompileNamesTheMethod(t *testing.T) {
	_, err := methodschema.Compile(map[string]string{"good": "{}", "bad": "no"})
	if err == nil || !strings.HasPrefix(err.Error(), "the schema of method bad: ") {
		t.Errorf("got %v, want what is wrong with the method bad", err)
	}
}

// The log has the schemas in one order, so that a service that is registered again is
// seen to be as it was; one that cannot be read guards nothing, the others do.
func TestLog(t *testing.T) {
	texts := map[string]string{"b": `{"type":"object"}`, "a": `{"type":"array"}`, "c": `{"type":"string"}`}
	set, err := methodschema.Compile(texts)
	if err != nil {
		t.Fatal(err)
	}
	recs := set.ForLog()
	if len(recs) != 3 || recs[0].Method != "a" || recs[1].Method != "b" || recs[2].Method != "c" || string(recs[1].JSON) != texts["b"] {
		t.Fatalf("got %v", recs)
	}
	again := methodschema.FromLog(recs).ForLog()
	if !methodschema.Same(recs, again) {
		t.Errorf("got %v from the log, want %v", again, recs)
	}
	again[0].JSON = []byte("no schema")
	if methodschema.Same(recs, again) || methodschema.Same(recs, recs[:2]) {
		t.Error("others are the same")
	}
	damaged := methodschema.FromLog(append([]record.Schema{}, again...))
	if err := damaged.Check("a", "", []byte("1")); err != nil {
		t.Errorf("a schema that cannot be read refuses: %v", err)
	}
	if err := damaged.Check("b", "", []byte("1")); edda.ReasonOf(err) != edda.BadSchema {
		t.Errorf("got %v, want BadSchema", err)
	}
}
