package streamjson_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/streamjson"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func full() edda.StreamMessage {
	return edda.StreamMessage{
		ID: "ö 1", Shard: "eu", Offset: 1<<64 - 1, Type: "order placed", Key: "a/b", Source: "till 7", Principal: "ada",
		ReplyTo:     edda.Address{Namespace: "shop", Name: "replies", Key: "eu"},
		Headers:     edda.Headers{{Name: "x", Value: "1"}, {Name: "Y", Value: "\"\n"}},
		ContentType: "application/json", Payload: []byte(`{"a":[1,null],"b":" x "}`),
		CorrelationID: "story", CausationID: edda.NewID(7, at), TraceParent: "00-1", TraceState: "a=b", Time: at,
	}
}

func TestMessageIsReadBack(t *testing.T) {
	text, binary, bare := full(), full(), edda.StreamMessage{ID: "1", Shard: "default", Type: "message", Time: at}
	text.ContentType, text.Payload = "text/plain", []byte("é\n\"\x00\u2028")
	binary.ContentType, binary.Payload = "", []byte("\xff\x00")
	broken := full() // says that it is JSON
	broken.Payload = []byte(`{"a"`)
	for _, want := range []edda.StreamMessage{full(), text, binary, bare, broken} {
		b := streamjson.AppendMessage([]byte("x"), "default", &want)
		if b[0] != 'x' || bytes.ContainsAny(b, "\r\n") {
			t.Errorf("got %s, want one line behind what was there", b)
		}
		var item streamjson.Item
		if err := json.Unmarshal(b[1:], &item); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		got, err := item.Message("default")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", b, got, err, want)
		}
	}
}

// Line breaks would end the line of an event.
func TestLineBreaksInJSON(t *testing.T) {
	m := edda.StreamMessage{ContentType: "application/json", Payload: []byte("{\r\n \"a\": \"\\n\"\n}")}
	if got := string(streamjson.AppendMessage(nil, "", &m)); got != `{"shard":"","offset":0,"contentType":"application/json","data":{"a":"\n"}}` {
		t.Errorf("got %s", got)
	}
}

func TestDeliveryIsReadBack(t *testing.T) {
	want := edda.Delivery{StreamMessage: full(), Lease: "l-1", Attempt: 3}
	var item streamjson.Item
	if err := json.Unmarshal(streamjson.AppendDelivery(nil, "default", &want), &item); err != nil {
		t.Fatal(err)
	}
	if got, err := item.Delivery("default"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestBatchLeavesOutWhatTheNodeSays(t *testing.T) {
	got := string(streamjson.AppendBatch(nil, "shop", []edda.StreamMessage{full(), {}}))
	const want = `[{"type":"order placed","id":"ö 1","key":"a/b","source":"till 7","replyTo":"replies/eu","headers":{"x":"1","Y":"\"\n"},` +
		`"contentType":"application/json","correlationId":"story","causationId":"`
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, `,{"type":"message"}]`) || strings.Contains(got, "ada") || strings.Contains(got, "offset") {
		t.Errorf("got %s", got)
	}
}

func TestReplyTo(t *testing.T) {
	for _, tc := range []struct {
		namespace string
		to        edda.Address
		text      string
	}{
		{"default", edda.Address{Namespace: "default", Name: "r"}, "r"},
		{"", edda.Address{Namespace: "default", Name: "r", Key: "eu"}, "r/eu"},
		{"shop", edda.Address{Namespace: "shop", Name: "r"}, "r"},
		{"shop", edda.Address{Namespace: "default", Name: "r", Key: "eu"}, "default:r/eu"},
		{"default", edda.Address{Namespace: "shop", Name: "r"}, "shop:r"},
	} {
		if got := streamjson.ReplyTo(tc.namespace, tc.to); got != tc.text {
			t.Errorf("%+v in %q: got %q, want %q", tc.to, tc.namespace, got, tc.text)
		}
		if got, err := streamjson.ParseReplyTo(tc.namespace, tc.text); err != nil || got != tc.to {
			t.Errorf("%q in %q: got %+v, %v, want %+v", tc.text, tc.namespace, got, err, tc.to)
		}
	}
	if got := streamjson.ReplyTo("shop", edda.Address{Name: "r"}); got != "default:r" {
		t.Errorf("an address without a namespace: got %q, want default:r", got)
	}
	for bad, why := range map[string]string{
		"": "stream is empty", "r/": "shard is empty", "r/a/b": "shard", "a b": "stream", ":r": "namespace is empty", "a:b:c": "stream", "r#eu": "STREAM/SHARD",
	} {
		if _, err := streamjson.ParseReplyTo("", bad); edda.ReasonOf(err) != edda.BadName || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want BAD_NAME with %q", bad, err, why)
		}
	}
}

func TestStreamIsReadBack(t *testing.T) {
	want := &edda.Stream{CreatedAt: at, Offsets: map[string]edda.Offsets{"eu": {First: 1, End: 3, Bytes: 9}}, Groups: []string{"mail"}}
	want.Namespace, want.Name, want.Shards, want.Dedupe = "shop", "orders", []string{"eu", "us"}, time.Hour
	want.Retention = edda.Retention{Age: time.Minute, Count: 5, Bytes: 6}
	doc := streamjson.NewStream(want)
	if got, err := doc.Stream("shop"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	b, err := json.Marshal(streamjson.NewStream(&edda.Stream{StreamSpec: edda.StreamSpec{Name: "s"}, CreatedAt: at}))
	if want := `{"name":"s","dedupe":"24h0m0s","createdAt":"2026-01-02T03:04:05.000000006Z","offsets":{},"groups":[]}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
	bare := streamjson.Stream{Retention: &streamjson.Retention{Age: "long"}, Dedupe: "1h"}
	if _, err := bare.Stream(""); err == nil || !strings.Contains(err.Error(), "retention.age") {
		t.Errorf("got %v, want an error about retention.age", err)
	}
}

func TestSpecs(t *testing.T) {
	for want, doc := range map[string]any{
		`{}`: streamjson.NewSpec(&edda.StreamSpec{Name: "s"}),
		`{"shards":["a"],"retention":{"count":3},"dedupe":"1m0s"}`: streamjson.NewSpec(&edda.StreamSpec{
			Shards: []string{"a"}, Retention: edda.Retention{Count: 3}, Dedupe: time.Minute,
		}),
		`{"from":"start","minMembers":1,"maxMembers":2,"processingTimeout":"1s","idleTimeout":"2s","retry":{"max":3,"delay":"100ms","maxDelay":"30s","backoff":2,"jitter":0}}`: streamjson.NewGroupSpec(&edda.GroupSpec{
			From: edda.FromStart, MinMembers: 1, MaxMembers: 2, ProcessingTimeout: time.Second, IdleTimeout: 2 * time.Second,
			Retry: edda.RetryPolicy{Max: 3, Jitter: -1},
		}),
		`{"from":"7"}`: streamjson.NewGroupSpec(&edda.GroupSpec{Name: "g", From: edda.FromOffset(7)}),
	} {
		if b, err := json.Marshal(doc); err != nil || string(b) != want {
			t.Errorf("got %s, %v, want %s", b, err, want)
		}
	}
}

func TestGroupIsReadBack(t *testing.T) {
	want := &edda.Group{CreatedAt: at, Cursor: map[string]uint64{"eu": 4}, Lag: 5, Pending: 2, Members: []edda.Member{{Name: "a", Leases: 2, LastSeen: at}}}
	want.GroupSpec = edda.GroupSpec{
		Namespace: "shop", Stream: "orders", Name: "mail", MinMembers: 2, MaxMembers: 3, ProcessingTimeout: time.Minute, IdleTimeout: time.Hour,
		Retry: edda.RetryPolicy{Max: -1, Delay: time.Second, MaxDelay: time.Minute, Backoff: 1, Jitter: -1},
	}
	doc := streamjson.NewGroup(want)
	if got, err := doc.Group("shop"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	b, err := json.Marshal(streamjson.NewGroup(&edda.Group{GroupSpec: edda.GroupSpec{Stream: "s", Name: "g"}, CreatedAt: at}))
	if err != nil || string(b) != `{"name":"g","stream":"s","minMembers":1,"processingTimeout":"30s","idleTimeout":"1m0s",`+
		`"retry":{"max":10,"delay":"100ms","maxDelay":"30s","backoff":2,"jitter":0.2},"createdAt":"2026-01-02T03:04:05.000000006Z",`+
		`"cursor":{},"lag":0,"pending":0,"members":[]}` {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestAppended(t *testing.T) {
	for want, a := range map[string]edda.Appended{
		`{"id":"a","shard":"eu","offset":7,"position":"3-9"}`:                 {ID: "a", Shard: "eu", Offset: 7},
		`{"id":"a","shard":"eu","offset":0,"position":"3-9","replayed":true}`: {ID: "a", Shard: "eu", Replayed: true},
	} {
		b := streamjson.AppendAppended(nil, &a, "3-9")
		var back streamjson.Appended
		if err := json.Unmarshal(b, &back); err != nil || string(b) != want || back.Result() != a || back.Position != "3-9" {
			t.Errorf("got %s, %+v, %v, want %s", b, back, err, want)
		}
	}
}

func BenchmarkAppendMessage(b *testing.B) {
	m := full()
	m.Headers, m.Payload = nil, []byte(`{"text":"`+strings.Repeat("x", 240)+`"}`)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = streamjson.AppendMessage(buf[:0], "default", &m)
	}
}
