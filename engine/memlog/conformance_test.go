package memlog_test

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/enginetest"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		t.Helper()
		l := open(t, enginetest.Partitions)
		return enginetest.Harness{
			Engine:     l,
			Durability: edda.Memory,
			Reopen: func(t *testing.T) engine.Engine {
				t.Helper()
				var err error
				if l, err = l.Reopen(); err != nil {
					t.Fatal(err)
				}
				return l
			},
		}
	})
}
