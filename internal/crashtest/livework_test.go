package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// What subscribers listen to: a channel with two streams, one of many shards, and a third
// that feeds it now and then.
const (
	room     = "room"
	news     = "news"
	ads      = "ads"
	lastName = "last "
	shards   = 12
)

// said is the payload of a message.
type said struct {
	Name, Pad string
}

// utterance is a message that somebody has sent.
type utterance struct {
	stream  string // none for the channel
	shard   string
	typ     string
	name    string
	id      string // where it is repeated until it is acknowledged
	pad     string
	sent    int64
	acked   bool
	offset  uint64
	located bool // the offset is known
}

// stored is a message that is there.
type stored struct{ name, typ string }

// liveLedger is what was sent and acknowledged.
type liveLedger struct {
	mu     sync.Mutex // guards what follows
	clock  int64
	byName map[string]*utterance
	acked  int
}

func (l *liveLedger) tick() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	return l.clock
}

// send notes messages that are about to be sent.
func (l *liveLedger) send(us []*utterance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	for _, u := range us {
		u.sent = l.clock
		l.byName[u.name] = u
	}
}

// before reports whether a message was sent before a moment.
func (l *liveLedger) before(name string, moment int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byName[name].sent < moment
}

// told is what an acknowledgement says of a message.
type told struct {
	ID, Shard string
	Offset    *uint64
}

// ack notes an acknowledgement.
func (l *liveLedger) ack(us []*utterance, items []told) error {
	if len(us) != len(items) {
		return fmt.Errorf("append of %d messages: %d are acknowledged", len(us), len(items))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, u := range us {
		it := &items[i]
		if u.id != "" && it.ID != u.id || u.stream != "" && (it.Shard != u.shard || it.Offset == nil) {
			return fmt.Errorf("append of %s with id %q to shard %s: acknowledged is %+v", u.name, u.id, u.shard, *it)
		}
		if it.Offset != nil {
			u.offset, u.located = *it.Offset, true
		}
		u.acked = true
		l.acked++
	}
	return nil
}

// compare compares what is there with what was sent: all that was acknowledged is there,
// where it was said to be, and everything is there once at most.
func (l *liveLedger) compare(all map[string][]stored) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := map[string]bool{}
	for at, list := range all {
		for offset, m := range list {
			u := l.byName[m.name]
			switch {
			case there[m.name]:
				return fmt.Errorf("%s, at %s/%d, is there twice", m.name, at, offset)
			case u == nil || at != u.at() || m.typ != u.typ:
				return fmt.Errorf("%s, at %s/%d, was sent as %+v", m.name, at, offset, u)
			case u.located && u.offset != uint64(offset):
				return fmt.Errorf("%s is at %s/%d, and was acknowledged at %d", m.name, at, offset, u.offset)
			}
			there[m.name] = true
		}
	}
	for name, u := range l.byName {
		if u.acked && !there[name] {
			return fmt.Errorf("%s was acknowledged, and is not in %s", name, u.at())
		}
	}
	return nil
}

func (u *utterance) at() string { return u.stream + "/" + u.shard }

func (u *utterance) said() said { return said{Name: u.name, Pad: u.pad} }

// talker makes up messages.
type talker struct {
	*liveKill

	name   string
	rng    *rand.Rand
	serial int
}

// utter makes up messages to one place. With ids they can be repeated.
func (s *talker) utter(n int, ids bool) []*utterance {
	var stream string
	shard := edda.DefaultShard
	switch s.rng.IntN(9) {
	case 0, 1:
	case 2, 3:
		stream = news
	case 4:
		stream = ads
	default:
		stream, shard = orders, fmt.Sprint("s", s.rng.IntN(shards))
	}
	us := make([]*utterance, n)
	for i := range us {
		s.serial++
		us[i] = &utterance{
			stream: stream, shard: shard, name: fmt.Sprintf("%s-%d", s.name, s.serial),
			typ: []string{"note.a", "note.b", "note.b.c", "chat"}[s.rng.IntN(4)],
		}
		if ids {
			us[i].id = us[i].name
		}
		if s.rng.IntN(20) == 0 {
			us[i].pad = strings.Repeat("x", s.rng.IntN(8_000))
		}
	}
	return us
}

// burst makes up so much that whoever waits for credit is not in the node's memory any
// more, which has the latest 1 MiB.
func (s *talker) burst() []*utterance {
	us := s.utter(60, true)
	for _, u := range us {
		u.pad = strings.Repeat("x", 20_000)
	}
	return us
}

// publisher appends over HTTP, or from Go, and repeats what has no answer if it has ids.
type publisher struct {
	talker

	conn edda.StreamBackend // of Go; nil is HTTP
	load *load
}

func (p *publisher) run(ctx context.Context) error {
	for !p.liveKill.load.over.Load() {
		us := p.utter([]int{1, 1, 1, 2, 5, 20}[p.rng.IntN(6)], p.rng.IntN(4) > 0)
		if p.rng.IntN(80) == 0 {
			us = p.burst()
		}
		p.ledger.send(us)
		send := p.post
		if p.conn != nil {
			send = p.append
		}
		if err := send(ctx, us); err != nil {
			return err
		}
		pause(ctx, time.Duration(p.rng.IntN(12))*time.Millisecond)
	}
	return nil
}

// post appends over HTTP.
func (p *publisher) post(ctx context.Context, us []*utterance) error {
	items := make([]map[string]any, len(us))
	for i, u := range us {
		items[i] = map[string]any{"type": u.typ, "data": u.said()}
		if u.id != "" {
			items[i]["id"] = u.id
		}
	}
	h := http.Header{"Content-Type": {"application/vnd.edda.batch+json"}}
	path := "/v1/channels/" + room
	if us[0].stream != "" {
		path = "/v1/streams/" + us[0].stream
		h.Set("Edda-Shard", us[0].shard)
	}
	body := string(edda.JSON(items))
	var a *answer
	var err error
	if us[0].id != "" {
		a, err = p.load.ask(ctx, http.MethodPost, path, body, h)
	} else {
		var at string
		if at, err = p.load.process.wait(ctx); err != nil {
			return err
		}
		a, err = p.load.once(ctx, http.MethodPost, at+path, body, h)
		if err != nil || a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout {
			p.unanswered.Add(1)
			return nil // nobody knows
		}
	}
	if err != nil {
		return err
	}
	var got struct{ Items []told }
	if err := json.Unmarshal(a.body, &got); err != nil || a.status/100 != 2 {
		return fmt.Errorf("append of %s: got %v", us[0].name, a)
	}
	return p.ledger.ack(us, got.Items)
}

// append appends from Go.
func (p *publisher) append(ctx context.Context, us []*utterance) error {
	a := &edda.Append{Stream: us[0].stream, Shard: us[0].shard}
	if a.Stream == "" {
		a.Channel, a.Shard = room, ""
	}
	for _, u := range us {
		a.Messages = append(a.Messages, edda.StreamMessage{ID: u.id, Type: u.typ, ContentType: "application/json", Payload: edda.JSON(u.said())})
	}
	for {
		ack, err := p.conn.Append(ctx, a)
		switch {
		case err == nil:
			items := make([]told, len(ack.Items))
			for i := range ack.Items {
				items[i] = told{ID: ack.Items[i].ID, Shard: ack.Items[i].Shard, Offset: &ack.Items[i].Offset}
			}
			return p.ledger.ack(us, items)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !mayRepeat(string(edda.ReasonOf(err))):
			return fmt.Errorf("append of %s from Go: %w", us[0].name, err)
		case us[0].id == "":
			p.unanswered.Add(1)
			return nil
		}
		pause(ctx, 5*time.Millisecond)
	}
}
