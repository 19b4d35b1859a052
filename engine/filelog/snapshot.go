package filelog

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/engine"
)

const (
	// snapshotHead is the size of a snapshot's block: prefix, partition, position
	// and checksum. The state follows it.
	snapshotHead = blockPrefix + 4 + 8 + 4
	// snapshotTail is the length of the state and its checksum, at the very end.
	snapshotTail = 8 + 4
)

func (l *Log) snapshotPath(p engine.Partition) string {
	return l.fs.PathJoin(l.dir, fmt.Sprintf("%s%d", snapshotPrefix, p))
}

// Snapshot implements engine.Engine. The state is durable in any durability.
func (l *Log) Snapshot(ctx context.Context, p engine.Partition, at engine.Position, src io.WriterTo) error {
	if int(p) >= l.info.Partitions {
		return fmt.Errorf("snapshot of partition %d: %w", p, errUnknownPartition)
	}
	if !l.enter() {
		return fmt.Errorf("snapshot of partition %d: %w", p, engine.ErrClosed)
	}
	defer l.busy.Done()
	path := l.snapshotPath(p)
	temp := fmt.Sprintf("%s.%d%s", path, l.temps.Add(1), tempSuffix)
	err := l.writeSnapshot(ctx, temp, p, at, src)
	if err == nil {
		err = l.fs.Rename(temp, path)
	}
	if err != nil {
		if rerr := l.fs.Remove(temp); !oserror.IsNotExist(rerr) {
			err = errors.Join(err, rerr)
		}
		return fmt.Errorf("snapshot of partition %d: %w", p, err)
	}
	if err := syncDir(l.fs, l.dir); err != nil {
		return fmt.Errorf("snapshot of partition %d: %w", p, err)
	}
	return nil
}

func (l *Log) writeSnapshot(ctx context.Context, path string, p engine.Partition, at engine.Position, src io.WriterTo) error {
	f, err := l.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	head := beginBlock(snapshotMagic)
	head = binary.LittleEndian.AppendUint32(head, uint32(p))
	head = binary.LittleEndian.AppendUint64(head, uint64(at))
	// Not Write, which a vfs.File may answer by changing the source's bytes.
	out := bufio.NewWriterSize(io.NewOffsetWriter(f, 0), 256<<10)
	sum := &summer{ctx: ctx, w: out}
	_, err = out.Write(sealBlock(head))
	if err == nil {
		_, err = src.WriteTo(sum)
	}
	if err == nil {
		// A source that swallowed an error must not pass for a whole state.
		err = sum.err
	}
	if err == nil {
		tail := binary.LittleEndian.AppendUint64(nil, sum.n)
		_, err = out.Write(binary.LittleEndian.AppendUint32(tail, sum.crc))
	}
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// summer counts and sums what passes through it.
type summer struct {
	ctx context.Context
	w   io.Writer
	n   uint64
	crc uint32
	err error
}

func (s *summer) Write(b []byte) (int, error) {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(b)
	s.n += uint64(n)
	s.crc = crc32.Update(s.crc, castagnoli, b[:n])
	s.err = err
	return n, err
}

// Restore implements engine.Engine. The whole state is read and checked before
// the first byte of it is handed out.
func (l *Log) Restore(ctx context.Context, p engine.Partition) (engine.Position, io.ReadCloser, error) {
	if int(p) >= l.info.Partitions {
		return 0, nil, fmt.Errorf("restore partition %d: %w", p, errUnknownPartition)
	}
	if !l.enter() {
		return 0, nil, fmt.Errorf("restore partition %d: %w", p, engine.ErrClosed)
	}
	defer l.busy.Done()
	f, err := l.fs.Open(l.snapshotPath(p))
	if oserror.IsNotExist(err) {
		return 0, nil, fmt.Errorf("restore partition %d: %w", p, engine.ErrNoSnapshot)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("restore partition %d: %w", p, err)
	}
	at, n, err := checkSnapshot(ctx, f, p)
	if err != nil {
		closeQuietly(f)
		return 0, nil, fmt.Errorf("restore partition %d: %w", p, err)
	}
	return at, &state{io.NewSectionReader(f, snapshotHead, n), f}, nil
}

// state is what Restore hands out.
type state struct {
	io.Reader
	io.Closer
}

var errSnapshot = errors.New("snapshot is damaged")

// checkSnapshot reads the file through and returns its position and the length
// of the state.
func checkSnapshot(ctx context.Context, f vfs.File, p engine.Partition) (engine.Position, int64, error) {
	b, err := readBlock(f, fmt.Sprintf("%s%d", snapshotPrefix, p), snapshotMagic)
	if errors.Is(err, errBlock) {
		return 0, 0, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	if err != nil {
		return 0, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	n := info.Size() - snapshotHead - snapshotTail
	if len(b) != 12 || binary.LittleEndian.Uint32(b) != uint32(p) || n < 0 {
		return 0, 0, fmt.Errorf("%w: it is of another partition or too short", errSnapshot)
	}
	sum := &summer{ctx: ctx, w: io.Discard}
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{io.NewSectionReader(f, snapshotHead, n)}, make([]byte, 256<<10)); err != nil {
		return 0, 0, err
	}
	var tail [snapshotTail]byte
	if err := readFull(f, tail[:], snapshotHead+n); err != nil {
		return 0, 0, err
	}
	if binary.LittleEndian.Uint64(tail[:]) != uint64(n) || binary.LittleEndian.Uint32(tail[8:]) != sum.crc {
		return 0, 0, fmt.Errorf("%w: it does not match its checksum", errSnapshot)
	}
	return engine.Position(binary.LittleEndian.Uint64(b[4:])), n, nil
}
