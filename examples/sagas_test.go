package examples_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/saga"
)

func TestSmithy(t *testing.T) {
	s := examples.Smithy()
	step := func(method, input string) edda.Outcome { return keyState{}.invoke(t, s, 1, method, input) }
	wantReply(t, step("forge-head", `{"args":["iron"],"sagaId":"s1"}`), 200, `{"headId":"head-s1","kind":"iron"}`)
	wantReply(t, step("carve-handle", `{"args":["short"],"sagaId":"s1"}`), 200, `{"handleId":"handle-s1","size":"short"}`)
	wantReply(t, step("assemble", `{"dependencies":[{"headId":"h","kind":"iron"},{"handleId":"i","size":"short"}],"sagaId":"s1"}`), 200,
		`{"hammerId":"hammer-s1","head":{"headId":"h","kind":"iron"},"handle":{"handleId":"i","size":"short"}}`)
	wantReply(t, step("melt-head", `{"args":["anExampleArg"],"dependencies":[{"headId":"h"}]}`), 204, "")
	out := step("broken", `{}`)
	if h, ok := errors.AsType[*edda.HandlerError](out.Err); !ok || !h.Final {
		t.Errorf("got %v, want a final error", out.Err)
	}
}

func TestTrip(t *testing.T) {
	services := examples.Trip()
	s, state := services[slices.IndexFunc(services, func(s *edda.Service) bool { return s.Name == "hotels" })], keyState{}
	wantReply(t, state.invoke(t, s, 1, "left", `{}`), 200, `{"places":0}`)
	wantReply(t, state.invoke(t, s, 1, "open", `{"places":3}`), 200, `{"places":3}`)
	wantReply(t, state.invoke(t, s, 1, "book", `{"args":[2],"sagaId":"s1"}`), 200, `{"at":"k","places":2,"for":"s1"}`)
	out := state.invoke(t, s, 1, "book", `{"args":[2]}`)
	if h, ok := errors.AsType[*edda.HandlerError](out.Err); !ok || !h.Final || h.Message != "hotels/k has 1 places left, not 2" {
		t.Errorf("got %v, want a final error", out.Err)
	}
	wantReply(t, state.invoke(t, s, 1, "left", `{}`), 200, `{"places":1}`)
	wantReply(t, state.invoke(t, s, 1, "cancel", `{"dependencies":[{"at":"k","places":2,"for":"s1"}]}`), 204, "")
	wantReply(t, state.invoke(t, s, 1, "left", `{}`), 200, `{"places":3}`)
}

func TestDefinitionsAreRight(t *testing.T) {
	for _, def := range []*saga.Definition{
		examples.PDFSaga("MyPDF", "Lorem ipsum..."), examples.HammerSaga("assemble"), examples.TripSaga("LH1", "ritz", "bug", 2),
	} {
		if err := def.Err(); err != nil {
			t.Error(err)
		}
	}
}
