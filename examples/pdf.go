package examples

import (
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/saga"
)

// Printer returns a balanced service with one method for sagas, create-pdf, whose
// arguments are a title and a text.
func Printer() *edda.Service {
	s := edda.NewBalanced("printer")
	saga.Handle(s, "create-pdf", func(ctx *saga.Context, title string) (string, error) {
		text, err := saga.Arg[string](ctx, 1)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s.pdf (%d characters)", title, len(text)), nil
	})
	return s
}

// PDFSaga returns the smallest saga: one step.
func PDFSaga(title, text string) *saga.Definition {
	def := saga.New("pdf")
	def.AddStep("pdf", "printer", "create-pdf", title, text)
	return def
}
