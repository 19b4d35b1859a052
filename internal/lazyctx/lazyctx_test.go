package lazyctx_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/edda-io/edda/internal/lazyctx"
)

type key struct{}

func TestContext(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	base := context.WithValue(context.Background(), key{}, "value")
	for name, early := range map[string]bool{"asked before it ends": true, "asked after it has ended": false} {
		c := &lazyctx.Context{Base: base}
		c.SetDeadline(time.Unix(5, 0).UnixNano())
		if at, ok := c.Deadline(); !ok || !at.Equal(time.Unix(5, 0)) {
			t.Errorf("%s: deadline %v, %v", name, at, ok)
		}
		if c.Err() != nil {
			t.Errorf("%s: ended with %v", name, c.Err())
		}
		var derived context.Context = c
		if early {
			var cancel context.CancelFunc
			derived, cancel = context.WithCancel(c)
			defer cancel()
			if derived.Err() != nil || c.Value(key{}) != "value" {
				t.Errorf("%s: %v, value %v", name, derived.Err(), c.Value(key{}))
			}
		}
		c.Cancel(first)
		c.Cancel(second)
		<-derived.Done()
		if c.Err() != context.Canceled || context.Cause(derived) != first || context.Cause(c) != first { //nolint:errorlint // the very error
			t.Errorf("%s: %v, cause %v", name, c.Err(), context.Cause(derived))
		}
	}
}
