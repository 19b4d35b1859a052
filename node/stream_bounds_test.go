package node_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/memlog"
	"github.com/edda-io/edda/node"
)

// An append whose outcome is unknown is not said to have failed; what comes after it on
// a node that has stopped is.
func TestStreamUnknownOutcome(t *testing.T) {
	for name, fault := range map[string]memlog.Fault{"written": memlog.UnknownWritten, "lost": memlog.UnknownLost, "unavailable": memlog.Unavailable} {
		bubble(t, name, func(t *testing.T) {
			n := open(t, node.Options{Partitions: 1})
			put(t, n, "s", "a")
			n.Memlog().Inject(engine.Partition(0), fault)
			release := node.HoldPartition(n, 0)
			synctest.Wait() // all that follows is one batch
			const callers = 20
			answers := make(chan error, callers)
			for i := range callers {
				go func() {
					_, err := n.Append(t.Context(), &edda.Append{Stream: "s", Messages: messages(fmt.Sprint(i, "=x"))})
					answers <- err
				}()
			}
			waits := tailing(t, n, edda.Read{Stream: "s", From: edda.FromEnd, Wait: time.Hour})
			set := make(chan error, 1)
			go func() {
				_, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "t"})
				set <- err
			}()
			synctest.Wait()
			release()
			want := edda.OutcomeUnknown
			if fault == memlog.Unavailable {
				want = edda.Unavailable
			}
			for range callers {
				wantReason(t, has(t, answers), want)
			}
			wantReason(t, has(t, set), want)
			wantReason(t, has(t, waits).err, edda.Unavailable)
			_, err := n.Append(t.Context(), &edda.Append{Stream: "s", Messages: messages("x")})
			wantReason(t, err, edda.Unavailable)
			_ = n.Stop(t.Context())
		})
	}
}

// Messages go because of their age within a minute, and without anybody who asks.
func TestStreamAge(t *testing.T) {
	bubble(t, "age", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{})
		for i := range 20 {
			name := fmt.Sprint("s", i)
			if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: name, Retention: edda.Retention{Age: time.Hour}}); err != nil {
				t.Fatal(err)
			}
			put(t, n, name, "a", "b")
		}
		put(t, n, "for", "a")
		time.Sleep(30 * time.Minute)
		put(t, n, "s0", "c")
		time.Sleep(30*time.Minute - time.Second)
		holds(t, n, edda.Read{Stream: "s0"}, "0:a 1:b 2:c [0 3 3]")
		time.Sleep(time.Minute + time.Second)
		holds(t, n, edda.Read{Stream: "s0"}, "2:c [2 3 3]")
		for i := range 19 {
			holds(t, n, edda.Read{Stream: fmt.Sprint("s", i+1)}, "[2 2 2]")
		}
		stop(t, n)
		time.Sleep(time.Hour)
		n = d.open(t, node.Options{})
		time.Sleep(time.Minute)
		holds(t, n, edda.Read{Stream: "s0"}, "[3 3 3]")
		holds(t, n, edda.Read{Stream: "for"}, "0:a [0 1 1]")
		stop(t, n)
	})
}

// What has come into memory goes to the store, also when the node has room for less than
// comes between two checkpoints.
func TestStreamMemory(t *testing.T) {
	bubble(t, "memory", func(t *testing.T) {
		n := newDisk().open(t, node.Options{Partitions: 2, Limits: node.Limits{NodeBytes: 50_000}})
		payload := strings.Repeat("x", 1_000)
		refused := 0
		for i := range 500 {
			_, err := n.Append(t.Context(), &edda.Append{Stream: "s", Messages: messages(payload)})
			for edda.ReasonOf(err) == edda.Overloaded {
				if refused++; refused > 1_000 {
					t.Fatalf("message %d is refused for ever: %v", i, err)
				}
				synctest.Wait()
				_, err = n.Append(t.Context(), &edda.Append{Stream: "s", Messages: messages(payload)})
			}
			if err != nil {
				t.Fatal(err)
			}
			if b := node.StreamBytes(n); b > 60_000 {
				t.Fatalf("messages take %d bytes of memory, 50,000 are allowed", b)
			}
		}
		if refused == 0 {
			t.Error("nothing was refused")
		}
		stop(t, n)
		if b := node.StreamBytes(n); b != 0 {
			t.Errorf("after the last checkpoint messages take %d bytes of memory", b)
		}
	})
}

// A hot stream does not keep all it has in memory until the next checkpoint: its
// partition writes it to the store by itself.
func TestStreamSavesItself(t *testing.T) {
	bubble(t, "save", func(t *testing.T) {
		n := newDisk().open(t, node.Options{Partitions: 2, CheckpointBytes: 1 << 20})
		payload := strings.Repeat("x", 10_000)
		for i := range 80 {
			put(t, n, "s", payload)
			if b := node.StreamBytes(n); b > 1<<18+20_000 {
				t.Fatalf("after %d messages they take %d bytes of memory", i+1, b)
			}
		}
		synctest.Wait()
		if p := read(t, n, edda.Read{Stream: "s", Limit: 1000}); len(p.Messages) != 80 || p.Messages[79].Offset != 79 {
			t.Errorf("%d messages are there", len(p.Messages))
		}
		stop(t, n)
	})
}

// Appends end all, whatever happens, when the node stops under them.
func TestStreamStopUnderLoad(t *testing.T) {
	bubble(t, "stop", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{Partitions: 2})
		var wg sync.WaitGroup
		var mu sync.Mutex
		acked := map[string]bool{}
		for c := range 20 {
			wg.Go(func() {
				for i := 0; ; i++ {
					id := fmt.Sprint(c, "-", i)
					_, err := n.Append(t.Context(), &edda.Append{Stream: fmt.Sprint("s", c%4), Messages: messages(id + "=x")})
					switch edda.ReasonOf(err) {
					case "":
						mu.Lock()
						acked[id] = true
						mu.Unlock()
					case edda.Draining:
						return
					case edda.OutcomeUnknown:
					default:
						t.Error(err)
						return
					}
					time.Sleep(time.Microsecond)
				}
			})
		}
		time.Sleep(time.Millisecond)
		stop(t, n)
		wg.Wait()
		n = d.open(t, node.Options{Partitions: 2})
		for id := range acked {
			var c int
			if _, err := fmt.Sscanf(id, "%d-", &c); err != nil {
				t.Fatal(err)
			}
			if _, err := n.AwaitMessage(t.Context(), "", fmt.Sprint("s", c%4), id, 0); err != nil {
				t.Errorf("message %s was acknowledged: %v", id, err)
			}
		}
		if len(acked) < 100 {
			t.Errorf("only %d appends", len(acked))
		}
		stop(t, n)
	})
}
