package guard_test

import (
	"errors"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/guard"
)

func TestCall(t *testing.T) {
	own := errors.New("own")
	if err := guard.Call("f", func() error { return own }); err != own { //nolint:errorlint // it is handed through as it is
		t.Errorf("got %v, want the error of the function", err)
	}
	if err := guard.Call("f", func() error { return nil }); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	err := guard.Call("the hook", func() error { panic("ouch") })
	if edda.ReasonOf(err) != edda.Panicked || err.Error() != "the hook panicked: ouch" {
		t.Errorf("got %v of reason %s, want that the hook panicked", err, edda.ReasonOf(err))
	}
}
