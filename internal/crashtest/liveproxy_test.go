package crashtest

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// badNetwork stands between clients and a process. It breaks connections: it resets
// them, also in the middle of a frame, swallows what is sent in one direction or both and says
// nothing of it for a while, or lets the process's bytes through in drops.
type badNetwork struct {
	target string
	ln     *net.TCPListener
	seed   uint64
	calm   atomic.Bool // nothing more is broken
	stop   chan struct{}
	wg     sync.WaitGroup

	conns, resets, cuts, deaf, slow atomic.Int64
}

// startBadNetwork begins to listen, until the test is over.
func startBadNetwork(t *testing.T, seed uint64, target string) *badNetwork {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	b := &badNetwork{target: target, ln: ln, seed: seed, stop: make(chan struct{})}
	b.wg.Go(b.serve)
	t.Cleanup(b.end)
	return b
}

func (b *badNetwork) end() {
	close(b.stop)
	_ = b.ln.Close()
	b.wg.Wait()
}

func (b *badNetwork) serve() {
	for {
		c, err := b.ln.AcceptTCP()
		if err != nil {
			return
		}
		r := newRand(b.seed, uint64(1_000_000+b.conns.Add(1)))
		b.wg.Go(func() { b.connect(c, r) })
	}
}

// dial connects to the process by way of the network.
func (b *badNetwork) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", b.ln.Addr().String())
}

// fate is what becomes of a connection.
type fate struct {
	up, down direction
	// after is when it gets bad, for good; never when zero.
	after time.Duration
	// dead is how long it is deaf before it is reset.
	dead time.Duration
	// once has it end when something is cut, or one side has gone.
	once sync.Once
	over chan struct{}
}

// direction is what becomes of what is sent one way.
type direction struct {
	cut    int // bytes that are let through, all when zero
	deaf   bool
	drops  bool // it is slow
	silent atomic.Bool
}

func (f *fate) finish() { f.once.Do(func() { close(f.over) }) }

// choose makes up a fate.
func (b *badNetwork) choose(r *rand.Rand) *fate {
	f := &fate{over: make(chan struct{})}
	if b.calm.Load() {
		return f
	}
	soon := time.Duration(10+r.IntN(350)) * time.Millisecond
	switch r.IntN(7) {
	case 0: // as long as the process lives
	case 1:
		b.resets.Add(1)
		f.after = soon
	case 2:
		b.cuts.Add(1)
		f.down.cut = 200 + r.IntN(60_000)
	case 3:
		b.cuts.Add(1)
		f.up.cut = 200 + r.IntN(5_000)
	case 4, 5:
		b.deaf.Add(1)
		way := r.IntN(3)
		f.up.deaf, f.down.deaf = way != 0, way != 1
		f.after, f.dead = soon, time.Duration(50+r.IntN(1200))*time.Millisecond
	case 6:
		b.slow.Add(1)
		f.down.drops, f.after = true, 3*soon
	}
	return f
}

// connect connects a client with the process until fate has it otherwise. In the end both
// are reset.
func (b *badNetwork) connect(c *net.TCPConn, r *rand.Rand) {
	f := b.choose(r)
	defer reset(c)
	up, err := net.Dial("tcp", b.target)
	if err != nil {
		return
	}
	node := up.(*net.TCPConn)
	if f.down.drops { // little fits between, so that the process notices
		_ = node.SetReadBuffer(4 << 10)
		_ = c.SetWriteBuffer(4 << 10)
	}
	var pipes sync.WaitGroup
	pipes.Go(func() { f.pipe(node, c, &f.up) })
	pipes.Go(func() { f.pipe(c, node, &f.down) })
	var bad <-chan time.Time
	if f.after > 0 {
		t := time.NewTimer(f.after)
		defer t.Stop()
		bad = t.C
	}
	select {
	case <-f.over:
	case <-b.stop:
	case <-bad:
		f.up.silent.Store(f.up.deaf)
		f.down.silent.Store(f.down.deaf)
		if f.dead > 0 {
			b.wait(f.dead)
		}
	}
	reset(c)
	reset(node)
	pipes.Wait()
}

// wait waits, also when one side goes meanwhile: the other is not to know.
func (b *badNetwork) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.stop:
	}
}

// pipe copies what is sent one way.
func (f *fate) pipe(to, from *net.TCPConn, way *direction) {
	defer f.finish()
	size := 8 << 10
	if way.drops {
		size = 600
	}
	buf := make([]byte, size)
	for sent := 0; ; {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if way.cut > 0 && sent+n >= way.cut {
			n = way.cut - sent
			err = net.ErrClosed
		}
		if !way.silent.Load() {
			if _, e := to.Write(buf[:n]); e != nil {
				return
			}
		}
		if sent += n; err != nil {
			return
		}
		if way.drops {
			pause(context.Background(), 3*time.Millisecond)
		}
	}
}

// reset breaks a connection off.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
