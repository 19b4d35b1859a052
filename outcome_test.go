package edda

import (
	"context"
	"iter"
	"strings"
	"testing"
)

// noState is a key without state.
type noState struct{}

func (noState) Get(context.Context, string) ([]byte, bool, error) { return nil, false, nil }
func (noState) List(context.Context, string) iter.Seq2[StateEntry, error] {
	return func(func(StateEntry, error) bool) {}
}

func TestAdmitRefuses(t *testing.T) {
	send := func(m Message) *Outcome { return &Outcome{Sends: []*Message{&m}} }
	keyed := &Dispatch{Message: &Message{To: Address{Name: "a", Key: "1"}}, State: noState{}}
	for _, c := range []struct {
		name string
		d    *Dispatch
		out  *Outcome
		want string
	}{
		{"a status", keyed, &Outcome{Reply: &Reply{Status: 600}}, "status 600"},
		{"state without a key", &Dispatch{Message: &Message{}}, &Outcome{Delete: []string{"a"}}, "keeps no state"},
		{"an empty name", keyed, &Outcome{Set: []StateEntry{{}}}, "state name of 0 bytes"},
		{"a long name", keyed, &Outcome{Delete: []string{strings.Repeat("n", MaxStateNameBytes+1)}}, "state name of 513 bytes"},
		{"a large value", keyed, &Outcome{Set: []StateEntry{{"a", make([]byte, MaxStateValueBytes+1)}}}, "state value of"},
		{"an address", keyed, send(Message{To: Address{Name: "edda.x"}, Type: "go"}), "edda.x"},
		{"a method", keyed, send(Message{To: Address{Name: "b"}}), "method is empty"},
		{"too many messages", keyed, &Outcome{Sends: make([]*Message, MaxSends+1)}, "1001 messages"},
		{"too much", keyed, &Outcome{Reply: &Reply{Payload: make([]byte, MaxOutcomeBytes)}}, "at most 6291456"},
	} {
		if c.d.Admit(c.out); c.out.Err == nil || !strings.Contains(c.out.Err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, c.out.Err, c.want)
		}
	}
}

// What a handler elsewhere says of who sends, and why, does not count.
func TestAdmitCompletes(t *testing.T) {
	parent := &Message{ID: ID{1}, To: Address{Namespace: "shop", Name: "a", Key: "1"}, Principal: "ada", CorrelationID: "story", TraceParent: "t"}
	d := &Dispatch{Message: parent, State: noState{}}
	sent := &Message{To: Address{Name: "b"}, Type: "go", Principal: "root", CausationID: ID{9}, Chain: []Address{{Name: "x"}}}
	out := &Outcome{Set: []StateEntry{{"b", nil}, {"a", nil}}, Delete: []string{"d", "c"}, Sends: []*Message{sent}}
	if d.Admit(out); out.Err != nil {
		t.Fatal(out.Err)
	}
	if sent.Principal != "ada" || sent.CausationID != parent.ID || sent.CorrelationID != "story" || sent.TraceParent != "t" ||
		sent.To.Namespace != "shop" || sent.Chain != nil {
		t.Errorf("sent %+v", sent)
	}
	if out.Set[0].Name != "a" || out.Delete[0] != "c" || out.Reply == nil {
		t.Errorf("got %+v", out)
	}
}
