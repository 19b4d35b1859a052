package enginetest

import (
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/memlog"
)

var seedFlag = flag.Uint64("enginetest.seed", 0, "seed of the random script; 0 draws some and prints them")

// Size of a random run.
const (
	scripts     = 10
	scriptSteps = 120
)

// testSameAsMemlog plays random scripts on the engine under test and on memlog,
// which is simple enough to be believed. The transcripts must be the same.
func testSameAsMemlog(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	seeds := []uint64{*seedFlag}
	if *seedFlag == 0 {
		seeds = nil
		for range scripts {
			seeds = append(seeds, rand.Uint64())
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Logf("repeat with -enginetest.seed=%d", seed)
			want := play(t, track(t, openMemlog(t)), seed)
			got := play(t, track(t, open(t)), seed)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("transcript (-memlog +engine):\n%s", diff)
			}
		})
	}
}

func openMemlog(t *testing.T) Harness {
	t.Helper()
	l, err := memlog.Open(memlog.Options{Partitions: Partitions})
	if err != nil {
		t.Fatal(err)
	}
	return Harness{Engine: l, Durability: edda.Memory, Reopen: func(t *testing.T) engine.Engine {
		t.Helper()
		if l, err = l.Reopen(); err != nil {
			t.Fatal(err)
		}
		return l
	}}
}

// player plays a script and writes down what it sees, but for what engines may do
// differently: the numbers of epochs, which refusal it is, and how much Trim keeps.
type player struct {
	t     *testing.T
	h     Harness
	e     engine.Engine
	rng   *rand.Rand
	lines []string
	parts [scriptPartitions]scriptPart
}

const scriptPartitions = 5

// scriptPart is what the player knows of a partition.
type scriptPart struct {
	epochs []engine.Epoch // all it was given
	owned  bool           // the last of them was given since the log was opened
	next   engine.Position
	since  engine.Position // next when it was owned
	kept   engine.Position // nothing before it is needed
}

func play(t *testing.T, h Harness, seed uint64) []string {
	t.Helper()
	p := &player{t: t, h: h, e: h.Engine, rng: rand.New(rand.NewPCG(seed, 0))}
	for i := range p.parts {
		p.parts[i] = scriptPart{next: 1, kept: 1}
	}
	for range scriptSteps {
		p.step()
	}
	p.e = h.Reopen(t)
	p.logf("reopened at the end")
	p.readAll()
	return p.lines
}

func (p *player) logf(format string, args ...any) {
	p.lines = append(p.lines, fmt.Sprintf(format, args...))
}

func (p *player) step() {
	switch n := p.rng.IntN(100); {
	case n < 45:
		p.append()
	case n < 60:
		p.own()
	case n < 80:
		p.read()
	case n < 86:
		p.trim()
	case n < 90:
		p.snapshot()
	case n < 94:
		p.restore()
	case n < 96:
		p.logf("sync: %s", errName(p.e.Sync(p.t.Context())))
	case n < 98:
		p.e = p.h.Reopen(p.t)
		for i := range p.parts {
			p.parts[i].owned = false
		}
		p.logf("reopen")
	default:
		p.readAll()
	}
}

func (p *player) any() (engine.Partition, *scriptPart) {
	i := p.rng.IntN(scriptPartitions)
	return engine.Partition(i), &p.parts[i]
}

func (p *player) own() {
	var ps []engine.Partition
	for _, i := range p.rng.Perm(scriptPartitions)[:1+p.rng.IntN(scriptPartitions)] {
		ps = append(ps, engine.Partition(i))
	}
	owned, err := p.e.Own(p.t.Context(), ps...)
	p.logf("own %v: %s", ps, errName(err))
	for i, o := range owned {
		part := &p.parts[ps[i]]
		rises := true
		for _, before := range part.epochs {
			rises = rises && o.Epoch > before
		}
		p.logf("  %d: next %d, epoch rises %v", ps[i], o.Next, rises)
		part.epochs = append(part.epochs, o.Epoch)
		part.next, part.since, part.owned = o.Next, o.Next, true
	}
}

// append submits a few batches without waiting, some of them wrong, and waits.
func (p *player) append() {
	var calls []*call
	for range 1 + p.rng.IntN(6) {
		i, part := p.any()
		b := engine.Batch{Partition: i, First: part.next}
		if part.owned { // else whoever owned it last may still append, or not
			n := len(part.epochs)
			b.Epoch = part.epochs[n-1]
			if p.rng.IntN(20) == 0 {
				b.Epoch = part.epochs[p.rng.IntN(n)]
			}
		}
		if p.rng.IntN(20) == 0 {
			b.First = engine.Position(p.rng.IntN(int(part.next) + 2))
		}
		for range 1 + p.rng.IntN(4) {
			size := 1 + p.rng.IntN(30)
			if p.rng.IntN(30) == 0 {
				size = 1 + p.rng.IntN(100_000)
			}
			r := make([]byte, size)
			for j := range r {
				r[j] = byte(p.rng.Uint32())
			}
			b.Records = append(b.Records, r)
		}
		if p.rng.IntN(5) == 0 {
			b.After = p.place()
		}
		part.next += engine.Position(len(b.Records))
		calls = append(calls, submit(p.t, p.e, b, nil))
	}
	for _, c := range calls {
		outcome := "refused"
		if o := c.wait().Outcome; o == engine.Durable || o == engine.Unknown {
			outcome = o.String()
		}
		p.logf("append to %d at %d: %s", c.batch.Partition, c.batch.First, outcome)
	}
}

// place names a record that its owner has appended since it owns the partition, or will.
// Sometimes it takes the place for that of an owner before, whose it is not.
func (p *player) place() []engine.Place {
	i, part := p.any()
	if !part.owned || part.next < part.since {
		return nil
	}
	n := len(part.epochs)
	at := engine.Place{Partition: i, Epoch: part.epochs[n-1], Position: part.since + engine.Position(p.rng.IntN(int(part.next-part.since)+1))}
	if n > 1 && p.rng.IntN(4) == 0 {
		at.Epoch = part.epochs[p.rng.IntN(n-1)]
	}
	return []engine.Place{at}
}

func (p *player) read() {
	var from []engine.Start
	for _, i := range p.rng.Perm(scriptPartitions)[:p.rng.IntN(scriptPartitions+1)] {
		part := &p.parts[i]
		pos := part.kept + engine.Position(p.rng.IntN(max(int(part.next)-int(part.kept), 0)+2))
		from = append(from, engine.Start{Partition: engine.Partition(i), Position: pos})
	}
	limit := p.rng.IntN(40)
	p.logf("read %v", from)
	for e, err := range p.e.Read(p.t.Context(), from...) {
		p.entry(e, err)
		if limit--; limit < 0 {
			break
		}
	}
}

// readAll reads all that is needed, in log order.
func (p *player) readAll() {
	var from []engine.Start
	for i, part := range p.parts {
		from = append(from, engine.Start{Partition: engine.Partition(i), Position: part.kept})
	}
	p.logf("read all %v", from)
	for e, err := range p.e.Read(p.t.Context(), from...) {
		p.entry(e, err)
	}
}

func (p *player) entry(e engine.Entry, err error) {
	if err != nil {
		p.logf("  %s", errName(err))
		return
	}
	sum, size := uint32(0), 0
	for _, r := range e.Records {
		sum = crc32.Update(sum, crc32.IEEETable, r)
		size += len(r)
	}
	owner := 0 // which of the epochs it was
	for i, epoch := range p.parts[e.Partition].epochs {
		if epoch == e.Epoch {
			owner = i + 1
		}
	}
	p.logf("  %d@%d by owner %d: %d records, %d bytes, %08x", e.Partition, e.First, owner, len(e.Records), size, sum)
}

func (p *player) trim() {
	i, part := p.any()
	pos := engine.Position(p.rng.IntN(int(part.next) + 1))
	err := p.e.Trim(p.t.Context(), engine.Start{Partition: i, Position: pos})
	part.kept = max(part.kept, min(pos, part.next))
	p.logf("trim %d before %d: %s", i, pos, errName(err))
	below := engine.Start{Partition: i, Position: 1 + engine.Position(p.rng.IntN(int(part.kept)))}
	n := 0
	for e, err := range p.e.Read(p.t.Context(), below) {
		if errors.Is(err, engine.ErrTrimmed) && below.Position < part.kept {
			return
		} else if err != nil {
			p.logf("  read from %d: %s", below.Position, errName(err))
		} else if want := below.Position + engine.Position(n); e.First != want {
			p.logf("  read from %d: a gap, got %d, want %d", below.Position, e.First, want)
		}
		n += len(e.Records)
	}
}

func (p *player) snapshot() {
	i, _ := p.any()
	pos := engine.Position(p.rng.IntN(1000))
	state := make([]byte, p.rng.IntN(5000))
	for j := range state {
		state[j] = byte(p.rng.Uint32())
	}
	if p.rng.IntN(3) == 0 {
		err := p.e.Snapshot(p.t.Context(), i, pos, failingState{len(state), io.ErrUnexpectedEOF})
		p.logf("snapshot %d at %d, whose source fails: failed %v", i, pos, err != nil)
		return
	}
	err := p.e.Snapshot(p.t.Context(), i, pos, text(state))
	p.logf("snapshot %d at %d: %s", i, pos, errName(err))
}

func (p *player) restore() {
	i, _ := p.any()
	pos, r, err := p.e.Restore(p.t.Context(), i)
	if err != nil {
		p.logf("restore %d: %s", i, errName(err))
		return
	}
	state, err := io.ReadAll(r)
	err = errors.Join(err, r.Close())
	p.logf("restore %d: at %d, %d bytes, %08x, %s", i, pos, len(state), crc32.ChecksumIEEE(state), errName(err))
}

// errName is the part of an error that all engines share.
func errName(err error) string {
	for _, known := range []error{engine.ErrTrimmed, engine.ErrClosed, engine.ErrStopped, engine.ErrNoSnapshot} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if err != nil {
		return "unexpected: " + err.Error()
	}
	return "ok"
}
