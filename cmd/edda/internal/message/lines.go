package message

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
)

// What one append of lines has at most. Its bytes are those of the payloads, which as
// JSON are at most six times as many, below what a node takes; a line that is larger goes
// alone, as it is.
const (
	batchLines = 1000
	batchBytes = 512 << 10
	// messageCost is what a message takes beside its payload and what the flags say.
	messageCost = 128
)

// lineBuffer is how much of the input is read ahead.
const lineBuffer = 1 << 20

// lineReader makes batches of messages of lines. It is used by one goroutine.
type lineReader struct {
	r *bufio.Reader
	// like is what every message is like, but for its payload.
	like edda.StreamMessage
	// read is how many lines were read; held is the last of them when it did not fit into
	// its batch.
	read int
	held *edda.StreamMessage
}

// run hands over one batch after the other, until the input ends, which is io.EOF, or the
// context.
func (l *lineReader) run(ctx context.Context, to chan<- []edda.StreamMessage) error {
	for {
		b, err := l.batch()
		if len(b) > 0 {
			select {
			case to <- b:
			case <-ctx.Done():
				return errInterrupted
			}
		}
		if err != nil {
			return err
		}
	}
}

// batch returns the next lines: as many as there are without waiting for more, and at
// least one, so that lines that come slowly go at once and others together.
func (l *lineReader) batch() (b []edda.StreamMessage, err error) {
	bytes := 0
	for {
		m := l.held
		if l.held = nil; m == nil {
			if m, err = l.next(); err != nil {
				return b, err
			}
		}
		bytes += l.cost(m)
		if len(b) > 0 && bytes > batchBytes {
			l.held = m
			return b, nil
		}
		if b = append(b, *m); len(b) == batchLines || !l.waits() {
			return b, nil
		}
	}
}

// cost is about what a message takes, before its payload is written as JSON.
func (l *lineReader) cost(m *edda.StreamMessage) int {
	n := messageCost + len(m.Payload) + len(m.ID) + len(m.Type) + len(m.Key) + len(m.ContentType)
	for _, h := range m.Headers {
		n += len(h.Name) + len(h.Value)
	}
	return n
}

// waits reports whether there is another whole line already.
func (l *lineReader) waits() bool {
	ahead, _ := l.r.Peek(l.r.Buffered()) // no more than there is
	return bytes.IndexByte(ahead, '\n') >= 0
}

// next returns the message of the next line.
func (l *lineReader) next() (*edda.StreamMessage, error) {
	line, err := l.line()
	if err != nil {
		return nil, err
	}
	l.read++
	m := l.like
	m.Payload = line
	m.ContentType = cmp.Or(m.ContentType, cli.GuessType(line))
	if m.ID != "" {
		m.ID = fmt.Sprintf("%s-%d", m.ID, l.read)
	}
	if m.Number != 0 {
		m.Number += uint64(l.read - 1)
	}
	return &m, nil
}

// line returns the next line without its end.
func (l *lineReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := l.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > edda.MaxAppendBytes+len("\r\n"):
			return nil, fmt.Errorf("line %d has more than %d bytes, which are the most that a message may have", l.read+1, edda.MaxAppendBytes)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && err != io.EOF:
			return nil, fmt.Errorf("read standard input: %w", err)
		case err == io.EOF && len(line) == 0:
			return nil, io.EOF
		}
		return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
	}
}

// sentLines is what became of lines.
type sentLines struct {
	Lines    int     `json:"lines"`
	Replayed int     `json:"replayed,omitempty"`
	Shard    string  `json:"shard,omitempty"`
	First    *uint64 `json:"firstOffset,omitempty"`
	Last     *uint64 `json:"lastOffset,omitempty"`
	Seconds  float64 `json:"seconds"`
}

// SendLines sends each line of standard input to where to says, and says what became of
// them.
func (f *Flags) SendLines(ctx context.Context, in *cli.Invocation, to edda.Append, send Sender) error {
	like, err := f.One(in, nil)
	if err != nil {
		return err
	}
	if most := edda.MaxMessageIDBytes - len("-1000000000000"); len(like.ID) > most {
		return cli.WrongUse("--id has %d bytes, with --lines at most %d are allowed: the number of the line comes after it", len(like.ID), most)
	}
	to.Messages = []edda.StreamMessage{like}
	if err := to.Validate(); err != nil {
		return cli.AsWrongUse(err)
	}
	sum, err := sendAll(ctx, in.Stdin, to, send)
	again := like.ID != "" || to.Producer != ""
	return sum.print(in, f.verb.done(), cmp.Or(to.Stream, to.Channel), again, err)
}

// sendAll sends each line that it reads, as a message like the one that to has.
func sendAll(ctx context.Context, from io.Reader, to edda.Append, send Sender) (*sentLines, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, ended := make(chan []edda.StreamMessage), make(chan error, 1)
	l := &lineReader{r: bufio.NewReaderSize(from, lineBuffer), like: to.Messages[0]}
	// It ends with the input, or with the context, or, when it waits for a line, with the
	// process.
	go func() { ended <- l.run(ctx, batches) }()

	begin := time.Now()
	var sum sentLines
	err := sum.take(ctx, batches, ended, func(b []edda.StreamMessage) (*edda.AppendAck, error) {
		to.Messages = b
		return send.patiently(ctx, &to)
	})
	sum.Seconds = time.Since(begin).Seconds()
	return &sum, err
}

// take appends batches until there are no more.
func (s *sentLines) take(
	ctx context.Context, batches <-chan []edda.StreamMessage, ended <-chan error, do func([]edda.StreamMessage) (*edda.AppendAck, error),
) error {
	for {
		select {
		case b := <-batches:
			if ctx.Err() != nil {
				return errInterrupted
			}
			ack, err := do(b)
			if err != nil {
				return s.lineError(len(b), err)
			}
			s.add(ack)
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-ctx.Done():
			return errInterrupted
		}
	}
}

// errInterrupted: somebody wants no more lines appended.
var errInterrupted = errors.New("interrupted")

// Sender hands messages to a node.
type Sender func(context.Context, *edda.Append) (*edda.AppendAck, error)

// patiently sends, later when the node has too much to do: nothing is stored then. What
// is on its way when the context ends is waited for, so that it is known what has become
// of it.
func (send Sender) patiently(ctx context.Context, ap *edda.Append) (*edda.AppendAck, error) {
	for {
		ack, err := send(context.WithoutCancel(ctx), ap)
		e, ok := errors.AsType[*edda.Error](err)
		if !ok || e.Reason != edda.Overloaded {
			return ack, err
		}
		select {
		case <-time.After(max(e.RetryAfter, 100*time.Millisecond)):
		case <-ctx.Done():
			return nil, errInterrupted
		}
	}
}

func (s *sentLines) add(ack *edda.AppendAck) {
	s.Lines += len(ack.Items)
	for i := range ack.Items {
		at := &ack.Items[i]
		if at.Replayed {
			s.Replayed++
			continue
		}
		if at.Shard == "" {
			continue // of a channel, whose offsets nobody counts
		}
		s.Shard, s.Last = at.Shard, &at.Offset
		if s.First == nil {
			s.First = &at.Offset
		}
	}
}

// lineError says which lines an error is about: the one that it names, if it does, else
// all n that were to be appended together.
func (s *sentLines) lineError(n int, err error) error {
	if e, ok := errors.AsType[*edda.Error](err); ok && e.Err != nil {
		rest, named := strings.CutPrefix(e.Err.Error(), "messages[")
		index, why, whole := strings.Cut(rest, "]: ")
		if i, bad := strconv.Atoi(index); named && whole && bad == nil {
			return fmt.Errorf("line %d: %w", s.Lines+i+1, &edda.Error{Op: e.Op, Reason: e.Reason, Err: errors.New(why)})
		}
	}
	if n == 1 {
		return fmt.Errorf("line %d: %w", s.Lines+1, err)
	}
	return fmt.Errorf("lines %d to %d: %w", s.Lines+1, s.Lines+n, err)
}

// print says what became of the lines, also of those before an error. Again says that the
// same command sends none of them twice.
func (s *sentLines) print(in *cli.Invocation, done, to string, again bool, err error) error {
	if in.JSON {
		if printed := in.PrintJSON(s); printed != nil {
			return printed
		}
		return err
	}
	text := fmt.Sprintf("%s %s to %s in %s", done, human.Counted(s.Lines-s.Replayed, "message"), human.Plain(to), human.Short(time.Duration(s.Seconds*float64(time.Second))))
	if n := s.Lines - s.Replayed; n > 0 {
		text += fmt.Sprintf(" (%.0f/s)", float64(n)/max(s.Seconds, 1e-6))
	}
	if s.First != nil {
		text += ", at " + Offsets(*s.First, *s.Last)
		if s.Shard != edda.DefaultShard {
			text += " of shard " + human.Plain(s.Shard)
		}
	}
	if s.Replayed > 0 {
		text += fmt.Sprintf(", found %d from before", s.Replayed)
	}
	fmt.Fprintln(in.Stdout, text)
	switch {
	case err == nil:
	case again:
		fmt.Fprintln(in.Stderr, "the same command again does the rest, and nothing twice")
	case edda.ReasonOf(err) == edda.OutcomeUnknown:
		fmt.Fprintf(in.Stderr, "lines from %d on may be there or not: look before going on\n", s.Lines+1)
	case s.Lines > 0:
		fmt.Fprintf(in.Stderr, "to go on, leave out the first %s: tail -n +%d\n", human.Counted(s.Lines, "line"), s.Lines+1)
	}
	return err
}

// Offsets writes a range of offsets.
func Offsets(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("offset %d", first)
	}
	return fmt.Sprintf("offsets %d to %d", first, last)
}
