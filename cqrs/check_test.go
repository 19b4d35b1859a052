package cqrs

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// What PostgreSQL cannot keep is refused before anything runs, and on SQLite too.
func TestCommandWithTextsThatCannotBeKept(t *testing.T) {
	metadata := func(name, v string) *Command {
		return &Command{Metadata: map[string]json.RawMessage{name: json.RawMessage(v)}}
	}
	for _, c := range []struct {
		what, want string
		command    *Command
	}{
		{"metadata that are no JSON", `the metadata "x": it is no JSON: {`, metadata("x", "{")},
		{"metadata that are not UTF-8", `the metadata "x": it is not UTF-8`, metadata("x", "\"\xff\"")},
		{"metadata with a name that is not UTF-8", `the metadata "\xff": it is not UTF-8`, metadata("\xff", "1")},
		{"metadata with a name with NUL", `the metadata "\x00": it has a NUL`, metadata("\x00", "1")},
		{"a story that is not UTF-8", `CorrelationID is "a\xff": it is not UTF-8`, &Command{CorrelationID: "a\xff"}},
		{"a story with NUL", `CorrelationID is "a\x00": it has a NUL`, &Command{CorrelationID: "a\x00"}},
		{"a principal that is not UTF-8", `Principal is "a\xff": it is not UTF-8`, &Command{Principal: "a\xff"}},
		{"an explanation that is no JSON", `Explain: it is no JSON: why`, &Command{Explain: json.RawMessage("why")}},
		{"an explanation with NUL", `Explain: it has \u0000`, &Command{Explain: json.RawMessage(`"\u0000"`)}},
	} {
		t.Run(c.what, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db driver.DB) {
				b := newUsers()
				ran := false
				b.Hook("User.see", func(context.Context, Querier, *Command) (Data, error) {
					ran = true
					return Data{}, nil
				}, On("*", Config{}))
				w := start(t, db, b)
				command := *c.command
				command.Type, command.Data = "create.user", staged(t, users, user{ID: "1"})
				w.refused(&command, edda.BadValue, c.want)
				w.nothing()
				if ran {
					t.Error("a hook was run")
				}
			})
		})
	}
}

// What a hook found is in the metadata, whatever it is.
func TestMetadataAreKeptAsTheyWereWritten(t *testing.T) {
	odd := []string{`"a\u0000b"`, `"\ud800"`, `[9007199254740993,1e400,0.1000,1E+2,-0]`, `1e999999999`, `{"a":1,"b":2}`, `null`}
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, newUsers())
		for i, text := range odd {
			out := w.do(&Command{
				Type: "create.user", Data: staged(t, users, user{ID: "u", Name: "a\x00b"}), Expect: AnyVersion(),
				Metadata: map[string]json.RawMessage{"odd": json.RawMessage(text)},
			})
			e, err := w.Event(t.Context(), out.Event.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(e.Metadata["odd"]); got != text {
				t.Errorf("%d: got %s, want %s", i, got, text)
			}
		}
	})
}

func TestStagedDataIsUTF8(t *testing.T) {
	type odd struct {
		ID  string          `json:"id"`
		Any json.RawMessage `json:"any"`
	}
	m := NewModel(ModelOptions[odd]{Name: "Odd", Key: []string{"id"}})
	if _, err := m.Stage(odd{ID: "1", Any: json.RawMessage("\"\xff\"")}); edda.ReasonOf(err) != edda.BadSchema {
		t.Errorf("it was staged: %v", err)
	}
}

func TestExplanationOfLetters(t *testing.T) {
	for text, want := range map[string]bool{
		`"why"`: true, `{"a":"\n\\u0000 \"\u00e9 \ud83d\ude00"}`: true,
		`"\u0000"`: false, `"\ud83d"`: false, `"\ud83d\n"`: false, `"\ud83d\u0041"`: false, `"\ude00"`: false, `"\\\u0000"`: false,
	} {
		if err := checkExplain(json.RawMessage(text)); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	if checkExplain(nil) != nil {
		t.Error("none is refused")
	}
}
