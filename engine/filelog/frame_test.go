package filelog

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda/engine"
)

func testFrame(lsn uint64, salt uint32) []byte {
	b := beginFrame(nil, 7, 3)
	b = appendBatch(b, &engine.Batch{Partition: 300, Epoch: 2, First: 1000,
		Records: [][]byte{[]byte("one"), []byte("two"), bytes.Repeat([]byte("x"), 200)}})
	b = appendSectionHead(b, 5, 9, 11, 0)
	return sealFrame(b, lsn, salt)
}

func TestFrame(t *testing.T) {
	const lsn, salt, length = 1 << 33, 0xfeedbeef, 234
	b := testFrame(lsn, salt)
	if len(b) != frameAlign || !bytes.Equal(b[length:], make([]byte, frameAlign-length)) {
		t.Fatalf("not filled up with zeros to %d bytes: %x", frameAlign, b)
	}
	if n := frameLength(b, salt); n != length {
		t.Fatalf("length %d, want %d", n, length)
	}
	b = b[:length]
	f, ok := parseFrame(b, lsn)
	if !ok || f.id != 7 || f.known != lsn-3 || f.size != length || f.end() != lsn+frameAlign {
		t.Fatalf("parsed %+v, %v", f, ok)
	}
	s, rest, ok := nextSection(f.body)
	want := engine.Entry{Partition: 300, Epoch: 2, First: 1001, Records: [][]byte{[]byte("two"), bytes.Repeat([]byte("x"), 200)}}
	if !ok {
		t.Fatal("no section")
	}
	if diff := cmp.Diff(want, s.entry(1001)); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
	s, rest, ok = nextSection(rest)
	if !ok || s.count != 0 || s.partition != 5 || s.epoch != 9 || s.first != 11 || len(rest) != 0 {
		t.Errorf("second section %+v, %v, %d bytes left", s, ok, len(rest))
	}
	// A frame is valid in its own place, under its own salt, as a whole.
	if frameLength(b, salt+1) != 0 {
		t.Error("valid under another salt")
	}
	if _, ok := parseFrame(b, lsn+1); ok {
		t.Error("valid in another place")
	}
	if _, ok := parseFrame(b, lsn+1<<32); ok {
		t.Error("valid 4 GiB further")
	}
	if _, ok := parseFrame(b[:len(b)-1], lsn); ok {
		t.Error("valid without its last byte")
	}
}

func TestAlignUp(t *testing.T) {
	for n, want := range map[uint64]uint64{0: 0, 1: 512, 511: 512, 512: 512, 513: 1024, 1 << 40: 1 << 40} {
		if got := alignUp(n); got != want {
			t.Errorf("%d is aligned to %d, want %d", n, got, want)
		}
	}
	// A frame that needs no filling up gets none.
	b := beginFrame(nil, 1, 0)
	b = sealFrame(append(b, make([]byte, frameAlign-len(b))...), 0, 1)
	if len(b) != frameAlign {
		t.Errorf("a frame of %d bytes was filled up to %d", frameAlign, len(b))
	}
}

// TestOverhead guards what a batch of one record costs beside the record: a
// request takes two, and may cost 220 bytes in all.
func TestOverhead(t *testing.T) {
	b := beginFrame(nil, 1<<40, 0)
	b = appendBatch(b, &engine.Batch{Partition: 63, Epoch: 1 << 20, First: 1 << 40, Records: [][]byte{make([]byte, 300)}})
	if n := len(b) - 300; n > 40 {
		t.Errorf("a frame of one record costs %d bytes beside it", n)
	}
}

// TestEncodingAllocates nothing once the buffer has its size.
func TestEncodingAllocates(t *testing.T) {
	batch := &engine.Batch{Partition: 1, Epoch: 1, First: 1, Records: [][]byte{make([]byte, 100)}}
	buf := make([]byte, 0, 1<<10)
	n := testing.AllocsPerRun(100, func() {
		buf = beginFrame(buf, 1, 0)
		buf = appendBatch(buf, batch)
		buf = sealFrame(buf, 0, 1)
	})
	if n != 0 {
		t.Errorf("encoding a frame allocates %v times", n)
	}
}

// FuzzFrames reads a segment that holds what the fuzzer made up, with a valid
// frame somewhere in it.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte("junk"), testFrame(0, 1))
	f.Add(testFrame(0, 1), testFrame(0, 1)[:30])
	f.Add(testFrame(0, 1), []byte{0xef, 0xbe, 0xed, 0xfe})
	f.Add(testFrame(10*frameAlign, 0xfeedbeef), testFrame(12*frameAlign, 0xfeedbeef)[:200])
	f.Fuzz(func(t *testing.T, before, after []byte) {
		const salt, base = 0xfeedbeef, 10 * frameAlign
		frameAt := base + alignUp(uint64(len(before)))
		file := append(make([]byte, 0, 1<<10), before...)
		file = append(file, make([]byte, frameAt-base-uint64(len(before)))...)
		file = append(file, testFrame(frameAt, salt)...)
		file = append(file, after...)
		seg := &segment{base: base, salt: salt, room: int64(len(file))}
		r := new(frameReader)
		r.reset(vfs.NewMemFile(file), seg, base+uint64(len(file)))
		found := false
		for {
			fr, err := r.next()
			if errors.Is(err, errBad) {
				fr, err = r.resync()
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if fr.lsn%frameAlign != 0 {
				t.Fatalf("found a frame at %d", fr.lsn)
			}
			found = found || fr.lsn == frameAt
			checkSections(t, fr)
		}
		if !found {
			t.Error("the valid frame was not found")
		}
	})
}

// FuzzSections decodes made-up bytes: no panic, and nothing beyond them.
func FuzzSections(f *testing.F) {
	fr, _ := parseFrame(testFrame(0+3, 1), 3)
	f.Add(fr.body)
	f.Add([]byte{0, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, body []byte) { checkSections(t, frame{body: body}) })
}

func checkSections(t *testing.T, fr frame) {
	t.Helper()
	for body := fr.body; len(body) > 0; {
		s, rest, ok := nextSection(body)
		if !ok {
			return
		}
		if len(rest) >= len(body) {
			t.Fatal("a section of no bytes")
		}
		e := s.entry(0)
		if len(e.Records) != s.count {
			t.Fatalf("%d records, want %d", len(e.Records), s.count)
		}
		again := appendSectionHead(nil, s.partition, s.epoch, s.first, s.count)
		if s.count > 0 {
			again = appendBatch(nil, &engine.Batch{Partition: e.Partition, Epoch: e.Epoch, First: e.First, Records: e.Records})
		}
		if s2, _, ok := nextSection(again); !ok || !bytes.Equal(s2.data, s.data[:len(s2.data)]) {
			t.Fatal("a section does not survive being written again")
		}
		body = rest
	}
}

// FuzzHeader reads made-up headers.
func FuzzHeader(f *testing.F) {
	h := &header{logID: 1, number: 2, base: 512, known: 512, nextID: 4, salt: 5, data: 4096, marks: []mark{{1, 2}, {3, 400}}}
	f.Add(h.encode(), true)
	f.Add([]byte(segmentMagic), false)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal && len(b) > blockPrefix+4 {
			b = sealBlock(bytes.Clone(b[:len(b)-4]))
		}
		h, err := readHeader(vfs.NewMemFile(b), "x")
		if err != nil {
			_, version := errors.AsType[*VersionError](err)
			if !errors.Is(err, errBlock) && !version {
				t.Fatal(err)
			}
			return
		}
		again, err := readHeader(vfs.NewMemFile(h.encode()), "x")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h, again, cmp.AllowUnexported(header{}, mark{})); diff != "" {
			t.Error(diff)
		}
	})
}
