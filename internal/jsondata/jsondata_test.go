package jsondata_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

func TestEncode(t *testing.T) {
	for _, tc := range []struct {
		name, contentType, payload, want string
	}{
		{"object", "application/json", `{"a":1}`, `{"data":{"a":1}}`},
		{"number as it is", "application/json; charset=utf-8", `12345678901234567890.10`, `{"data":12345678901234567890.10}`},
		{"null is a value", "application/json", `null`, `{"data":null}`},
		{"suffix", "application/cloudevents+json", `[]`, `{"data":[]}`},
		{"case", "Application/JSON", `true`, `{"data":true}`},
		{"not JSON after all", "application/json", `{`, `{"dataBase64":"ew=="}`},
		{"JSON with bad UTF-8", "application/json", "\"\xff\"", `{"dataBase64":"Iv8i"}`},
		{"text", "text/plain", `say "hi"`, `{"data":"say \"hi\""}`},
		{"no type", "", "a\nb", `{"data":"a\nb"}`},
		{"binary", "text/plain", "\xff\x00", `{"dataBase64":"/wA="}`},
		{"empty", "application/json", "", `{}`},
		{"not a media type", "+json", "1", `{"data":"1"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := jsondata.Encode(tc.contentType, []byte(tc.payload))
			got, err := json.Marshal(d)
			if err != nil || string(got) != tc.want {
				t.Fatalf("got %s, %v, want %s", got, err, tc.want)
			}
			var back jsondata.Data
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			payload, err := back.Decode(tc.contentType)
			if err != nil || string(payload) != tc.payload {
				t.Errorf("decoded %q, %v, want %q", payload, err, tc.payload)
			}
		})
	}
}

func TestDeepJSONIsBase64(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tc := range []struct {
		name, payload string
		base64        bool
	}{
		{"as deep as may be", nest(jsondata.MaxDepth), false},
		{"deeper", nest(jsondata.MaxDepth + 1), true},
		{"objects", strings.Repeat(`{"a":`, jsondata.MaxDepth+1) + "1" + strings.Repeat("}", jsondata.MaxDepth+1), true},
		{"side by side", "[" + strings.Repeat("[],{},", jsondata.MaxDepth) + "1]", false},
		{"in strings", `["` + strings.Repeat(`[{\"\\`, jsondata.MaxDepth) + `"]`, false},
		{"behind strings", `["]\"}",` + nest(jsondata.MaxDepth) + "]", true},
		{"deeper than this parser reads", nest(10_000), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := jsondata.Encode("application/json", []byte(tc.payload))
			if got := d.Base64 != nil; got != tc.base64 {
				t.Errorf("base64 %t, want %t", got, tc.base64)
			}
			doc, err := json.Marshal(d)
			var back jsondata.Data
			if err == nil {
				err = json.Unmarshal(doc, &back)
			}
			if err != nil {
				t.Fatal(err)
			}
			if payload, err := back.Decode("application/json"); err != nil || string(payload) != tc.payload {
				t.Errorf("decoded %d bytes, %v, want %d", len(payload), err, len(tc.payload))
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, tc := range []struct{ contentType, doc string }{
		{"application/json", `{"data":1,"dataBase64":"AA=="}`},
		{"text/plain", `{"data":1}`},
		{"text/plain", `{"data":{}}`},
		{"", `{"data":null}`},
	} {
		var d jsondata.Data
		if err := json.Unmarshal([]byte(tc.doc), &d); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Decode(tc.contentType); edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("%s as %q: got %q, %v, want %s", tc.doc, tc.contentType, got, err, edda.BadValue)
		}
	}
}

func TestHeaders(t *testing.T) {
	h := jsondata.Headers{{Name: "B", Value: "1"}, {Name: "A", Value: "x\"y"}, {Name: "b", Value: "2"}}
	got, err := json.Marshal(h)
	const want = `{"B":"1, 2","A":"x\"y"}`
	if err != nil || string(got) != want {
		t.Fatalf("got %s, %v, want %s", got, err, want)
	}
	var back jsondata.Headers
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if w := (jsondata.Headers{{Name: "B", Value: "1, 2"}, {Name: "A", Value: "x\"y"}}); !slices.Equal(back, w) {
		t.Errorf("got %v, want %v", back, w)
	}
	for _, doc := range []string{`[]`, `{"a":1}`, `{"a":null}`, `{"a":["1"]}`, `"x"`} {
		if err := json.Unmarshal([]byte(doc), &back); err == nil {
			t.Errorf("%s was taken for headers: %v", doc, back)
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("application/json", []byte(`{"a":[1,"\u0000"]}`))
	f.Add("text/plain", []byte("a\u2028\x7f\x00\xed\xa0\x80"))
	f.Fuzz(func(t *testing.T, contentType string, payload []byte) {
		doc, err := json.Marshal(jsondata.Encode(contentType, payload))
		if err != nil || !utf8.Valid(doc) {
			t.Fatalf("%q: %v", doc, err)
		}
		var d jsondata.Data
		if err := json.Unmarshal(doc, &d); err != nil {
			t.Fatal(err)
		}
		got, err := d.Decode(contentType)
		if err != nil {
			t.Fatal(err)
		}
		if jsondata.IsJSON(contentType) && json.Valid(payload) {
			payload, got = compact(payload), compact(got)
		}
		if !bytes.Equal(got, payload) {
			t.Errorf("got %q, want %q", got, payload)
		}
	})
}

// compact returns JSON without white space and with every string escaped alike.
func compact(b []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return b
	}
	var escaped bytes.Buffer
	json.HTMLEscape(&escaped, out.Bytes())
	return escaped.Bytes()
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\n\r\t\x00\x7f\u2028é\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		b := jsondata.AppendString(nil, s)
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if utf8.ValidString(s) && got != s || !utf8.Valid(b) {
			t.Errorf("got %q from %q, want %q", got, b, s)
		}
	})
}
