package crashtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/pattern"
)

// silence is how long somebody listens to a connection on which nothing comes before it
// tries another.
const silence = time.Second

// silence is much longer once the load is over, when it tells of a slow machine: what the
// network does not let through it soon breaks off.
func (k *liveKill) silence() time.Duration {
	if k.load.over.Load() {
		return 10 * silence
	}
	return silence
}

// hearer subscribes to the channel or to a stream, and subscribes again from where it
// was, or from a point that it was at before, whenever its connection breaks.
type hearer struct {
	*liveKill

	name            string
	rng             *rand.Rand
	channel, stream string
	shard           string // of the stream, whose events are numbered; else all shards
	sse             bool
	patterns        []string
	late            bool // it begins at the end, some time after the others
	credit          int  // for each turn; none is no limit
	lazy            bool // it stops listening now and then

	from    edda.From
	since   int64                 // when a late one had begun, by the ledger's clock
	heard   map[string][]heardOne // by stream and shard
	last    map[string]bool       // the last messages that it has heard
	wants   int                   // how many of these there are
	points  []point
	turns   int
	resumed int
	back    int
}

type heardOne struct {
	offset uint64
	name   string
}

// point is a resume point, with how much had been heard of each shard.
type point struct {
	from  edda.From
	heard map[string]int
}

// spoken is a message as subscribers get it.
type spoken struct {
	Op, Reason, Detail, Stream, Shard, Type string
	Ref                                     json.RawMessage
	Gap                                     bool
	From                                    edda.From
	Offset                                  uint64
	Data                                    said
}

// run listens until it has heard the last message of each shard.
func (h *hearer) run(ctx context.Context) error {
	h.heard, h.last = map[string][]heardOne{}, map[string]bool{}
	listen := h.listen
	switch {
	case h.sse:
		listen = h.follow
	case h.late:
		pause(ctx, time.Duration(100+h.rng.IntN(500))*time.Millisecond)
	}
	for {
		at, err := h.load.process.wait(ctx)
		if err == nil {
			err = listen(ctx, at)
		}
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		switch {
		case err != nil:
			return fmt.Errorf("%s, resumed %d times, with %d of %d last messages: %w", h.name, h.resumed, len(h.last), h.wants, err)
		case len(h.last) == h.wants:
			return nil
		}
		h.goBack()
		h.resumed++
		pause(ctx, time.Duration(1+h.rng.IntN(10))*time.Millisecond)
	}
}

// goBack has it be where it was some time ago, now and then.
func (h *hearer) goBack() {
	if len(h.points) == 0 || h.rng.IntN(4) > 0 || h.calm() {
		return
	}
	i := h.rng.IntN(len(h.points))
	p := h.points[i]
	h.points = h.points[:i+1]
	h.from = p.from
	h.back++
	for at, all := range h.heard {
		h.heard[at] = all[:p.heard[at]]
	}
}

// note remembers the resume point, now and then.
func (h *hearer) note() {
	if h.turns++; h.turns%100 != 0 {
		return
	}
	p := point{h.from, make(map[string]int, len(h.heard))}
	for at, all := range h.heard {
		p.heard[at] = len(all)
	}
	h.points = append(h.points, p)
	if len(h.points) > 5 {
		h.points = slices.Delete(h.points, 0, 1)
	}
}

// take takes a message: the next one of its shard.
func (h *hearer) take(m *spoken) error {
	stream := m.Stream
	if h.stream != "" {
		stream = h.stream
	}
	at := stream + "/" + m.Shard
	before := h.heard[at]
	next, known := uint64(0), !h.late
	if n := len(before); n > 0 {
		next, known = before[n-1].offset+1, true
	}
	if known && m.Offset != next && (len(h.patterns) == 0 && m.Stream != ads || m.Offset < next) {
		return fmt.Errorf("got %s at offset %d of %s, type %s, want offset %d", m.Data.Name, m.Offset, at, m.Type, next)
	}
	h.heard[at] = append(before, heardOne{m.Offset, m.Data.Name})
	h.from = m.From
	h.patience.Load().step() // it goes back no more, once there is one
	if strings.HasPrefix(m.Data.Name, lastName) {
		h.last[at] = true
	}
	h.note()
	return nil
}

// dawdle takes its time, now and then.
func (h *hearer) dawdle(ctx context.Context) {
	switch {
	case !h.lazy || h.calm():
	case h.rng.IntN(20) == 0:
		pause(ctx, time.Duration(h.rng.IntN(20))*time.Millisecond)
	case h.rng.IntN(400) == 0:
		pause(ctx, time.Duration(200+h.rng.IntN(800))*time.Millisecond)
	}
}

// listen subscribes over a WebSocket, until that breaks.
func (h *hearer) listen(ctx context.Context, at string) error {
	ws := h.connect(ctx, at)
	if ws == nil {
		return nil
	}
	defer func() { _ = ws.CloseNow() }()
	ref := strconv.Itoa(h.rng.IntN(4))
	ask := map[string]any{"op": "subscribe", "ref": json.RawMessage(ref)}
	for name, v := range map[string]string{"stream": h.stream, "channel": h.channel, "from": string(h.from)} {
		if v != "" {
			ask[name] = v
		}
	}
	if len(h.patterns) > 0 {
		ask["patterns"] = h.patterns
	}
	left := h.credit
	if h.credit > 0 {
		ask["credit"] = h.credit
	}
	if h.write(ctx, ws, ask) != nil {
		return nil
	}
	for begun := false; len(h.last) < h.wants; {
		var m spoken
		switch ok, err := h.read(ctx, ws, &m); {
		case err != nil:
			return err
		case !ok:
			return nil
		}
		switch {
		case m.Op == "error" && mayRepeat(m.Reason):
			return nil
		case string(m.Ref) != ref:
			return fmt.Errorf("got %s for ref %s, want %s", m.Op, m.Ref, ref)
		case m.Gap || m.Op == "gap":
			return fmt.Errorf("got %s with a gap, and nothing was removed, after the point %s", m.Op, h.from)
		case m.Op == "subscribed" && !begun:
			begun, h.from = true, m.From
			if h.late && h.since == 0 {
				h.since = h.ledger.tick()
			}
			continue
		case m.Op != "message" || !begun:
			return fmt.Errorf("got %s %s %s, begun is %t", m.Op, m.Reason, m.Detail, begun)
		}
		if err := h.take(&m); err != nil {
			return err
		}
		h.dawdle(ctx)
		if left--; left == 0 {
			left = 1 + h.rng.IntN(h.credit)
			if h.write(ctx, ws, map[string]any{"op": "credit", "ref": json.RawMessage(ref), "n": left}) != nil {
				return nil
			}
		}
	}
	return nil
}

// connect opens a WebSocket, nil when that is not possible now.
func (k *liveKill) connect(ctx context.Context, at string) *websocket.Conn {
	ctx, leave := context.WithTimeout(ctx, 2*k.silence())
	defer leave()
	ws, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(at, "http")+"/v1/live", &websocket.DialOptions{
		HTTPClient: k.through, Subprotocols: []string{"edda.v1.json"},
	})
	if res != nil && res.Body != nil {
		_ = res.Body.Close()
	}
	if err != nil {
		return nil
	}
	ws.SetReadLimit(1 << 20)
	return ws
}

func (k *liveKill) write(ctx context.Context, ws *websocket.Conn, v any) error {
	ctx, leave := context.WithTimeout(ctx, k.silence())
	defer leave()
	return ws.Write(ctx, websocket.MessageText, edda.JSON(v))
}

// read reads a frame. It is not ok when the connection is broken, or silent.
func (k *liveKill) read(ctx context.Context, ws *websocket.Conn, v any) (ok bool, err error) {
	ctx, leave := context.WithTimeout(ctx, k.silence())
	defer leave()
	_, b, err := ws.Read(ctx)
	if err != nil {
		return false, nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("frame %s: %w", b, err)
	}
	return true, nil
}

// mayRepeat says that what was asked may be asked again.
func mayRepeat(reason string) bool {
	switch edda.Reason(reason) {
	case edda.Unavailable, edda.OutcomeUnknown, edda.Draining, edda.Overloaded, edda.Slow:
		return true
	}
	return false
}

// follow listens to server-sent events, until the connection breaks.
func (h *hearer) follow(ctx context.Context, at string) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	quiet := time.AfterFunc(h.silence(), leave)
	defer quiet.Stop()
	q := url.Values{"from": {"start"}}
	path := "/v1/channels/" + h.channel
	if h.stream != "" {
		path = "/v1/streams/" + h.stream
		q.Set("shard", h.shard)
	}
	if len(h.patterns) > 0 {
		q["patterns"] = h.patterns
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+path+"?"+q.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if h.from != edda.FromStart {
		req.Header.Set("Last-Event-ID", string(h.from))
	}
	res, err := h.through.Do(req)
	if err != nil {
		return nil // it is down
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode == http.StatusServiceUnavailable {
			return nil
		}
		return fmt.Errorf("got %d %s", res.StatusCode, b)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	event := map[string]string{}
	for len(h.last) < h.wants && lines.Scan() {
		quiet.Reset(h.silence())
		field, value, _ := strings.Cut(lines.Text(), ": ")
		if field != "" {
			event[field] = value
			continue
		}
		if err := h.event(event); err != nil {
			return err
		}
		clear(event)
		h.dawdle(ctx)
	}
	return nil
}

// event takes one event.
func (h *hearer) event(e map[string]string) error {
	id, data := e["id"], e["data"]
	switch {
	case e["event"] == "edda.gap":
		return fmt.Errorf("got a gap, and nothing was removed, after the point %s", h.from)
	case e["event"] == "edda.error":
		var p struct{ Reason string }
		if err := json.Unmarshal([]byte(data), &p); err != nil || !mayRepeat(p.Reason) {
			return fmt.Errorf("got the error %s", data)
		}
		return nil
	case data == "":
		if id != "" {
			h.from = edda.From(id)
		}
		return nil
	}
	var m spoken
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		return fmt.Errorf("event %s: %w", data, err)
	}
	if h.stream != "" { // the events of one shard are numbered
		m.Shard, m.From = h.shard, edda.From(strconv.FormatUint(m.Offset, 10))
	}
	if id != string(m.From) {
		return fmt.Errorf("event %s has the point %s", id, m.From)
	}
	return h.take(&m)
}

// compare compares what it has heard with what there is.
func (h *hearer) compare(stored map[string][]stored) error {
	var match func(string) bool
	if len(h.patterns) > 0 {
		all, err := parsePatterns(h.patterns)
		if err != nil {
			return err
		}
		match = func(s string) bool {
			return slices.ContainsFunc(all, func(p *pattern.Pattern) bool { return p.Match(s) })
		}
	}
	for _, at := range slices.Sorted(maps.Keys(stored)) {
		if !h.hears(at) {
			continue
		}
		heard := h.heard[at]
		for offset, m := range stored[at] {
			if match != nil && !match(m.typ) {
				continue
			}
			if len(heard) == 0 || heard[0] != (heardOne{uint64(offset), m.name}) {
				if at == ads+"/"+edda.DefaultShard || h.late && len(heard) == len(h.heard[at]) && h.ledger.before(m.name, h.since) {
					continue
				}
				return fmt.Errorf("%s has not heard %s, at %s/%d, of type %s; it heard %v", h.name, m.name, at, offset, m.typ, heard[:min(1, len(heard))])
			}
			heard = heard[1:]
		}
		if len(heard) > 0 {
			return fmt.Errorf("%s has heard %v of %s, which is not there", h.name, heard, at)
		}
	}
	return nil
}

// hears reports whether it listens to a shard.
func (h *hearer) hears(at string) bool {
	stream, shard, _ := strings.Cut(at, "/")
	if h.stream == "" {
		return true
	}
	return stream == h.stream && (h.shard == "" || h.shard == shard)
}

func parsePatterns(list []string) ([]*pattern.Pattern, error) {
	all := make([]*pattern.Pattern, len(list))
	for i, s := range list {
		var err error
		if all[i], err = pattern.Parse(s); err != nil {
			return nil, err
		}
	}
	return all, nil
}
