package specjson_test

import (
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/specjson"
	"github.com/edda-io/edda/internal/streamjson"
	"github.com/google/go-cmp/cmp"
)

func TestMessagesTakeSurrogatePairs(t *testing.T) {
	got, err := specjson.Messages("shop", []byte(`[{"key":"\uD83D\uDE00\ufffd\\ud800","id":"\ufffd","data":"\ud800"}]`))
	if err != nil || got[0].Key != "\U0001F600\ufffd\\ud800" || got[0].ID != "\ufffd" || string(got[0].Payload) != "\ufffd" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMessages(t *testing.T) {
	id := edda.NewID(1, time.Unix(1_700_000_000, 0))
	got, err := specjson.Messages("shop", []byte(`[ {"data": {"a": [1]}},
		{"id":"x","type":"placed","key":"a/ö","source":"till","replyTo":"r/eu","headers":{"b":"1","A":"\u0032"},"contentType":"text/plain",
		 "correlationId":"story","causationId":"`+id.String()+`","traceparent":"00-1","tracestate":"a=b","time":"2026-01-02T04:04:05+01:00","data":"\u00e4"},
		{"data":"text"}, {"data":"json","contentType":"application/json"}, {"data":null}, {"contentType":"text/plain"}, {"dataBase64":"/wA=","number":18446744073709551615}, {}]`))
	if err != nil {
		t.Fatal(err)
	}
	want := []edda.StreamMessage{
		{ContentType: "application/json", Payload: []byte(`{"a": [1]}`)},
		{
			ID: "x", Type: "placed", Key: "a/ö", Source: "till", ReplyTo: edda.Address{Namespace: "shop", Name: "r", Key: "eu"},
			Headers: edda.Headers{{Name: "b", Value: "1"}, {Name: "A", Value: "2"}}, ContentType: "text/plain", Payload: []byte("ä"),
			CorrelationID: "story", CausationID: id, TraceParent: "00-1", TraceState: "a=b", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
		{Payload: []byte("text")},
		{ContentType: "application/json", Payload: []byte(`"json"`)},
		{ContentType: "application/json", Payload: []byte("null")},
		{ContentType: "text/plain"},
		{Payload: []byte{0xff, 0}, Number: 1<<64 - 1},
		{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want - and got +:\n%s", diff)
	}
	if got, err := specjson.Messages("", []byte("[]")); err != nil || len(got) > 0 {
		t.Errorf("no messages: got %v, %v", got, err)
	}
	back, err := specjson.Messages("shop", streamjson.AppendBatch(nil, "shop", want[1:7]))
	for i := range want[2:7] {
		want[2+i].Type = "message"
	}
	if diff := cmp.Diff(want[1:7], back); diff != "" || err != nil {
		t.Errorf("what a client writes: %v, want - and got +:\n%s", err, diff)
	}
}

func TestMessagesRefused(t *testing.T) {
	for body, want := range map[string]struct {
		reason edda.Reason
		text   string
	}{
		``:                       {edda.BadJSON, "the body must be an array of messages"},
		`{}`:                     {edda.BadJSON, "the body must be an array of messages"},
		`[{}`:                    {edda.BadJSON, "the body must be an array of messages"},
		"[{\"id\":\"\xff\"}]":    {edda.BadJSON, "in UTF-8"},
		`[{"number":0}]`:         {edda.BadValue, "[0].number must be a whole number above zero"},
		`[{"number":"1"}]`:       {edda.BadValue, "[0].number must be a whole number above zero"},
		`[{},1]`:                 {edda.BadValue, "[1] must be an object"},
		`[{},{"shard":"a"}]`:     {edda.UnknownField, `unknown member "[1].shard"; there are causationId, contentType, correlationId, data, dataBase64, headers, id, key, number, replyTo, source, time, traceparent, tracestate, type`},
		`[{"principal":"root"}]`: {edda.UnknownField, `unknown member "[0].principal"; there are causationId, contentType, correlationId, data, dataBase64, headers, id, key, number, replyTo, source, time, traceparent, tracestate, type`},
		`[{"ID":"a"}]`:           {edda.UnknownField, `unknown member "[0].ID"; there are causationId, contentType, correlationId, data, dataBase64, headers, id, key, number, replyTo, source, time, traceparent, tracestate, type`},
		`[{"id":""}]`:            {edda.BadValue, "[0].id must be left out or not empty"},
		`[{"id":"a"},{"key":"k","id":"b","key":"k"}]`:                     {edda.BadValue, "[1].key must be given once"},
		`[{"data":1,"data":2}]`:                                           {edda.BadValue, "[0].data must be given once"},
		`[{"dataBase64":"","dataBase64":"AA=="}]`:                         {edda.BadValue, "[0].dataBase64 must be given once"},
		`[{"replyTo":"a","replyTo":"b"}]`:                                 {edda.BadValue, "[0].replyTo must be given once"},
		`[{"headers":{"a":"1"},"headers":{}}]`:                            {edda.BadValue, "[0].headers must be given once"},
		`[{"number":1,"number":2}]`:                                       {edda.BadValue, "[0].number must be given once"},
		`[{"time":"2026-01-02T15:04:05Z","time":"2026-01-02T15:04:05Z"}]`: {edda.BadValue, "[0].time must be given once"},
		`[{"causationId":"018bcfe5-6800-7000-8000-000000000001","causationId":"018bcfe5-6800-7000-8000-000000000001"}]`: {edda.BadValue, "[0].causationId must be given once"},
		`[{"key":7}]`:                                 {edda.BadValue, "[0].key must be a string"},
		`[{"headers":[]}]`:                            {edda.BadValue, "[0].headers must be an object"},
		`[{"headers":{"a":1}}]`:                       {edda.BadValue, "[0].headers.a must be a string"},
		`[{"headers":{"":"1"}}]`:                      {edda.BadValue, `[0].headers."" must be left out`},
		`[{"time":"now"}]`:                            {edda.BadValue, "[0].time must be a time"},
		`[{"causationId":"1"}]`:                       {edda.BadValue, "[0].causationId must be the id of a message"},
		`[{"replyTo":"a b"}]`:                         {edda.BadName, `[0].replyTo: "a b" must be STREAM`},
		`[{"replyTo":1}]`:                             {edda.BadValue, "[0].replyTo must be a string"},
		`[{"dataBase64":"x"}]`:                        {edda.BadValue, "[0].dataBase64 must be base64"},
		`[{"dataBase64":1}]`:                          {edda.BadValue, "[0].dataBase64 must be a string"},
		`[{"data":1,"dataBase64":"/w=="}]`:            {edda.BadValue, "[0]: data and dataBase64 are both given"},
		`[{"time":"0001-01-01T00:00:00Z"}]`:           {edda.BadValue, "[0].time must be between 1678 and 2262"},
		`[{"id":"\ud800"}]`:                           {edda.BadValue, "[0].id has half of a surrogate pair"},
		`[{"key":"\ufffd\\\ud83d"}]`:                  {edda.BadValue, "[0].key has half of a surrogate pair"},
		`[{"key":"\uD83D\uD83D\uDE00"}]`:              {edda.BadValue, "[0].key has half of a surrogate pair"},
		`[{},{"data":{},"contentType":"text/plain"}]`: {edda.BadValue, "[1]: data is not a string"},
		"[" + strings.Repeat("{},", edda.MaxAppendMessages) + "{}]": {edda.TooLarge, "more than 65536 messages"},
	} {
		_, err := specjson.Messages("", []byte(body))
		if edda.ReasonOf(err) != want.reason || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%.80s: got %v, want %s with %q", body, err, want.reason, want.text)
		}
	}
}

// FuzzMessages checks that what is taken can be written, and then is the same.
func FuzzMessages(f *testing.F) {
	f.Add([]byte(`[{"id":"x","data":{"a":[1,"\u2028"]}},{"data":"\n","headers":{"a":"b"},"time":"2026-01-02T04:04:05+01:00"}]`))
	f.Add([]byte(`[{"contentType":"text/json;x","data":null,"replyTo":"a:b/c"},{"dataBase64":"/w==","key":"k"}]`))
	f.Add([]byte(`[{"contentType":"image/svg+json","dataBase64":"e30="}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := specjson.Messages("shop", b)
		if err != nil {
			if edda.ReasonOf(err) == edda.Internal {
				t.Errorf("%s: %v is a defect", b, err)
			}
			return
		}
		for i := range messages {
			m := &messages[i]
			if repeated(m.Headers) || m.Time.Year() < 1 && !m.Time.IsZero() || m.Time.Year() > 9999 {
				return // headers of one name become one, and an append refuses the times
			}
			if m.Type == "" {
				m.Type = edda.DefaultMessageType
			}
		}
		line := streamjson.AppendBatch(nil, "shop", messages)
		again, err := specjson.Messages("shop", line)
		if err != nil || len(again) != len(messages) {
			t.Fatalf("%s came from %s: %v", line, b, err)
		}
		if got := streamjson.AppendBatch(nil, "shop", again); string(got) != string(line) {
			t.Errorf("got %s, want %s", got, line)
		}
	})
}

func repeated(hs edda.Headers) bool {
	seen := map[string]bool{}
	for _, h := range hs {
		name := strings.ToLower(h.Name)
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}
