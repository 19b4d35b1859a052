package node

import (
	"bytes"
	"context"
	"errors"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
)

// State returns the names and values of a key's state whose name begins with
// prefix, in order of the name, as the key's last outcome left them. A key that
// was never used has none. The caller owns the slices.
//
// The partition of the key does nothing else meanwhile: it is meant for tests and
// for looking at one key, not for a read path. BAD_NAME and WRONG_KIND (an address
// without a key) refuse what is not the address of a key.
func (n *Node) State(ctx context.Context, key edda.Address, prefix string) ([]edda.StateEntry, error) {
	op := "read state of " + key.String()
	if err := key.Validate(); err != nil {
		return nil, err
	}
	if key.Key == "" {
		return nil, &edda.Error{Op: op, Reason: edda.WrongKind, Err: errors.New("state belongs to a key; name one, as in users/42")}
	}
	key.Namespace = serviceAddress(key.Namespace, "").Namespace
	p := n.homeOf(key.Hash())
	var entries []edda.StateEntry
	var failed error
	err := n.inPartition(ctx, p, op, func() {
		for e, err := range p.requests.ViewAt(request.FlatAddress(key)).List(context.WithoutCancel(ctx), prefix) {
			if err != nil {
				failed = errInternal(op, err)
				return
			}
			entries = append(entries, edda.StateEntry{Name: e.Name, Value: bytes.Clone(e.Value)})
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return entries, nil
}
