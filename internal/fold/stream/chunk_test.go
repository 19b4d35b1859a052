package stream

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/store"
)

// Messages lie in rows of several, and it makes no difference to whoever reads, searches
// or trims.
func TestRowsOfSeveralMessages(t *testing.T) {
	for _, bytes := range []int{1, 100, 200, 500, rowBytes} {
		w := newWorld(t)
		w.m.rowBytes = bytes
		const n, began = 30, 1_800_000_000_000_000_000
		for i := range n {
			w.now = began + int64(i)*1000
			w.put(t, "orders", strings.Repeat("x", i))
			if i == 17 {
				w.checkpoint(t)
			}
		}
		w.checkpoint(t)
		s := w.stream("orders")
		sh := s.Shard(edda.DefaultShard)
		for trimmed := uint64(0); trimmed < n; trimmed += 7 {
			if err := w.m.trimTo(sh, trimmed); err != nil {
				t.Fatal(err)
			}
			w.checkpoint(t)
			v := w.m.View(s, sh)
			for from := range uint64(n) {
				entries, next, err := v.Read(w.tree, from, n, 1<<20)
				first := max(from, trimmed)
				if err != nil || next != n || uint64(len(entries)) != n-first || entries[0].Offset != first || entries[0].Time != began+int64(first)*1000 {
					t.Fatalf("rows of %d bytes, trimmed to %d: from %d on there are %d messages, next is %d, %v", bytes, trimmed, from, len(entries), next, err)
				}
				at, err := v.OffsetAt(w.tree, began+int64(from)*1000-999)
				if err != nil || at != first {
					t.Fatalf("rows of %d bytes, trimmed to %d: message %d was appended first, %v, want %d", bytes, trimmed, at, err, first)
				}
			}
			if trimmed > 0 {
				if rows := w.rows(rowMessage); rows > n-int(trimmed) || bytes == 1 && rows != n-int(trimmed) {
					t.Errorf("rows of %d bytes, trimmed to %d: %d are left", bytes, trimmed, rows)
				}
			}
		}
	}
}

// What is not a row of messages is refused, whatever it claims.
func TestDamagedRowsOfMessages(t *testing.T) {
	row := func(last uint64, count, size uint64, dir ...byte) store.Pair {
		v := binary.AppendUvarint(binary.AppendUvarint(make([]byte, 16), count), size)
		return store.Pair{Key: messageRow(7, 0, last), Value: append(v, dir...)}
	}
	for name, p := range map[string]store.Pair{
		"a short key":                {Key: messageRow(7, 0, 1)[:20], Value: row(1, 1, 2, 0, 0).Value},
		"no numbers":                 {Key: messageRow(7, 0, 1), Value: make([]byte, 16)},
		"no messages":                row(1, 0, 0),
		"more messages than offsets": row(1, 3, 6, 0, 0, 0, 0, 0, 0),
		"more messages than it says": row(1, 1, 4, 0, 0, 0, 0),
		"less than it says":          row(5, 2, 3, 0, 0, 0),
		"a number that never ends":   row(5, 1, 2, 0x80, 0x80),
		"a directory beyond the end": row(5, 1, 9, 0, 0),
		"a message beyond the end":   row(5, 1, 2, 0, 9, 1),
		"more bytes than messages":   row(5, 1, 2, 0, 1, 1, 1),
		"directory that is too much": row(5, 1<<62, 2, 0, 0),
	} {
		c, err := openChunk(p)
		var m stored
		for more := err == nil; more; {
			more, err = c.take(&m)
		}
		if err == nil {
			t.Errorf("%s: read", name)
		}
	}
	c, err := openChunk(row(5, 2, 4, 0, 1, 3, 2, 'a', 'b', 'c'))
	var got []string
	var m stored
	for more := err == nil; more; {
		if more, err = c.take(&m); more {
			got = append(got, fmt.Sprint(m.offset, m.time, m.total, string(m.msg)))
		}
	}
	if want := "[4 0 0a 5 3 1bc]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("read %v, %v, want %s", got, err, want)
	}
}
