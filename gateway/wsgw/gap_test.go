package wsgw

import (
	"testing"

	"github.com/edda-io/edda"
)

// Who takes so long that messages are gone is told so before the next one, once.
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
	for range 20 { // more than the node has at hand
		publish(100)
	}
	c.send(`{"op":"credit","ref":1,"n":2}`)
	c.want(`{"op":"gap","ref":1}`)
	c.want(`{"op":"message","ref":1,"offset":1991}`)
	c.want(`{"op":"message","ref":1,"offset":1992}`)
	c.alive()
}
