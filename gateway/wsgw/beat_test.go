package wsgw

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// A client that nobody asked whether it is there is not given up, however long ago it was
// heard: here whoever knows its token takes his time.
func TestBeatsMayComeLate(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		const ping = 200 * time.Millisecond
		var asked atomic.Int64
		slow := auth.Func(func(context.Context, auth.Credential) (*auth.Grant, error) {
			if asked.Add(1) == 2 {
				time.Sleep(5 * ping)
			}
			return everything("ada"), nil
		})
		c := start(Options{Authenticator: slow, Ping: ping, AuthTimeout: 10 * ping}).dial(t, "Authorization", "Bearer t")
		c.alive()
		go func() {
			time.Sleep(20 * ping)
			c.send(`{"op":"ping","ref":7}`)
		}()
		c.want(`{"op":"pong","ref":7}`) // whoever reads answers pings
		if asked.Load() < 10 {
			t.Errorf("it was known %d times, want each time", asked.Load())
		}
	})
}
