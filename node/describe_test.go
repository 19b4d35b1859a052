package node_test

import (
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// A description has what the service says, and the schemas of its types.
func TestDescribe(t *testing.T) {
	s := edda.NewOrdered("things")
	s.AttemptTimeout = time.Minute
	edda.Handle(s, "typed", func(*edda.Context, struct{ N int }) (string, error) { return "", nil })
	edda.Handle(s, "raw", func(_ *edda.Context, in []byte) ([]byte, error) { return in, nil })
	spec, err := node.Describe(s)
	if err != nil {
		t.Fatal(err)
	}
	if spec.Name != "things" || spec.Kind != edda.Ordered || spec.AttemptTimeout != time.Minute || len(spec.Methods) != 2 {
		t.Errorf("got %+v, want the service's own fields", spec)
	}
	want := `{"type":"object","properties":{"N":{"type":"integer"}},"required":["N"]}`
	if got := spec.Schemas["typed"]; got != want || len(spec.Schemas) != 1 {
		t.Errorf("got schemas %v, want %s for typed alone", spec.Schemas, want)
	}

	edda.Handle(s, "bad", func(*edda.Context, chan int) (string, error) { return "", nil })
	_, err = node.Describe(s)
	wantReason(t, err, edda.BadValue)
}
