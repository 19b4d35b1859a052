package crashtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// task is what the services of the tests are asked to do. Every task is known by
// its name, and leaves it behind wherever it has an effect.
type task struct {
	Name string `json:"name"`
	// Fail is how many attempts fail.
	Fail int `json:"fail,omitempty"`
	// Final makes the handler declare a final error.
	Final bool `json:"final,omitempty"`
	// HoldMicros is how long the handler takes.
	HoldMicros int `json:"holdMicros,omitempty"`
	// To are the accounts that a task is sent on to, each after DelayMicros.
	To          []string `json:"to,omitempty"`
	DelayMicros int      `json:"delayMicros,omitempty"`
}

// sentOn is the name of what a task sends to an account.
func sentOn(name, key string) string { return name + ">" + key }

// done is what a task is answered with: its number among those of its account.
type done struct {
	N int `json:"n"`
}

// The names of the services.
const (
	accounts = "account" // ordered: numbers the tasks of each key
	workers  = "worker"  // balanced: sends tasks on
	graves   = "grave"   // ordered: every task dies
)

// graveAttempts is how often a task of graves is tried.
const graveAttempts = 2

// services returns the services that the nodes of the tests run.
func services() []*edda.Service {
	account := edda.NewOrdered(accounts)
	account.Retry = edda.RetryPolicy{Max: -1, Delay: 200 * time.Microsecond, MaxDelay: 2 * time.Millisecond}
	edda.Handle(account, "do", doTask)
	edda.Handle(account, "dump", dump)
	worker := edda.NewBalanced(workers)
	worker.Retry = account.Retry
	edda.Handle(worker, "do", func(ctx *edda.Context, in task) (done, error) {
		if err := in.begin(ctx); err != nil {
			return done{}, err
		}
		return done{}, in.sendOn(ctx)
	})
	grave := edda.NewOrdered(graves)
	grave.Retry = edda.RetryPolicy{Max: graveAttempts, Delay: 200 * time.Microsecond}
	edda.Handle(grave, "do", func(_ *edda.Context, in task) (done, error) {
		return done{}, fmt.Errorf("%s dies", in.Name)
	})
	return []*edda.Service{account, worker, grave}
}

// begin does what comes before the work.
func (in *task) begin(ctx *edda.Context) error {
	if in.HoldMicros > 0 {
		hold := time.NewTimer(time.Duration(in.HoldMicros) * time.Microsecond)
		defer hold.Stop()
		select {
		case <-hold.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if ctx.Attempt() <= in.Fail {
		return errors.New("fails, as it was told to")
	}
	if in.Final {
		return edda.Final("TOLD", "final, as it was told to")
	}
	return nil
}

func (in *task) sendOn(ctx *edda.Context) error {
	for _, key := range in.To {
		err := ctx.SendAfter(time.Duration(in.DelayMicros)*time.Microsecond, accounts+"/"+key, "do", task{Name: sentOn(in.Name, key)})
		if err != nil {
			return err
		}
	}
	return nil
}

// doTask gives the task the next number of its account. A task that comes twice
// leaves a trace of that.
func doTask(ctx *edda.Context, in task) (done, error) {
	if err := in.begin(ctx); err != nil {
		return done{}, err
	}
	n, _, err := edda.Get[int](ctx, "n")
	if err != nil {
		return done{}, err
	}
	n++
	row := "task/" + in.Name
	if _, twice, err := edda.Get[int](ctx, row); err != nil {
		return done{}, err
	} else if twice {
		row = "twice/" + in.Name
	}
	if err := errors.Join(edda.Set(ctx, row, n), edda.Set(ctx, "n", n), in.sendOn(ctx)); err != nil {
		return done{}, err
	}
	return done{n}, nil
}

// account is the state of one account: the numbers of its tasks.
type account struct {
	N     int            `json:"n"`
	Tasks map[string]int `json:"tasks"`
	Twice []string       `json:"twice,omitempty"`
}

func dump(ctx *edda.Context, _ []byte) (account, error) {
	a := account{Tasks: map[string]int{}}
	for e, err := range ctx.List("") {
		if err != nil {
			return a, err
		}
		var n int
		if err := json.Unmarshal(e.Value, &n); err != nil {
			return a, err
		}
		kind, name, _ := strings.Cut(e.Name, "/")
		switch kind {
		case "n":
			a.N = n
		case "task":
			a.Tasks[name] = n
		default:
			a.Twice = append(a.Twice, name)
		}
	}
	return a, nil
}
