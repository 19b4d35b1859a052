package group

import (
	"testing"

	"github.com/edda-io/edda"
)

func TestCaughtUpGroupTakesInWhatIsAppended(t *testing.T) {
	w := newWorld(t, setup{})
	w.expect(w.set("orders/billing", edda.FromEnd), "set orders/billing created\n")
	w.expect(w.append("orders", "a=1", "a=2", "3"),
		"accepted orders/billing:0\nready orders/billing:0\naccepted orders/billing:1\naccepted orders/billing:2\nready orders/billing:2\n")
	w.expect(w.where("orders/billing"), "{default:0} lag 3 open 3")
	w.ack("orders/billing:2")
	w.expect(w.where("orders/billing"), "{default:0} lag 2 open 2")
	w.expect(w.ack("orders/billing:0"), "ended orders/billing:0 succeeded\nready orders/billing:1\n")
	w.expect(w.where("orders/billing"), "{default:1} lag 1 open 1")
	w.check()
	w.reload()
	w.check()
	w.expect(w.where("orders/billing"), "{default:1} lag 1 open 1")
	w.ack("orders/billing:1")
	w.expect(w.where("orders/billing"), "{default:3} lag 0 open 0")
	w.expect(w.append("orders", "4"), "accepted orders/billing:3\nready orders/billing:3\n")
}
