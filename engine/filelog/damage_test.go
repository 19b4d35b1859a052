package filelog_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

// written is a log at rest and what is known of it.
type written struct {
	fs     *vfs.MemFS
	frames []filelog.Frame
	texts  []string
	known  uint64 // below this LSN everything is proven durable
}

// write makes a log of several segments as a crash leaves it: without the mark
// that Close writes.
func write(t *testing.T, records int) written {
	t.Helper()
	mem := newCrashable(t)
	opts := tiny(edda.Fsync)
	opts.FS = mem
	l, err := filelog.Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	o := own(t, l, 0)
	w := written{}
	for i := range records {
		text := fmt.Sprintf("record %d %0*d", i, 150+i*13%200, 0)
		if r := put(l, 0, o.Epoch, o.Next+engine.Position(i), text); r.Outcome != engine.Durable {
			t.Fatal(r.Err)
		}
		w.texts = append(w.texts, text)
	}
	w.fs = mem.CrashClone(vfs.CrashCloneCfg{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for f, err := range filelog.Scan("data", w.fs) {
		if err != nil {
			t.Fatal(err)
		}
		w.frames = append(w.frames, f)
		w.known = max(w.known, f.Known)
	}
	return w
}

// clone returns a copy of the disk.
func (w *written) clone() *vfs.MemFS { return w.fs.CrashClone(vfs.CrashCloneCfg{}) }

// spoil changes bytes of a file of the log.
func spoil(t *testing.T, fs vfs.FS, name string, at int64, change func(b []byte), n int) {
	t.Helper()
	f, err := fs.OpenReadWrite("data/"+name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	change(b)
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte) {
	for i := range b {
		b[i] ^= 0x40
	}
}

func zero(b []byte) { clear(b) }

func segmentFile(n uint64) string { return fmt.Sprintf("%016x.seg", n) }

// TestDamage spoils every frame in turn, at its begin, in its middle, at its end
// and as a whole. Below what is known to be durable that is refused, with the
// exact range; the last frame is cut off as a torn tail.
func TestDamage(t *testing.T) {
	w := write(t, 40)
	if last := w.frames[len(w.frames)-1]; last.Segment < 3 || w.known != last.LSN {
		t.Fatalf("log ends in segment %d at %d, known up to %d", last.Segment, last.LSN, w.known)
	}
	for i, f := range w.frames {
		n := f.Bytes
		for _, r := range [][2]int{{0, 1}, {4, 4}, {8, 4}, {12, 1}, {n / 2, 1}, {n - 1, 1}, {0, n}} {
			for name, change := range map[string]func([]byte){"flip": flip, "zero": zero} {
				if name == "zero" && r[1] == 1 {
					continue // it may be zero already
				}
				fs := w.clone()
				spoil(t, fs, segmentFile(f.Segment), f.Offset+int64(r[0]), change, r[1])
				w.checkSpoilt(t, fs, i, fmt.Sprintf("frame %d, %s of %d bytes at %d", i, name, r[1], r[0]))
			}
		}
	}
}

func (w *written) checkSpoilt(t *testing.T, fs vfs.FS, i int, what string) {
	t.Helper()
	f := w.frames[i]
	report, err := filelog.Verify("data", fs)
	if err != nil {
		t.Fatalf("%s: verify: %v", what, err)
	}
	opts := tiny(edda.Fsync)
	opts.FS = fs
	l, err := filelog.Open("data", opts)
	if f.LSN < w.known {
		d, ok := errors.AsType[*filelog.DamageError](err)
		if !ok {
			t.Fatalf("%s: open: %v, want damage", what, err)
		}
		want := filelog.DamageError{Segment: f.Segment, From: f.Offset, To: f.Offset + aligned(f.Bytes), LSN: f.LSN, Err: d.Err}
		if *d != want {
			t.Fatalf("%s: got %+v, want %+v", what, *d, want)
		}
		if len(report.Damage) != 1 || *report.Damage[0] != (filelog.DamageError{
			Segment: want.Segment, From: want.From, To: want.To, LSN: want.LSN, Err: report.Damage[0].Err}) {
			t.Fatalf("%s: verify reports %+v, want %+v", what, report.Damage, want)
		}
		return
	}
	if err != nil {
		t.Fatalf("%s: open: %v", what, err)
	}
	defer l.Close()
	if got := read(t, l, 0, 1); !slices.Equal(got, w.texts[:len(w.texts)-1]) {
		t.Fatalf("%s: %d records are left of %d", what, len(got), len(w.texts))
	}
	if len(report.Damage) > 0 {
		t.Fatalf("%s: verify reports damage %v", what, report.Damage)
	}
}

// aligned is where a frame that begins at zero and is that long ends.
func aligned(n int) int64 { return int64(n+511) / 512 * 512 }

// TestFillIsNotRead: what fills a frame up counts for nothing.
func TestFillIsNotRead(t *testing.T) {
	w := write(t, 40)
	for _, f := range w.frames {
		if n := int(aligned(f.Bytes)) - f.Bytes; n > 0 {
			spoil(t, w.fs, segmentFile(f.Segment), f.Offset+int64(f.Bytes), flip, n)
		}
	}
	if r, err := filelog.Verify("data", w.fs); err != nil || r.Torn != nil || len(r.Damage) > 0 || r.Records != 40 {
		t.Errorf("verify: %+v, %v", r, err)
	}
	if got := read(t, open(t, w.fs, tiny(edda.Fsync)), 0, 1); !slices.Equal(got, w.texts) {
		t.Errorf("%d records are left of %d", len(got), len(w.texts))
	}
}

func TestTornTailIsReported(t *testing.T) {
	w := write(t, 10)
	last := w.frames[len(w.frames)-1]
	want := filelog.TornTail{Segment: last.Segment, Offset: last.Offset, LSN: last.LSN}
	for at := range last.Bytes { // whichever byte of the frame it is
		fs := w.clone()
		spoil(t, fs, segmentFile(last.Segment), last.Offset+int64(at), flip, 1)
		if r, err := filelog.Verify("data", fs); err != nil || r.Torn == nil || *r.Torn != want {
			t.Errorf("byte %d, verify: got %+v, %v, want %+v", at, r.Torn, err, want)
		}
	}
	spoil(t, w.fs, segmentFile(last.Segment), last.Offset+20, flip, 1)
	l := open(t, w.fs, tiny(edda.Fsync))
	if r := l.Recovery(); r.Torn == nil || *r.Torn != want || r.Records != 9 {
		t.Errorf("recovery: got %+v, want %+v and 9 records", r, want)
	}
}

// TestDamageAtRest spoils the last frame of a log that was closed: the mark that
// Close leaves tells it from a torn tail.
func TestDamageAtRest(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, filelog.Options{Partitions: 1, MinSegmentBytes: 4 << 10})
	o := own(t, l, 0)
	put(l, 0, o.Epoch, 1, "the last record")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var last filelog.Frame
	for f, err := range filelog.Scan("data", mem) {
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Entries) > 0 {
			last = f
		}
	}
	spoil(t, mem, segmentFile(last.Segment), last.Offset+15, flip, 1)
	_, err := filelog.Open("data", filelog.Options{FS: mem})
	if d, ok := errors.AsType[*filelog.DamageError](err); !ok || d.LSN != last.LSN {
		t.Errorf("open: %v, want damage at %d", err, last.LSN)
	}
}

func TestDamagedFiles(t *testing.T) {
	w := write(t, 40)
	first, last := w.frames[0].Segment, w.frames[len(w.frames)-1].Segment
	for n := first; n <= last; n++ {
		for name, ruin := range map[string]func(fs vfs.FS) error{
			"header": func(fs vfs.FS) error { spoil(t, fs, segmentFile(n), 70, flip, 1); return nil },
			"magic":  func(fs vfs.FS) error { spoil(t, fs, segmentFile(n), 0, zero, 8); return nil },
			"gone":   func(fs vfs.FS) error { return fs.Remove("data/" + segmentFile(n)) },
		} {
			fs := w.clone()
			if err := ruin(fs); err != nil {
				t.Fatal(err)
			}
			if n == last && name == "gone" {
				continue // nothing is left that knows of it; docs/durability.md says so
			}
			_, err := filelog.Open("data", filelog.Options{FS: fs})
			d, ok := errors.AsType[*filelog.DamageError](err)
			if !ok || d.Segment != n {
				t.Errorf("segment %d, %s: open: %v, want damage in it", n, name, err)
			}
			if r, err := filelog.Verify("data", fs); err != nil || len(r.Damage) != 1 || r.Damage[0].Segment != n {
				t.Errorf("segment %d, %s: verify: %+v, %v, want damage in it", n, name, r, err)
			}
		}
	}
}

func TestVersions(t *testing.T) {
	w := write(t, 1)
	for _, name := range []string{"meta", segmentFile(1)} {
		fs := w.clone()
		rewriteVersion(t, fs, name, 7)
		_, err := filelog.Open("data", filelog.Options{FS: fs})
		v, ok := errors.AsType[*filelog.VersionError](err)
		if !ok || v.Version != 7 || v.File != name {
			t.Errorf("%s of version 7: open: %v", name, err)
		}
	}
}

// rewriteVersion changes the version of a file's block and corrects its checksum.
func rewriteVersion(t *testing.T, fs vfs.FS, name string, version uint32) {
	t.Helper()
	f, err := fs.Open("data/" + name)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 16)
	_, err = f.ReadAt(head, 0)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, fs, name, 0, func(b []byte) {
		binary.LittleEndian.PutUint32(b[8:], version)
		binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], crc32.MakeTable(crc32.Castagnoli)))
	}, int(binary.LittleEndian.Uint32(head[12:])))
}

func TestRefusals(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, filelog.Options{Partitions: 4})
	if _, err := filelog.Open("data", filelog.Options{FS: mem}); !errors.Is(err, filelog.ErrInUse) {
		t.Errorf("second opener: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, opts := range []filelog.Options{
		{Partitions: 8}, {Partitions: -1}, {Partitions: 1 << 17},
		{Durability: edda.Memory}, {Durability: "paper"},
		{MinSegmentBytes: -1}, {MinSegmentBytes: 100, MaxSegmentBytes: 10},
	} {
		opts.FS = mem
		if _, err := filelog.Open("data", opts); err == nil {
			t.Errorf("open with %+v: got no error", opts)
		} else {
			t.Log(err)
		}
	}
	if got := open(t, mem, filelog.Options{}).Info().Partitions; got != 4 {
		t.Errorf("reopened with %d partitions, want 4", got)
	}
}

// TestMetaGone: without meta the directory is one whose creation was
// interrupted, unless there are frames in it.
func TestMetaGone(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, tiny(edda.Fsync))
	closeAndRemoveMeta := func() {
		if err := errors.Join(l.Close(), mem.Remove("data/meta")); err != nil {
			t.Fatal(err)
		}
	}
	closeAndRemoveMeta()
	l = open(t, mem, tiny(edda.Fsync))
	if !l.Recovery().Created {
		t.Error("the log was not created anew")
	}
	own(t, l, 0)
	closeAndRemoveMeta()
	if l, err := filelog.Open("data", filelog.Options{FS: mem}); err == nil {
		l.Close()
		t.Error("a directory with frames and without meta was opened")
	}
}
