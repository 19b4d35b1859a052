package node_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestConsumerHere(t *testing.T) {
	bubble(t, "a message is handled as it was appended", func(t *testing.T) {
		var got *edda.Message
		var ref *edda.DeliveryRef
		n := start(t, node.Options{}, consumes("orders/billing", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			got, ref = m, ctx.Delivery()
			return nil, nil
		}))
		when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		_, err := n.Append(t.Context(), &edda.Append{Stream: "orders", Shard: "eu", Messages: []edda.StreamMessage{
			{ID: "o-1", Type: "order placed", Key: "7", Source: "shop", Payload: []byte("x"), Time: when, Headers: edda.Headers{{Name: "A", Value: "b"}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got == nil {
			t.Fatal("no message was handled")
		}
		if got.Type != "order placed" || got.To != (edda.Address{Namespace: "default", Name: "orders/billing", Key: "7"}) || got.Source != "shop" ||
			string(got.Payload) != "x" || !got.Time.Equal(when) || got.Headers.Get("A") != "b" {
			t.Errorf("the handler got %+v", got)
		}
		if want := (edda.DeliveryRef{Stream: "orders", Group: "billing", Shard: "eu", Offset: 0, ID: "o-1"}); ref == nil || *ref != want {
			t.Errorf("the handler is told %+v, want %+v", ref, want)
		}
		lag(t, n, "orders/billing", 0, 0)
	})
	bubble(t, "its group and stream are made with it", func(t *testing.T) {
		c := consumes("orders/billing", echo)
		c.Group.MaxMembers = 3
		n := start(t, node.Options{}, c)
		g := lag(t, n, "orders/billing", 0, 0)
		if g.MaxMembers != 3 || g.ProcessingTimeout != edda.DefaultProcessingTimeout || len(g.Members) != 1 || g.Members[0].Name != n.Info().ID {
			t.Errorf("group %+v", g)
		}
		if _, err := n.Stream(t.Context(), "", "orders"); err != nil {
			t.Error(err)
		}
		if all, _, err := n.Services(t.Context(), "", node.Page{}); err != nil || len(all) != 0 {
			t.Errorf("services are %v, %v; the consumer of a group is not listed", all, err)
		}
		if _, err := n.Call(t.Context(), msg("orders/billing", "m", "")); edda.ReasonOf(err) != edda.NoService {
			t.Errorf("a call to key billing of a service called orders: %v", err)
		}
		_, err := n.Call(t.Context(), &edda.Message{To: edda.Address{Name: "orders/billing"}, Type: "m"})
		wantReason(t, err, edda.BadName)
	})
	bubble(t, "the settings of a group stay but for those that the service names", func(t *testing.T) {
		dir := t.TempDir()
		n := open(t, node.WithoutGather(node.Options{Dir: dir}))
		group(t, n, "orders/billing", func(g *edda.GroupSpec) { g.MaxMembers, g.ProcessingTimeout = 5, time.Minute })
		stop(t, n)
		c := consumes("orders/billing", echo)
		c.Group.IdleTimeout, c.Group.ProcessingTimeout = time.Hour, time.Second
		n = start(t, node.WithoutGather(node.Options{Dir: dir}), c)
		g := lag(t, n, "orders/billing", 0, 0)
		if g.MaxMembers != 5 || g.ProcessingTimeout != time.Second || g.IdleTimeout != time.Hour {
			t.Errorf("group %+v", g)
		}
	})
	bubble(t, "one at a time and in order for a key, at once without one", func(t *testing.T) {
		var j journal
		gate := make(chan struct{})
		n := start(t, node.Options{}, consumes("s/g", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
			j.addf("%s", m.Payload)
			<-gate
			return nil, nil
		}))
		feed(t, n, "s", "k=1", "k=2")
		j.want(t, "1")
		feed(t, n, "s", "3")
		j.want(t, "1 3")
		lag(t, n, "s/g", 3, 2)
		close(gate)
		j.want(t, "1 3 2")
		lag(t, n, "s/g", 0, 0)
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "one that fails is handled again, and dies in the end", func(t *testing.T) {
		var j journal
		c := consumes("s/g", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			j.addf("%s%d", m.Payload, ctx.Attempt())
			return nil, errRefused
		})
		c.Group.Retry.Max = 2
		n := start(t, node.Options{}, c)
		feed(t, n, "s", "k=a", "k=b")
		j.want(t, "a1")
		time.Sleep(time.Second)
		j.want(t, "a1 a2 b1")
		time.Sleep(time.Second)
		j.want(t, "a1 a2 b1 b2")
		ls := letters(t, n, "s/g")
		if len(ls) != 2 || ls[0].Service != "s/g" || ls[0].Key != "k" || ls[0].Attempts != 2 || string(ls[0].Payload) != "a" {
			t.Fatalf("letters %+v", ls)
		}
		if _, err := n.RetryDeadLetter(t.Context(), "", ls[0].ID); err != nil {
			t.Fatal(err)
		}
		j.want(t, "a1 a2 b1 b2 a3")
		synctest.Wait()
		if l, err := n.DeadLetter(t.Context(), "", ls[0].ID); err != nil || l.Attempts != 3 {
			t.Errorf("the letter that was retried is %+v, %v", l, err)
		}
		if err := n.DropDeadLetter(t.Context(), "", ls[1].ID); err != nil {
			t.Error(err)
		}
		if ls := letters(t, n, "s/g"); len(ls) != 1 {
			t.Errorf("%d letters are left, want 1", len(ls))
		}
		lag(t, n, "s/g", 0, 0)
	})
	bubble(t, "a message of a type without a handler is a dead letter at once", func(t *testing.T) {
		c := edda.NewConsumer("s", "g")
		c.Add(edda.Method{Name: "known", Handler: echo})
		n := start(t, node.Options{}, c)
		feed(t, n, "s", "a")
		synctest.Wait()
		if ls := letters(t, n, "s/g"); len(ls) != 1 || ls[0].Attempts != 1 {
			t.Errorf("letters %+v", ls)
		}
	})
	bubble(t, "a letter that is retried without its group dies again", func(t *testing.T) {
		c := consumes("s/g", func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, edda.Final("NO", "no") })
		n := start(t, node.Options{}, c)
		feed(t, n, "s", "a")
		synctest.Wait()
		ls := letters(t, n, "s/g")
		if err := n.DeleteGroup(t.Context(), groupRef("s/g")); err != nil {
			t.Fatal(err)
		}
		if _, err := n.RetryDeadLetter(t.Context(), "", ls[0].ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if l, err := n.DeadLetter(t.Context(), "", ls[0].ID); err != nil || l.Reason != edda.NoGroup {
			t.Errorf("the letter is %+v, %v", l, err)
		}
		noSlotIsLost(t, n, "s/g")
	})
}

// What handlers may do wrong stops no consumer.
func TestConsumersGoOn(t *testing.T) {
	const many = 1000
	for name, h := range map[string]edda.HandlerFunc{
		"throw":              func(*edda.Context, *edda.Message) (*edda.Reply, error) { panic("thrown") },
		"return an error":    fail,
		"return nothing":     func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, nil },
		"never return":       func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) { <-ctx.Done(); return nil, ctx.Err() },
		"meet unknown types": nil,
	} {
		bubble(t, "handlers that "+name, func(t *testing.T) {
			var j journal
			c := edda.NewConsumer("s", "g")
			c.Group.Retry = edda.RetryPolicy{Max: 1}
			if h != nil {
				c.Add(edda.Method{Name: "note", Handler: h})
			}
			c.Add(edda.Method{Name: "good", Handler: func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
				j.addf("%s", m.Payload)
				return nil, nil
			}})
			n := start(t, node.Options{}, c)
			for i := range many / 10 {
				var ms []string
				for k := range 10 {
					ms = append(ms, fmt.Sprintf("%d=x", (i+k)%7))
				}
				feed(t, n, "s", ms...)
			}
			for k := range 7 {
				_, err := n.Append(t.Context(), &edda.Append{Stream: "s", Messages: []edda.StreamMessage{
					{Type: "good", Key: fmt.Sprint(k), Payload: []byte("good")},
				}})
				if err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(many * edda.DefaultProcessingTimeout)
			j.want(t, "good good good good good good good")
			lag(t, n, "s/g", 0, 0)
			noSlotIsLost(t, n, "s/g")
			want := many
			if name == "return nothing" {
				want = 0
			}
			if got := len(letters(t, n, "s/g")); got != want {
				t.Errorf("%d dead letters, want %d", got, want)
			}
		})
	}
}

func TestMembersOfGroups(t *testing.T) {
	consumerSpec := func(name string) edda.ServiceSpec { s := consumes(name, echo).Spec(); s.Concurrency = 1; return s }
	bubble(t, "three members get three messages one each", func(t *testing.T) {
		n := start(t, node.Options{})
		var ws []*farWorker
		for i := range 3 {
			ws = append(ws, attach(t, n, spec(fmt.Sprint("w", i), consumerSpec("s/g")), nil))
		}
		feed(t, n, "s", "a", "b", "c")
		for _, w := range ws {
			if got := w.got(); got != 1 {
				t.Errorf("member %s has %d messages, want 1", w.ID(), got)
			}
		}
		g := lag(t, n, "s/g", 3, 3)
		if len(g.Members) != 3 || g.Members[1].Name != "w1" || g.Members[1].Leases != 1 {
			t.Errorf("members %+v", g.Members)
		}
	})
	bubble(t, "the message of a member that goes is another's, the others are not disturbed", func(t *testing.T) {
		n := start(t, node.Options{})
		a := attach(t, n, spec("a", consumerSpec("s/g")), nil)
		b := attach(t, n, spec("b", consumerSpec("s/g")), nil)
		feed(t, n, "s", "1", "2")
		a.attempt(t, 0).Taken()
		is := b.attempt(t, 0)
		is.Taken()
		a.Detach()
		if b.wasFenced(is) || b.got() != 1 {
			t.Error("the other member was disturbed")
		}
		done(t, is, reply(""))
		if got := b.attempt(t, 1).AttemptTimeout(); got != edda.DefaultProcessingTimeout {
			t.Errorf("an attempt may take %v, want the group's processing timeout", got)
		}
		if d := b.attempt(t, 1).Dispatch(); d.Attempt != 2 || d.Delivery == nil || d.Delivery.ID == "" {
			t.Errorf("the message is redelivered as %+v", d)
		}
		b.answer(t)
		lag(t, n, "s/g", 0, 0)
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "members of any version get messages", func(t *testing.T) {
		n := start(t, node.Options{})
		var ws []*farWorker
		for i := range 2 {
			s := spec(fmt.Sprint("w", i), consumerSpec("s/g"))
			s.Version = fmt.Sprint(i)
			ws = append(ws, attach(t, n, s, nil))
		}
		feed(t, n, "s", "a", "b")
		if ws[0].got() != 1 || ws[1].got() != 1 {
			t.Errorf("members have %d and %d messages, want one each", ws[0].got(), ws[1].got())
		}
	})
	bubble(t, "none gets a message until there are enough", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", func(g *edda.GroupSpec) { g.MinMembers = 2 })
		feed(t, n, "s", "1", "2", "3")
		a := attach(t, n, spec("a", consumerSpec("s/g")), nil)
		if a.got() != 0 {
			t.Error("one member of two that there must be has a message")
		}
		b := attach(t, n, spec("b", consumerSpec("s/g")), nil)
		if a.got() != 1 || b.got() != 1 {
			t.Errorf("members have %d and %d messages, want one each", a.got(), b.got())
		}
		b.Detach()
		a.answer(t)
		if got := a.got(); got != 1 {
			t.Errorf("the member that is left has had %d messages, want that of before alone", got)
		}
		group(t, n, "s/g", func(g *edda.GroupSpec) { g.MinMembers = 1 })
		a.answer(t)
		lag(t, n, "s/g", 0, 0)
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "there are no more than there may be", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", func(g *edda.GroupSpec) { g.MaxMembers = 2 })
		a := attach(t, n, spec("a", consumerSpec("s/g")), nil)
		gets(t, n, "s/g", "b", 1, "")
		_, err := n.Attach(t.Context(), spec("c", consumerSpec("s/g")), &farWorker{})
		if e := wantReason(t, err, edda.GroupFull); e.RetryAfter == 0 {
			t.Error("the refusal does not say when to try again")
		}
		_, err = n.ReadGroup(t.Context(), edda.GroupRead{GroupRef: groupRef("s/g"), Member: "c"})
		wantReason(t, err, edda.GroupFull)
		gets(t, n, "s/g", "b", 1, "")
		a.Detach()
		gets(t, n, "s/g", "c", 1, "")
	})
	bubble(t, "a worker of a group that is not there makes it, and is its member again when it was deleted", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", consumerSpec("s/g")), nil)
		feed(t, n, "s", "1")
		is := w.attempt(t, 0)
		if err := n.DeleteGroup(t.Context(), groupRef("s/g")); err != nil {
			t.Fatal(err)
		}
		if !w.wasFenced(is) {
			t.Error("the handler of a group that is gone goes on")
		}
		feed(t, n, "s", "2")
		if w.got() != 1 {
			t.Error("a message is delivered without a group")
		}
		group(t, n, "s/g", nil)
		if w.got() != 2 {
			t.Errorf("the member of the new group has had %d messages, want 2", w.got())
		}
		_ = is.Done(reply(""))
		w.attempt(t, 1).HandBack()
		w.answer(t)
		lag(t, n, "s/g", 0, 0)
		noSlotIsLost(t, n, "s/g")
	})
}
