package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"

	"github.com/edda-io/edda/engine/filelog"
)

// logDir is where a node keeps its log, below its directory.
const logDir = "log"

// measureLogBytes measures how many bytes a completed request adds to the log,
// beyond its payload and its reply's. Space that segments have in advance does
// not count; what the device gets in all stands beside it.
func measureLogBytes(ctx context.Context, e *env, s *spec) (r Result, err error) {
	dir, remove, err := e.subdir()
	if err != nil {
		return r, err
	}
	defer remove()
	// The first start writes what every directory has once.
	if _, err := e.callNode(ctx, dir, turn{into: new(series)}); err != nil {
		return r, err
	}
	before, err := logEnd(dir)
	if err != nil {
		return r, err
	}
	var calls series
	device := deviceBytes()
	completed, err := e.callNode(ctx, dir, turn{inFlight: s.inFlight, into: &calls})
	if err != nil {
		return r, err
	}
	device = deviceBytes() - device
	after, err := logEnd(dir)
	if err != nil {
		return r, err
	}
	calls.fill(&r)
	r.LogBytes = quotient(float64(after-before), float64(completed))
	r.DeviceBytes = quotient(float64(device), float64(completed))
	r.FloorName, r.Floor, r.Compares = "payload and reply", 2*payloadBytes, "value"
	r.Value = r.LogBytes - r.Floor
	r.Ratio = quotient(r.Value, r.Floor)
	return r, nil
}

// callNode opens a node, loads it with calls, stops it, and returns how many
// calls there were. Without callers it just opens and stops it.
func (e *env) callNode(ctx context.Context, dir string, t turn) (completed int64, err error) {
	n, err := openNode(ctx, dir, e.Durability)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stopNode(n)) }()
	if t.inFlight == 0 {
		return 0, nil
	}
	var count atomic.Int64
	keys, body := allKeys(), payload()
	t.d = &driver{op: func(ctx context.Context, _ int) error {
		count.Add(1)
		return call(ctx, n, keys[rand.IntN(len(keys))], "", body)
	}}
	err = t.run(ctx, e.Duration)
	return count.Load(), err
}

// logEnd returns where the log of a node that is stopped ends, in bytes since it
// was created.
func logEnd(dir string) (uint64, error) {
	l, err := filelog.Open(filepath.Join(dir, logDir), filelog.Options{})
	if err != nil {
		return 0, err
	}
	return l.Stats().LSN, l.Close()
}
