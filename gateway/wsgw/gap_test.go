package wsgw

import (
	"encoding/json"
	"testing"

	"github.com/edda-io/edda"
)

// Who takes so long that messages are gone is told so before the next one, each time.
func TestGapOfWhoTakesLong(t *testing.T) {
	w := startReal(t, Options{})
	if _, _, err := w.node.SetChannel(t.Context(), edda.ChannelSpec{Name: "room", History: edda.History{Count: 10}}); err != nil {
		t.Fatal(err)
	}
	publish := func(n int) {
		t.Helper()
		a := &edda.Append{Channel: "room", Messages: make([]edda.StreamMessage, n)}
		for i := range a.Messages {
			a.Messages[i].Type = "t"
		}
		if _, err := w.node.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	c := w.dial(t)
	c.send(`{"op":"subscribe","ref":1,"channel":"room","credit":1}`)
	c.want(`{"op":"subscribed","ref":1,"patterns":[]}`)
	publish(1)
	c.want(`{"op":"message","ref":1,"offset":0}`)
	flood := func() {
		t.Helper()
		for range 20 { // more than the node has at hand
			publish(100)
		}
	}
	flood()
	c.send(`{"op":"credit","ref":1,"n":2}`)
	c.want(`{"op":"gap","ref":1}`)
	c.want(`{"op":"message","ref":1,"offset":1991}`)
	c.want(`{"op":"message","ref":1,"offset":1992}`)
	c.alive()
	flood()
	c.send(`{"op":"credit","ref":1,"n":10}`)
	for gap := false; ; { // some of those before may have been read already
		f, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		gap = gap || f["op"] == "gap"
		if f["op"] == "message" && offset(f) > 2000 {
			if !gap || offset(f) != 3991 {
				t.Errorf("got %v, having heard %t of a gap", f, gap)
			}
			break
		}
	}
}

func offset(f map[string]any) int {
	n, _ := f["offset"].(json.Number).Int64()
	return int(n)
}
