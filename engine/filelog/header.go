package filelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/engine"
)

// formatVersion is the version of every file that this release writes.
const formatVersion = 1

// maxPartitions is how many a Partition can tell apart.
const maxPartitions = 1 << 16

// Each file begins with a block: a magic of eight bytes, u32 format version, u32
// length of the block, fields, and a CRC-32C of all that. These four stay where
// they are in every version, so that a file of another version and a damaged
// file can be told apart.
const (
	segmentMagic  = "EDDASEG\n"
	metaMagic     = "EDDALOG\n"
	snapshotMagic = "EDDASNP\n"

	blockPrefix = 16
	maxBlock    = 4 << 20
)

func beginBlock(magic string) []byte {
	b := append(make([]byte, 0, 256), magic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	return binary.LittleEndian.AppendUint32(b, 0)
}

func sealBlock(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)+4))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// readBlock reads and checks the block at the begin of f and returns its fields.
func readBlock(f io.ReaderAt, name, magic string) ([]byte, error) {
	b := make([]byte, blockPrefix)
	if err := readFull(f, b, 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(b[12:])
	if !bytes.HasPrefix(b, []byte(magic)) || n < blockPrefix+4 || n > maxBlock {
		return nil, errBlock
	}
	b = make([]byte, n)
	if err := readFull(f, b, 0); err != nil {
		return nil, err
	}
	fields := b[:n-4]
	if crc32.Checksum(fields, castagnoli) != binary.LittleEndian.Uint32(b[n-4:]) {
		return nil, errBlock
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return nil, &VersionError{File: name, Version: v}
	}
	return fields[blockPrefix:], nil
}

// readFull is io.ReadFull at an offset; a file that is too short is errBlock.
func readFull(f io.ReaderAt, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return errBlock
	default:
		return err
	}
}

// mark is where a partition stands: its owner's epoch and its next position.
type mark struct {
	epoch engine.Epoch
	next  engine.Position
}

// header is the block at the begin of a segment.
type header struct {
	logID  uint64
	number uint64
	base   uint64 // LSN of the first frame, a multiple of frameAlign
	known  uint64 // all before this LSN was durable when the header was written
	nextID uint64 // id of the first frame
	salt   uint32
	data   uint32 // where in the file the frames begin, a multiple of frameAlign
	marks  []mark // where the partitions stood at base
}

// dataStart is where the frames of a segment begin: behind the largest header
// that this many partitions can need, on a block of its own.
func dataStart(partitions int) int64 {
	const fixed, block = 128, 4096
	n := int64(fixed + partitions*2*binary.MaxVarintLen64)
	return (n + block - 1) / block * block
}

func (h *header) encode() []byte {
	b := beginBlock(segmentMagic)
	for _, v := range [...]uint64{h.logID, h.number, h.base, h.known, h.nextID} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	for _, v := range [...]uint32{h.salt, h.data, uint32(len(h.marks))} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, m := range h.marks {
		b = binary.AppendUvarint(b, uint64(m.epoch))
		b = binary.AppendUvarint(b, uint64(m.next))
	}
	return sealBlock(b)
}

func readHeader(f io.ReaderAt, name string) (*header, error) {
	b, err := readBlock(f, name, segmentMagic)
	if err != nil {
		return nil, err
	}
	const fixed = 5*8 + 3*4
	if len(b) < fixed {
		return nil, errBlock
	}
	u64 := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	u32 := func(i int) uint32 { return binary.LittleEndian.Uint32(b[5*8+4*i:]) }
	h := &header{u64(0), u64(1), u64(2), u64(3), u64(4), u32(0), u32(1), nil}
	n := u32(2)
	rest := b[fixed:]
	if n == 0 || n > maxPartitions || h.data < blockPrefix || int64(n) > int64(len(rest)) ||
		h.base%frameAlign != 0 || h.data%frameAlign != 0 {
		return nil, errBlock
	}
	h.marks = make([]mark, n)
	for i := range h.marks {
		epoch, k := binary.Uvarint(rest)
		if k <= 0 {
			return nil, errBlock
		}
		next, l := binary.Uvarint(rest[k:])
		if l <= 0 {
			return nil, errBlock
		}
		h.marks[i] = mark{engine.Epoch(epoch), engine.Position(next)}
		rest = rest[k+l:]
	}
	return h, nil
}

// meta is the file that says what the directory as a whole is. It is replaced
// whenever the first segment changes, so that segments which were trimmed and
// segments which were lost can be told apart.
type meta struct {
	logID       uint64
	first       uint64 // number of the first segment that belongs to the log
	partitions  uint32
	hashVersion uint32
}

func (m *meta) encode() []byte {
	b := beginBlock(metaMagic)
	b = binary.LittleEndian.AppendUint64(b, m.logID)
	b = binary.LittleEndian.AppendUint64(b, m.first)
	b = binary.LittleEndian.AppendUint32(b, m.partitions)
	b = binary.LittleEndian.AppendUint32(b, m.hashVersion)
	return sealBlock(b)
}

func readMeta(fs vfs.FS, dir string) (*meta, error) {
	f, err := fs.Open(fs.PathJoin(dir, metaName))
	if err != nil {
		return nil, err
	}
	defer closeQuietly(f)
	b, err := readBlock(f, metaName, metaMagic)
	if err == nil && len(b) != 24 {
		err = errBlock
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", metaName, err)
	}
	return &meta{
		logID:       binary.LittleEndian.Uint64(b),
		first:       binary.LittleEndian.Uint64(b[8:]),
		partitions:  binary.LittleEndian.Uint32(b[16:]),
		hashVersion: binary.LittleEndian.Uint32(b[20:]),
	}, nil
}
