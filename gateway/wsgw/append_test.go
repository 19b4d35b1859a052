package wsgw

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

// Messages of one connection are appended in the order in which they were sent, and each is
// answered for itself.
func TestAppends(t *testing.T) {
	w := start(t, Options{MaxCalls: 2000})
	c := w.dial(t)
	const n = 500
	for i := range n {
		frame := fmt.Sprintf(`{"op":"append","ref":%d,"stream":"s","type":"t","data":%d}`, i, i)
		if i%100 == 50 { // refused, and what travels with it is not
			frame = fmt.Sprintf(`{"op":"append","ref":%d,"stream":"s","type":"%s"}`, i, strings.Repeat("x", 256))
		}
		c.send(frame)
	}
	offset, refs := 0, make([]bool, n)
	for range n {
		f, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		var ref int
		if _, err := fmt.Sscan(fmt.Sprint(f["ref"]), &ref); err != nil || refs[ref] {
			t.Fatalf("got %v", f)
		}
		refs[ref] = true
		want := `{"op":"error","reason":"BAD_NAME"}`
		if ref%100 != 50 {
			want = fmt.Sprintf(`{"op":"ack","offset":%d,"shard":"default","id":"*","position":"*"}`, offset)
			offset++
		} else if f["reason"] == "BAD_VALUE" {
			want = `{"op":"error"}`
		}
		if why := differs(f, want); why != "" {
			t.Fatalf("got %v, want %s: %s", f, want, why)
		}
	}
	page, err := w.node.ReadStream(t.Context(), edda.Read{Stream: "s", From: edda.FromStart, Limit: 1000})
	if err != nil || len(page.Messages) != n-5 {
		t.Fatalf("got %d messages, %v", len(page.Messages), err)
	}
	i := 0
	for _, m := range page.Messages {
		if i%100 == 50 {
			i++
		}
		if string(m.Payload) != fmt.Sprint(i) || m.Principal != edda.Anonymous {
			t.Fatalf("got %s of %s, want %d", m.Payload, m.Principal, i)
		}
		i++
	}
}

func TestAppendedMessages(t *testing.T) {
	w := start(t, Options{})
	c := w.dialTo(t, "/v1/ns/shop/live")
	frame := `{"op":"append","ref":1,"stream":"s","shard":"b","type":"t","id":"m1","key":"k","source":"page","replyTo":"answers/x",` +
		`"headers":{"A":"1"},"contentType":"text/plain","data":"hi","correlationId":"c","time":"2026-01-02T03:04:05Z"}`
	c.send(frame)
	first := c.want(`{"op":"ack","ref":1,"id":"m1","shard":"b","offset":0,"position":"*"}`)
	c.send(frame)
	c.want(`{"op":"ack","ref":1,"id":"m1","shard":"b","offset":0,"replayed":true,"position":"` + first["position"].(string) + `"}`)
	page, err := w.node.ReadStream(t.Context(), edda.Read{Namespace: "shop", Stream: "s", Shard: "b", From: edda.FromStart})
	if err != nil || len(page.Messages) != 1 {
		t.Fatalf("got %v, %v", page, err)
	}
	m := &page.Messages[0]
	got := fmt.Sprint(m.ID, m.Type, m.Key, m.Source, m.ReplyTo, m.Headers, m.ContentType, string(m.Payload), m.CorrelationID, m.Time.Format("2006-01-02"))
	if want := fmt.Sprint("m1", "t", "k", "page", edda.Address{Namespace: "shop", Name: "answers", Key: "x"}, edda.Headers{{Name: "A", Value: "1"}},
		"text/plain", "hi", "c", "2026-01-02"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPublishing(t *testing.T) {
	w := start(t, Options{})
	if _, _, err := w.node.SetChannel(t.Context(), edda.ChannelSpec{Name: "room"}); err != nil {
		t.Fatal(err)
	}
	c := w.dial(t)
	c.send(`{"op":"publish","ref":1,"channel":"room","type":"said","data":{"text":"hi"}}`)
	if f := c.want(`{"op":"ack","ref":1,"id":"*","position":"*"}`); f["offset"] != nil || f["shard"] != nil {
		t.Errorf("got %v, which says where the channel keeps it", f)
	}
}
