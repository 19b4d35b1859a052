package specjson_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
	"github.com/edda-io/edda/internal/specjson"
)

func TestReadFrame(t *testing.T) {
	for _, tc := range []struct {
		doc  string
		want specjson.Frame
	}{
		{`{"op":"ping"}`, specjson.Frame{Op: "ping", Credit: -1}},
		{`{"token":"t","op":"auth"}`, specjson.Frame{Op: "auth", Token: "t", Credit: -1}},
		{
			`{"op":"call","ref":1,"service":"s","key":"k","method":"m","headers":{"A":"1"},"data":{"a":1},"idempotencyKey":"i","delay":"1s","deadline":"2s","parts":true,"ack":false}`,
			specjson.Frame{
				Op: "call", Ref: "1", Service: "s", Method: "m", IdempotencyKey: "i", Delay: time.Second, DeadlineAfter: 2 * time.Second, Parts: true, Quiet: true, Credit: -1,
				Message: edda.StreamMessage{Key: "k", Headers: edda.Headers{{Name: "A", Value: "1"}}, ContentType: "application/json", Payload: []byte(`{"a":1}`)},
			},
		},
		{
			`{"op":"call","ref":"\u0061","service":"s","method":"m","deadline":"2026-01-02T03:04:05Z","data":"x"}`,
			specjson.Frame{
				Op: "call", Ref: `"a"`, Service: "s", Method: "m", DeadlineAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Credit: -1,
				Message: edda.StreamMessage{Payload: []byte("x")},
			},
		},
		{
			`{"op":"append","ref":1,"stream":"s","shard":"b","type":"t","replyTo":"r/x","dataBase64":"/w=="}`,
			specjson.Frame{
				Op: "append", Ref: "1", Stream: "s", Shard: "b", Credit: -1,
				Message: edda.StreamMessage{Type: "t", ReplyTo: edda.Address{Namespace: "ns", Name: "r", Key: "x"}, Payload: []byte{0xff}},
			},
		},
		{
			`{"op":"subscribe","ref":1,"channel":"c","patterns":["a","b"],"from":"start","lifespan":"ephemeral","credit":7,"presence":true}`,
			specjson.Frame{Op: "subscribe", Ref: "1", Channel: "c", Patterns: []string{"a", "b"}, From: "start", Ephemeral: true, Presence: true, Credit: 7},
		},
		{`{"op":"credit","ref":1,"n":5}`, specjson.Frame{Op: "credit", Ref: "1", Credit: 5}},
	} {
		got, err := specjson.ReadFrame("ns", []byte(tc.doc))
		if err != nil || !reflect.DeepEqual(*got, tc.want) {
			t.Errorf("%s: got %+v, %v, want %+v", tc.doc, got, err, tc.want)
		}
	}
}

// What concerns the whole frame is said without a place in it.
func TestReadFrameNamesNoPlace(t *testing.T) {
	_, err := specjson.ReadFrame("ns", []byte(`{"op":"append","ref":1,"stream":"s","type":"t","data":1,"dataBase64":"/w=="}`))
	e, ok := errors.AsType[*edda.Error](err)
	if !ok || e.Reason != edda.BadValue || e.Err.Error() != "data and dataBase64 are both given" {
		t.Errorf("got %v", err)
	}
}

// frameDoc is a frame as encoding/json reads it.
type frameDoc struct {
	Op, Token, Service, Method, Stream, Channel, Shard, IdempotencyKey string
	Ref                                                                any
	Key, ID, Type, Source, ContentType, CorrelationID                  string
	Data                                                               json.RawMessage
	DataBase64                                                         *string
	Patterns                                                           []string
	From                                                               string
	Lifespan                                                           string
	Credit, N                                                          *int
	Parts, Presence                                                    bool
}

// FuzzFrame reads what clients send. Nothing makes it panic; what it takes is what
// encoding/json takes, and says the same; what it refuses, it refuses for a reason, with the
// ref if it can be known.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{
		`{"op":"ping","ref":1}`, `{"op":"auth","token":"x"}`, `{"op":"cancel","ref":"a\u00e9"}`,
		`{"op":"call","ref":1,"service":"s","key":"k","method":"m","headers":{"a":"b"},"data":[1,{"a":"]"}],"deadline":"1s","delay":"-1s"}`,
		`{"op":"append","ref":-1.5e3,"stream":"s","type":"t","dataBase64":"AA==","time":"2026-01-02T03:04:05Z","replyTo":"a/b"}`,
		`{"op":"publish","ref":"","channel":"c","type":"t","data":"\ud800"}`, `{"op":"unsubscribe","ref":1,"patterns":[]}`,
		`{"op":"subscribe","ref":1,"stream":"s","patterns":["a.*"],"from":"end","lifespan":"eternal","credit":0,"presence":false}`,
		`{"ref":7,"op":{}}`, `[]`, `{"op":"ping"`, "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		sent := bytes.Clone(doc)
		got, err := specjson.ReadFrame("ns", doc)
		if !bytes.Equal(doc, sent) {
			t.Fatal("the frame was changed")
		}
		if got == nil || len(got.Ref) > specjson.MaxRefBytes || got.Ref != "" && !json.Valid([]byte(got.Ref)) {
			t.Fatalf("got %+v", got)
		}
		if err != nil {
			e, ok := errors.AsType[*edda.Error](err)
			if !ok || e.Reason.Code() != edda.CodeInvalidArgument || e.Err == nil || len(e.Err.Error()) > 1000+2*len(doc) {
				t.Errorf("got error %v", err)
			}
			return
		}
		var want frameDoc
		d := json.NewDecoder(bytes.NewReader(doc))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("it was taken, but: %v", err)
		}
		compareFrames(t, got, &want)
	})
}

func compareFrames(t *testing.T, got *specjson.Frame, want *frameDoc) {
	t.Helper()
	same := func(what, got, want string) {
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	m := &got.Message
	for _, p := range [][3]string{
		{"op", got.Op, want.Op}, {"token", got.Token, want.Token}, {"service", got.Service, want.Service}, {"method", got.Method, want.Method},
		{"stream", got.Stream, want.Stream}, {"channel", got.Channel, want.Channel}, {"shard", got.Shard, want.Shard},
		{"idempotencyKey", got.IdempotencyKey, want.IdempotencyKey}, {"key", m.Key, want.Key}, {"id", m.ID, want.ID}, {"type", m.Type, want.Type},
		{"source", m.Source, want.Source}, {"correlationId", m.CorrelationID, want.CorrelationID}, {"from", string(got.From), want.From},
	} {
		same(p[0], p[1], p[2])
	}
	switch ref := want.Ref.(type) {
	case nil:
		same("ref", got.Ref, "")
	case json.Number:
		same("ref", got.Ref, ref.String())
	case string:
		same("ref", got.Ref, string(jsondata.AppendString(nil, ref)))
	}
	switch {
	case want.DataBase64 != nil:
		b, _ := base64.StdEncoding.DecodeString(*want.DataBase64)
		same("payload", string(m.Payload), string(b))
	case want.Data != nil && jsondata.IsJSON(m.ContentType):
		same("payload", string(compactJSON(m.Payload)), string(compactJSON(want.Data)))
	case want.Data != nil:
		var s string
		_ = json.Unmarshal(want.Data, &s)
		same("payload", string(m.Payload), s)
	}
	if len(got.Patterns) != len(want.Patterns) || got.Parts != want.Parts || got.Presence != want.Presence || got.Ephemeral != (want.Lifespan == "ephemeral") {
		t.Errorf("got %+v, want %+v", got, want)
	}
	credit := -1
	for _, n := range []*int{want.Credit, want.N} {
		if n != nil {
			credit = *n
		}
	}
	if got.Credit != credit {
		t.Errorf("credit: got %d, want %d", got.Credit, credit)
	}
}

func compactJSON(b []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return b
	}
	return out.Bytes()
}
