package bench

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// wideSteps is how many steps the saga of saga-wide has, fewer when rows are to be
// brief.
const wideSteps = 10_000

// measureSagaWide measures how long one saga of many steps takes, as many side by
// side as the row has in flight. Its floor is what each of the first tenth of its
// steps took, its ratio that of each of the last tenth by that.
func measureSagaWide(ctx context.Context, e *env, s *spec) (r Result, err error) {
	steps := min(wideSteps, e.Completed)
	dir, remove, err := e.subdir()
	if err != nil {
		return r, err
	}
	defer remove()
	var at stepClock
	at.tenth = int64(steps / 10)
	n, err := node.Open(ctx, node.Options{Dir: dir, Durability: e.Durability, Services: []*edda.Service{at.service()}})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stopNode(n)) }()
	cpu, begin := processCPU(), time.Now()
	if err := runSaga(ctx, n, wideSaga(steps, s.inFlight), edda.SagaSucceeded); err != nil {
		return r, err
	}
	took, cpu := time.Since(begin), processCPU()-cpu
	r.Value = took.Seconds()
	r.CPUMicros = float64(cpu.Microseconds()) / float64(steps)
	first, last := at.first.Sub(begin), begin.Add(took).Sub(at.last)
	r.FloorName, r.Floor, r.Compares = "a step of the first tenth, µs", perStep(first, at.tenth), "a step of the last tenth"
	r.Ratio = quotient(perStep(last, at.tenth), r.Floor)
	r.P50Micros, r.P99Micros = float64(took.Microseconds()), float64(took.Microseconds())
	return r, nil
}

func perStep(d time.Duration, steps int64) float64 {
	return quotient(float64(d.Nanoseconds())/1e3, float64(steps))
}

// stepClock notes when the first tenth of the steps was done, and when the last one
// began.
type stepClock struct {
	tenth       int64
	done        atomic.Int64
	first, last time.Time // read once the saga has ended
}

func (c *stepClock) service() *edda.Service {
	s := edda.NewBalanced(stepName)
	result := stepPayload()
	s.HandleAny(func(*edda.Context, *edda.Message) (*edda.Reply, error) {
		switch c.done.Add(1) {
		case c.tenth:
			c.first = time.Now()
		case 9 * c.tenth:
			c.last = time.Now()
		}
		return &edda.Reply{ContentType: "application/json", Payload: result}, nil
	})
	return s
}

// wideSaga has rows of steps, each of which depends on the one above it and on that
// one's neighbour.
func wideSaga(steps, width int) *edda.SagaSpec {
	spec := &edda.SagaSpec{Name: "wide", Start: true, Steps: make([]edda.StepSpec, steps)}
	task := balancedTask(methodName)
	for i := range spec.Steps {
		step := &spec.Steps[i]
		step.ID, step.Task = strconv.Itoa(i), task
		if above := i - width; above >= 0 {
			step.After = []string{strconv.Itoa(above)}
			if width > 1 {
				neighbour := above - above%width + (above+1)%width
				step.After = append(step.After, strconv.Itoa(neighbour))
			}
		}
	}
	return spec
}
