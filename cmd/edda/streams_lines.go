package main

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
	"github.com/edda-io/edda/internal/eddahttp"
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
	f *appendFlags
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
	m := l.f.message
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

// appendedLines is what became of lines.
type appendedLines struct {
	Lines    int     `json:"lines"`
	Replayed int     `json:"replayed,omitempty"`
	Shard    string  `json:"shard,omitempty"`
	First    *uint64 `json:"firstOffset,omitempty"`
	Last     *uint64 `json:"lastOffset,omitempty"`
	Seconds  float64 `json:"seconds"`
}

// appendLines appends each line of standard input.
func (a *app) appendLines(ctx context.Context, c *eddahttp.Client, stream string, f *appendFlags) error {
	sum, err := a.sendLines(ctx, edda.Append{Stream: stream, Shard: f.shard, Producer: f.producer}, f, c.Append)
	if sum == nil {
		return err
	}
	return a.printLines(sum, "appended", stream, f, err)
}

// sendLines sends each line of standard input to where to says. Nothing was sent when
// there is no sum.
func (a *app) sendLines(ctx context.Context, to edda.Append, f *appendFlags, send sender) (*appendedLines, error) {
	if f.message.ID != "" && len(f.message.ID) > edda.MaxMessageIDBytes-len("-1000000000000") {
		return nil, cli.WrongUse("--id has %d bytes, with --lines at most %d are allowed: the number of the line comes after it",
			len(f.message.ID), edda.MaxMessageIDBytes-len("-1000000000000"))
	}
	to.Messages = []edda.StreamMessage{f.message}
	if err := to.Validate(); err != nil {
		return nil, cli.AsWrongUse(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, ended := make(chan []edda.StreamMessage), make(chan error, 1)
	l := &lineReader{r: bufio.NewReaderSize(a.Stdin, lineBuffer), f: f}
	// It ends with the input, or with the context, or, when it waits for a line, with the
	// process.
	go func() { ended <- l.run(ctx, batches) }()

	begin := time.Now()
	var sum appendedLines
	err := sum.take(ctx, batches, ended, func(b []edda.StreamMessage) (*edda.AppendAck, error) {
		to.Messages = b
		return send.patiently(ctx, &to)
	})
	sum.Seconds = time.Since(begin).Seconds()
	return &sum, err
}

// take appends batches until there are no more.
func (s *appendedLines) take(
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

// sender hands messages to a node.
type sender func(context.Context, *edda.Append) (*edda.AppendAck, error)

// patiently sends, later when the node has too much to do: nothing is stored then. What
// is on its way when the context ends is waited for, so that it is known what has become
// of it.
func (send sender) patiently(ctx context.Context, ap *edda.Append) (*edda.AppendAck, error) {
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

func (s *appendedLines) add(ack *edda.AppendAck) {
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
func (s *appendedLines) lineError(n int, err error) error {
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

// printLines says what became of the lines, also of those before an error.
func (a *app) printLines(s *appendedLines, done, to string, f *appendFlags, err error) error {
	if a.JSON {
		if printed := a.PrintJSON(s); printed != nil {
			return printed
		}
		return err
	}
	text := fmt.Sprintf("%s %s to %s in %s", done, human.Counted(s.Lines-s.Replayed, "message"), human.Plain(to), human.Short(time.Duration(s.Seconds*float64(time.Second))))
	if n := s.Lines - s.Replayed; n > 0 {
		text += fmt.Sprintf(" (%.0f/s)", float64(n)/max(s.Seconds, 1e-6))
	}
	if s.First != nil {
		text += ", at " + offsets(*s.First, *s.Last)
		if s.Shard != edda.DefaultShard {
			text += " of shard " + human.Plain(s.Shard)
		}
	}
	if s.Replayed > 0 {
		text += fmt.Sprintf(", found %d from before", s.Replayed)
	}
	fmt.Fprintln(a.Stdout, text)
	switch {
	case err == nil:
	case f.message.ID != "" || f.producer != "":
		fmt.Fprintln(a.Stderr, "the same command again does the rest, and nothing twice")
	case edda.ReasonOf(err) == edda.OutcomeUnknown:
		fmt.Fprintf(a.Stderr, "lines from %d on may be there or not: look before going on\n", s.Lines+1)
	case s.Lines > 0:
		fmt.Fprintf(a.Stderr, "to go on, leave out the first %s: tail -n +%d\n", human.Counted(s.Lines, "line"), s.Lines+1)
	}
	return err
}
