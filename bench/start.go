package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	// starts is how often a process is started for one figure.
	starts = 5
	// settle is how long a started node idles before its memory is read; less when
	// rows are to be brief.
	settle = 2 * time.Second
	// startTimeout bounds one start.
	startTimeout = time.Minute
)

var errNoChild = errors.New("Options.Child is not set")

// loaders are who fills the directories of the rows that do not start with an empty
// one.
var loaders = map[string]string{"start-loaded": roleLoad, "saga-waiting": roleSagas, "start-streams": roleStreams}

// measureStart measures how long a process takes from its start to the first
// answer that it is ready. Its floor is the same process without a node.
func measureStart(ctx context.Context, e *env, s *spec) (r Result, err error) {
	if e.Child == nil {
		return r, errNoChild
	}
	prepare := func() (string, func(), error) { return e.subdir() }
	if role := loaders[s.name]; role != "" {
		dir, remove, err := e.loadedDir(ctx, role)
		if err != nil {
			return r, err
		}
		defer remove()
		prepare = func() (string, func(), error) { return dir, func() {}, nil }
	}
	var took, floors series
	for range starts {
		dir, remove, err := prepare()
		if err != nil {
			return r, err
		}
		err = errors.Join(
			e.startOnce(ctx, &floors, nil, roleBare, dir),
			e.startOnce(ctx, &took, &r, roleServe, dir))
		remove()
		if err != nil {
			return r, err
		}
	}
	r.Value, r.P50Micros, r.P99Micros = took.rate(), took.p50(), took.hist.quantile(0.99)
	r.FloorName, r.Floor, r.Compares = "bare process", floors.rate(), "value"
	r.Ratio = quotient(r.Value, r.Floor)
	return r, nil
}

// startOnce starts a process, adds the seconds it took to the series, and its
// memory to the result if there is one. The process is killed.
func (e *env) startOnce(ctx context.Context, into *series, r *Result, role, dir string) error {
	p, err := e.launch(ctx, role, dir)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := p.ready(ctx); err != nil {
		return err
	}
	took := time.Since(p.began)
	into.rates = append(into.rates, took.Seconds())
	into.hist.add(0, took)
	if r == nil {
		return nil
	}
	sleep(ctx, min(settle, e.Duration))
	rss, peak, err := residentBytes(p.cmd.Process.Pid)
	r.ResidentBytes, r.PeakBytes = max(r.ResidentBytes, rss), max(r.PeakBytes, peak)
	return err
}

// loadedDir has a process fill a directory, and kills it where it stands.
func (e *env) loadedDir(ctx context.Context, role string) (string, func(), error) {
	dir, remove, err := e.subdir()
	if err != nil {
		return "", nil, err
	}
	p, err := e.launch(ctx, role, dir)
	if err != nil {
		remove()
		return "", nil, err
	}
	defer p.kill()
	if p.said != saidLoaded {
		remove()
		return "", nil, fmt.Errorf("process that loads said %q, want %q", p.said, saidLoaded)
	}
	return dir, remove, nil
}

// process is a child that has said its first line.
type process struct {
	cmd   *exec.Cmd
	began time.Time
	said  string
	errs  *strings.Builder
	out   *bufio.Reader
}

// launch starts a child and waits for its first line.
func (e *env) launch(ctx context.Context, role, dir string, more ...string) (*process, error) {
	p := &process{errs: new(strings.Builder)}
	p.cmd = e.Child(ctx, append([]string{
		"-role=" + role, "-dir=" + dir, "-durability=" + string(e.Durability),
		"-completed=" + strconv.Itoa(e.Completed), "-pending=" + strconv.Itoa(e.Pending),
	}, more...)...)
	p.cmd.Stderr = p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if p.said, err = p.next(); err != nil {
		p.kill()
		return nil, fmt.Errorf("child %s said nothing: %w", role, err)
	}
	return p, nil
}

// next returns the next line that the process says.
func (p *process) next() (string, error) {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, p.errs)
	}
	return strings.TrimSpace(line), nil
}

// ready returns once the process answers that it is ready.
func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.said+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return fmt.Errorf("ask whether the process is ready: %w: %s", err, p.errs)
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil || res.StatusCode == http.StatusOK {
			return err
		}
	}
}

// kill ends the process at once and waits for its end, which is no error.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
