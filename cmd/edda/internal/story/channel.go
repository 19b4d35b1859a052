package story

import (
	"context"
	"fmt"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

// missed is what is published to the channel while its subscriber is away.
var missed = []string{`said {"text":"back at two"}`, `said {"text":"open again"}`}

// channel is a shop that tells what happens, and a listener who leaves and comes back.
func channel(t *teller) {
	orders := "orders" + t.Suffix
	_, created, err := t.Client.SetChannel(t.ctx, edda.ChannelSpec{
		Name: t.shop(), From: []edda.ChannelSource{{Stream: orders, Patterns: []string{"placed"}}},
	})
	got := status(err, "200")
	if created {
		got = "201"
	}
	t.line("PUT  /v1/channels/"+t.shop()+" feeds on placed of "+orders, got, got == "201", "201")
	t.publish(`said {"text":"open"}`)
	t.point = t.hear(edda.FromStart, `placed {"n":1}`, `said {"text":"open"}`)
	t.sayf("The first came by the stream of before. Now the listener leaves.")
	for _, said := range missed {
		t.publish(said)
	}
	t.hear(t.point, missed...)
	t.sayf("Whoever comes back says what was heard last, and misses nothing.")
}

// shop is the channel of this telling.
func (t *teller) shop() string { return "shop" + t.Suffix }

// publish publishes what is written as type and payload.
func (t *teller) publish(said string) {
	kind, payload, _ := strings.Cut(said, " ")
	ack, err := t.Client.Publish(t.ctx, &edda.Append{Channel: t.shop(), Messages: []edda.StreamMessage{
		{Type: kind, ContentType: "application/json", Payload: []byte(payload)},
	}})
	got, want := status(err, ""), "202 accepted ("+string(edda.Fsync)+")"
	if err == nil {
		got = "202 accepted (" + string(ack.Durability) + ")"
	}
	t.line("POST /v1/channels/"+t.shop()+" "+payload+"  Edda-Type: "+kind, got, got == want, want)
}

// hear subscribes, leaves after as many messages as are wanted, prints them, and returns
// the place after the last.
func (t *teller) hear(from edda.From, want ...string) edda.From {
	ctx, leave := context.WithTimeout(t.ctx, maxWait)
	defer leave()
	var last edda.From
	i := 0
	sent := "GET  /v1/channels/" + t.shop() + "?from=start"
	if from != edda.FromStart {
		sent = "GET  /v1/channels/" + t.shop() + "  Last-Event-ID: " + string(from[:min(len(from), 6)]) + "…"
	}
	for m, err := range t.Client.Subscribe(ctx, eddahttp.Subscribe{Channel: t.shop(), From: from}) {
		got := status(err, "")
		if err == nil {
			got = fmt.Sprintf("%s %s", m.Message.Type, m.Message.Payload)
			last = m.From
		}
		t.line(sent, got, got == want[i], want[i])
		sent = "" // the next one comes over the same connection
		if i++; err != nil || i == len(want) {
			break
		}
	}
	return last
}
