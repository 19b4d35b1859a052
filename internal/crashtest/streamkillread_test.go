package crashtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
)

// httpMember is a member of a group that reads over HTTP.
type httpMember struct {
	*streamKill

	rng  *rand.Rand
	name string
}

const polledPath = "/v1/streams/orders/groups/polled"

// leased is a message that a member has.
type leased struct {
	edda.Delivery

	name string
}

func (m *httpMember) run(ctx context.Context) error {
	for !m.drained.Load() {
		began := m.ledger.now()
		body := fmt.Sprintf(`{"member":%q,"max":%d,"wait":"200ms"}`, m.name, 1+m.rng.IntN(100))
		a, err := m.load.ask(ctx, "POST", polledPath+"/read", body, jsonHeader)
		if err != nil {
			return err
		}
		var got struct {
			Items []struct {
				Shard, Key, Lease string
				Offset            uint64
				Attempt           int
				Data              note
			}
		}
		if err := json.Unmarshal(a.body, &got); err != nil || a.status != http.StatusOK {
			return fmt.Errorf("read: got %v", a)
		}
		has := make([]leased, len(got.Items))
		for i, it := range got.Items {
			d := edda.Delivery{StreamMessage: edda.StreamMessage{Shard: it.Shard, Key: it.Key, Offset: it.Offset}, Lease: it.Lease, Attempt: it.Attempt}
			has[i] = leased{d, it.Data.Name}
			if m.ledger.doneBefore(readGroups[0].String(), it.Data.Name, began) {
				return fmt.Errorf("%s at %s/%d was acknowledged, and came again", it.Data.Name, it.Shard, it.Offset)
			}
			m.journal.read(readGroups[0].String(), &has[i].Delivery, it.Data.Name)
		}
		for len(has) > 0 {
			some := 1 + m.rng.IntN(len(has))
			if err := m.settle(ctx, has[:some]); err != nil {
				return err
			}
			has = has[some:]
		}
	}
	return nil
}

// settle does with messages what members do. It forgets none once the load is over, when
// they would be kept for it for long.
func (m *httpMember) settle(ctx context.Context, has []leased) error {
	leases := make([]string, len(has))
	for i := range has {
		leases[i] = has[i].Lease
	}
	list := string(edda.JSON(leases))
	how, body := "ack", `{"leases":`+list+`}`
	switch what := m.rng.IntN(30); {
	case what == 0 && !m.load.over.Load():
		return nil // they are forgotten
	case what == 1 || what == 2:
		how, body = "reject", `{"leases":`+list+`,"error":"rejected, as it was told to","for":"5ms"}`
	case what == 3 && !m.load.over.Load():
		if _, err := m.load.ask(ctx, "POST", polledPath+"/extend", `{"leases":`+list+`,"for":"1s"}`, jsonHeader); err != nil {
			return err
		}
	}
	if how == "ack" {
		for i := range has {
			m.ledger.start(readGroups[0].String(), has[i].name)
		}
	}
	a, err := m.load.ask(ctx, "POST", polledPath+"/"+how, body, jsonHeader)
	if err != nil {
		return err
	}
	var got edda.Settled
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != http.StatusOK || got.Done+len(got.Stale) != len(leases) {
		return fmt.Errorf("%s of %d leases: got %v", how, len(leases), a)
	}
	for i := range has {
		if how == "ack" && !slices.Contains(got.Stale, leases[i]) {
			m.ledger.ended(readGroups[0].String(), has[i].name)
		}
	}
	return nil
}

// tailReader follows a shard as server-sent events, and resumes after the last one.
type tailReader struct {
	*streamKill

	shard   string
	next    uint64 // the offset of the next event
	names   []string
	resumed int

	end   atomic.Uint64 // where the shard ends
	want  []string      // what is in it, once known is closed
	known chan struct{}
}

// run reads until the shard's end is reached.
func (r *tailReader) run(ctx context.Context) error {
	for r.next < r.end.Load() {
		at, err := r.load.process.wait(ctx)
		if err != nil {
			return err
		}
		if err := r.follow(ctx, at); err != nil {
			return fmt.Errorf("events of shard %s: %w", r.shard, err)
		}
		r.resumed++
		pause(ctx, 5*time.Millisecond)
	}
	<-r.known
	if !slices.Equal(r.names, r.want) {
		return fmt.Errorf("events of shard %s: got %d that are not what the shard has, %d messages", r.shard, len(r.names), len(r.want))
	}
	return nil
}

// follow reads events until the connection breaks.
func (r *tailReader) follow(ctx context.Context, at string) error {
	ctx, leave := context.WithTimeout(ctx, 3*time.Second)
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/v1/streams/orders?from=start&shard="+r.shard, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if r.next > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatUint(r.next-1, 10))
	}
	res, err := r.load.http.Do(req)
	if err != nil {
		return nil // it is down
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		if res.StatusCode == http.StatusServiceUnavailable {
			return nil
		}
		b, _ := io.ReadAll(res.Body)
		return fmt.Errorf("got %d %s", res.StatusCode, b)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	id, data := "", ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			id = value
		case "data":
			data = value
		case "":
			if err := r.event(id, data); err != nil {
				return err
			}
			id, data = "", ""
			if r.next >= r.end.Load() {
				return nil
			}
		}
	}
	return nil
}

// event takes one event: it is the next one.
func (r *tailReader) event(id, data string) error {
	if id == "" {
		return nil // a comment, or the end
	}
	var item struct {
		Offset uint64
		Data   note
	}
	if err := json.Unmarshal([]byte(data), &item); err != nil {
		return fmt.Errorf("event %s: %w", id, err)
	}
	if id != strconv.FormatUint(r.next, 10) || item.Offset != r.next {
		return fmt.Errorf("event %s has offset %d, want %d", id, item.Offset, r.next)
	}
	r.names = append(r.names, item.Data.Name)
	r.next++
	return nil
}
