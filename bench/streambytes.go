package bench

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// storeDir is where a node keeps its store, below its directory.
const storeDir = "store"

// measureStreamBytes measures how many bytes of the disk a message takes in the store,
// beyond its payload, once the log has let go of it. The payloads are from chance, so
// that nothing is gained by compressing them. What a message adds to the log, and what
// the device gets in all, stand beside it.
func measureStreamBytes(ctx context.Context, e *env, s *spec) (r Result, err error) {
	dir, remove, err := e.subdir()
	if err != nil {
		return r, err
	}
	defer remove()
	// The first start writes what every directory has once.
	if err := e.withNode(ctx, dir, func(*node.Node) error { return nil }); err != nil {
		return r, err
	}
	before, err := logEnd(dir)
	if err != nil {
		return r, err
	}
	var took histogram
	device := deviceBytes()
	if err := e.withNode(ctx, dir, func(n *node.Node) error { return appendChance(ctx, n, s.inFlight, e.Completed, &took) }); err != nil {
		return r, err
	}
	device = deviceBytes() - device
	after, err := logEnd(dir)
	if err != nil {
		return r, err
	}
	stored, err := dirBytes(filepath.Join(dir, storeDir))
	messages := float64(e.Completed)
	r.P50Micros, r.P99Micros = took.quantile(0.5), took.quantile(0.99)
	r.LogBytes, r.DeviceBytes = float64(after-before)/messages, float64(device)/messages
	r.FloorName, r.Floor, r.Compares = "payload", payloadBytes, "value"
	r.Value = float64(stored)/messages - r.Floor
	r.Ratio = quotient(r.Value, r.Floor)
	return r, err
}

// appendChance appends count messages, one at a time, with payloads from chance.
func appendChance(ctx context.Context, n *node.Node, inFlight, count int, took *histogram) error {
	return times(count, inFlight, func(i int) error {
		body := make([]byte, payloadBytes)
		for i := range body {
			body[i] = byte(rand.Uint32())
		}
		began := time.Now()
		_, err := n.Append(ctx, &edda.Append{Stream: streamName, Messages: []edda.StreamMessage{{ContentType: contentType, Payload: body}}})
		took.add(i, time.Since(began))
		return err
	})
}

// dirBytes is the size of all files in a directory, without their names.
func dirBytes(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the store has removed it meanwhile
		}
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
