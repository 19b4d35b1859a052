package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildDir holds what was built; it is removed at the end.
var buildDir string

// build builds the program once, and returns its path.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "edda-crashtest")
	if err != nil {
		return "", err
	}
	buildDir = dir
	path := filepath.Join(dir, "edda")
	out, err := exec.Command("go", "build", "-o", path, "github.com/edda-io/edda/cmd/edda").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build edda: %w\n%s", err, out)
	}
	return path, nil
})

// process is the program as a process that is killed and started again.
type process struct {
	path, dir, durability string
	listen                string   // 127.0.0.1:0 means another port each time
	flags                 []string // what else it is told

	mu      sync.Mutex // guards what follows
	cmd     *exec.Cmd
	errs    strings.Builder
	url     string
	up      chan struct{} // closed while it is up
	started []time.Duration
}

// start runs the program and returns when it answers.
func (p *process) start(ctx context.Context) error {
	args := append([]string{"dev", "--json", "--dir", p.dir, "--durability", p.durability, "--listen", p.listen, "--log-level", "error"}, p.flags...)
	cmd := exec.CommandContext(ctx, p.path, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.errs.Reset()
	cmd.Stderr = &p.errs
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	var banner struct{ URL string }
	err = json.NewDecoder(out).Decode(&banner)
	took := time.Since(begin)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return fmt.Errorf("edda did not start: %w\n%s", err, p.errs.String())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.url = cmd, banner.URL
	p.started = append(p.started, took)
	close(p.up)
	return nil
}

// kill ends the process without any warning.
func (p *process) kill() error {
	p.mu.Lock()
	cmd := p.cmd
	p.up = make(chan struct{})
	p.mu.Unlock()
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		return errors.Join(errors.New("it was killed, and did not end of it"), err)
	}
	if exit.Exited() {
		return fmt.Errorf("ended by itself, before it was killed: %w\n%s", exit, p.errs.String())
	}
	return nil
}

// wait returns where the process listens, once it is up.
func (p *process) wait(ctx context.Context) (string, error) {
	for {
		p.mu.Lock()
		up, url := p.up, p.url
		p.mu.Unlock()
		select {
		case <-up:
			return url, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// lives is how often the process was started.
func (p *process) lives() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.started)
}

// pause waits between two things that happen to a process.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func newProcess(t *testing.T, durability string) *process {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return &process{
		path: path, dir: filepath.Join(t.TempDir(), "data"), durability: durability, listen: "127.0.0.1:0",
		flags: []string{"--example"}, up: make(chan struct{}),
	}
}
