// Package bench measures what Edda promises about speed, each figure as a ratio
// to a floor taken in the same run.
//
// A floor is the least that the machine lets anybody do: one flush, a fixed
// batch writer that only appends and flushes, a bare net/http echo. None of them
// is code under test. Row and floor are measured in turns, a few rounds of each,
// so that a machine that speeds up or slows down does so for both; the medians
// of the rounds are what is reported.
//
// Every row runs against a directory of its own, which is removed afterwards.
// Run is not meant to be called twice at a time: the rows would share the disk.
package bench

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// Defaults of Options.
const (
	DefaultDuration  = 5 * time.Second
	DefaultCompleted = 1_000_000
	DefaultPending   = 100_000
)

// onPostgres is what the names of rows end in that need PostgreSQL.
const onPostgres = "-pg"

// payloadBytes is the size of every payload.
const payloadBytes = 256

// Options says what is measured and how.
type Options struct {
	// Dir is where the rows keep their files; it is made when missing, and removed then. Empty means
	// a temporary directory, which may be on a disk that keeps nothing.
	Dir string
	// Durability is edda.Fsync when empty, or edda.OS. Floors make the same promise:
	// under edda.OS they do not flush.
	Durability edda.Durability
	// Duration is how long a row is measured, its floor aside, which takes half as
	// long again. Zero means DefaultDuration. The rows of starts take what they take.
	Duration time.Duration
	// Only names the rows to run. Empty means all.
	Only []string
	// InFlight selects the variants of rows that have several. Empty means all.
	InFlight []int
	// Completed and Pending are the numbers of requests in the directory of
	// start-loaded. Zero means DefaultCompleted and DefaultPending. Pending is also the
	// number of sagas that wait in that of saga-waiting; the saga of saga-wide has at
	// most Completed steps. Streams that are read or started with have Completed messages,
	// that of group-behind ten times as many; the rows of SQL have at most as many events, and join looks at no more keys. The rows of live messages have at most Pending
	// WebSockets, idle-workers as many workers.
	Completed, Pending int
	// Postgres is the connection string, a URL or keywords, of a PostgreSQL server, whose user may make databases there. The
	// rows that end in -pg are left out when it is empty.
	Postgres string
	// Child makes the command that runs Child with these arguments in a process of
	// its own. The rows of starts need it.
	Child func(ctx context.Context, args ...string) *exec.Cmd
}

// Result is one row's figures.
type Result struct {
	Name     string `json:"name"`
	InFlight int    `json:"inFlight"`
	// Value is in Unit: a rate for most rows.
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Floor is what Ratio divides by: a value of the row FloorName, or its p50 in
	// microseconds when Compares is "p50Micros". Both are zero without a floor.
	Floor float64 `json:"floor"`
	Ratio float64 `json:"ratio"`
	// P50Micros and P99Micros are the latencies of single operations.
	P50Micros  float64         `json:"p50Micros"`
	P99Micros  float64         `json:"p99Micros"`
	Durability edda.Durability `json:"durability"`
	Cores      int             `json:"cores"`

	FloorName string `json:"floorName,omitempty"`
	Compares  string `json:"compares,omitempty"`
	// Target says what the row must reach and OK whether it did. Both are absent
	// for rows that are floors themselves.
	Target string `json:"target,omitempty"`
	OK     *bool  `json:"ok,omitempty"`
	// CPUMicros is the processor time of one operation, the load included.
	CPUMicros float64 `json:"cpuMicros,omitempty"`
	// ResidentBytes is the memory of the process that was started, once it idles;
	// PeakBytes the most it had until then.
	ResidentBytes int64 `json:"residentBytes,omitempty"`
	PeakBytes     int64 `json:"peakBytes,omitempty"`
	// LogBytes and DeviceBytes are what one request writes to the log, and to the
	// device in all.
	LogBytes    float64 `json:"logBytes,omitempty"`
	DeviceBytes float64 `json:"deviceBytes,omitempty"`
}

// Names returns the names of all rows in the order they run.
func Names() []string {
	var names []string
	for _, s := range specs() {
		names = append(names, s.name)
	}
	return slices.Compact(names)
}

// Run measures the selected rows one after the other and hands each to report.
// It ends with the first error, of a row or of report, or when ctx ends.
func Run(ctx context.Context, o Options, report func(Result) error) error {
	e, selected, err := newEnv(o)
	if err != nil {
		return err
	}
	defer e.close()
	for _, s := range selected {
		var r Result
		pprof.Do(ctx, pprof.Labels("row", s.name), func(ctx context.Context) {
			r, err = s.measure(ctx, e, &s)
		})
		if err != nil && ctx.Err() != nil {
			return ctx.Err() // no row is to blame
		}
		if err != nil {
			return fmt.Errorf("row %s with %d in flight: %w", s.name, s.inFlight, err)
		}
		s.finish(e, &r)
		if err := report(r); err != nil {
			return err
		}
	}
	return nil
}

// env is what the rows of one run share.
type env struct {
	Options
	// missing is the first directory on the way to Dir that was not there, and goes again in
	// the end.
	missing   string
	temporary bool
	made      int
}

// Validate says what is wrong with the options, as Run would.
func (o Options) Validate() error {
	_, err := o.pick(specs())
	switch {
	case err != nil:
		return err
	case o.Durability != "" && o.Durability != edda.Fsync && o.Durability != edda.OS:
		return fmt.Errorf("durability %q is neither fsync nor os", o.Durability)
	case o.Duration < 0:
		return fmt.Errorf("duration %v is negative", o.Duration)
	case o.Completed < 0 || o.Pending < 0:
		return fmt.Errorf("%d completed or %d pending requests are less than none", o.Completed, o.Pending)
	}
	return nil
}

// newEnv validates the options and picks the rows.
func newEnv(o Options) (*env, []spec, error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	o.Durability = cmp.Or(o.Durability, edda.Fsync)
	o.Duration = cmp.Or(o.Duration, DefaultDuration)
	o.Completed = cmp.Or(o.Completed, DefaultCompleted)
	o.Pending = cmp.Or(o.Pending, DefaultPending)
	selected, err := o.pick(specs())
	if err != nil {
		return nil, nil, err
	}
	e := &env{Options: o}
	if o.Dir == "" {
		e.temporary = true
		e.Dir, err = os.MkdirTemp("", "edda-bench-")
	} else {
		e.missing = firstMissing(o.Dir)
		err = os.MkdirAll(o.Dir, 0o750)
	}
	if err != nil {
		return nil, nil, err
	}
	return e, selected, nil
}

// pick returns the rows that Only and InFlight select.
func (o Options) pick(all []spec) ([]spec, error) {
	for _, name := range o.Only {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("no row %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	var picked []spec
	for _, s := range all {
		named := len(o.Only) == 0 || slices.Contains(o.Only, s.name)
		if o.Postgres == "" && strings.HasSuffix(s.name, onPostgres) {
			if named && len(o.Only) > 0 {
				return nil, fmt.Errorf("row %s needs a PostgreSQL server, and none is named", s.name)
			}
			continue
		}
		if named && (len(o.InFlight) == 0 || slices.Contains(o.InFlight, s.inFlight)) {
			picked = append(picked, s)
		}
	}
	if len(picked) == 0 {
		return nil, o.noVariant(all)
	}
	return picked, nil
}

// noVariant says which variants there are of the rows that Only names.
func (o Options) noVariant(all []spec) error {
	var there, wanted []string
	for _, s := range all {
		if n := strconv.Itoa(s.inFlight); (len(o.Only) == 0 || slices.Contains(o.Only, s.name)) && !slices.Contains(there, n) {
			there = append(there, n)
		}
	}
	for _, n := range o.InFlight {
		wanted = append(wanted, strconv.Itoa(n))
	}
	rows := "no row"
	if len(o.Only) > 0 {
		rows += " of " + strings.Join(o.Only, ", ")
	}
	return fmt.Errorf("%s has %s in flight, but %s", rows, strings.Join(wanted, " or "), strings.Join(there, ", "))
}

// subdir makes an empty directory; the returned function removes it.
func (e *env) subdir() (string, func(), error) {
	e.made++
	dir := filepath.Join(e.Dir, fmt.Sprintf("bench-%d-%d", os.Getpid(), e.made))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", nil, err
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

func (e *env) close() {
	if e.temporary {
		_ = os.RemoveAll(e.Dir)
		return
	}
	for dir := filepath.Clean(e.Dir); e.missing != ""; dir = filepath.Dir(dir) {
		if err := os.Remove(dir); err != nil || dir == e.missing {
			return // somebody else has something in it, or it was the last
		}
	}
}

// firstMissing returns which of a directory and those above it would be made first; it is
// empty when all are there.
func firstMissing(dir string) (missing string) {
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			return missing
		}
		missing = dir
	}
}

// finish fills in what all rows have alike and judges the row by its targets.
func (s *spec) finish(e *env, r *Result) {
	r.Name, r.InFlight, r.Unit = s.name, s.inFlight, s.unit
	r.Durability, r.Cores = e.Durability, runtime.GOMAXPROCS(0)
	if len(s.targets) == 0 {
		return
	}
	ok := true
	var texts []string
	for _, t := range s.targets {
		ok = ok && t.met(r)
		texts = append(texts, t.text)
	}
	r.Target, r.OK = strings.Join(texts, ", "), &ok
}
