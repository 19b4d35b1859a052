package message

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/clitest"
)

// batches are what a reader makes of its input.
func batches(t *testing.T, r io.Reader, size int, like edda.StreamMessage) [][]edda.StreamMessage {
	t.Helper()
	l := &lineReader{r: bufio.NewReaderSize(r, size), like: like}
	var got [][]edda.StreamMessage
	for {
		b, err := l.batch()
		if len(b) > 0 {
			got = append(got, b)
		}
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Lines that are there go together, within bounds; those that are not are not waited for.
func TestBatchesOfLines(t *testing.T) {
	for _, c := range []struct {
		name  string
		input io.Reader
		want  []int
	}{
		{"what is there", strings.NewReader(clitest.Numbers(10)), []int{10}},
		{"what comes slowly", iotest.OneByteReader(strings.NewReader("1\n2\n3")), []int{1, 1, 1}},
		{"as many as are allowed", strings.NewReader(clitest.Numbers(2001)), []int{1000, 1000, 1}},
		{"as large as is allowed", strings.NewReader(strings.Repeat(strings.Repeat("x", 200<<10)+"\n", 5)), []int{2, 2, 1}},
		{"a large one alone", strings.NewReader("1\n" + strings.Repeat("x", 600<<10) + "\n3\n"), []int{1, 1, 1}},
	} {
		var sizes []int
		n := 0
		for _, b := range batches(t, c.input, 2<<20, edda.StreamMessage{ID: "l"}) {
			sizes = append(sizes, len(b))
			for _, m := range b {
				if n++; m.ID != fmt.Sprintf("l-%d", n) {
					t.Errorf("%s: got the id %s, want l-%d", c.name, m.ID, n)
				}
			}
		}
		if fmt.Sprint(sizes) != fmt.Sprint(c.want) {
			t.Errorf("%s: got batches of %v, want %v", c.name, sizes, c.want)
		}
	}
	l := &lineReader{r: bufio.NewReaderSize(strings.NewReader("1\n"+strings.Repeat("x", edda.MaxAppendBytes+9)), 16)}
	if _, err := l.batch(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.batch(); err == nil || !strings.Contains(err.Error(), "line 2 has more than") {
		t.Errorf("got %v, want line 2 refused", err)
	}
}

func TestPreview(t *testing.T) {
	for _, c := range []struct{ payload, want string }{
		{"hello", "hello"},
		{"\x00\x01", "2 B x/y"},
		{"\xff", "1 B x/y"},
		{strings.Repeat("ä", 3000), strings.Repeat("ä", 2048) + "…"},
		{"x" + strings.Repeat("ä", 3000), "x" + strings.Repeat("ä", 2047) + "…"},
		{strings.Repeat("\xff", 2<<20), "2 MiB x/y"},
		{strings.Repeat("\x80", 2<<20), "2 MiB x/y"},
	} {
		m := edda.StreamMessage{Payload: []byte(c.payload), ContentType: "x/y"}
		if got := Preview(&m); got != c.want {
			t.Errorf("%.20q: got %.40q (%d), want %.40q (%d)", c.payload, got, len(got), c.want, len(c.want))
		}
	}
}
