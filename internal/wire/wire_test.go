package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

func TestFieldsReadBack(t *testing.T) {
	var b []byte
	b = AppendUint(b, 1, math.MaxUint64)
	b = AppendUint(b, 2, 0) // left out
	b = AppendInt(b, 3, -1)
	b = AppendFixed(b, 4, 7)
	b = AppendFixed(b, 5, 0)
	b = AppendBytes(b, 6, nil)
	b = AppendBytes(b, 7, []byte{})
	b = AppendString(b, 8, "")
	b = AppendString(b, 9, "text")
	b = append(AppendLen(b, math.MaxInt32, 2), "ab"...)
	type field struct {
		num   int
		kind  Kind
		u     uint64
		bytes string
	}
	want := []field{
		{1, Varint, math.MaxUint64, ""}, {3, Varint, 1, ""}, {4, Fixed, 7, ""}, {7, Bytes, 0, ""}, {9, Bytes, 0, "text"},
		{math.MaxInt32, Bytes, 0, "ab"},
	}
	r := NewReader(b)
	var f Field
	var raw []byte
	for _, w := range want {
		if !r.Next(&f) || (field{f.Num, f.Kind, f.Uint, string(f.Bytes)}) != w {
			t.Errorf("got %+v, want %+v", f, w)
		}
		if f.Num == 3 && f.Int() != -1 {
			t.Errorf("signed is %d, want -1", f.Int())
		}
		if (f.Bytes != nil) != (f.Kind == Bytes) {
			t.Errorf("field %d has bytes %v", f.Num, f.Bytes)
		}
		raw = append(raw, f.Raw...)
	}
	if r.Next(&f) || r.Err() != nil || !bytes.Equal(raw, b) {
		t.Errorf("end: %+v, %v; raw fields are %x, want %x", f, r.Err(), raw, b)
	}
}

func TestZigzag(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 63, -64, math.MaxInt64, math.MinInt64} {
		if got := Unzigzag(Zigzag(v)); got != v {
			t.Errorf("%d becomes %d", v, got)
		}
	}
	if got := Zigzag(-64); got != 127 {
		t.Errorf("zigzag of -64 is %d, want 127", got)
	}
}

// A slice that is handed out cannot grow into what follows it.
func TestBytesHaveNoRoom(t *testing.T) {
	b := AppendString(AppendString(nil, 1, "a"), 2, "b")
	r := NewReader(b)
	var f Field
	r.Next(&f)
	_ = append(f.Bytes, "XXX"...)
	_ = append(f.Raw, "XXX"...)
	if !r.Next(&f) || string(f.Bytes) != "b" {
		t.Errorf("the second field is %+v", f)
	}
}

func TestMalformed(t *testing.T) {
	for name, b := range map[string][]byte{
		"tag cut off":     {0x80},
		"number 0":        {0x00, 0x00},
		"number too big":  binary.AppendUvarint(nil, (math.MaxInt32+1)<<3),
		"kind 3":          {1<<3 | 3},
		"kind 7":          {1<<3 | 7, 0},
		"varint cut off":  {1 << 3, 0x80},
		"varint too long": append([]byte{1 << 3}, bytes.Repeat([]byte{0xff}, 11)...),
		"fixed cut off":   {1<<3 | 1, 1, 2, 3, 4, 5, 6, 7},
		"length cut off":  {1<<3 | 2, 0x80},
		"bytes cut off":   {1<<3 | 2, 2, 'a'},
		"length too big":  append([]byte{1<<3 | 2}, binary.AppendUvarint(nil, math.MaxUint64)...),
	} {
		r := NewReader(append(AppendUint(nil, 5, 1), b...))
		var f Field
		if !r.Next(&f) || f.Num != 5 {
			t.Errorf("%s: the first field is %+v", name, f)
		}
		if r.Next(&f) || !errors.Is(r.Err(), ErrMalformed) || r.Next(&f) {
			t.Errorf("%s: read as %+v, %v", name, f, r.Err())
		}
	}
}

// Whatever bytes there are, reading does not panic; the raw fields are the
// bytes; and what was read can be written and read again.
func FuzzReader(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendString(AppendFixed(AppendUint(nil, 1, 300), 2, 1), 3, "x"))
	f.Add([]byte{1<<3 | 2, 0x81, 0x00, 'a'}) // a length in more bytes than it needs
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(b)
		var raw, again []byte
		var fs []Field
		for f := (Field{}); r.Next(&f); {
			raw = append(raw, f.Raw...)
			fs = append(fs, f)
			switch f.Kind {
			case Varint:
				again = binary.AppendUvarint(binary.AppendUvarint(again, uint64(f.Num)<<3), f.Uint)
			case Fixed:
				again = binary.LittleEndian.AppendUint64(binary.AppendUvarint(again, uint64(f.Num)<<3|1), f.Uint)
			default:
				again = AppendBytes(again, f.Num, f.Bytes)
			}
		}
		if !bytes.HasPrefix(b, raw) || r.Err() == nil && len(raw) != len(b) {
			t.Fatalf("raw fields are %x of %x, %v", raw, b, r.Err())
		}
		r2 := NewReader(again)
		f := Field{}
		for _, want := range fs {
			if !r2.Next(&f) || f.Num != want.Num || f.Kind != want.Kind || f.Uint != want.Uint || !bytes.Equal(f.Bytes, want.Bytes) {
				t.Fatalf("read again as %+v, want %+v", f, want)
			}
		}
		if r2.Next(&f) || r2.Err() != nil {
			t.Fatalf("after the last field: %+v, %v", f, r2.Err())
		}
	})
}

// A field whose length comes later reads like any other, whatever the length.
func TestNested(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 1 << 14, 1 << 21} {
		content := bytes.Repeat([]byte{7}, n)
		b, outer := Begin(nil, 300)
		b, inner := Begin(b, 1)
		b = append(b, content...)
		End(b, inner)
		b = AppendUint(b, 2, 9)
		End(b, outer)
		r := NewReader(b)
		var f Field
		if !r.Next(&f) || f.Num != 300 || r.Next(new(Field)) {
			t.Fatalf("%d bytes: field %d, %v", n, f.Num, r.Err())
		}
		r = NewReader(f.Bytes)
		if !r.Next(&f) || f.Num != 1 || !bytes.Equal(f.Bytes, content) || !r.Next(&f) || f.Num != 2 || f.Uint != 9 {
			t.Fatalf("%d bytes: field %d, %v", n, f.Num, r.Err())
		}
	}
}

// Wrap makes the field that AppendBytes would have made, and leaves what was before.
func TestWrap(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 20_000} {
		content := bytes.Repeat([]byte("x"), size)
		got := Wrap(append([]byte("before"), content...), 300, len("before"))
		if want := AppendBytes([]byte("before"), 300, content); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d bytes %.20x, want %d %.20x", size, len(got), got, len(want), want)
		}
	}
}
