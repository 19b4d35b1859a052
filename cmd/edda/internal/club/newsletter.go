package club

import (
	"encoding/json"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/saga"
)

// newsletters stand for a third party. Each knows its readers; to subscribe and to forget are
// the reversible call of a command and its undoing. They are steps of a saga, whose changes of
// state count once, however often they are tried.
func newsletters() *edda.Service {
	s := edda.NewOrdered("newsletter")
	saga.Handle(s, "subscribe", func(ctx *saga.Context, c cqrs.Called) (string, error) {
		var m Member
		if err := json.Unmarshal(c.Data, &m); err != nil {
			return "", err
		}
		return m.ID, change(ctx.Context, func(all []string) []string { return append(all, m.ID) })
	})
	saga.Compensator(s, "forget", func(ctx *saga.Context, reader string) error {
		return change(ctx.Context, func(all []string) []string {
			return slices.DeleteFunc(all, func(r string) bool { return r == reader })
		})
	})
	edda.Handle(s, "readers", func(ctx *edda.Context, _ []byte) ([]string, error) {
		all, _, err := edda.Get[[]string](ctx, readers)
		if all == nil {
			all = []string{}
		}
		return all, err
	})
	return s
}

// readers is the name under which a newsletter keeps its readers.
const readers = "readers"

func change(ctx *edda.Context, to func(all []string) []string) error {
	all, _, err := edda.Get[[]string](ctx, readers)
	if err != nil {
		return err
	}
	return edda.Set(ctx, readers, to(all))
}
