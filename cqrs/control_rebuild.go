package cqrs

import (
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// rebuildInput says what to rebuild, and how; see RebuildOptions.
type rebuildInput struct {
	Handler  string   `json:"handler"`
	Replace  bool     `json:"replace,omitempty"`
	Ignore   []string `json:"ignore,omitempty"`
	TakeOver bool     `json:"take_over,omitempty"`
}

const (
	// tellEvery is how often a rebuild says how far it has come.
	tellEvery = 500 * time.Millisecond
	// renewEvery is how often it says that it goes on.
	renewEvery = 5 * time.Second
)

// controlRebuild rebuilds a projection. Parts of the reply are RebuildProgress; the reply is Rebuilt,
// which comes also as the result of a refusal, when what was rebuilt differs.
func (a *App) controlRebuild(ctx *edda.Context, in rebuildInput) (*edda.Reply, error) {
	if err := a.life.awaitStart(ctx); err != nil {
		return nil, err
	}
	name, err := a.handlerNamed(in.Handler)
	if err != nil {
		return refusal(err, nil), nil
	}
	stop := renew(ctx)
	defer stop()
	var told time.Time
	done, err := a.Rebuild(ctx, name, RebuildOptions{
		Replace: in.Replace, Ignore: in.Ignore,
		TakeOver: in.TakeOver || ctx.Redelivered(), // whoever had the attempt before has lost it
		Progress: func(p RebuildProgress) {
			if time.Since(told) < tellEvery {
				return
			}
			told = time.Now()
			// Who is told of it is not needed for the work.
			_ = edda.Yield(ctx, p)
		},
	})
	if err != nil {
		if done == nil {
			return refusal(err, nil), nil
		}
		return refusal(err, done), nil
	}
	return jsonReply(done)
}

// renew lets an attempt go on for as long as it takes, until the function returned is called.
func renew(ctx *edda.Context) (stop func()) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		t := time.NewTicker(renewEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				ctx.Progress()
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}
