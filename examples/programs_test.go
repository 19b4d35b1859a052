package examples_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// built holds the programs of this directory that are built: each once, for all tests.
var built struct {
	mu   sync.Mutex
	root string // TestMain removes it
}

// buildProgram builds a program of this directory, and returns its file.
func buildProgram(t *testing.T, name string) string {
	t.Helper()
	file, out, err := build(program(t, "go"), name)
	if err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return file
}

func build(tool, name string) (file string, out []byte, err error) {
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.root == "" {
		if built.root, err = os.MkdirTemp("", "edda-examples"); err != nil {
			return "", nil, err
		}
	}
	file = filepath.Join(built.root, name)
	if _, err := os.Stat(file); err == nil {
		return file, nil, nil
	}
	out, err = exec.CommandContext(context.Background(), tool, "build", "-o", file, "./"+name).CombinedOutput()
	return file, out, err
}

// running is a program of this directory that serves a node.
type running struct {
	cmd  *exec.Cmd
	url  string
	kill func() // at once, without a word
}

// startProgram starts a program that listens, and returns it once it does.
func startProgram(t *testing.T, name string, args ...string) *running {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), buildProgram(t, name), args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	url := make(chan string, 1)
	var reading sync.WaitGroup
	reading.Go(func() { // ends with the program
		defer close(url)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said = append(said, lines.Text())
			if _, u, ok := strings.Cut(lines.Text(), "listening on "); ok {
				url <- strings.TrimSuffix(u, "/")
			}
		}
	})
	p := &running{cmd: cmd}
	p.kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended
		reading.Wait()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, strings.Join(said, "\n"))
		}
	})
	t.Cleanup(p.kill)
	if p.url = <-url; p.url == "" {
		p.kill()
		t.Fatalf("%s did not start: %s", name, fmt.Sprint(said))
	}
	return p
}
