package edda_test

import (
	"errors"
	"testing"

	"github.com/edda-io/edda"
)

func TestOffsetError(t *testing.T) {
	for want, e := range map[string]edda.OffsetError{
		"append: the last offset of the shard is 41": {Last: 41},
		"append: the shard is empty":                 {Empty: true},
	} {
		err := error(&edda.Error{Op: "append", Reason: edda.ExpectedOffset, Err: &e})
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		if got, ok := errors.AsType[*edda.OffsetError](err); !ok || *got != e {
			t.Errorf("%s: got %v", want, got)
		}
	}
}
