// Package guard calls functions that somebody else wrote, so that a panic of theirs is
// an error of theirs and nothing else. It has no state: it is safe for concurrent use.
package guard

import (
	"fmt"

	"github.com/edda-io/edda"
)

// Call returns what f returns. When f panics it is an *edda.Error of reason Panicked,
// which says with what; what names f to whoever reads that.
func Call(what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &edda.Error{Reason: edda.Panicked, Err: fmt.Errorf("%s panicked: %v", what, v)}
		}
	}()
	return f()
}
