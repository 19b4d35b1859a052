package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/edda-io/edda"
)

// trouble has a step go wrong, to see what becomes of the rest. A command asks for it in its
// metadata, under the name trouble: "profile" has the projector of profiles return an error,
// "profile:panic" has it panic, "profile:hang" has it hang until it is given up. The program
// may also be told to die at a step, as by kill -9.
//
// The steps are: before, call (the third party has heard nothing), called (it has),
// after, profile, friends, commit.
type trouble struct {
	// dieAt is the step at which the process ends; none when empty.
	dieAt string
	// hangs is told of each step that hangs, and again, once closed, lets them go on; for tests.
	hangs, again chan struct{}
}

// wants reports whether a step is to go wrong.
func (*trouble) wants(step string, metadata map[string]json.RawMessage) bool {
	wanted, _ := asked(metadata)
	return wanted == step
}

// at is where a step may go wrong.
func (t *trouble) at(ctx context.Context, step string, metadata map[string]json.RawMessage) error {
	if t.dieAt == step {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		panic(fmt.Sprint("to die: ", err))
	}
	wanted, how := asked(metadata)
	if wanted != step {
		return nil
	}
	switch how {
	case "panic":
		panic("trouble at " + step)
	case "hang":
		return t.hang(ctx)
	}
	if step == "called" { // a final error of a call says that the third party was told nothing
		return fmt.Errorf("as you wished, step %q fails", step)
	}
	return edda.Final("TROUBLE", "as you wished, step %q fails", step)
}

func (t *trouble) hang(ctx context.Context) error {
	if t.hangs != nil {
		t.hangs <- struct{}{}
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.again:
		return nil
	}
}

// asked reads what a command asks for.
func asked(metadata map[string]json.RawMessage) (step, how string) {
	var s string
	if json.Unmarshal(metadata["trouble"], &s) != nil {
		return "", "" // there is none
	}
	step, how, _ = strings.Cut(s, ":")
	return step, how
}
