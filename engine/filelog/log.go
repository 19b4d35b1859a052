package filelog

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
)

// Log is the log in one directory. It implements engine.Engine.
type Log struct {
	opts  Options
	fs    vfs.FS
	dir   string
	info  engine.Info
	fsync bool
	found Recovery
	logID uint64
	// direct is nil when frames go through the system's cache.
	direct directSink

	lockFile interface{ Close() error }
	spares   *spares
	workers  sync.WaitGroup // the writer, its herald and the one that prepares segments
	stopErr  atomic.Pointer[error]
	closed   sync.Once
	closeErr error

	inbox inbox
	w     writer // owned by the writer's goroutine

	// known is the LSN below which all is on the disk. In fsync durability it is
	// where the log ends, in os durability where it ended at the last Sync.
	known atomic.Uint64

	busy    sync.WaitGroup // calls that touch files; Close waits for them
	closing atomic.Bool    // set under mu: nothing is added to busy any more

	// Lock order: trimMu, syncMu, mu. Each is taken by itself as well.
	trimMu sync.Mutex // one Trim at a time; held across I/O
	meta   meta       // guarded by trimMu
	syncMu sync.Mutex // one Sync at a time, and none while handles are closed; held across I/O

	mu       sync.Mutex        // guards what follows; held across no I/O
	segments []*segment        // rising, the last one is written to
	unsynced []unsynced        // rising
	end      uint64            // LSN up to which batches were reported Durable
	marks    []mark            // where the partitions stand at end
	needed   []engine.Position // what Trim was told, by partition

	counters counters
	temps    atomic.Uint64 // tells apart the files of snapshots being written
}

// unsynced is a segment with bytes that were not synced, in os durability. It has
// a handle of its own, opened before anything was written: a failed write-back
// is reported once to each handle that was open at the time.
type unsynced struct {
	seg  *segment
	file vfs.File
}

var _ engine.Engine = (*Log)(nil)

// Open opens the log in dir, or creates it there, directory included. It repairs
// what a crash left behind; Recovery tells what that was. Its errors: ErrInUse
// when somebody else has the directory open, *DamageError when durable bytes are
// bad, *VersionError when another release wrote them, the file system's
// otherwise. On error nothing stays open.
func Open(dir string, opts Options) (*Log, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open log %q: %w", dir, err)
	}
	var direct directSink
	// Another file system than the real one may keep its bytes anywhere.
	if opts.Durability == edda.Fsync && opts.FS == vfs.Default {
		direct = openDirect
	}
	return open(dir, opts, direct)
}

// open opens the log. Direct is nil when frames go through the system's cache.
func open(dir string, opts Options, direct directSink) (*Log, error) {
	l := &Log{opts: opts, fs: opts.FS, dir: dir, fsync: opts.Durability == edda.Fsync, direct: direct}
	l.inbox.wake = make(chan struct{}, 1)
	l.w.herald = newHerald()
	l.w.gather.most = opts.Gather
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open log %q: %w", dir, err)
	}
	l.workers.Go(l.spares.run)
	l.workers.Go(l.w.herald.run)
	l.workers.Go(l.write)
	l.spares.wake()
	return l, nil
}

func (l *Log) open() error {
	if err := l.fs.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	if err := syncDir(l.fs, l.fs.PathDir(l.dir)); err != nil {
		return err
	}
	held, err := lock(l.fs, l.dir)
	if err != nil {
		return err
	}
	l.lockFile = held
	if err := l.recover(); err != nil {
		l.release()
		return err
	}
	l.info = engine.Info{Durability: l.opts.Durability, Partitions: len(l.marks)}
	return nil
}

// release closes the files.
func (l *Log) release() {
	if l.spares != nil {
		l.spares.close()
	}
	if l.w.out != nil {
		closeQuietly(l.w.out)
	}
	for _, u := range l.unsynced {
		closeQuietly(u.file)
	}
	closeQuietly(l.lockFile)
}

// Info implements engine.Engine.
func (l *Log) Info() engine.Info { return l.info }

// Recovery says what Open found.
func (l *Log) Recovery() Recovery { return l.found }

// Own implements engine.Engine. When ctx ends while it waits for the disk, the
// partitions change hands all the same.
func (l *Log) Own(ctx context.Context, ps ...engine.Partition) ([]engine.Ownership, error) {
	for _, p := range ps {
		if int(p) >= l.info.Partitions {
			return nil, fmt.Errorf("own partition %d: the log has %d", p, l.info.Partitions)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("own partitions: %w", err)
	}
	o := &ownership{partitions: slices.Clone(ps), done: make(chan struct{})}
	if !l.inbox.put(item{own: o}) {
		return nil, fmt.Errorf("own partitions: %w", engine.ErrClosed)
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("own partitions: %w", ctx.Err())
	}
	if o.err != nil {
		return nil, fmt.Errorf("own partitions: %w", o.err)
	}
	return o.granted, nil
}

// Append implements engine.Engine. A batch that breaks the contract (no records,
// an empty record, more than MaxBatchBytes) is Unavailable, and the epoch is over.
func (l *Log) Append(b *engine.Batch) {
	if !l.inbox.put(item{batch: b}) {
		b.Done(b, engine.Result{Outcome: engine.Unavailable, Err: engine.ErrClosed})
	}
}

// Sync implements engine.Engine. In fsync durability there is nothing to do.
func (l *Log) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if !l.enter() {
		return fmt.Errorf("sync: %w", engine.ErrClosed)
	}
	defer l.busy.Done()
	if l.fsync {
		return nil
	}
	if err := l.syncAll(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// enter keeps Close waiting until busy.Done. It is false when the log was
// closed; then there is nothing to end.
func (l *Log) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing.Load() {
		return false
	}
	l.busy.Add(1)
	return true
}

// syncAll flushes every segment that has unsynced bytes, those that are full and
// the one that is written to.
func (l *Log) syncAll() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if err := l.stopped(); err != nil {
		return err
	}
	l.mu.Lock()
	end, last := l.end, l.segments[len(l.segments)-1].number
	todo := slices.Clone(l.unsynced)
	l.mu.Unlock()
	for _, u := range todo {
		if u.seg.number > last {
			break
		}
		if err := u.file.SyncData(); err != nil {
			return l.stop(fmt.Errorf("sync segment %d: %w", u.seg.number, err))
		}
	}
	l.known.Store(end)
	l.settle(last)
	return nil
}

// settle forgets the unsynced segments before that number. The caller holds
// syncMu.
func (l *Log) settle(number uint64) {
	var done []unsynced
	l.mu.Lock()
	for len(l.unsynced) > 0 && l.unsynced[0].seg.number < number {
		done = append(done, l.unsynced[0])
		l.unsynced = l.unsynced[1:]
	}
	l.mu.Unlock()
	for _, u := range done {
		closeQuietly(u.file)
	}
}

// stop ends the writer for good and returns why; the first reason counts.
func (l *Log) stop(cause error) error {
	err := fmt.Errorf("%w: %w", engine.ErrStopped, cause)
	if l.stopErr.CompareAndSwap(nil, &err) {
		l.opts.Logger.Error("log stopped", "dir", l.dir, "err", cause)
	}
	return *l.stopErr.Load()
}

// stopped is the reason why the writer has stopped, nil while it has not.
func (l *Log) stopped() error {
	if p := l.stopErr.Load(); p != nil {
		return *p
	}
	return nil
}

// Close implements engine.Engine. What was appended before is still written. It
// waits for calls of Sync, Trim and Snapshot; a Read that goes on is ErrClosed.
func (l *Log) Close() error {
	l.closed.Do(func() {
		l.mu.Lock()
		l.closing.Store(true)
		l.mu.Unlock()
		l.inbox.close()
		l.busy.Wait()
		l.spares.close()
		l.workers.Wait()
		var err error
		if !l.fsync && l.stopped() == nil {
			err = l.syncAll()
		}
		l.release()
		if err != nil {
			l.closeErr = fmt.Errorf("close log %q: %w", l.dir, err)
		}
	})
	return l.closeErr
}
