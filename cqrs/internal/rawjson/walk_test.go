package rawjson

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"
)

func FuzzMembers(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1}`, ` { "a" : [1, {"b":"}"}] , "c\"d":"\\" ,"a":null } `, `{"é":true,"\u00e9":-1.5e3}`,
		`[]`, `[[],{},"]"," ",1 , 2]`, `"{"`, `{"a":{"b":{}},"":[]}`, `12`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) || !utf8.Valid(raw) {
			return
		}
		if IsObject(raw) {
			var want map[string]json.RawMessage
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			got := map[string]json.RawMessage{}
			for name, v := range Members(raw) {
				got[name.String()] = v
				if !name.is(name.String()) {
					t.Errorf("%s is not itself", name)
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("members of %s: got %s, want %s", raw, got, want)
			}
			for name, v := range want {
				if got, ok := Member(raw, name); !ok || string(got) != string(v) {
					t.Errorf("member %q of %s: got %s, want %s", name, raw, got, v)
				}
			}
		}
		var want []json.RawMessage
		if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for i, item := range Items(raw) {
			if i != n || string(item) != string(want[i]) {
				t.Errorf("item %d of %s: got %s", n, raw, item)
			}
			n++
		}
		if n != len(want) {
			t.Errorf("%s has %d items, want %d", raw, n, len(want))
		}
	})
}

func TestMembersEnd(t *testing.T) {
	for range Members([]byte(`{"a":1,"b":2}`)) {
		break
	}
	for range Items([]byte(`[1,2]`)) {
		break
	}
}
