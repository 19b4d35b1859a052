package oneport

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
)

// from is a connection that reads what it is.
type from struct {
	net.Conn
	io.Reader
}

func (f from) Read(b []byte) (int, error) { return f.Reader.Read(b) }

// The filter leaves out one acknowledgement of settings, and nothing else, whatever
// the sizes of the reads; then it is let go of.
func TestAckFilter(t *testing.T) {
	var in, want bytes.Buffer
	in.WriteString(http2.ClientPreface)
	frames := http2.NewFramer(&in, nil)
	write := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	write(frames.WriteSettings())
	write(frames.WriteData(1, false, make([]byte, 2*filterBytes)))
	want.Write(in.Bytes())
	write(frames.WriteSettingsAck())
	for range 2 {
		n := in.Len()
		write(frames.WriteData(1, false, []byte("after")))
		write(frames.WriteSettingsAck())
		want.Write(in.Bytes()[n:])
	}
	for _, size := range []int{1, 7, 100, filterBytes, 4096} {
		c := &replayed{Conn: from{Reader: bytes.NewReader(in.Bytes()[30:])}, first: in.Bytes()[:30]}
		c.acks = newAckFilter(reader(c.unfiltered))
		got, err := io.ReadAll(sized{c, size})
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("reads of %d bytes: got %d bytes, %v; want %d, without the first acknowledgement", size, len(got), err, want.Len())
		}
		if c.acks != nil {
			t.Errorf("reads of %d bytes: the filter is still there", size)
		}
	}
}

// sized reads at most size bytes at a time.
type sized struct {
	io.Reader
	size int
}

func (s sized) Read(b []byte) (int, error) { return s.Reader.Read(b[:min(len(b), s.size)]) }
