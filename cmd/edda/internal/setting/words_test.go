package setting

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/internal/option"
)

// Each field of a route, and of what is in one, is called in errors what it is in the
// file.
func TestInFile(t *testing.T) {
	for _, c := range []struct {
		of    reflect.Type
		names []string
	}{
		{reflect.TypeFor[routegw.Route](), slices.Sorted(maps.Keys(routeFields))},
		{reflect.TypeFor[routegw.CORS](), slices.Sorted(maps.Keys(corsFields))},
		{reflect.TypeFor[routegw.Rate](), slices.Sorted(maps.Keys(rateFields))},
	} {
		var got []string
		for f := range c.of.Fields() {
			got = append(got, inFile(option.Name(f.Name)))
		}
		slices.Sort(got)
		if !slices.Equal(got, c.names) {
			t.Errorf("%v: the fields are %q, those of the file %q", c.of, got, c.names)
		}
	}
}

// What was set nowhere has no place, and what is no option is said as it is.
func TestInWords(t *testing.T) {
	n := &Node{From: map[string]Source{"origins": {text: "of --origins"}}}
	for want, err := range map[string]error{
		"limits.payloadBytes is too small":           option.Refuse(option.Bad("MaxBody", "is too small")),
		"origins of --origins has x":                 option.Refuse(option.Bad("Origins", "has %s", "x")),
		"check options: option Ping is zero":         option.Refuse(option.Bad("Ping", "is zero")),
		"check options: both are given":              option.Refuse(errors.New("both are given")),
		`routes: "GET /Key": key is set, not method`: option.Refuse(option.In("Routes", option.InElement(0, "GET /Key", option.Bad("Key", "is set, not %s", option.Name("Method"))))),
	} {
		if got := n.InWords(err).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSettingsOfFilesHaveLines(t *testing.T) {
	doc := &document{}
	if _, err := doc.Unmarshal([]byte("# settings\nauth:\n  keyHeaders: [a]\n  service: x\nlist: &l\n  - a: 1\n    b: 2\nagain: *l\n")); err != nil {
		t.Fatal(err)
	}
	top := Source{text: "in f", value: doc.root}
	for want, got := range map[string]Source{
		"in f:3": top.setting("auth.keyHeaders"), "in f:4": top.setting("auth.service"), "in f:2": top.setting("auth.none"), "in f": top.setting("none"),
		"in f:6": top.setting("list").element(0), "in f:7": top.setting("again").element(0).key("b"), "in f:8": top.setting("again").element(1),
		"of --x": Source{text: "of --x"}.setting("x").element(0).key("y"),
	} {
		if got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
