package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/coder/websocket"

	"github.com/edda-io/edda"
)

const (
	callerKeys = 6
	callerRefs = 10
)

// liveCaller calls, appends and publishes over one WebSocket after the other, several
// at a time under few refs. What has no answer when a connection breaks it repeats under its
// idempotency key, or its id, on the next one, and what has none it gives up.
type liveCaller struct {
	talker

	id      int
	counts  map[string]int // acknowledged adds by key
	busy    map[string]bool
	pending map[string]*asked // by ref, on this connection
	again   []*asked          // to be repeated
	sockets int
	ops     int
	lost    int // what has no answer and is not repeated
}

// asked is an operation without its last answer.
type asked struct {
	key   string // of an add
	frame map[string]any
	echo  []byte       // what an echo is to reply
	said  []*utterance // what is appended or published
	keep  bool         // it is repeated
	acked bool         // on this connection
	id    string       // of the request, once it was acknowledged on any
}

// heardBack is a frame that a caller gets.
type heardBack struct {
	told

	Op, Reason, Detail string
	Ref                json.RawMessage
	Status             int
	Data               json.RawMessage
}

func (c *liveCaller) run(ctx context.Context) error {
	c.counts, c.busy = map[string]int{}, map[string]bool{}
	for !c.load.over.Load() || len(c.again) > 0 {
		at, err := c.load.process.wait(ctx)
		if err != nil {
			return fmt.Errorf("%s with %d operations to repeat: %w", c.name, len(c.again), err)
		}
		ws := c.connect(ctx, at)
		if ws == nil {
			continue
		}
		c.sockets++
		c.pending = map[string]*asked{}
		err = c.talk(ctx, ws)
		_ = ws.CloseNow()
		if err != nil {
			return fmt.Errorf("%s on its WebSocket number %d: %w", c.name, c.sockets, err)
		}
		for _, ref := range slices.Sorted(maps.Keys(c.pending)) {
			c.giveBack(c.pending[ref])
		}
	}
	return nil
}

// giveBack is for what has no answer.
func (c *liveCaller) giveBack(o *asked) {
	switch o.acked = false; {
	case o.keep:
		c.again = append(c.again, o)
	default:
		c.lost++
	}
}

// talk asks and listens until the connection breaks, or nothing is to be done.
func (c *liveCaller) talk(ctx context.Context, ws *websocket.Conn) error {
	for {
		for len(c.pending) < callerRefs && (len(c.again) > 0 || !c.load.over.Load()) {
			ref := strconv.Itoa(c.rng.IntN(callerRefs))
			for c.pending[ref] != nil {
				ref = strconv.Itoa(c.rng.IntN(callerRefs))
			}
			o := c.ask()
			o.frame["ref"] = json.RawMessage(ref)
			c.pending[ref] = o
			if c.write(ctx, ws, o.frame) != nil {
				return nil
			}
			if c.rng.IntN(3) == 0 {
				break
			}
		}
		if len(c.pending) == 0 {
			return nil
		}
		var m heardBack
		if ok, err := c.read(ctx, ws, &m); err != nil || !ok {
			return err
		}
		if err := c.answer(&m); err != nil {
			return err
		}
	}
}

// ask makes up an operation, or has one repeated.
func (c *liveCaller) ask() *asked {
	if n := len(c.again); n > 0 {
		i := c.rng.IntN(n)
		o := c.again[i]
		c.again = slices.Delete(c.again, i, i+1)
		return o
	}
	c.ops++
	key := fmt.Sprintf("live%d-%d", c.id, c.rng.IntN(callerKeys))
	switch kind := c.rng.IntN(4); {
	case kind == 0:
		return c.speak(c.rng.IntN(4) > 0)
	case kind == 1 || c.busy[key]:
		echo := edda.JSON(map[string]any{"caller": c.id, "socket": c.sockets, "op": c.ops})
		return &asked{echo: echo, frame: map[string]any{"op": "call", "service": "echo", "method": "x", "data": json.RawMessage(echo)}}
	}
	c.busy[key] = true
	return &asked{key: key, keep: true, frame: map[string]any{
		"op": "call", "service": "counter", "key": key, "method": "add", "data": map[string]int{"n": 1}, "idempotencyKey": fmt.Sprintf("%s-%d", c.name, c.ops),
	}}
}

// speak makes up something to append or to publish.
func (c *liveCaller) speak(ids bool) *asked {
	us := c.utter(1, ids)
	u := us[0]
	c.ledger.send(us)
	f := map[string]any{"op": "publish", "channel": room, "type": u.typ, "data": u.said()}
	if u.stream != "" {
		f = map[string]any{"op": "append", "stream": u.stream, "shard": u.shard, "type": u.typ, "data": u.said()}
	}
	if u.id != "" {
		f["id"] = u.id
	}
	return &asked{said: us, keep: ids, frame: f}
}

// answer takes a frame, which must answer something that was asked on this connection.
func (c *liveCaller) answer(m *heardBack) error {
	ref := string(m.Ref)
	o := c.pending[ref]
	switch {
	case o == nil:
		return fmt.Errorf("got %s %s %s for ref %s, which is not in use", m.Op, m.Reason, m.Data, ref)
	case m.Op == "error" && mayRepeat(m.Reason):
		delete(c.pending, ref)
		c.giveBack(o)
		return nil
	case m.Op == "ack" && o.said != nil:
		delete(c.pending, ref)
		if o.said[0].stream == "" {
			m.Shard, m.Offset = "", nil
		}
		return c.ledger.ack(o.said, []told{m.told})
	case m.Op == "ack" && !o.acked:
		if o.id != "" && o.id != m.ID {
			return fmt.Errorf("call %v was request %s, and is %s", o.frame["idempotencyKey"], o.id, m.ID)
		}
		o.acked, o.id = true, m.ID
		return nil
	case m.Op != "reply" || !o.acked || m.Status != http.StatusOK:
		return fmt.Errorf("got %s %d %s %s to %s, acknowledged: %t", m.Op, m.Status, m.Reason, m.Detail, edda.JSON(o.frame), o.acked)
	}
	delete(c.pending, ref)
	if o.key == "" {
		if !bytes.Equal(m.Data, o.echo) {
			return fmt.Errorf("got the reply %s for ref %s, want %s", m.Data, ref, o.echo)
		}
		return nil
	}
	var got struct{ Value int }
	c.counts[o.key]++
	c.busy[o.key] = false
	if err := json.Unmarshal(m.Data, &got); err != nil || got.Value != c.counts[o.key] {
		return fmt.Errorf("add number %d to %s, %v, replies %s", c.counts[o.key], o.key, o.frame["idempotencyKey"], m.Data)
	}
	return nil
}

// compare reads every counter: each add was done once.
func (c *liveCaller) compare(ctx context.Context) error {
	k := killClient{load: c.load, counts: c.counts}
	lost, doubled, err := k.compare(ctx)
	if err == nil && lost+doubled > 0 {
		err = fmt.Errorf("%s: %d adds are lost, %d are done twice", c.name, lost, doubled)
	}
	return err
}
