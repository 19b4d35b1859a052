package request

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the scenarios' expected output")

// TestScenarios runs the scenario files: paragraphs of commands, a line "----",
// and what the commands bring about. A command is one record (see scenario.op),
// or one of
//
//	show [KEY]     prints every request, or what holds of a key
//	letters        prints the dead letters in order
//	outbox         prints what is on its way
//	rows [KINDS]   prints the keys of the table, those of the given kinds
//	checkpoint     writes what changed to the table
//	reload         checkpoint, then everything is read from the table
//	crash          everything is read from the last checkpoint, the log replayed
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scenario files: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &scenario{t: t, w: newWorld(t), seqs: map[string]uint64{}, time: 1}
			after := s.run(string(before))
			if *rewrite {
				if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if after != string(before) {
				t.Errorf("%s gives\n%s\nwant\n%s", file, diffFrom(after, string(before)), diffFrom(string(before), after))
			}
		})
	}
}

// diffFrom returns the lines of a from the paragraph in which it first differs
// from b.
func diffFrom(a, b string) string {
	as, bs := strings.Split(a, "\n\n"), strings.Split(b, "\n\n")
	for i := range as {
		if i >= len(bs) || as[i] != bs[i] {
			return as[i]
		}
	}
	return "(nothing more)"
}

type scenario struct {
	t    *testing.T
	w    *world
	time int64
	seqs map[string]uint64 // of the requests by name; the last one of each
}

// run runs a file and returns it with the output that there really is.
func (s *scenario) run(file string) string {
	var out strings.Builder
	for i, par := range strings.Split(strings.TrimRight(file, "\n"), "\n\n") {
		if i > 0 {
			out.WriteByte('\n')
		}
		commands, _, isTest := strings.Cut(par, "\n----")
		out.WriteString(commands + "\n")
		if !isTest {
			continue // a comment
		}
		out.WriteString("----\n")
		for line := range strings.Lines(commands) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			out.WriteString(s.do(strings.Fields(line)))
			s.w.check()
		}
	}
	return out.String()
}

func (s *scenario) do(words []string) string {
	w := s.w
	switch words[0] {
	case "checkpoint":
		w.checkpoint()
	case "reload":
		w.checkpoint()
		w.load()
	case "crash":
		w.crash()
	case "show":
		return s.show(words[1:])
	case "letters":
		return s.letters()
	case "outbox":
		return s.outbox()
	case "rows":
		return s.rows(strings.Join(words[1:], ""))
	default:
		o := s.op(words[0], words[1:])
		o.time = s.time
		said := w.do(o)
		for name := range strings.FieldsSeq(said) {
			if r := w.req.byID[parseID(name)]; r != nil {
				s.seqs[name] = r.Seq
			}
		}
		return said
	}
	return ""
}

func parseID(name string) edda.ID {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "r"))
	if err != nil || !strings.HasPrefix(name, "r") {
		return edda.ID{}
	}
	return testID(n)
}

// op reads a command that is a record:
//
//	at TIME                                        the time of the records that follow (an owned record too)
//	own EPOCH
//	accept ID ADDRESS [due= deadline= idem= fp= by= refused= from=PARTITION:NUMBER step=INDEX] [start keep given]
//	dispatch|due|release ID
//	complete ID [reply=TEXT status= fail=REASON set=NAME:VALUE del=NAME send=ID:PARTITION:ADDRESS[:DUE] keep=TIME fence= add=STEP starts=INDEX] [start pending]
//	fail ID [retry=TIME then=stop-key|pause fence=] [uncounted start]
//	end ID REASON [keep=TIME] [start]
//	retry|drop ID [keep=TIME]                      a dead letter
//	resume ADDRESS
//	ack PARTITION NUMBER
//	part ID PAYLOAD number=N [type=T] [fence=F]
//	cancel ID [from=PARTITION:NUMBER]              a step
func (s *scenario) op(cmd string, args []string) op {
	opts := options{t: s.t, words: args}
	o := op{start: opts.flag("start")}
	switch cmd {
	case "at":
		s.time = opts.number(args[0])
		o.rec = &record.Owned{Epoch: s.w.env.Epoch}
	case "own":
		o.rec = &record.Owned{Epoch: uint64(opts.number(args[0])), Node: "n"}
	case "accept":
		o.rec, o.msg = s.accepted(args[0], args[1], testPartition, &opts)
	case "dispatch":
		o.rec = &record.Dispatched{Seq: s.seqs[args[0]]}
	case "due":
		o.rec = &record.Due{Seq: s.seqs[args[0]]}
	case "release":
		o.rec = &record.Released{Seq: s.seqs[args[0]], Fence: s.fence(args[0], &opts)}
	case "complete":
		o.rec = s.completed(args[0], &opts)
	case "fail":
		a := &record.AttemptFailed{
			Seq: s.seqs[args[0]], Fence: s.fence(args[0], &opts), RetryAt: opts.number(opts.value("retry")),
			Uncounted: opts.flag("uncounted"), Failure: record.Failure{Reason: edda.Failed, Message: "boom"},
		}
		switch opts.value("then") {
		case "stop-key":
			a.Then = record.ThenStopKey
		case "pause":
			a.Then = record.ThenPause
		}
		o.rec = a
	case "end":
		o.rec = &record.Ended{
			Seq: s.seqs[args[0]], Failure: record.Failure{Reason: edda.Reason(args[1])}, KeepUntil: opts.number(opts.value("keep")),
		}
	case "retry", "drop":
		o.typ = record.TypeLetterRetried
		if cmd == "drop" {
			o.typ = record.TypeLetterDropped
		}
		o.rec = &record.Letter{ID: parseID(args[0]), KeepUntil: opts.number(opts.value("keep"))}
	case "resume":
		o.rec = &record.KeyResumed{Address: parseAddress(args[0])}
	case "ack":
		o.rec = &record.OutboxAcked{To: uint64(opts.number(args[0])), Number: uint64(opts.number(args[1]))}
	case "part":
		p := &record.Part{
			Seq: s.seqs[args[0]], Fence: s.fence(args[0], &opts), Number: uint64(opts.number(opts.value("number"))), Payload: []byte(args[1]),
		}
		if typ := opts.value("type"); typ != "" {
			p.ContentType = []byte(typ)
		}
		o.rec = p
	case "cancel":
		o.rec = &record.StepCancelled{ID: parseID(args[0]), Origin: opts.origin()}
	default:
		s.t.Fatalf("unknown command %q", cmd)
	}
	return o
}

func parseAddress(s string) edda.Address {
	name, key, _ := strings.Cut(s, "/")
	return edda.Address{Namespace: edda.DefaultNamespace, Name: name, Key: key}
}

func (s *scenario) accepted(id, to string, partition uint64, opts *options) (*record.Accepted, *edda.Message) {
	msg := &edda.Message{
		ID: parseID(id), Type: "m", To: parseAddress(to), IdempotencyKey: opts.value("idem"),
		Principal: edda.Principal(cmp.Or(opts.value("by"), string(edda.Anonymous))),
	}
	if due := opts.value("due"); due != "" {
		msg.Due = time.Unix(0, opts.number(due))
	}
	if deadline := opts.value("deadline"); deadline != "" {
		msg.Deadline = time.Unix(0, opts.number(deadline))
	}
	a := &record.Accepted{
		Hash: home(partition), Kind: edda.Ordered, Keep: opts.flag("keep"), GivenID: opts.flag("given"),
		Refused: record.Failure{Reason: edda.Reason(opts.value("refused"))}, Message: mustEncode(msg),
	}
	if fp := opts.value("fp"); fp != "" {
		a.Fingerprint = []byte(fp)
	}
	if msg.To.Key == "" {
		a.Kind = edda.Balanced
	}
	a.Origin = opts.origin()
	if step := opts.value("step"); step != "" {
		a.Step = testStep(int(opts.number(step)))
	}
	return a, msg
}

// fence is the attempt's that runs, unless the command names one.
func (s *scenario) fence(id string, opts *options) uint64 {
	if f := opts.value("fence"); f != "" {
		epoch, n, ok := strings.Cut(f, ":")
		if !ok {
			return uint64(opts.number(f))
		}
		return uint64(opts.number(epoch))<<32 | uint64(opts.number(n))
	}
	if r := s.w.req.Open(s.seqs[id]); r != nil {
		return r.Fence
	}
	return 0
}

func (s *scenario) completed(id string, opts *options) *record.Completed {
	c := &record.Completed{
		Seq: s.seqs[id], Fence: s.fence(id, opts), KeepUntil: opts.number(opts.value("keep")),
		Failure: record.Failure{Reason: edda.Reason(opts.value("fail"))},
	}
	if c.Failure.Reason == "" {
		c.Reply = encodeReply(&edda.Reply{
			Status: int(opts.number(opts.value("status"))), ContentType: "text/plain", Payload: []byte(opts.value("reply")),
		})
	}
	if opts.flag("pending") {
		c.Pending, c.Reply = true, nil
	}
	for _, do := range opts.values("add") {
		c.Added = append(c.Added, []byte(strings.ReplaceAll(do, "-", " ")))
	}
	for _, i := range opts.values("starts") {
		c.Starts = append(c.Starts, uint32(opts.number(i)))
	}
	for _, set := range opts.values("set") {
		name, value, _ := strings.Cut(set, ":")
		c.Changes = append(c.Changes, record.Change{Name: name, Value: []byte(value)})
	}
	for _, name := range opts.values("del") {
		c.Changes = append(c.Changes, record.Change{Name: name})
	}
	for _, send := range opts.values("send") {
		parts := strings.Split(send, ":")
		var more options
		if len(parts) > 3 {
			more.words = []string{"due=" + parts[3]}
		}
		more.t = s.t
		a, _ := s.accepted(parts[0], parts[2], uint64(opts.number(parts[1])), &more)
		c.Sends = append(c.Sends, *a)
	}
	return c
}

// options are the words of a command.
type options struct {
	t     *testing.T
	words []string
}

func (o *options) flag(name string) bool { return slices.Contains(o.words, name) }

func (o *options) values(name string) (all []string) {
	for _, w := range o.words {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			all = append(all, v)
		}
	}
	return all
}

func (o *options) value(name string) string {
	if all := o.values(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (o *options) origin() record.Origin {
	from, number, ok := strings.Cut(o.value("from"), ":")
	if !ok {
		return record.Origin{}
	}
	return record.Origin{From: uint64(o.number(from)), Number: uint64(o.number(number))}
}

func (o *options) number(s string) int64 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		o.t.Fatal(err)
	}
	return n
}

// show prints requests, those that can be asked for, in order of their names; or
// a key with its queue and state.
func (s *scenario) show(keys []string) string {
	var out strings.Builder
	for _, key := range keys {
		a := parseAddress(key)
		fmt.Fprintf(&out, "%s:", key)
		if k := s.w.req.Key(a); k != nil {
			if k.Stopped {
				out.WriteString(" stopped")
			}
			for r := k.Head(); r != nil; r = k.Next(r) {
				fmt.Fprintf(&out, " %s", idName(r.ID))
			}
		}
		state := s.w.state(a)
		for _, name := range sortedKeys(state) {
			fmt.Fprintf(&out, " %s=%q", name, state[name])
		}
		out.WriteByte('\n')
	}
	if len(keys) > 0 {
		return out.String()
	}
	for n := range 100 {
		r, err := s.w.req.Lookup(testID(n), s.w.env.Time)
		if err != nil {
			s.t.Fatal(err)
		}
		if r != nil {
			out.WriteString(showRequest(s.w.view(r)))
		}
	}
	return out.String()
}

func showRequest(v view) string {
	b := fmt.Appendf(nil, "%s %s", idName(v.ID), v.State)
	num := func(name string, n int64) {
		if n != 0 {
			b = fmt.Appendf(b, " %s %d", name, n)
		}
	}
	num("attempts", int64(v.Attempts))
	if v.Fence != 0 {
		b = fmt.Appendf(b, " fence %s", fenceName(v.Fence))
	}
	num("due", v.Due)
	num("deadline", v.Deadline)
	num("accepted", v.AcceptedAt)
	num("started", v.StartedAt)
	num("ended", v.EndedAt)
	num("until", v.KeepUntil)
	if v.Keep {
		b = append(b, " keep"...)
	}
	if v.Letter {
		b = append(b, " letter"...)
	}
	if v.Failure.Reason != "" {
		b = fmt.Appendf(b, " %s", v.Failure.Reason)
	}
	if v.ReplyStatus != 0 {
		b = fmt.Appendf(b, " reply %d %s %d bytes", v.ReplyStatus, v.ReplyType, v.ReplySize)
	}
	if v.Step != "" {
		b = append(b, " step"...)
	}
	if v.Delivery != "" {
		b = append(b, " delivery"...)
	}
	if v.Parts != "" {
		b = fmt.Appendf(b, " parts %s", v.Parts)
	}
	return string(append(b, '\n'))
}

func (s *scenario) letters() string {
	var out strings.Builder
	for _, id := range s.w.letters(0) {
		fmt.Fprintln(&out, idName(id))
	}
	return out.String()
}

func (s *scenario) outbox() string {
	var out strings.Builder
	for _, to := range s.w.box.Lanes() {
		for _, e := range s.w.box.After(to, 0, 100) {
			fmt.Fprintf(&out, "to %d: %d %s\n", to, e.Number, e.Type)
		}
	}
	return out.String()
}

func (s *scenario) rows(kinds string) string {
	var out strings.Builder
	for p := range s.w.tree.Scan(nil, nil) {
		if kinds == "" || strings.ContainsRune(kinds, rune(p.Key[0])) {
			fmt.Fprintf(&out, "%c%s\n", p.Key[0], strings.Trim(strconv.QuoteToASCII(string(bytes.TrimLeft(p.Key[1:], "\x00"))), `"`))
		}
	}
	return out.String()
}
