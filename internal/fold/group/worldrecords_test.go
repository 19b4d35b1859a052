package group

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
)

// msg makes a message "key=payload", or "payload" without a key.
func msg(text string) edda.StreamMessage {
	key, payload, found := strings.Cut(text, "=")
	if !found {
		key, payload = "", text
	}
	return edda.StreamMessage{Key: key, Payload: []byte(payload)}
}

func encode(m edda.StreamMessage, n int) []byte {
	e := m.Envelope()
	if e.IdempotencyKey == "" {
		e.ID[0], e.ID[14], e.ID[15] = 1, byte(n>>8), byte(n)
	}
	b, err := e.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// append appends messages to "stream" or "stream/shard".
func (w *world) append(to string, texts ...string) string {
	w.tb.Helper()
	msgs := make([]edda.StreamMessage, len(texts))
	for i, text := range texts {
		msgs[i] = msg(text)
	}
	return w.appendAll(to, nil, msgs...)
}

func (w *world) appendAll(to string, starts []record.GroupStart, msgs ...edda.StreamMessage) string {
	w.tb.Helper()
	return w.apply(appended(to, starts, msgs...).AppendTo(nil))
}

func appended(to string, starts []record.GroupStart, msgs ...edda.StreamMessage) *record.StreamAppended {
	name, shard, _ := strings.Cut(to, "/")
	a := &record.StreamAppended{Namespace: edda.DefaultNamespace, Stream: name, Shard: edda.DefaultShard, Starts: starts}
	if shard != "" {
		a.Shard = shard
	}
	for i, m := range msgs {
		a.Messages = append(a.Messages, encode(m, i))
	}
	return a
}

// set creates the group "stream/group", or changes it.
func (w *world) set(name string, from edda.From) string {
	w.tb.Helper()
	set := record.GroupSet{GroupSpec: spec(name, from)}
	return w.apply(set.AppendTo(nil))
}

func spec(name string, from edda.From) edda.GroupSpec {
	s, g, _ := strings.Cut(name, "/")
	return edda.GroupSpec{Namespace: edda.DefaultNamespace, Stream: s, Name: g, From: from}
}

func changed(name string) record.GroupChanged {
	s, g, _ := strings.Cut(name, "/")
	return record.GroupChanged{Namespace: edda.DefaultNamespace, Stream: s, Group: g}
}

func (w *world) remove(name string) string {
	w.tb.Helper()
	c := changed(name)
	return w.apply(c.AppendTo(nil, record.TypeGroupRemoved))
}

func (w *world) reset(name, shard string, to edda.From) string {
	w.tb.Helper()
	r := record.GroupReset{GroupChanged: changed(name), Shard: shard, To: to}
	return w.apply(r.AppendTo(nil))
}

func (w *world) advanced(name string) string {
	w.tb.Helper()
	c := changed(name)
	return w.apply(c.AppendTo(nil, record.TypeGroupAdvanced))
}

func (w *world) trim(name, shard string, before uint64) string {
	w.tb.Helper()
	t := record.StreamTrimmed{Namespace: edda.DefaultNamespace, Name: name, Shard: shard, Offset: before}
	return w.apply(t.AppendTo(nil))
}

func (w *world) removeStream(name string) string {
	w.tb.Helper()
	r := record.StreamRemoved{Namespace: edda.DefaultNamespace, Name: name}
	return w.apply(r.AppendTo(nil))
}

func (w *world) group(name string) *Group {
	s, g, _ := strings.Cut(name, "/")
	return w.m.Group(edda.DefaultNamespace, s, g)
}

// request returns the open request that tests call by a name, nil when there is none.
func (w *world) request(name string) *request.Request {
	for r := range w.req.All() {
		if w.name(r) == name {
			return r
		}
	}
	return nil
}

// open returns the names of the open requests, in order.
func (w *world) open() string {
	var names []string
	for r := range w.req.All() {
		names = append(names, w.name(r))
	}
	return strings.Join(names, " ")
}

func (w *world) must(name string) *request.Request {
	w.tb.Helper()
	r := w.request(name)
	if r == nil {
		w.tb.Fatalf("no request %s is open, but %s", name, w.open())
	}
	return r
}

// start dispatches a request unless it runs.
func (w *world) start(name string) *request.Request {
	w.tb.Helper()
	r := w.must(name)
	if r.Fence == 0 {
		d := record.Dispatched{Seq: r.Seq}
		if w.apply(d.AppendTo(nil)); r.Fence == 0 {
			w.tb.Fatalf("%s does not start", name)
		}
	}
	return r
}

// ack has a message handled.
func (w *world) ack(names ...string) (said string) {
	w.tb.Helper()
	for _, name := range names {
		r := w.start(name)
		c := record.Completed{Seq: r.Seq, Fence: r.Fence}
		said = w.apply(c.AppendTo(nil))
	}
	return said
}

// die has a message's handler fail for good.
func (w *world) die(name string) string {
	w.tb.Helper()
	r := w.start(name)
	c := record.Completed{Seq: r.Seq, Fence: r.Fence, Failure: record.Failure{Reason: "NO_FUNDS", Message: "none \"left\""}}
	return w.apply(c.AppendTo(nil))
}

func (w *world) letter(id edda.ID, t record.Type) string {
	w.tb.Helper()
	l := record.Letter{ID: id}
	return w.apply(l.AppendTo(nil, t))
}

func (w *world) letters() (all []*request.Request) {
	w.tb.Helper()
	for r, err := range w.req.Letters(0) {
		if err != nil {
			w.tb.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// message reads one message of a stream.
func (w *world) message(to string, offset uint64) *edda.StreamMessage {
	w.tb.Helper()
	name, shard, _ := strings.Cut(to, "/")
	if shard == "" {
		shard = edda.DefaultShard
	}
	s := w.streams.Stream(edda.DefaultNamespace, name)
	if s == nil {
		return nil
	}
	for e, err := range w.streams.Scan(s, s.Shard(shard), offset) {
		if err != nil {
			w.tb.Fatal(err)
		}
		m := &edda.StreamMessage{Shard: shard, Offset: e.Offset}
		if err := m.UnmarshalBinary(e.Message); err != nil {
			w.tb.Fatal(err)
		}
		if e.Offset == offset {
			return m
		}
		break
	}
	return nil
}

func (w *world) expect(got, want string) {
	w.tb.Helper()
	if got != want {
		w.tb.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

// where shows how far a group has come.
func (w *world) where(name string) string { return w.whereIs(w.group(name)) }

func (w *world) whereIs(g *Group) string {
	b, err := json.Marshal(g.Cursor())
	if err != nil {
		w.tb.Fatal(err)
	}
	return fmt.Sprintf("%s lag %d open %d", bytes.ReplaceAll(b, []byte{'"'}, nil), g.Lag(), g.Open())
}
