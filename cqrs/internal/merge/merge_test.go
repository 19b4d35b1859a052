package merge

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/edda-io/edda"
)

func TestMergeApply(t *testing.T) {
	for _, c := range []struct {
		name, merge, data, result, want string
	}{
		{"nothing is said", `{}`, `{"a":1}`, `{"b":2}`, `{"a":1}`},
		{"include alone", `{"include":true}`, `{"a":1}`, `{"b":2}`, `{"a":1}`},
		{"true", `{"merge":true}`, `{"a":1,"b":{"x":1}}`, `{"b":{"y":2},"c":null}`, `{"a":1,"b":{"y":2},"c":null}`},
		{"true of nothing", `{"merge":true}`, `{"a":1}`, ``, `{"a":1}`},
		{"true of null", `{"merge":true}`, `{"a":1}`, ` null`, `{"a":1}`},
		{"true, lists", `{"merge":true}`, `[{"a":1},{"a":2}]`, `[{"b":1},{"a":3}]`, `[{"a":1,"b":1},{"a":3}]`},
		{"false", `{"merge":false}`, `{"a":1}`, `{"b":2}`, `{"a":1}`},
		{"as", `{"merge":{"as":"p"}}`, `{"a":1}`, `{"b":2}`, `{"a":1,"p":{"b":2}}`},
		{"as, a list", `{"merge":{"as":"p"}}`, `{"p":1}`, `[1,2]`, `{"p":[1,2]}`},
		{"each, one for all", `{"merge":{"each":true}}`, `[{"a":1},{"a":2}]`, `{"b":3}`, `[{"a":1,"b":3},{"a":2,"b":3}]`},
		{"each, a list", `{"merge":{"each":true}}`, `[{"a":1},{"a":2}]`, `[{"b":3},null]`, `[{"a":1,"b":3},{"a":2}]`},
		{"each of one object", `{"merge":{"each":true}}`, `{"a":1}`, `{"b":3}`, `{"a":1,"b":3}`},
		{"each as", `{"merge":{"as":"p","each":true}}`, `[{"a":1},{"a":2}]`, `[{"b":3},{"b":4}]`, `[{"a":1,"p":{"b":3}},{"a":2,"p":{"b":4}}]`},
		{"each as, inside", `{"merge":{"each":{"as":"p"}}}`, `[{"a":1}]`, `{"b":3}`, `[{"a":1,"p":{"b":3}}]`},
		{"push", `{"push":{"on":"l"}}`, `{"l":[1]}`, `{"b":2}`, `{"l":[1,{"b":2}]}`},
		{"push, no list yet", `{"push":{"on":"l"}}`, `{"l":null}`, `2`, `{"l":[2]}`},
		{"push, no member yet", `{"push":{"on":"l"}}`, `{}`, `2`, `{"l":[2]}`},
		{"push a list", `{"push":{"on":"l"}}`, `{"l":[1]}`, `[2,3]`, `{"l":[1,2,3]}`},
		{"push each", `{"push":{"on":"l","each":true}}`, `[{"l":[1]},{}]`, `[2,[3,4]]`, `[{"l":[1,2]},{"l":[3,4]}]`},
		{"zip", `{"zip":{"on":"id"}}`, `[{"id":"a","n":1},{"id":"b","n":2}]`, `[{"id":"b","n":3},{"id":"a","m":4}]`, `[{"id":"a","n":1,"m":4},{"id":"b","n":3}]`},
		{"zip on numbers", `{"zip":{"on":"id"}}`, `[{"id":1},{"id":10}]`, `[{"id":10,"x":true},{"id":1}]`, `[{"id":1},{"id":10,"x":true}]`},
		{"zip, a number is no string", `{"zip":{"on":"id"}}`, `[{"id":1},{"id":"1"}]`, `[{"id":"1","x":1},{"id":1,"x":2}]`, `[{"id":1,"x":2},{"id":"1","x":1}]`},
		{"zip of one object", `{"zip":{"on":"id"}}`, `{"id":"a"}`, `{"id":"\u0061","n":1}`, `{"id":"\u0061","n":1}`},
		{"numbers", `{"merge":true}`, `{"a":12345678901234567890.12345678901234567890}`, `{"b":1e400}`, `{"a":12345678901234567890.12345678901234567890,"b":1e400}`},
		{"nested numbers", `{"merge":{"as":"p"}}`, `{"a":[0.10]}`, `{"x":[1.00]}`, `{"a":[0.10],"p":{"x":[1.00]}}`},
		{"odd names", `{"merge":true}`, `{"a.b\"":1}`, `{"":2}`, `{"a.b\"":1,"":2}`},
		{"white space", `{"merge":true}`, ` [ {"a" : 1 } ] `, "\n[{}]", `[{"a":1}]`},
	} {
		var h How
		if err := json.Unmarshal([]byte(c.merge), &h); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		data := json.RawMessage(c.data)
		got, err := h.Apply(data, json.RawMessage(c.result))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s into %s gives %s, %v, want %s", c.name, c.result, c.data, got, err, c.want)
		}
		if string(data) != c.data {
			t.Errorf("%s: the data itself was changed to %s", c.name, data)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	for _, c := range []struct {
		name, merge, data, result, want string
	}{
		{"a list into an object", `{"merge":true}`, `{"a":1}`, `[{"b":2}]`, "the data is one object, and the result must be one: it is a list, not an object"},
		{"an object into a list", `{"merge":true}`, `[{"a":1}]`, `{"b":2}`, "the data is a list of 1, and the result must be one: it is an object; say each"},
		{"text", `{"merge":true}`, `{"a":1}`, `"b"`, "it is a string, not an object"},
		{"lengths", `{"merge":true}`, `[{"a":1},{}]`, `[{"b":2}]`, "the data has 2 items and the result 1; they must have as many"},
		{"lengths, each", `{"merge":{"as":"x","each":true}}`, `[{"a":1}]`, `[]`, "the data has 1 items and the result 0"},
		{"an item", `{"merge":true}`, `[{"a":1},{}]`, `[{},7]`, "item 1: the data is one object, and the result must be one: it is a number"},
		{"as on a list", `{"merge":{"as":"x"}}`, `[{"a":1}]`, `{}`, `the data is a list of 1, and to put the result under its member "x" needs one object; say each, or zip`},
		{"push on a list", `{"push":{"on":"x"}}`, `[{"a":1}]`, `{}`, `to put the result into its list "x" needs one object`},
		{"push into no list", `{"push":{"on":"x"}}`, `{"x":{}}`, `{}`, `member "x" of the data: it is an object, not a list`},
		{"zip lengths", `{"zip":{"on":"id"}}`, `[{"id":1},{"id":2}]`, `[{"id":1}]`, `the data has 2 items and the result 1; to zip them on "id" they must have as many`},
		{"zip without the key in the data", `{"zip":{"on":"id"}}`, `[{"a":1}]`, `[{"id":1}]`, `item 0 of the data, member "id", on which they are zipped: it is nothing, not a string or a number`},
		{"zip without the key in the result", `{"zip":{"on":"id"}}`, `[{"id":1}]`, `[{"id":null}]`, `item 0 of the result, member "id", on which they are zipped: it is null`},
		{"zip with another key", `{"zip":{"on":"id"}}`, `[{"id":1}]`, `[{"id":2}]`, `item 0 of the result has the "id" 2, which no item of the data has`},
		{"zip, data twice", `{"zip":{"on":"id"}}`, `[{"id":1},{"id":1}]`, `[{"id":1},{"id":2}]`, `items 0 and 1 of the data have the same "id", 1`},
		{"zip, result twice", `{"zip":{"on":"id"}}`, `[{"id":1},{"id":2}]`, `[{"id":1},{"id":1}]`, `item 1 of the result has the "id" 1, which no item of the data has, or one before it has had`},
		{"zip a list into an object", `{"zip":{"on":"id"}}`, `{"id":1}`, `[{"id":1}]`, "the data is one object, and the result a list"},
		{"zip an object into a list", `{"zip":{"on":"id"}}`, `[{"id":1}]`, `{"id":1}`, `the data is a list of 1, and the result must be one to zip them on "id": it is an object`},
		{"zip no objects", `{"zip":{"on":"id"}}`, `[{"id":1}]`, `[1]`, `item 0 of the result: it is a number, not an object`},
	} {
		var h How
		if err := json.Unmarshal([]byte(c.merge), &h); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, err := h.Apply(json.RawMessage(c.data), json.RawMessage(c.result)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: gives %s, %v, want an error with %q", c.name, got, err, c.want)
		}
	}
}

func TestMergeIncludes(t *testing.T) {
	for merge, want := range map[string]string{
		`{"include":true}`: "User", `{"include":false}`: "", `{"include":{"as":"who"}}`: "who", `{"merge":true}`: "",
	} {
		var h How
		if err := json.Unmarshal([]byte(merge), &h); err != nil {
			t.Fatal(err)
		}
		if got := h.IncludeAs("User"); got != want {
			t.Errorf("%s includes as %q, want %q", merge, got, want)
		}
	}
}

func TestMergeMetadata(t *testing.T) {
	taken := []string{"hooks", "principal"}
	had := map[string]json.RawMessage{"ip": json.RawMessage(`"::1"`), "principal": json.RawMessage(`"ada"`)}
	got, err := How{True: true}.ApplyMetadata(had, json.RawMessage(`{"ip":"::2","n":1.0}`), taken)
	if err != nil || string(got["ip"]) != `"::2"` || string(got["n"]) != "1.0" || string(got["principal"]) != `"ada"` || len(got) != 3 {
		t.Errorf("merged metadata are %s, %v", got, err)
	}
	if string(had["ip"]) != `"::1"` {
		t.Errorf("the metadata themselves were changed to %s", had)
	}
	if got, err := (How{True: true}).ApplyMetadata(had, json.RawMessage(`{"principal":"eve"}`), taken); err == nil || !strings.Contains(err.Error(), `"principal" is the app's own`) {
		t.Errorf("a result that takes the principal's place gives %s, %v", got, err)
	}
	if got, err := (How{As: "x"}).ApplyMetadata(nil, json.RawMessage(`1`), taken); err != nil || string(got["x"]) != "1" {
		t.Errorf("a result merged into no metadata gives %s, %v", got, err)
	}
}

func TestMergeJSON(t *testing.T) {
	for _, s := range []string{
		`{}`, `{"merge":true}`, `{"merge":{"as":"p"}}`, `{"merge":{"each":true}}`, `{"merge":{"as":"p","each":true}}`, `{"push":{"on":"l"}}`,
		`{"push":{"on":"l","each":true}}`, `{"zip":{"on":"id"}}`, `{"include":true}`, `{"merge":true,"include":{"as":"x"}}`,
	} {
		var h How
		if err := json.Unmarshal([]byte(s), &h); err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if got, err := json.Marshal(h); err != nil || string(got) != s {
			t.Errorf("%s is written as %s, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		`{"marge":true}`:                       `unknown member marge; there is merge, push, zip and include`,
		`{"merge":1}`:                          `merge is 1, must be an object`,
		`{"merge":{}}`:                         `merge is an object, must be true, or have as or each`,
		`{"merge":{"as":""}}`:                  `merge.as is "", must be a name`,
		`{"merge":{"as":1}}`:                   `merge.as is 1, must be a string`,
		`{"merge":{"on":"x"}}`:                 `unknown member merge.on; there is as and each`,
		`{"push":{}}`:                          `push is an object, must be an object that has on`,
		`{"push":{"each":true}}`:               `push is an object, must be an object that has on`,
		`{"push":{"each":{"as":"x"}}}`:         `unknown member push.each.as; there is on`,
		`{"zip":true}`:                         `zip is true, must be an object`,
		`{"zip":{"on":["a"]}}`:                 `zip.on is a list, must be a string`,
		`{"include":{"on":"x"}}`:               `unknown member include.on; there is as`,
		`{"merge":true,"zip":{"on":"x"}}`:      `a result is merged in one way`,
		`{"push":{"on":"x"},"zip":{"on":"x"}}`: `a result is merged in one way`,
		`[]`:                                   `the document is a list, must be an object`,
	} {
		var h How
		err := json.Unmarshal([]byte(s), &h)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", s, err, want)
		}
		if reason := edda.ReasonOf(err); reason != edda.BadValue && reason != edda.UnknownField {
			t.Errorf("%s: the reason is %s", s, reason)
		}
	}
}

// To merge objects is what it is for maps, and to merge lists is that for each of their items.
func TestMergeIsThatOfMaps(t *testing.T) {
	values := rapid.SampledFrom([]string{`1`, `1.0`, `"a"`, `null`, `[1,{}]`, `{"x":{"y":2}}`, `12345678901234567890`})
	objects := rapid.Custom(func(t *rapid.T) map[string]json.RawMessage {
		m := map[string]json.RawMessage{}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d\"", ""}), 0, 4).Draw(t, "names") {
			m[name] = json.RawMessage(values.Draw(t, "value"))
		}
		return m
	})
	encode := func(t *rapid.T, v any) json.RawMessage {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(t, "items")
		data, results := rapid.SliceOfN(objects, n, n).Draw(t, "data"), rapid.SliceOfN(objects, n, n).Draw(t, "results")
		want := make([]map[string]json.RawMessage, n)
		for i := range want {
			want[i] = maps.Clone(data[i])
			maps.Copy(want[i], results[i])
		}
		check := func(h How, data, result, want any) {
			got, err := h.Apply(encode(t, data), encode(t, result))
			if err != nil {
				t.Fatal(err)
			}
			into := reflect.New(reflect.TypeOf(want))
			if err := json.Unmarshal(got, into.Interface()); err != nil || !reflect.DeepEqual(into.Elem().Interface(), want) {
				t.Fatalf("%+v of %s and %s is %s, %v, want %s", h, encode(t, data), encode(t, result), got, err, encode(t, want))
			}
		}
		check(How{True: true}, data, results, want)
		check(How{Each: true}, data, results, want)
		check(How{True: true}, data[0], results[0], want[0])
		for i := range n { // a key of their own, in another order
			id := json.RawMessage(strconv.Itoa(i))
			data[i]["id"], results[i]["id"], want[i]["id"] = id, id, id
		}
		slices.Reverse(results)
		check(How{Zip: "id"}, data, results, want)
	})
}
