package sqlitedb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/edda-io/edda/cqrs/driver"
)

// childPath, in the environment, makes this binary one that writes until it is killed.
const childPath = "EDDA_TEST_SQLITE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(path))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// writeUntilKilled adds to counters, and prints the number of each once it has been raised.
func writeUntilKilled(path string) error {
	d, err := Open(path, Options{})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	for id := range 4 {
		wg.Go(func() {
			for {
				err := d.Transact(context.Background(), driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
					return twice(ctx, tx, id)
				})
				if err != nil {
					failed <- err
					return
				}
				if _, err := fmt.Fprintln(os.Stdout, id); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	return <-failed
}

// twice raises a counter in two steps.
func twice(ctx context.Context, tx *driver.Tx, id int) error {
	for range 2 {
		_, err := tx.ExecContext(ctx, "INSERT INTO counters (id, n) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET n = n + 1", id)
		if err != nil {
			return err
		}
	}
	return nil
}

// Processes that share a file are killed at any moment: what they were told is stored is
// there, and nothing is there by half.
func TestKilledProcessesLoseNothing(t *testing.T) {
	rounds, processes := 8, 2
	if testing.Short() {
		rounds = 2
	}
	path := filepath.Join(t.TempDir(), "edda.db")
	d, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, d, "CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	told := map[int]int{} // how often each counter was said to be raised
	for round := range rounds {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range processes {
			wg.Go(func() {
				ids, err := killAfter(t.Context(), path, 20+round*13)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, id := range ids {
					told[id]++
				}
			})
		}
		wg.Wait()
		check(t, path, told, processes)
	}
}

// killAfter runs a process until it has printed so many lines, kills it, and returns all
// numbers that it has printed.
func killAfter(ctx context.Context, path string, lines int) (ids []int, err error) {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childPath+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil { // a line that was cut tells nothing
			if errors.Is(err, io.EOF) && len(ids) >= lines {
				err = nil
			}
			_ = cmd.Wait() // it was killed
			return ids, err
		}
		id, err := strconv.Atoi(line[:len(line)-1])
		if err != nil {
			return ids, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		}
		if ids = append(ids, id); len(ids) == lines {
			if err := cmd.Process.Kill(); err != nil {
				return ids, err
			}
		}
	}
}

// check compares the counters with how often they were said to be raised. A process may
// have been killed before it could say so, once for each counter.
func check(t *testing.T, path string, told map[int]int, processes int) {
	t.Helper()
	d, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var verdict string
	if err := d.Reader().QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity check: got %q and error %v", verdict, err)
	}
	for id := range told {
		var n int
		if err := d.Reader().QueryRowContext(t.Context(), "SELECT n FROM counters WHERE id = $1", id).Scan(&n); err != nil {
			t.Error(err)
		}
		if n%2 != 0 || n/2 < told[id] || n/2 > told[id]+processes {
			t.Errorf("counter %d is %d, and was said to be raised %d times by 2", id, n, told[id])
		}
		told[id] = n / 2
	}
}
