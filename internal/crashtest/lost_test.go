package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/node"
)

// bombAttempts is how often a request is tried that kills its node.
const bombAttempts = 3

// bombReport is what the process says that outlives the bomb.
type bombReport struct {
	Reason   edda.Reason
	Attempts int
	// After is how the request behind the bomb ended, Counter what the counter was
	// once this process had added to it, as all before it.
	After   edda.State
	Counter int64
}

// runBomb runs a node with a request that kills it, until that is dead.
func runBomb() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopBound)
	defer cancel()
	bomb := edda.NewOrdered("bomb")
	bomb.Retry = edda.RetryPolicy{Max: bombAttempts, Delay: time.Millisecond}
	bomb.HandleAny(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if m.Type == "explode" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil, nil
	})
	n, err := node.Open(ctx, node.Options{
		Dir: os.Getenv("DIR"), Partitions: 4, SegmentBytes: 64 << 10, Services: []*edda.Service{bomb, examples.Counter()},
	})
	if err != nil {
		return err
	}
	c := n.Client()
	// What an earlier life may not have got round to is made up for.
	life, err := strconv.Atoi(os.Getenv("LIFE"))
	if err != nil {
		return err
	}
	var value examples.Value
	for i := range life {
		r, err := c.Call(ctx, &edda.Message{
			To: edda.Address{Name: "counter", Key: "k"}, Type: "add", Payload: []byte(`{"n":1}`), IdempotencyKey: fmt.Sprint(i),
		})
		if err == nil {
			err = json.Unmarshal(r.Payload, &value)
		}
		if err != nil {
			return err
		}
	}
	to := edda.Address{Name: "bomb", Key: "k"}
	// The second waits behind the first.
	explode := &edda.Message{To: to, Type: "explode", IdempotencyKey: "bomb"}
	after := &edda.Message{To: to, Type: "after", IdempotencyKey: "after"}
	exploded, err := c.Send(ctx, explode)
	if err != nil {
		return err
	}
	behind, err := c.Send(ctx, after)
	if err != nil {
		return err
	}
	if _, err := c.Wait(ctx, behind.ID); err != nil {
		return err
	}
	d, err := n.DeadLetter(ctx, "", exploded.ID)
	if err != nil {
		return err
	}
	r, err := c.Request(ctx, behind.ID)
	if err != nil {
		return err
	}
	report, err := json.Marshal(bombReport{d.Reason, d.Attempts, r.State, value.Value})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, string(report))
	return errors.Join(err, n.Stop(ctx))
}

// TestKillByRequest sends a request that kills its node whenever it is handled: it
// becomes a dead letter once its attempts are spent, and nothing else suffers.
func TestKillByRequest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for lives := 1; ; lives++ {
		out, err := helper(t, "bomb", "DIR="+dir, fmt.Sprintf("LIFE=%d", lives)).Output()
		exit, killed := errors.AsType[*exec.ExitError](err)
		if killed && !exit.Exited() {
			if lives > bombAttempts {
				t.Fatalf("the request has killed its node %d times, and may have %d attempts", lives, bombAttempts)
			}
			continue
		}
		if err != nil {
			t.Fatalf("life %d ended with %v: %s", lives, err, exit.Stderr)
		}
		var r bombReport
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		if r.Reason != edda.NodeLost || r.Attempts != bombAttempts {
			t.Errorf("dead with reason %s after %d attempts, want %s after %d", r.Reason, r.Attempts, edda.NodeLost, bombAttempts)
		}
		if r.After != edda.StateSucceeded {
			t.Errorf("the request behind it is %s", r.After)
		}
		if lives != bombAttempts+1 || r.Counter != int64(lives) {
			t.Errorf("life %d: a counter that each life adds one to is %d", lives, r.Counter)
		}
		return
	}
}
