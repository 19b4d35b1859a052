package httpgw

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

const traceHeader = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestAppendOne(t *testing.T) {
	f := &fakeStreams{}
	g := streamsOf(t, f, nil, Options{})
	doc, w := want(t, g, 201, "POST", "/v1/streams/orders", "\xff{", "Edda-Type: placed", "Edda-Key: a%2F%C3%B6", "Edda-Id: x 1", "Edda-Shard: eu",
		"Edda-Reply-To: replies/eu", "Edda-Source: till 7", "Edda-Time: 2026-01-02T04:04:05+01:00", "Edda-Correlation-Id: story",
		"Edda-Header-B: 1", "Edda-Header-A: ü", "Edda-Header-B: 2", "Content-Type: text/x; a=b", "Traceparent: "+traceHeader, "Tracestate: v=1")
	if !reflect.DeepEqual(doc, obj{"id": "x 1", "shard": "eu", "offset": 0.0, "position": "3-9"}) {
		t.Errorf("got %v", doc)
	}
	h := w.Header()
	if h.Get("ETag") != `"0"` || h.Get("Edda-Position") != "3-9" || h.Get("Edda-Durability") != "fsync" || h.Get("Idempotency-Replayed") != "" {
		t.Errorf("got headers %v", h)
	}
	m := f.append.Messages[0]
	if !strings.HasPrefix(m.TraceParent, traceHeader[:36]) || m.TraceParent == traceHeader || m.TraceState != "v=1" {
		t.Errorf("got trace context %q %q", m.TraceParent, m.TraceState)
	}
	m.TraceParent, m.TraceState = "", ""
	want := &edda.Append{
		Namespace: "default", Stream: "orders", Shard: "eu", Principal: edda.Anonymous, Messages: []edda.StreamMessage{{
			ID: "x 1", Type: "placed", Key: "a/ö", Source: "till 7", Principal: edda.Anonymous,
			ReplyTo: edda.Address{Namespace: "default", Name: "replies", Key: "eu"}, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			Headers:     edda.Headers{{Name: "A", Value: "ü"}, {Name: "B", Value: "1"}, {Name: "B", Value: "2"}},
			ContentType: "text/x; a=b", Payload: []byte("\xff{"), CorrelationID: "story",
		}},
	}
	f.append.Messages[0] = m
	if diff := cmp.Diff(want, f.append); diff != "" {
		t.Errorf("the backend: want - and got +:\n%s", diff)
	}
}

func TestAppendNothingSaid(t *testing.T) {
	f := &fakeStreams{}
	doc, _ := want(t, streamsOf(t, f, nil, Options{}), 201, "POST", "/v1/ns/shop/streams/orders", "")
	if doc["id"] != "made-0" || doc["shard"] != "default" {
		t.Errorf("got %v", doc)
	}
	want := &edda.Append{Namespace: "shop", Stream: "orders", Principal: edda.Anonymous, Messages: []edda.StreamMessage{{Principal: edda.Anonymous}}}
	if diff := cmp.Diff(want, f.append); diff != "" {
		t.Errorf("the backend: want - and got +:\n%s", diff)
	}
}

func TestAppendAgain(t *testing.T) {
	g := streamsOf(t, &fakeStreams{}, nil, Options{})
	first, _ := want(t, g, 201, "POST", "/v1/streams/orders", "1", "Edda-Id: x")
	want(t, g, 201, "POST", "/v1/streams/orders", "2")
	again, w := want(t, g, 200, "POST", "/v1/streams/orders", "3", "Edda-Id: x", "Edda-Shard: eu")
	if !reflect.DeepEqual(first, again) || w.Header().Get("Idempotency-Replayed") != "true" || w.Header().Get("ETag") != `"0"` {
		t.Errorf("got %v with %v, want %v", again, w.Header(), first)
	}
	// In a batch each message counts for itself.
	doc, w := want(t, g, 201, "POST", "/v1/streams/orders", `[{"id":"y"},{"id":"x"}]`, "Content-Type: "+batchMedia)
	items := doc["items"].([]any)
	if items[0].(obj)["replayed"] != nil || items[1].(obj)["replayed"] != true || items[1].(obj)["offset"] != 0.0 ||
		w.Header().Get("ETag") != `"2"` || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("got %v with %v", doc, w.Header())
	}
	if items[0].(obj)["position"] == nil || items[1].(obj)["position"] != nil {
		t.Errorf("got positions %v and %v, want none of what was there before", items[0].(obj)["position"], items[1].(obj)["position"])
	}
	doc, w = want(t, g, 200, "POST", "/v1/streams/orders", `[{"id":"y"},{"id":"x"}]`, "Content-Type: "+batchMedia)
	if len(doc["items"].([]any)) != 2 || w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("got %v with %v", doc, w.Header())
	}
}

func TestExpectedOffset(t *testing.T) {
	g := streamsOf(t, &fakeStreams{}, nil, Options{})
	w := refused(t, g, edda.ExpectedOffset, "POST", "/v1/streams/orders", "x", `If-Match: "0"`)
	if p := wantProblem(t, w); w.Header().Get("ETag") != `""` || p.Detail != "the shard is empty" {
		t.Errorf("got %q with ETag %s", p.Detail, w.Header().Get("ETag"))
	}
	want(t, g, 201, "POST", "/v1/streams/orders", "x", "If-None-Match: *")
	w = refused(t, g, edda.ExpectedOffset, "POST", "/v1/streams/orders", "x", "If-None-Match: *")
	if p := wantProblem(t, w); w.Code != 412 || w.Header().Get("ETag") != `"0"` || p.Detail != "the last offset of the shard is 0" {
		t.Errorf("got %q with ETag %s", p.Detail, w.Header().Get("ETag"))
	}
	_, w = want(t, g, 201, "POST", "/v1/streams/orders", "x", "If-Match: "+w.Header().Get("ETag"))
	if got := w.Header().Get("ETag"); got != `"1"` {
		t.Errorf("got ETag %s", got)
	}
	_, w = want(t, g, 201, "POST", "/v1/streams/orders", `[{},{},{}]`, "If-Match: "+w.Header().Get("ETag"), "Content-Type: "+batchMedia)
	if got := w.Header().Get("ETag"); got != `"4"` {
		t.Errorf("of a batch: got ETag %s", got)
	}
}

func TestAppendBatch(t *testing.T) {
	f := &fakeStreams{}
	g := streamsOf(t, f, nil, Options{})
	const body = `[{"id":"a","type":"t","key":"k","source":"s","replyTo":"other:r","headers":{"x":"own"},"contentType":"text/plain","data":"hi",
		"correlationId":"c","traceparent":"` + traceHeader + `","tracestate":"a=b","time":"2026-01-02T03:04:05Z"},{"data":{"n":1}}]`
	doc, w := want(t, g, 201, "POST", "/v1/ns/shop/streams/orders", body, "Content-Type: Application/Vnd.Edda.Batch+JSON; charset=utf-8",
		"Edda-Type: said", "Edda-Key: said", "Edda-Shard: eu", "Edda-Reply-To: replies", "Edda-Source: said", "Edda-Correlation-Id: said",
		"Edda-Time: 2026-02-02T03:04:05Z", "Edda-Header-X: said", "Edda-Header-Y: said", "Traceparent: "+traceHeader)
	if got := doc["items"].([]any); len(got) != 2 || got[1].(obj)["offset"] != 1.0 || got[1].(obj)["shard"] != "eu" || w.Header().Get("ETag") != `"1"` {
		t.Errorf("got %v with %v", doc, w.Header())
	}
	own, said := f.append.Messages[0], f.append.Messages[1]
	if !strings.HasPrefix(said.TraceParent, traceHeader[:36]) {
		t.Errorf("got trace context %q", said.TraceParent)
	}
	said.TraceParent = ""
	wantOwn := edda.StreamMessage{
		ID: "a", Type: "t", Key: "k", Source: "s", Principal: edda.Anonymous, ReplyTo: edda.Address{Namespace: "other", Name: "r"},
		Headers: edda.Headers{{Name: "x", Value: "own"}, {Name: "Y", Value: "said"}}, ContentType: "text/plain", Payload: []byte("hi"),
		CorrelationID: "c", TraceParent: traceHeader, TraceState: "a=b", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	wantSaid := edda.StreamMessage{
		Type: "said", Key: "said", Source: "said", Principal: edda.Anonymous, ReplyTo: edda.Address{Namespace: "shop", Name: "replies"},
		Headers: edda.Headers{{Name: "X", Value: "said"}, {Name: "Y", Value: "said"}}, ContentType: "application/json", Payload: []byte(`{"n":1}`),
		CorrelationID: "said", Time: time.Date(2026, 2, 2, 3, 4, 5, 0, time.UTC),
	}
	if diff := cmp.Diff([]edda.StreamMessage{wantOwn, wantSaid}, []edda.StreamMessage{own, said}); diff != "" {
		t.Errorf("the backend: want - and got +:\n%s", diff)
	}
}

const (
	event      = `{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext","id":"C234","time":"2018-04-05T17:31:00Z","comexample":5,"data":{"a":1}}`
	eventBatch = "[" + event + `,{"specversion":"1.0","type":"t","source":"/s","id":"2","subject":"s","datacontenttype":"text/xml","data":"<x/>"}]`
)

func TestAppendCloudEvents(t *testing.T) {
	someEvent := edda.StreamMessage{
		ID: "C234", Type: "com.example.someevent", Source: "/mycontext", Principal: edda.Anonymous, Time: time.Date(2018, 4, 5, 17, 31, 0, 0, time.UTC),
		Headers: edda.Headers{{Name: "ce-comexample", Value: "5"}}, ContentType: "application/json", Payload: []byte(`{"a":1}`),
	}
	binary := []string{
		"ce-specversion: 1.0", "ce-type: com.example.someevent", "ce-source: /mycontext", "ce-id: C%32%33%34", "ce-time: 2018-04-05T17:31:00Z",
		"ce-comexample: 5", "Content-Type: application/json",
	}
	more := someEvent // what the event does not say
	more.Key, more.ReplyTo, more.Headers = "k", edda.Address{Namespace: "default", Name: "r"}, append(someEvent.Headers[:1:1], edda.Header{Name: "X", Value: "1"})
	two := edda.StreamMessage{
		ID: "2", Type: "t", Source: "/s", Key: "s", Principal: edda.Anonymous, Headers: edda.Headers{{Name: "ce-subject", Value: "s"}},
		ContentType: "text/xml", Payload: []byte("<x/>"),
	}
	for name, tc := range map[string]struct {
		body    string
		headers []string
		many    bool
		want    []edda.StreamMessage
	}{
		"binary":     {`{"a":1}`, binary, false, []edda.StreamMessage{someEvent}},
		"structured": {event, []string{"Content-Type: application/cloudevents+json; charset=utf-8"}, false, []edda.StreamMessage{someEvent}},
		"with headers": {event, []string{
			"Content-Type: application/cloudevents+json", "Edda-Key: k", "Edda-Reply-To: r", "Edda-Header-X: 1", "Edda-Source: other", "Edda-Id: C234",
			"Edda-Type: com.example.someevent",
		}, false, []edda.StreamMessage{more}},
		"batch": {eventBatch, []string{"Content-Type: application/cloudevents-batch+json"}, true, []edda.StreamMessage{someEvent, two}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeStreams{}
			g := streamsOf(t, f, nil, Options{})
			doc, _ := want(t, g, 201, "POST", "/v1/streams/orders", tc.body, tc.headers...)
			if diff := cmp.Diff(tc.want, f.append.Messages); diff != "" {
				t.Errorf("the backend: want - and got +:\n%s", diff)
			}
			if _, ok := doc["items"]; ok != tc.many {
				t.Errorf("got %v", doc)
			}
		})
	}
	f := &fakeStreams{}
	doc, _ := want(t, streamsOf(t, f, nil, Options{}), 200, "POST", "/v1/streams/orders", "[]", "Content-Type: "+eventBatchMedia)
	if !reflect.DeepEqual(doc, obj{"items": []any{}}) || len(f.asked) > 0 {
		t.Errorf("an empty batch: got %v, %v", doc, f.asked)
	}
}

// TestAppendRefusals checks what never gets into a stream.
func TestAppendRefusals(t *testing.T) {
	const batch, structured, events = "Content-Type: " + batchMedia, "Content-Type: " + eventMedia, "Content-Type: " + eventBatchMedia
	for _, tc := range []struct {
		body    string
		reason  edda.Reason
		detail  string
		headers []string
	}{
		{"x", edda.BadName, "Edda-Key has a bad percent-encoding", []string{"Edda-Key: 100%"}},
		{"x", edda.BadName, "key is empty", []string{"Edda-Key:"}},
		{"x", edda.BadName, "control character", []string{"Edda-Key: %00"}},
		{"x", edda.BadValue, "Edda-Type is empty", []string{"Edda-Type:"}},
		{"x", edda.BadValue, "Edda-Type is given more than once", []string{"Edda-Type: a", "Edda-Type: b"}},
		{"x", edda.BadValue, "Edda-Id is not UTF-8", []string{"Edda-Id: \xff"}},
		{"x", edda.BadValue, "id has 256 bytes, at most 255", []string{"Edda-Id: " + strings.Repeat("x", 256)}},
		{"x", edda.BadValue, "type has 256 bytes, at most 255", []string{"Edda-Type: " + strings.Repeat("x", 256)}},
		{"x", edda.BadValue, "Content-Type is not UTF-8", []string{"Content-Type: \xff"}},
		{"x", edda.BadName, "shard", []string{"Edda-Shard: a b"}},
		{"x", edda.BadName, `Edda-Reply-To: "a#b" must be STREAM, STREAM/SHARD or`, []string{"Edda-Reply-To: a#b"}},
		{"x", edda.BadValue, "Edda-Time must be a time", []string{"Edda-Time: now"}},
		{"x", edda.BadValue, "Edda-Time must be between 1678 and 2262", []string{"Edda-Time: 0001-01-01T00:00:00Z"}},
		{"x", edda.BadValue, "its time is 1600-01-01T00:00:00Z, must be between", []string{"Edda-Time: 1600-01-01T00:00:00Z"}},
		{"x", edda.BadValue, "Edda-Header- has no name after it", []string{"Edda-Header-: x"}},
		{"x", edda.BadValue, "Edda-Header-X is not UTF-8", []string{"Edda-Header-X: \xff"}},
		{"x", edda.BadValue, `If-Match must be the shard's last offset in quotes, such as "41"`, []string{"If-Match: 41"}},
		{"x", edda.BadValue, "If-Match must be", []string{"If-Match: *"}},
		{"x", edda.BadValue, "If-Match must be", []string{`If-Match: W/"41"`}},
		{"x", edda.BadValue, "If-Match must be", []string{`If-Match: "41", "42"`}},
		{"x", edda.BadValue, "If-Match must be", []string{`If-Match: "99999999999999999999"`}},
		{"x", edda.BadValue, "If-None-Match must be *", []string{`If-None-Match: "41"`}},
		{"x", edda.BadValue, "exclude each other", []string{`If-Match: "41"`, "If-None-Match: *"}},
		{"x", edda.BadValue, "Edda-Number must be a whole number above zero", []string{"Edda-Producer: p", "Edda-Number: 0"}},
		{"x", edda.BadValue, "Edda-Number must be", []string{"Edda-Producer: p", "Edda-Number: -1"}},
		{"x", edda.BadValue, "Edda-Producer is empty", []string{"Edda-Producer:", "Edda-Number: 1"}},
		{"x", edda.BadValue, "Edda-Producer has a bad percent-encoding", []string{"Edda-Producer: %", "Edda-Number: 1"}},
		{"x", edda.BadValue, "number is missing", []string{"Edda-Producer: p"}},
		{"x", edda.BadValue, "number is 1, and the append names no producer", []string{"Edda-Number: 1"}},
		{`[{"number":1}]`, edda.BadValue, "Edda-Number is one message's", []string{batch, "Edda-Producer: p", "Edda-Number: 2"}},
		{`[{"number":1},{"number":0}]`, edda.BadValue, "[1].number must be a whole number above zero", []string{batch, "Edda-Producer: p"}},
		{strings.Repeat("x", 4097), edda.TooLarge, "more than 4096 bytes", nil},

		{"{}", edda.BadJSON, "an array of messages", []string{batch}},
		{"", edda.BadJSON, "an array of messages", []string{batch}},
		{"[]", edda.BadValue, "the array has no messages", []string{batch}},
		{`[{},{},{"key":""}]`, edda.BadValue, "[2].key must be left out", []string{batch}},
		{`[{},{"key":"` + strings.Repeat("x", 513) + `"}]`, edda.BadName, "messages[1]: key has 513 bytes", []string{batch}},
		{`[{},{"shard":"eu"}]`, edda.UnknownField, `unknown member "[1].shard"`, []string{batch}},
		{`[{"principal":"root"}]`, edda.UnknownField, `unknown member "[0].principal"`, []string{batch}},
		{`[{},{"traceparent":"00-1"}]`, edda.BadValue, "[1].traceparent must be a W3C trace context", []string{batch}},
		{`[{}]`, edda.BadValue, "Edda-Id is one message's", []string{batch, "Edda-Id: x"}},
		{"[" + strings.Repeat(" ", 4096) + "]", edda.TooLarge, "more than 4096 bytes", []string{batch}},

		{"{}", edda.BadMediaType, "CloudEvents must be application/cloudevents+json or", []string{"Content-Type: application/cloudevents+avro"}},
		{"[]", edda.BadJSON, "a CloudEvent must be a JSON object", []string{structured}},
		{`{"specversion":"0.3"}`, edda.BadValue, `specversion is "0.3"`, []string{structured}},
		{`{"specversion":"1.0"}`, edda.BadValue, "id is missing", []string{structured}},
		{event, edda.BadValue, "Edda-Id is not the event's id", []string{structured, "Edda-Id: x"}},
		{event, edda.BadValue, "Edda-Type is not the event's type", []string{structured, "Edda-Type: x"}},
		{"{}", edda.BadJSON, "a batch of CloudEvents", []string{events}},
		{"[" + event + ",{}]", edda.BadValue, "[1]: specversion is missing", []string{events}},
		{eventBatch, edda.BadValue, "Edda-Id is one message's", []string{events, "Edda-Id: x"}},
		{"x", edda.BadValue, "specversion is missing", []string{"ce-id: 1", "ce-type: t", "ce-source: /s"}},
		{"x", edda.BadValue, "ce-id has a bad percent-encoding", []string{"ce-specversion: 1.0", "ce-id: %"}},
	} {
		f := &fakeStreams{}
		w := refused(t, streamsOf(t, f, nil, Options{MaxBody: 4096}), tc.reason, "POST", "/v1/streams/orders", tc.body, tc.headers...)
		if p := wantProblem(t, w); !strings.Contains(p.Detail, tc.detail) {
			t.Errorf("%.60s %v: got %q, want %q", tc.body, tc.headers, p.Detail, tc.detail)
		}
		if len(f.streams) > 0 {
			t.Errorf("%.60s %v: it was appended", tc.body, tc.headers)
		}
	}
	want(t, streamsOf(t, &fakeStreams{}, nil, Options{MaxBody: 4096}), 201, "POST", "/v1/streams/orders", strings.Repeat("x", 4096))
}

func TestAppendSpan(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	f := &fakeStreams{}
	g := streamsOf(t, f, nil, Options{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))})
	want(t, g, 201, "POST", "/v1/streams/orders", "x", "Traceparent: "+traceHeader)
	spans := recorder.Ended()
	if len(spans) != 1 || spans[0].Name() != "POST /v1/streams/{stream}" || spans[0].Parent().SpanID().String() != traceHeader[36:52] {
		t.Fatalf("got %d spans, want one below the caller's", len(spans))
	}
	if got := f.append.Messages[0].TraceParent; got != "00-"+traceHeader[3:36]+spans[0].SpanContext().SpanID().String()+"-01" {
		t.Errorf("the message has the trace context %q, want the span's", got)
	}
}

func FuzzAppend(f *testing.F) {
	f.Add(batchMedia, `[{"id":"a","data":{"x":[1]}},{"replyTo":"a:b/c","headers":{"h":"v"},"dataBase64":"/w=="}]`, "1.0", `"0"`, "r/eu")
	f.Add(eventMedia, event, "", "", "")
	f.Add(eventBatchMedia, eventBatch, "", "", "x")
	f.Add("text/plain", "hi", "1.0", "*", "a:b")
	f.Fuzz(func(t *testing.T, contentType, body, specversion, ifMatch, replyTo string) {
		b := &fakeStreams{}
		g := streamsOf(t, b, nil, Options{MaxBody: 1 << 16})
		headers := []string{"Content-Type: " + contentType}
		for name, v := range map[string]string{"ce-specversion": specversion, "If-Match": ifMatch, "Edda-Reply-To": replyTo} {
			if v != "" {
				headers = append(headers, name+": "+v)
			}
		}
		w := do(g, http.MethodPost, "/v1/streams/orders", body, headers...)
		checkAnswer(t, httptest.NewRequest(http.MethodPost, "/v1/streams/orders", nil), w)
		if w.Code != 200 && w.Code != 201 {
			if len(b.streams) > 0 {
				t.Errorf("%d %s, but it was appended", w.Code, w.Body)
			}
			return
		}
		for _, accept := range []string{"application/json", eventBatchMedia} {
			if w := do(g, http.MethodGet, "/v1/streams/orders?from=start", "", "Accept: "+accept); w.Code != 200 && len(b.streams) > 0 {
				t.Errorf("what was appended cannot be read as %s: %d %s", accept, w.Code, w.Body)
			}
		}
	})
}
