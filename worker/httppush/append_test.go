package httppush

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
)

// What an endpoint appends is part of its outcome.
func TestAppends(t *testing.T) {
	const messages = `[{"id":"a","type":"t","key":"k","data":{"n":1},"replyTo":"answers"},{"dataBase64":"AAE="}]`
	try := func(body string) *edda.Outcome {
		t.Helper()
		m := &edda.Message{To: edda.Address{Namespace: "shop", Name: "users", Key: "ada"}, Principal: "ada", CorrelationID: "story"}
		return tryStep(t, enveloped(server(t, answerWith(200, body))), m, state{}, nil)
	}
	out := try(`{"data":1,"append":[{"stream":"orders","shard":"eu","messages":` + messages + `},{"stream":"audit","producer":"relay","messages":[{"number":7}]},{"channel":"floor","messages":[{}]}]}`)
	if out.Err != nil || len(out.Appends) != 3 || out.Appends[2].Channel != "floor" || out.Appends[2].Namespace != "shop" || out.Appends[1].Producer != "relay" || out.Appends[1].Messages[0].Number != 7 || out.Reply == nil {
		t.Fatalf("got %+v", out)
	}
	want := &edda.Append{Namespace: "shop", Stream: "orders", Shard: "eu", Principal: "ada", Messages: []edda.StreamMessage{
		{
			ID: "a", Type: "t", Key: "k", ContentType: "application/json", Payload: []byte(`{"n":1}`), ReplyTo: edda.Address{Namespace: "shop", Name: "answers"},
			Principal: "ada", CorrelationID: "story",
		},
		{Payload: []byte{0, 1}, Principal: "ada", CorrelationID: "story"},
	}}
	for i := range out.Appends[0].Messages {
		out.Appends[0].Messages[i].CausationID = edda.ID{}
	}
	if diff := cmp.Diff(want, out.Appends[0]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for body, says := range map[string]string{
		`{"append":[{"stream":"a","messages":[{}]},{"stream":"a b","messages":[{}]}]}`: `append[1]: check stream: stream "a b"`,
		`{"append":[{"messages":[{}]}]}`:                                               "stream is empty",
		`{"append":[{"channel":"c","stream":"a","messages":[{}]}]}`:                    `names the stream "a" and the channel "c"`,
		`{"append":[{"channel":"c","shard":"eu","messages":[{}]}]}`:                    "a channel has no shards",
		`{"append":[{"stream":"a"}]}`:                                                  "append[0]: messages is missing",
		`{"append":[{"stream":"a","messages":[]}]}`:                                    "it has no messages",
		`{"append":[{"stream":"a","messages":{}}]}`:                                    "an array of messages",
		`{"append":[{"stream":"a","messages":[{"kind":"x"}]}]}`:                        "kind",
		`{"append":[{"stream":"a","messages":[{"id":"\u0000"}]}]}`:                     "control character",
		`{"append":[{"stream":"a","topic":"x","messages":[{}]}]}`:                      "topic",
		`{"append":{"stream":"a","messages":[{}]}}`:                                    "append",
		`{"append":[{"stream":"a","ifLast":3,"messages":[{}]}]}`:                       "ifLast",
	} {
		if out := try(body); out.Err == nil || !strings.Contains(out.Err.Error(), says) || len(out.Appends) > 0 {
			t.Errorf("%s: got %v, want a failed attempt that says %q", body, out.Err, says)
		}
	}
}
