package filelog

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/edda-io/edda/engine"
)

// A frame is what one flush writes:
//
//	u32 checksum · u32 length · u32 salt · uvarint id · uvarint behind · sections
//
// and a section is what one batch or one change of owner becomes:
//
//	uvarint partition · uvarint epoch · uvarint first · uvarint count ·
//	count × uvarint length · the records
//
// A section without records gives the partition to a new owner. Zeros fill the
// space up to where the next frame begins.
const (
	// frameAlign is what the LSNs of frames are multiples of, so that a frame can be
	// written in whole sectors of a disk, past the system's cache.
	frameAlign = 512
	// frameHead is the size of the fixed part.
	frameHead = 12
	// minFrame is the fixed part and two numbers of one byte.
	minFrame = frameHead + 2
	// groupBytes is where a frame is closed although more is waiting.
	groupBytes = 8 << 20
	// maxFrame bounds a frame that holds a single large batch, whose lengths take
	// at most as much as its records.
	maxFrame = 2*MaxBatchBytes + 1<<20
	// sectionHead bounds the part of a section before its lengths.
	sectionHead = 3 + 3*binary.MaxVarintLen64
)

// MaxBatchBytes is the size that the records of a batch may have together. A
// larger batch is Unavailable.
const MaxBatchBytes = 32 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is a decoded frame. Body aliases the buffer it was read into.
type frame struct {
	lsn   uint64 // where it begins in the whole log
	id    uint64
	known uint64 // all before this LSN was durable when the frame was written
	size  int
	body  []byte // the sections
}

// end is where the next frame begins.
func (f *frame) end() uint64 { return f.lsn + alignUp(uint64(f.size)) }

// alignUp returns the first multiple of frameAlign that is not below n.
func alignUp(n uint64) uint64 { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// checksum covers the frame from its length on, and its place in the log: a
// frame found anywhere else does not match.
func checksum(lsn uint64, b []byte) uint32 {
	return crc32.Update(uint32(lsn)^uint32(lsn>>32), castagnoli, b[4:])
}

// beginFrame starts a frame in b, which it truncates.
func beginFrame(b []byte, id, behind uint64) []byte {
	var head [frameHead]byte
	b = append(b[:0], head[:]...)
	b = binary.AppendUvarint(b, id)
	return binary.AppendUvarint(b, behind)
}

// sealFrame fills in the fixed part, and appends what fills the frame up.
func sealFrame(b []byte, lsn uint64, salt uint32) []byte {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[8:], salt)
	binary.LittleEndian.PutUint32(b, checksum(lsn, b))
	var zeros [frameAlign]byte
	return append(b, zeros[:alignUp(uint64(len(b)))-uint64(len(b))]...)
}

// appendBatch appends the section of a batch. This is the one copy of the
// records on their way to the disk.
func appendBatch(buf []byte, b *engine.Batch) []byte {
	buf = appendSectionHead(buf, b.Partition, b.Epoch, b.First, len(b.Records))
	for _, r := range b.Records {
		buf = binary.AppendUvarint(buf, uint64(len(r)))
	}
	for _, r := range b.Records {
		buf = append(buf, r...)
	}
	return buf
}

func appendSectionHead(buf []byte, p engine.Partition, e engine.Epoch, first engine.Position, n int) []byte {
	buf = binary.AppendUvarint(buf, uint64(p))
	buf = binary.AppendUvarint(buf, uint64(e))
	buf = binary.AppendUvarint(buf, uint64(first))
	return binary.AppendUvarint(buf, uint64(n))
}

// frameLength reads the length of the frame that begins with head, zero when
// that cannot be the begin of a frame of this segment.
func frameLength(head []byte, salt uint32) int {
	if len(head) < frameHead || binary.LittleEndian.Uint32(head[8:]) != salt {
		return 0
	}
	n := binary.LittleEndian.Uint32(head[4:])
	if n < minFrame || n > maxFrame {
		return 0
	}
	return int(n)
}

// parseFrame decodes b, which is one frame as frameLength measured it.
func parseFrame(b []byte, lsn uint64) (frame, bool) {
	if len(b) < minFrame || binary.LittleEndian.Uint32(b) != checksum(lsn, b) {
		return frame{}, false
	}
	rest := b[frameHead:]
	id, n := binary.Uvarint(rest)
	if n <= 0 {
		return frame{}, false
	}
	rest = rest[n:]
	behind, n := binary.Uvarint(rest)
	if n <= 0 || behind > lsn {
		return frame{}, false
	}
	return frame{lsn: lsn, id: id, known: lsn - behind, size: len(b), body: rest[n:]}, true
}

// section is a decoded section. Its slices alias the frame.
type section struct {
	partition engine.Partition
	epoch     engine.Epoch
	first     engine.Position
	count     int // zero: a change of owner
	lengths   []byte
	data      []byte
}

// nextSection decodes the first section of body and returns what follows it.
// It is false when body does not begin with a section.
func nextSection(body []byte) (s section, rest []byte, ok bool) {
	var v [4]uint64
	for i := range v {
		u, n := binary.Uvarint(body)
		if n <= 0 {
			return section{}, nil, false
		}
		v[i], body = u, body[n:]
	}
	if v[0] > maxPartitions-1 || v[3] > uint64(len(body)) {
		return section{}, nil, false
	}
	s = section{engine.Partition(v[0]), engine.Epoch(v[1]), engine.Position(v[2]), int(v[3]), nil, nil}
	at, total := 0, uint64(0)
	for range s.count {
		u, n := binary.Uvarint(body[at:])
		if n <= 0 || u == 0 || u > uint64(len(body)) {
			return section{}, nil, false
		}
		at += n
		total += u
	}
	if total > uint64(len(body)-at) {
		return section{}, nil, false
	}
	s.lengths, s.data = body[:at], body[at:at+int(total)]
	return s, body[at+int(total):], true
}

// entry copies the section's records from position from on.
func (s *section) entry(from engine.Position) engine.Entry {
	skip := 0
	if from > s.first {
		skip = int(from - s.first)
	}
	lengths, cut := s.lengths, 0
	for range skip {
		u, n := binary.Uvarint(lengths)
		lengths = lengths[n:]
		cut += int(u)
	}
	// One copy holds the records of the batch; full slice expressions keep an
	// append to one of them from writing into the next.
	data := append([]byte(nil), s.data[cut:]...)
	records := make([][]byte, s.count-skip)
	for i := range records {
		u, n := binary.Uvarint(lengths)
		lengths = lengths[n:]
		records[i], data = data[:u:u], data[u:]
	}
	return engine.Entry{Partition: s.partition, Epoch: s.epoch, First: s.first + engine.Position(skip), Records: records}
}
