package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// thirdParty is what reversible calls go to: it notes each call and each undoing, in the
// order in which they come.
type thirdParty struct {
	url string

	mu    sync.Mutex // guards what follows
	rng   *rand.Rand
	heard map[string][]callHeard // by saga: COMMAND.RUN
}

// callHeard is a call, or the undoing of one.
type callHeard struct {
	call string
	undo bool
}

func (e callHeard) String() string {
	if e.undo {
		return "undo " + e.call
	}
	return "do " + e.call
}

func newThirdParty(t *testing.T, seed uint64) *thirdParty {
	t.Helper()
	p := &thirdParty{rng: newRand(seed, 77), heard: map[string][]callHeard{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /do/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"ref":%q}`, p.note(r.Context(), r.PathValue("id"), false))
	})
	mux.HandleFunc("POST /undo/{id}", func(_ http.ResponseWriter, r *http.Request) { p.note(r.Context(), r.PathValue("id"), true) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// note notes a call, takes its time, so that a kill may come before the answer, and
// returns what the call is called.
func (p *thirdParty) note(ctx context.Context, id string, undo bool) string {
	parts := strings.Split(id, ".") // COMMAND.RUN.CALL
	p.mu.Lock()
	saga := strings.Join(parts[:2], ".")
	// What was given up may be overtaken by its undoing, on its way here: a third party
	// remembers that.
	if undo || !slices.Contains(p.heard[saga], callHeard{call: parts[2], undo: true}) {
		p.heard[saga] = append(p.heard[saga], callHeard{call: parts[2], undo: undo})
	}
	d := time.Duration(p.rng.IntN(6)) * time.Millisecond
	p.mu.Unlock()
	pause(ctx, d)
	return id
}

// runs returns what came of each run of a command.
func (p *thirdParty) runs() map[string][]callHeard {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string][]callHeard, len(p.heard))
	for saga, es := range p.heard {
		all[saga] = append([]callHeard(nil), es...)
	}
	return all
}

// checkKept says what is wrong with the calls of a run that was committed.
func checkKept(es []callHeard, calls ...string) error {
	made := map[string]bool{}
	for _, e := range es {
		if e.undo {
			return fmt.Errorf("it was committed, and a call was undone: %v", es)
		}
		made[e.call] = true
	}
	for _, c := range calls {
		if !made[c] {
			return fmt.Errorf("it was committed without call %s: %v", c, es)
		}
	}
	return nil
}

// checkUndone says what is wrong with the calls of a run that was not: each one that was
// made must be undone, and the later one first.
func checkUndone(es []callHeard) error {
	first, last := map[string]int{}, map[string]int{}
	for i, e := range es {
		if !e.undo {
			last[e.call] = i
			continue
		}
		if _, again := first[e.call]; !again {
			first[e.call] = i
		}
	}
	for call := range last {
		if _, undone := first[call]; !undone {
			return fmt.Errorf("call %s was made and not undone: %v", call, es)
		}
	}
	a, aUndone := first["reserve"]
	b, bUndone := first["charge"]
	if aUndone && bUndone && a < b {
		return fmt.Errorf("the first call was undone before the second: %v", es)
	}
	return nil
}
