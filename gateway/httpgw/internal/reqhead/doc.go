// Package reqhead reads the head of a request: what the parameters of its query and its
// headers say. What they mean is not its business.
//
// Its errors are *edda.Error whose text names the parameter or header. The functions keep no
// state and are safe for concurrent use.
package reqhead

import (
	"errors"

	"github.com/edda-io/edda"
)

// refuse returns an error whose text is all there is to say.
func refuse(reason edda.Reason, detail string) error {
	return &edda.Error{Reason: reason, Err: errors.New(detail)}
}
