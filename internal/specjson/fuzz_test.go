package specjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/specjson"
)

// FuzzSaga reads what somebody sends. Nothing makes it panic; what it takes is what
// encoding/json takes, and says the same; what it refuses, it refuses for a reason.
func FuzzSaga(f *testing.F) {
	for _, tc := range refusals {
		f.Add([]byte(tc.doc))
	}
	f.Add([]byte(`{"id":"t1","name":"\u00e4\\","start":false,"deadline":"1h","onFailure":"cancel","steps":[` +
		`{"id":"a","service":"s","key":"k","method":"m","args":[1,{"a":"]"},[[]],true],"after":["b"],"attemptTimeout":"1s",` +
		`"retry":{"max":1,"backoff":2e0},"compensate":{"service":"s"}},{"id":"b","saga":{"name":"n","steps":[]}}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		sent := bytes.Clone(doc)
		s, err := specjson.Saga(doc)
		if !bytes.Equal(doc, sent) {
			t.Fatal("the document was changed")
		}
		if err != nil {
			switch e, _ := errors.AsType[*edda.Error](err); {
			case e == nil:
				t.Errorf("got error %v, which has no reason", err)
			case e.Reason == edda.BadJSON, e.Reason == edda.BadValue, e.Reason == edda.UnknownField, e.Reason == edda.TooLarge:
			default:
				t.Errorf("got %s: %v", e.Reason, err)
			}
			return
		}
		if repeats(t, json.NewDecoder(bytes.NewReader(doc))) {
			return // encoding/json mixes the two
		}
		var want document
		if err := json.Unmarshal(doc, &want); err != nil {
			t.Fatalf("it was taken, but: %v", err)
		}
		compare(t, s, &want)
	})
}

// repeats reads a value, and reports whether a member stands twice in an object of it.
func repeats(t *testing.T, d *json.Decoder) bool {
	t.Helper()
	token := func() json.Token {
		tok, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	open := token()
	if open != json.Delim('{') && open != json.Delim('[') {
		return false
	}
	seen, twice := map[json.Token]bool{}, false
	for d.More() {
		if open == json.Delim('{') {
			name := token()
			twice = twice || seen[name]
			seen[name] = true
		}
		twice = repeats(t, d) || twice
	}
	token()
	return twice
}

// document is a saga as encoding/json reads it.
type document struct {
	ID, Name, Deadline, OnFailure string
	Start                         *bool
	Steps                         []struct {
		ID, AttemptTimeout string
		After              []string
		Saga               *document
		Compensate         *task
		task
	}
}

type task struct {
	Service, Key, Method string
	Args                 []json.RawMessage
	Retry                any
}

func compare(t *testing.T, got *edda.SagaSpec, want *document) {
	t.Helper()
	if got.ID != want.ID || got.Name != want.Name || string(got.OnFailure) != want.OnFailure || len(got.Steps) != len(want.Steps) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for i := range got.Steps {
		g, w := &got.Steps[i], &want.Steps[i]
		if g.ID != w.ID || len(g.After) != len(w.After) || (g.Saga == nil) != (w.Saga == nil) || (g.Compensate == nil) != (w.Compensate == nil) {
			t.Fatalf("step %d: got %+v, want %+v", i, g, w)
		}
		compareTask(t, &g.Task, &w.task)
		if g.Compensate != nil {
			compareTask(t, g.Compensate, w.Compensate)
		}
		if g.Saga != nil {
			compare(t, g.Saga, w.Saga)
		}
	}
}

func compareTask(t *testing.T, got *edda.Task, want *task) {
	t.Helper()
	if got.Service != want.Service || got.Key != want.Key || got.Method != want.Method || len(got.Args) != len(want.Args) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for i := range got.Args {
		if !bytes.Equal(got.Args[i], want.Args[i]) {
			t.Fatalf("argument %d: got %s, want %s", i, got.Args[i], want.Args[i])
		}
	}
}
