package filelog_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 draws one and prints it")

// newRand returns a source whose seed is printed when the test fails.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed: -seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// model is what a log may and must hold.
type model struct {
	mu     sync.Mutex // guards all of it: Done is called by the writer
	parts  []*modelPart
	serial int
	flying sync.WaitGroup
}

// modelPart is one partition. Every record ever submitted has its own text.
type modelPart struct {
	epoch     engine.Epoch
	next      engine.Position // of the next batch
	lost      bool            // a batch was not durable: own again
	acked     map[engine.Position]string
	synced    map[engine.Position]string // acked, and a Sync came after
	submitted map[string]engine.Position // not known to be refused; the position is the batch's end
	needed    engine.Position            // what Trim was told
}

func newModel(partitions int) *model {
	m := &model{}
	for range partitions {
		m.parts = append(m.parts, &modelPart{next: 1, acked: map[engine.Position]string{},
			synced: map[engine.Position]string{}, submitted: map[string]engine.Position{}, needed: 1})
	}
	return m
}

// clone returns a copy of the promises made so far.
func (m *model) clone() *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &model{}
	for _, p := range m.parts {
		q := *p
		q.acked, q.synced, q.submitted = maps.Clone(p.acked), maps.Clone(p.synced), maps.Clone(p.submitted)
		c.parts = append(c.parts, &q)
	}
	return c
}

// step does something random to the log.
func (m *model) step(ctx context.Context, rng *rand.Rand, l *filelog.Log) error {
	n := engine.Partition(rng.IntN(len(m.parts)))
	p := m.parts[n]
	m.mu.Lock()
	lost := p.lost || p.epoch == 0
	m.mu.Unlock()
	switch k := rng.IntN(100); {
	case lost || k < 2:
		return m.own(ctx, l, n)
	case k < 8:
		m.flying.Wait()
	case k < 14:
		return m.trim(ctx, rng, l, n)
	case k < 18:
		return m.sync(ctx, l)
	default:
		m.append(rng, l, n)
	}
	return nil
}

func (m *model) own(ctx context.Context, l *filelog.Log, n engine.Partition) error {
	o, err := l.Own(ctx, n)
	m.flying.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.parts[n]
	if err != nil {
		p.lost = true
		return err
	}
	for pos := range p.acked {
		if pos >= o[0].Next {
			return fmt.Errorf("partition %d is owned at %d, but position %d was acknowledged", n, o[0].Next, pos)
		}
	}
	if o[0].Epoch <= p.epoch {
		return fmt.Errorf("partition %d is owned at epoch %d after %d", n, o[0].Epoch, p.epoch)
	}
	p.epoch, p.next, p.lost = o[0].Epoch, o[0].Next, false
	return nil
}

func (m *model) append(rng *rand.Rand, l *filelog.Log, n engine.Partition) {
	m.mu.Lock()
	p := m.parts[n]
	b := &engine.Batch{Partition: n, Epoch: p.epoch, First: p.next}
	for range 1 + rng.IntN(4) {
		m.serial++
		text := fmt.Sprintf("%d:%s", m.serial, strings.Repeat("x", rng.IntN(300)))
		b.Records = append(b.Records, []byte(text))
	}
	p.next += engine.Position(len(b.Records))
	for _, r := range b.Records {
		p.submitted[string(r)] = p.next
	}
	m.flying.Add(1)
	m.mu.Unlock()
	b.Done = m.done
	l.Append(b)
}

func (m *model) done(b *engine.Batch, r engine.Result) {
	defer m.flying.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.parts[b.Partition]
	for i, rec := range b.Records {
		switch r.Outcome {
		case engine.Durable:
			p.acked[b.First+engine.Position(i)] = string(rec)
		case engine.Fenced, engine.Unavailable:
			delete(p.submitted, string(rec))
		}
	}
	if r.Outcome != engine.Durable && b.Epoch == p.epoch {
		p.lost = true
	}
}

func (m *model) trim(ctx context.Context, rng *rand.Rand, l *filelog.Log, n engine.Partition) error {
	m.mu.Lock()
	var starts []engine.Start
	for i, p := range m.parts {
		if i == int(n) || rng.IntN(2) == 0 {
			for p.acked[p.needed] != "" && rng.IntN(30) != 0 {
				p.needed++
			}
		}
		starts = append(starts, engine.Start{Partition: engine.Partition(i), Position: p.needed})
	}
	m.mu.Unlock()
	return l.Trim(ctx, starts...)
}

func (m *model) sync(ctx context.Context, l *filelog.Log) error {
	before := m.clone()
	if err := l.Sync(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, p := range m.parts {
		maps.Copy(p.synced, before.parts[i].acked)
	}
	return nil
}

// check compares what the log holds with what it was promised to hold. It
// returns how many records it has.
func (m *model) check(ctx context.Context, l *filelog.Log, os bool) (int, error) {
	starts := make([]engine.Start, len(m.parts))
	next := make([]engine.Position, len(m.parts))
	ends := make([]engine.Position, len(m.parts)) // of the last batch that was begun
	for i, p := range m.parts {
		starts[i] = engine.Start{Partition: engine.Partition(i), Position: p.needed}
		next[i], ends[i] = p.needed, p.needed
	}
	n := 0
	for e, err := range l.Read(ctx, starts...) {
		if err != nil {
			return n, err
		}
		p := m.parts[e.Partition]
		if e.First != next[e.Partition] {
			return n, fmt.Errorf("partition %d continues at %d, not at %d", e.Partition, e.First, next[e.Partition])
		}
		for _, r := range e.Records {
			pos := next[e.Partition]
			if want, ok := p.acked[pos]; ok && want != string(r) && !os {
				return n, fmt.Errorf("partition %d, position %d: %.20q is in place of %.20q", e.Partition, pos, r, want)
			}
			end, ok := p.submitted[string(r)]
			if !ok {
				return n, fmt.Errorf("partition %d, position %d: %.20q was never submitted, or refused", e.Partition, pos, r)
			}
			ends[e.Partition] = end
			next[e.Partition]++
			n++
		}
	}
	for i, p := range m.parts {
		if next[i] != ends[i] {
			return n, fmt.Errorf("partition %d ends at %d within a batch that ends at %d", i, next[i], ends[i])
		}
		promised := p.acked
		if os {
			promised = p.synced
		}
		for pos := range promised {
			if pos >= next[i] {
				return n, fmt.Errorf("partition %d ends before %d, but position %d was acknowledged", i, next[i], pos)
			}
		}
	}
	return n, nil
}

// verify opens the directory twice: what the first opening repaired must hold.
// Between the two it appends, so that remains behind a cut would come up.
func (m *model) verify(ctx context.Context, fs vfs.FS, opts filelog.Options, os bool) error {
	opts.FS = fs
	count := -1
	for range 2 {
		l, err := filelog.Open("data", opts)
		if err != nil {
			return err
		}
		n, err := m.check(ctx, l, os)
		if err == nil && count >= 0 && n != count {
			err = fmt.Errorf("%d records the second time, %d the first", n, count)
		}
		if err == nil {
			err = m.survives(ctx, fs, opts, n)
		}
		if err == nil {
			err = m.extend(ctx, l)
			count = n + len(m.parts)
		}
		if err = errors.Join(err, l.Close()); err != nil {
			return err
		}
		if os {
			// What is there now was synced by Close.
			os = false
			for _, p := range m.parts {
				p.acked = map[engine.Position]string{}
			}
		}
	}
	r, err := filelog.Verify("data", fs)
	if err == nil && len(r.Damage) > 0 {
		err = r.Damage[0]
	}
	return errors.Join(err, checkAligned(fs))
}

// checkAligned checks that every frame can be written in whole sectors.
func checkAligned(fs vfs.FS) error {
	for f, err := range filelog.Scan("data", fs) {
		if err != nil {
			return err
		}
		if f.LSN%512 != 0 || f.Offset%512 != 0 {
			return fmt.Errorf("frame %d is at LSN %d, offset %d", f.ID, f.LSN, f.Offset)
		}
	}
	return nil
}

// survives checks that what was just read would also be there if the power were
// lost now, whatever had been in the system's cache only before it was opened.
func (m *model) survives(ctx context.Context, fs vfs.FS, opts filelog.Options, n int) error {
	mem, ok := fs.(*vfs.MemFS)
	if !ok {
		return nil
	}
	opts.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	l, err := filelog.Open("data", opts)
	if err != nil {
		return fmt.Errorf("after loss of power: %w", err)
	}
	again, err := m.check(ctx, l, true)
	if err == nil && again != n {
		err = fmt.Errorf("%d records were read, %d are left after loss of power", n, again)
	}
	return errors.Join(err, l.Close())
}

// extend appends one record to each partition.
func (m *model) extend(ctx context.Context, l *filelog.Log) error {
	for i, p := range m.parts {
		o, err := l.Own(ctx, engine.Partition(i))
		if err != nil {
			return err
		}
		// In os durability the log may end before what was trimmed.
		p.needed = min(p.needed, o[0].Next)
		text := fmt.Sprintf("extended %d/%d", i, o[0].Next)
		p.submitted[text] = o[0].Next + 1
		r := put(l, engine.Partition(i), o[0].Epoch, o[0].Next, text)
		if r.Outcome != engine.Durable {
			return r.Err
		}
		p.acked[o[0].Next], p.synced[o[0].Next] = text, text
	}
	return nil
}

// tiny are options under which a test comes by every kind of file.
func tiny(d edda.Durability) filelog.Options {
	return filelog.Options{Durability: d, Partitions: 3, MinSegmentBytes: 2 << 10, MaxSegmentBytes: 4 << 10, Gather: -1}
}
