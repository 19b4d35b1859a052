package cloudevents_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/cloudevents"
	"github.com/google/go-cmp/cmp"
)

// The examples of the JSON event format, section 3.2, with real base64.
const (
	common = `"specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext", "time" : "2018-04-05T17:31:00Z",
		"comexampleextension1" : "value", "comexampleothervalue" : 5, `
	binaryData = `{` + common + `"id" : "A234-1234-1234", "datacontenttype" : "application/vnd.apache.thrift.binary", "data_base64" : "/wAB"}`
	xmlData    = `{` + common + `"id" : "B234-1234-1234", "unsetextension": null, "datacontenttype" : "application/xml", "data" : "<much wow=\"xml\"/>"}`
	jsonData   = `{` + common + `"id" : "C234-1234-1234", "subject": null, "datacontenttype" : "application/json",
		"data" : {"appinfoA" : "abc", "appinfoB" : 123, "appinfoC" : true}}`
	numberData = `{` + common + `"id" : "C234-1234-1234", "subject": null, "datacontenttype" : "application/json", "data" : 1.5}`
	stringData = `{` + common + `"id" : "D234-1234-1234", "subject": null, "data" : "I'm just a string"}`
	bareBinary = `{"specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext", "id" : "D234-1234-1234", "data_base64" : "eyAieHl6IjogMTIzIH0="}`
)

var (
	when       = time.Date(2018, 4, 5, 17, 31, 0, 0, time.UTC)
	extensions = edda.Headers{{Name: "ce-comexampleextension1", Value: "value"}, {Name: "ce-comexampleothervalue", Value: "5"}}
)

func example(id, contentType, payload string) edda.StreamMessage {
	return edda.StreamMessage{
		ID: id, Type: "com.example.someevent", Source: "/mycontext", Time: when, Headers: extensions, ContentType: contentType, Payload: []byte(payload),
	}
}

// TestExamplesOfTheSpecification reads each example, and checks that it is the same
// message as its re-encoding in binary mode, and that it is an event again.
func TestExamplesOfTheSpecification(t *testing.T) {
	bare := edda.StreamMessage{ID: "D234-1234-1234", Type: "com.example.someevent", Source: "/mycontext", Payload: []byte(`{ "xyz": 123 }`)}
	for name, tc := range map[string]struct {
		event string
		want  edda.StreamMessage
		again string // how data comes out
	}{
		"binary":      {binaryData, example("A234-1234-1234", "application/vnd.apache.thrift.binary", "\xff\x00\x01"), `"data_base64":"/wAB"`},
		"XML":         {xmlData, example("B234-1234-1234", "application/xml", `<much wow="xml"/>`), `"data":"<much wow=\"xml\"/>"`},
		"JSON":        {jsonData, example("C234-1234-1234", "application/json", `{"appinfoA" : "abc", "appinfoB" : 123, "appinfoC" : true}`), `"data":{"appinfoA" : "abc",`},
		"number":      {numberData, example("C234-1234-1234", "application/json", "1.5"), `"data":1.5`},
		"string":      {stringData, example("D234-1234-1234", "application/json", `"I'm just a string"`), `"data":"I'm just a string"`},
		"bare binary": {bareBinary, bare, `"data_base64":"eyAieHl6IjogMTIzIH0="`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cloudevents.Event([]byte(tc.event))
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Fatalf("%v, want - and got +:\n%s", err, diff)
			}
			h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Type": {got.Type}, "Ce-Source": {got.Source}, "Ce-Id": {got.ID}}
			if !got.Time.IsZero() {
				h.Set("Ce-Time", "2018-04-05T17:31:00Z")
			}
			for _, e := range got.Headers {
				h.Set(e.Name, e.Value)
			}
			if got.ContentType != "" {
				h.Set("Content-Type", got.ContentType)
			}
			binary, err := cloudevents.Binary(h, got.Payload)
			if diff := cmp.Diff(tc.want, binary); diff != "" || err != nil || !cloudevents.IsBinary(h) {
				t.Errorf("in binary mode: %v, want - and got +:\n%s", err, diff)
			}
			out := cloudevents.AppendEvent(nil, "/other", &got)
			if !strings.Contains(string(out), tc.again) {
				t.Errorf("got %s, want %s in it", out, tc.again)
			}
			back, err := cloudevents.Event(out)
			if got.Time.IsZero() {
				back.Time = time.Time{} // a message of a stream has one
			}
			if diff := cmp.Diff(got, back); diff != "" || err != nil {
				t.Errorf("written and read again: %v, want - and got +:\n%s", err, diff)
			}
		})
	}
}

// The example of the HTTP binding, section 3.1.4, and that of its percent-encoding.
func TestBinaryMode(t *testing.T) {
	h := http.Header{}
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-type": "com.example.someevent", "ce-time": "2018-04-05T03:56:24Z", "ce-id": "1234-1234-1234",
		"ce-source": "/mycontext/subcontext", "Content-Type": "application/json; charset=utf-8", "ce-partitionkey": "Euro%20%E2%82%AC%20%f0%9f%98%80",
		"ce-subject": `a "b \"c\" %41" \d`, "ce-old": "Euro € %2541", "Accept": "x", "ce-dataschema": "https://example.com/s",
	} {
		h.Set(name, value)
	}
	got, err := cloudevents.Binary(h, []byte("{}"))
	want := edda.StreamMessage{
		ID: "1234-1234-1234", Type: "com.example.someevent", Source: "/mycontext/subcontext", Time: time.Date(2018, 4, 5, 3, 56, 24, 0, time.UTC),
		Key: "Euro € 😀", ContentType: "application/json; charset=utf-8", Payload: []byte("{}"), Headers: edda.Headers{
			{Name: "ce-dataschema", Value: "https://example.com/s"}, {Name: "ce-old", Value: "Euro € %41"}, {Name: "ce-subject", Value: `a b "c" A \d`},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, want - and got +:\n%s", err, diff)
	}
	if cloudevents.IsBinary(http.Header{"Ce-X": {"1"}}) || !cloudevents.IsBinary(http.Header{"Ce-Id": {"1"}}) {
		t.Error("what every event has makes an event, and nothing else")
	}
}

// The example of the batch format, section 4.3.
func TestBatch(t *testing.T) {
	got, err := cloudevents.Events([]byte(` [` + binaryData + `, ` + jsonData + `]`))
	if err != nil || len(got) != 2 || string(got[0].Payload) != "\xff\x00\x01" || got[1].ID != "C234-1234-1234" {
		t.Fatalf("got %+v, %v", got, err)
	}
	again, err := cloudevents.Events(cloudevents.AppendEvents(nil, "/", got))
	if diff := cmp.Diff(got, again); diff != "" || err != nil {
		t.Errorf("written and read again: %v, want - and got +:\n%s", err, diff)
	}
	if got, err := cloudevents.Events([]byte("[]")); err != nil || len(got) > 0 {
		t.Errorf("an empty batch: got %v, %v", got, err)
	}
	if got := string(cloudevents.AppendEvents(nil, "/", nil)); got != "[]" {
		t.Errorf("got %s", got)
	}
}

func TestKeys(t *testing.T) {
	for members, want := range map[string]edda.StreamMessage{
		``:                                  {},
		`,"subject":"s"`:                    {Key: "s", Headers: edda.Headers{{Name: "ce-subject", Value: "s"}}},
		`,"partitionkey":"p"`:               {Key: "p"},
		`,"subject":"s","partitionkey":"p"`: {Key: "p", Headers: edda.Headers{{Name: "ce-subject", Value: "s"}}},
	} {
		got, err := cloudevents.Event([]byte(`{"specversion":"1.0","type":"t","source":"/s","id":"1"` + members + `}`))
		want.ID, want.Type, want.Source = "1", "t", "/s"
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, want - and got +:\n%s", members, err, diff)
		}
		out := cloudevents.AppendEvent(nil, "/", &got)
		if again := `,"time":"0001-01-01T00:00:00Z"` + members + `}`; !strings.HasSuffix(string(out), again) {
			t.Errorf("got %s, want %s at its end", out, again)
		}
	}
}

func TestModeOf(t *testing.T) {
	for contentType, want := range map[string]cloudevents.Mode{
		"": cloudevents.NoEvent, "application/json": cloudevents.NoEvent, "application/cloudevents+json": cloudevents.Structured,
		"Application/CloudEvents+JSON; charset=utf-8": cloudevents.Structured, "application/cloudevents-batch+json ;x=y": cloudevents.Batch,
	} {
		if got, err := cloudevents.ModeOf(contentType); got != want || err != nil {
			t.Errorf("%q: got %v, %v, want %v", contentType, got, err, want)
		}
	}
	for _, contentType := range []string{"application/cloudevents+avro", "application/cloudevents", "application/cloudevents-batch+xml"} {
		if _, err := cloudevents.ModeOf(contentType); edda.ReasonOf(err) != edda.BadMediaType {
			t.Errorf("%q: got %v, want BAD_MEDIA_TYPE", contentType, err)
		}
	}
}

func TestInvalidEvents(t *testing.T) {
	const ok = `"specversion":"1.0","type":"t","source":"/s","id":"1"`
	for body, want := range map[string]struct {
		reason edda.Reason
		text   string
	}{
		``:                                    {edda.BadJSON, "a JSON object"},
		`[]`:                                  {edda.BadJSON, "a JSON object"},
		"{\"id\":\"\xff\"}":                   {edda.BadJSON, "UTF-8"},
		`{"type":"t","source":"/s","id":"1"}`: {edda.BadValue, "specversion is missing"},
		`{"specversion":"1.0","type":"t","source":"/s","id":null}`: {edda.BadValue, "id is missing"},
		`{"specversion":"1.0","type":"t","id":"1"}`:                {edda.BadValue, "source is missing"},
		`{"specversion":"1.0","source":"/s","id":"1"}`:             {edda.BadValue, "type is missing"},
		`{"specversion":"0.3"}`:                                    {edda.BadValue, `specversion is "0.3", must be "1.0"`},
		`{"specversion":1.0}`:                                      {edda.BadValue, "specversion must be a string"},
		`{"id":""}`:                                                {edda.BadValue, "id is empty"},
		`{"id":7}`:                                                 {edda.BadValue, "id must be a string"},
		`{"id":"` + strings.Repeat("x", 256) + `"}`:                {edda.BadValue, "id has 256 bytes, at most 255"},
		`{"type":"` + strings.Repeat("x", 256) + `"}`:              {edda.BadValue, "type has 256 bytes, at most 255"},
		`{"id":"a\u0007"}`:                                         {edda.BadValue, "id has the character U+0007"},
		`{"x":"\uFFFE"}`:                                           {edda.BadValue, "x has the character U+FFFE"},
		`{"x":"\ufdd0"}`:                                           {edda.BadValue, "x has the character U+FDD0"},
		`{"x":"\uDEAD"}`:                                           {edda.BadValue, "x has half of a surrogate pair"},
		`{"source":""}`:                                            {edda.BadValue, "source is empty"},
		`{"source":"a b"}`:                                         {edda.BadValue, `source is "a b", must be a URI or a reference`},
		`{"source":"http://[x"}`:                                   {edda.BadValue, "source is"},
		`{"time":"yesterday"}`:                                     {edda.BadValue, `time is "yesterday"`},
		`{"subject":""}`:                                           {edda.BadValue, "subject is empty"},
		`{` + ok + `,"subject":"` + strings.Repeat("x", 513) + `"}`: {edda.BadValue, "subject is to be the key: key has 513 bytes"},
		`{"partitionkey":""}`:                    {edda.BadValue, "partitionkey is to be the key: key is empty"},
		`{"partitionkey":[]}`:                    {edda.BadValue, "partitionkey must be a string"},
		`{"dataschema":"/x"}`:                    {edda.BadValue, `dataschema is "/x", must be an absolute URI`},
		`{"datacontenttype":"json;;="}`:          {edda.BadValue, "datacontenttype is"},
		`{"Time":"x"}`:                           {edda.BadValue, "Time is no attribute"},
		`{"com_x":"x"}`:                          {edda.BadValue, "com_x is no attribute"},
		`{"":"x"}`:                               {edda.BadValue, "is no attribute"},
		`{"x":{}}`:                               {edda.BadValue, "x must be a string, true, false or an integer"},
		`{"x":1.5}`:                              {edda.BadValue, "x must be a string, true, false or an integer"},
		`{"x":2147483648}`:                       {edda.BadValue, "x must be a string, true, false or an integer of 32 bits"},
		`{"x":1,"x":2}`:                          {edda.BadValue, "x is given more than once"},
		`{` + ok + `,"data":1,"data_base64":""}`: {edda.BadValue, "data_base64 is given beside data"},
		`{` + ok + `,"data_base64":"x"}`:         {edda.BadValue, "data_base64 must be base64"},
		`{` + ok + `,"data_base64":1}`:           {edda.BadValue, "data_base64 must be a string"},
		`{` + ok + `,"datacontenttype":"text/plain","data":1}`: {edda.BadValue, `data must be a string, because datacontenttype is "text/plain"`},
	} {
		if _, err := cloudevents.Event([]byte(body)); edda.ReasonOf(err) != want.reason || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%.80s: got %v, want %s with %q", body, err, want.reason, want.text)
		}
	}
	for body, want := range map[string]struct {
		reason edda.Reason
		text   string
	}{
		``:                           {edda.BadJSON, "a JSON array"},
		`{`:                          {edda.BadJSON, "a JSON array"},
		"\n{}":                       {edda.BadJSON, "a JSON array"},
		`[1]`:                        {edda.BadJSON, "[0]: a CloudEvent must be a JSON object"},
		`[{` + ok + `},{"time":""}]`: {edda.BadValue, `[1]: time is ""`},
		"[" + strings.Repeat(`{`+ok+`},`, edda.MaxAppendMessages) + "{}]": {edda.TooLarge, "more than 65536 events"},
	} {
		if _, err := cloudevents.Events([]byte(body)); edda.ReasonOf(err) != want.reason || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%.80s: got %v, want %s with %q", body, err, want.reason, want.text)
		}
	}
}

func TestInvalidHeaders(t *testing.T) {
	for name, want := range map[string]struct {
		header http.Header
		text   string
	}{
		"missing":      {http.Header{"Ce-Id": {"1"}}, "specversion is missing"},
		"twice":        {http.Header{"Ce-Id": {"1", "2"}}, "ce-id is given more than once"},
		"content type": {http.Header{"Ce-Datacontenttype": {"a/b"}}, "ce-datacontenttype must not be there"},
		"bad type":     {http.Header{"Content-Type": {";"}}, "datacontenttype is"},
		"overlong":     {http.Header{"Ce-Id": {"%C0%A0"}}, "id is not UTF-8"},
		"percent":      {http.Header{"Ce-Id": {"100%"}}, "ce-id has a bad percent-encoding"},
		"quote":        {http.Header{"Ce-Id": {`a"b`}}, "ce-id has a quotation mark without its end"},
		"name":         {http.Header{"Ce-Foo-Bar": {"1"}}, "foo-bar is no attribute"},
		"data":         {http.Header{"Ce-Data": {"1"}}, "data is no attribute"},
		"control":      {http.Header{"Ce-Id": {"%0a"}}, "id has the character U+000A"},
	} {
		if _, err := cloudevents.Binary(want.header, nil); edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: got %v, want BAD_VALUE with %q", name, err, want.text)
		}
	}
}

// Messages that were no events can be read as such.
func TestMessagesAsEvents(t *testing.T) {
	for want, m := range map[string]edda.StreamMessage{
		`{"specversion":"1.0","id":"1","source":"/v1/streams/s","type":"t","time":"2018-04-05T17:31:00Z"}`: {Headers: edda.Headers{
			{Name: "X", Value: "1"}, {Name: "Ce-", Value: "1"}, {Name: "ce-a-b", Value: "1"}, {Name: "ce-id", Value: "1"}, {Name: "ce-x", Value: "\n"}, {Name: "ce-subject"},
		}},
		`{"specversion":"1.0","id":"1","source":"./till:7%20a","type":"t","time":"2018-04-05T17:31:00Z","x":"1"}`: {
			Source: "till:7 a", Headers: edda.Headers{{Name: "Ce-X", Value: "1"}, {Name: "ce-x", Value: "2"}},
		},
		`{"specversion":"1.0","id":"1","source":"/v1/streams/s","type":"t","time":"2018-04-05T17:31:00Z","data_base64":"aGk="}`:                                      {Payload: []byte("hi")},
		`{"specversion":"1.0","id":"1","source":"/v1/streams/s","type":"t","time":"2018-04-05T17:31:00Z","data_base64":"eA=="}`:                                      {ContentType: ";", Payload: []byte("x")},
		`{"specversion":"1.0","id":"1","source":"/v1/streams/s","type":"t","datacontenttype":"application/json","time":"2018-04-05T17:31:00Z","data_base64":"ew=="}`: {ContentType: "application/json", Payload: []byte("{")},
		`{"specversion":"1.0","id":"1","source":"/v1/streams/s","type":"t","datacontenttype":"text/x;charset=utf-16","time":"2018-04-05T17:31:00Z","data_base64":"eA=="}`: {
			ContentType: "text/x;charset=utf-16", Payload: []byte("x"),
		},
	} {
		m.ID, m.Type, m.Time = "1", "t", when
		if got := string(cloudevents.AppendEvent(nil, "/v1/streams/s", &m)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A payload that parsers do not read takes no batch with it.
func TestDeepDataIsBase64(t *testing.T) {
	m := edda.StreamMessage{ID: "1", Type: "t", Time: when, ContentType: "application/json", Payload: bytes.Repeat([]byte("["), 600)}
	m.Payload = append(m.Payload, bytes.Repeat([]byte("]"), 600)...)
	if got := cloudevents.AppendEvent(nil, "/v1/streams/s", &m); !bytes.Contains(got, []byte(`,"data_base64":"W1tb`)) {
		t.Errorf("got %s", got)
	}
}

// FuzzEvents checks that what is taken can be written, and then is the same.
func FuzzEvents(f *testing.F) {
	for _, e := range []string{binaryData, xmlData, jsonData, numberData, stringData, bareBinary} {
		f.Add([]byte("[" + e + "]"))
	}
	f.Add([]byte(`[{"specversion":"1.0","type":"t","source":"a:b%20c","id":"\ud83d\ude00","subject":"s","partitionkey":"p","x":true,"y":-1,"z":"","time":"2018-04-05T17:31:00.5+01:00"}]`))
	f.Add([]byte(`[{"specversion":"1.0","type":"t","source":"#","id":"1","datacontenttype":"Text/JSON;charset=\"utf-16\"","data":null}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := cloudevents.Events(b)
		if err != nil {
			if edda.ReasonOf(err) == edda.Internal {
				t.Errorf("%s: %v is a defect", b, err)
			}
			return
		}
		for _, m := range messages {
			if m.Time.Year() < 1 || m.Time.Year() > 9999 {
				return // an append refuses these
			}
			if m.Type == "" || m.ID == "" || m.Source == "" {
				t.Errorf("%s: a required attribute is empty", b)
			}
		}
		out := cloudevents.AppendEvents(nil, "/", messages)
		if !json.Valid(out) {
			t.Fatalf("%s is no JSON, and came from %s", out, b)
		}
		again, err := cloudevents.Events(out)
		if diff := cmp.Diff(messages, again, cmp.Comparer(func(a, b []byte) bool { return string(a) == string(b) })); diff != "" || err != nil {
			t.Errorf("%s came from %s: %v, want - and got +:\n%s", out, b, err, diff)
		}
	})
}

// FuzzBinary checks that headers make a message that can be written, or an error that
// names what is wrong.
func FuzzBinary(f *testing.F) {
	f.Add("1234", "/s", "t", "x", `a "b \"c\" %41"`, "application/json", "{}")
	f.Add("%C0%A0", "", "", "subject", "", "", "")
	f.Fuzz(func(t *testing.T, id, source, kind, name, value, contentType, payload string) {
		h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-Source": {source}, "Ce-Type": {kind}, "Content-Type": {contentType}}
		h[http.CanonicalHeaderKey("ce-"+name)] = []string{value}
		m, err := cloudevents.Binary(h, []byte(payload))
		if err != nil {
			if edda.ReasonOf(err) != edda.BadValue {
				t.Errorf("got %v, want BAD_VALUE", err)
			}
			return
		}
		if m.Time.Year() < 1 || m.Time.Year() > 9999 {
			return
		}
		back, err := cloudevents.Event(cloudevents.AppendEvent(nil, "/", &m))
		if err != nil || back.ID != m.ID || back.Key != m.Key || compact(back.Payload) != compact(m.Payload) {
			t.Errorf("got %+v, %v, want %+v", back, err, m)
		}
	})
}

// compact returns JSON without white space that does not count, and anything else as it is.
func compact(b []byte) string {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return string(b)
	}
	return out.String()
}
