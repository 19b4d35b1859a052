package rawjson

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"
)

func TestAppendPlain(t *testing.T) {
	for _, c := range []struct {
		raw  string
		same []string
		not  []string
	}{
		{
			`{"a":1,"b":{"c":"x"}}`,
			[]string{` { "b" : {"c" : "x"} , "a" : 1 } `, `{"a":1,"b":{"c":"x","d":null,"e":"","f":0,"g":false,"h":[],"i":{},"j":{"k":{}}}}`, `{"a":2,"b":{"c":"x"},"a":1}`},
			[]string{`{"a":1}`, `{"a":1,"b":{"c":"y"}}`, `{"a":1.0,"b":{"c":"x"}}`, `{"a":1,"b":{},"c":"x"}`, `{"a":1,"b":"{\"c\":\"x\"}"}`},
		},
		{`{"a":[1,2]}`, []string{`{"a":[ 1 , 2 ]}`}, []string{`{"a":[2,1]}`, `{"a":[12]}`, `{"a":[1,2,0]}`, `{"a":[[1,2]]}`, `{"a":[1,2],"b":[0]}`}},
		{`[{"a":1}]`, []string{`[{"a":1,"b":""}]`}, []string{`{"a":1}`, `[{"a":1},{}]`}},
		{`9007199254740993`, []string{" 9007199254740993"}, []string{"9007199254740992"}},
	} {
		plain := string(AppendPlain(nil, []byte(c.raw)))
		for _, s := range c.same {
			if got := string(AppendPlain(nil, []byte(s))); got != plain {
				t.Errorf("%s is %s, want it to be that of %s, %s", s, got, c.raw, plain)
			}
		}
		for _, s := range c.not {
			if got := string(AppendPlain(nil, []byte(s))); got == plain {
				t.Errorf("%s is that of %s, %s", s, c.raw, plain)
			}
		}
	}
}

// What decodes to the same has the same form, and what has the same form decodes to the same but for
// what says nothing.
func FuzzAppendPlain(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":null}`), []byte(`{"a":1}`))
	f.Add([]byte(`{"a":[{"b":"\u0041"}]}`), []byte(`{"a":[{"b":"A"}]}`))
	f.Add([]byte(`{"a":{"b":{}}}`), []byte(`{}`))
	f.Add([]byte(`[0,"",{}]`), []byte(`[0,"",{"x":0}]`))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, ok := decoded(one)
		b, fine := decoded(two)
		if !ok || !fine {
			return
		}
		if string(AppendPlain(nil, one)) == string(AppendPlain(nil, two)) && !reflect.DeepEqual(telling(a), telling(b)) {
			t.Errorf("%s and %s have the form %s", one, two, AppendPlain(nil, one))
		}
		again, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		indented, err := json.MarshalIndent(a, " ", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if x, y := AppendPlain(nil, again), AppendPlain(nil, indented); string(x) != string(y) {
			t.Errorf("%s has the forms %s and %s", again, x, y)
		}
	})
}

func decoded(raw []byte) (v any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return v, utf8.Valid(raw) && json.Valid(raw) && d.Decode(&v) == nil
}

// telling is a value without the members that say nothing.
func telling(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, m := range v {
			m = telling(m)
			if v[name] = m; m == nil || m == false || m == "" || m == json.Number("0") || reflect.DeepEqual(m, map[string]any{}) || reflect.DeepEqual(m, []any{}) {
				delete(v, name)
			}
		}
	case []any:
		for i := range v {
			v[i] = telling(v[i])
		}
	}
	return v
}
