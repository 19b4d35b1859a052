package node_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestReadGroup(t *testing.T) {
	bubble(t, "messages are leased, and done with when they are acknowledged", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", nil)
		feed(t, n, "s", "k=a", "b", "k=c")
		ds := gets(t, n, "s/g", "m", 10, "a b")
		d := ds[0]
		if d.Shard != edda.DefaultShard || d.Offset != 0 || d.Key != "k" || d.Type != "note" || d.Attempt != 1 || d.Lease == "" || d.Time.IsZero() ||
			d.ID == "" || d.Principal != edda.Anonymous {
			t.Errorf("delivery %+v", d)
		}
		g := lag(t, n, "s/g", 3, 2)
		if len(g.Members) != 1 || g.Members[0].Name != "m" || g.Members[0].Leases != 2 || !g.Members[0].LastSeen.Equal(time.Now()) {
			t.Errorf("members %+v", g.Members)
		}
		settles(t, n.Ack, settleOf("s/g", ds), 2)
		settles(t, n.Ack, settleOf("s/g", ds), 0)
		lag(t, n, "s/g", 1, 0)
		settles(t, n.Ack, settleOf("s/g", gets(t, n, "s/g", "m", 10, "c")), 1)
		lag(t, n, "s/g", 0, 0)
		noSlotIsLost(t, n, "s/g")
		if ws := n.Workers(); len(ws) != 0 {
			t.Errorf("members that read are shown as workers: %+v", ws)
		}
	})
	bubble(t, "a read waits for the first, and brings what came with it", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", nil)
		got := make(chan string)
		go func() { got <- payloads(readGroup(t, n, "s/g", "m", 3, time.Minute)) }()
		time.Sleep(30 * time.Second)
		begun := time.Now()
		feed(t, n, "s", "1", "2", "3", "4")
		if p := <-got; p != "1 2 3" || time.Since(begun) != 0 {
			t.Errorf("the read brings %q after %v, want 1 2 3 at once", p, time.Since(begun))
		}
		begun = time.Now()
		if p := payloads(readGroup(t, n, "s/g", "m", 3, time.Minute)); p != "4" || time.Since(begun) != 0 {
			t.Errorf("the next one brings %q after %v, want 4 at once", p, time.Since(begun))
		}
		if p := payloads(readGroup(t, n, "s/g", "m", 3, time.Second)); p != "" || time.Since(begun) != time.Second {
			t.Errorf("one more brings %q after %v, want nothing after 1s", p, time.Since(begun))
		}
	})
	bubble(t, "who does not read is given nothing", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", nil)
		feed(t, n, "s", "1", "2", "3")
		ds := gets(t, n, "s/g", "m", 1, "1")
		settles(t, n.Ack, settleOf("s/g", ds), 1)
		lag(t, n, "s/g", 2, 0)
		ds = gets(t, n, "s/g", "m", 1, "2")
		settles(t, n.Reject, settleOf("s/g", ds), 1)
		lag(t, n, "s/g", 2, 0)
		time.Sleep(time.Second)
		lag(t, n, "s/g", 2, 0)
		ds = gets(t, n, "s/g", "m", 1, "3") // it was in line before
		time.Sleep(edda.DefaultProcessingTimeout)
		lag(t, n, "s/g", 2, 0)
		settles(t, n.Ack, settleOf("s/g", ds), 0)
		settles(t, n.Ack, settleOf("s/g", readGroup(t, n, "s/g", "m", 10, time.Minute)), 1)
		time.Sleep(time.Second)
		settles(t, n.Ack, settleOf("s/g", readGroup(t, n, "s/g", "m", 10, time.Minute)), 1)
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "a read that is cancelled loses nothing", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", nil)
		for i := range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan []edda.Delivery)
			go func() {
				ds, _ := n.ReadGroup(ctx, edda.GroupRead{GroupRef: groupRef("s/g"), Member: "m", Max: 5, Wait: time.Minute})
				done <- ds
			}()
			synctest.Wait()
			go cancel()
			feed(t, n, "s", fmt.Sprint("k=", i))
			ds := <-done
			if len(ds) == 0 {
				ds = readGroup(t, n, "s/g", "m", 5, time.Minute)
			}
			if p := payloads(ds); p != fmt.Sprint(i) {
				t.Fatalf("message %d is read as %q", i, p)
			}
			settles(t, n.Ack, settleOf("s/g", ds), 1)
		}
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "readers under one name are one member", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", func(g *edda.GroupSpec) { g.MaxMembers = 1 })
		got := make(chan []edda.Delivery, 2)
		for range 2 {
			go func() { got <- readGroup(t, n, "s/g", "m", 1, time.Minute) }()
		}
		synctest.Wait()
		feed(t, n, "s", "1", "2", "3")
		one, two := <-got, <-got
		if len(one) != 1 || len(two) != 1 {
			t.Fatalf("the reads bring %q and %q, want one each", payloads(one), payloads(two))
		}
		if g := lag(t, n, "s/g", 3, 2); len(g.Members) != 1 || g.Members[0].Leases != 2 {
			t.Errorf("members %+v", g.Members)
		}
		settles(t, n.Ack, settleOf("s/g", append(one, two...)), 2)
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "readers and workers share", func(t *testing.T) {
		n := start(t, node.Options{})
		s := consumes("s/g", echo).Spec()
		s.Concurrency = 1
		w := attach(t, n, spec("m", s), nil) // members of both kinds may be called the same
		feed(t, n, "s", "1", "2")
		if w.got() != 1 {
			t.Fatalf("the worker has %d messages, want 1", w.got())
		}
		ds := gets(t, n, "s/g", "m", 5, "2")
		w.answer(t)
		settles(t, n.Ack, settleOf("s/g", ds), 1)
		lag(t, n, "s/g", 0, 0)
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "what is wrong with a read", func(t *testing.T) {
		n := start(t, node.Options{})
		feed(t, n, "s", "1")
		read := func(r edda.GroupRead) error { _, err := n.ReadGroup(t.Context(), r); return err }
		wantReason(t, read(edda.GroupRead{GroupRef: groupRef("s/g"), Member: "m"}), edda.NoGroup)
		wantReason(t, read(edda.GroupRead{GroupRef: groupRef("x/g"), Member: "m"}), edda.NoStream)
		wantReason(t, read(edda.GroupRead{GroupRef: groupRef("s/g")}), edda.BadName)
		wantReason(t, read(edda.GroupRead{GroupRef: groupRef("s/g"), Member: "m", Max: 1001}), edda.BadValue)
	})
}

func TestMembersThatRead(t *testing.T) {
	idle := func(g *edda.GroupSpec) {
		g.IdleTimeout, g.ProcessingTimeout = 10*time.Second, time.Hour
	}
	bubble(t, "what a silent one has is others' after the idle timeout, at once", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", idle)
		feed(t, n, "s", "1", "2", "3")
		lost := gets(t, n, "s/g", "silent", 2, "1 2")
		kept := gets(t, n, "s/g", "other", 1, "3")
		time.Sleep(9 * time.Second)
		settles(t, n.Extend, settleOf("s/g", kept), 1)
		gets(t, n, "s/g", "other", 5, "")
		time.Sleep(2 * time.Second)
		ds := gets(t, n, "s/g", "other", 5, "1 2")
		if ds[0].Attempt != 2 {
			t.Errorf("redelivered is %+v", ds[0])
		}
		settles(t, n.Ack, settleOf("s/g", lost), 0)
		settles(t, n.Ack, settleOf("s/g", append(ds, kept...)), 3)
		if g := lag(t, n, "s/g", 0, 0); len(g.Members) != 1 {
			t.Errorf("members %+v", g.Members)
		}
		gets(t, n, "s/g", "silent", 1, "") // it may come back
		if g := lag(t, n, "s/g", 0, 0); len(g.Members) != 2 {
			t.Errorf("members %+v", g.Members)
		}
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "one whose read waits lives", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", idle)
		got := make(chan string)
		go func() { got <- payloads(readGroup(t, n, "s/g", "m", 5, time.Minute)) }()
		time.Sleep(55 * time.Second)
		if g := lag(t, n, "s/g", 0, 0); len(g.Members) != 1 {
			t.Errorf("members %+v", g.Members)
		}
		feed(t, n, "s", "1")
		if p := <-got; p != "1" {
			t.Errorf("the read brings %q", p)
		}
	})
	bubble(t, "the idle timeout is the group's, also when that changes", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", idle)
		gets(t, n, "s/g", "m", 5, "")
		group(t, n, "s/g", func(g *edda.GroupSpec) { g.IdleTimeout = time.Second })
		time.Sleep(2 * time.Second)
		if g := lag(t, n, "s/g", 0, 0); len(g.Members) != 0 {
			t.Errorf("members %+v", g.Members)
		}
	})
	bubble(t, "a restart redelivers what was leased; leases of before are stale", func(t *testing.T) {
		dir := t.TempDir()
		n := open(t, node.WithoutGather(node.Options{Dir: dir}))
		group(t, n, "s/g", nil)
		feed(t, n, "s", "1", "2", "3")
		ds := gets(t, n, "s/g", "m", 2, "1 2")
		settles(t, n.Ack, settleOf("s/g", ds[:1]), 1)
		begun := time.Now()
		stop(t, n)
		if time.Since(begun) != 0 {
			t.Errorf("the node waits %v for members that read", time.Since(begun))
		}
		n = start(t, node.WithoutGather(node.Options{Dir: dir}))
		settles(t, n.Ack, settleOf("s/g", ds[1:]), 0)
		again := readGroup(t, n, "s/g", "m", 5, 0)
		if len(again) != 2 || again[0].Attempt+again[1].Attempt != 2 {
			t.Errorf("after the restart the member gets %+v; a stop costs no attempt", again)
		}
		settles(t, n.Ack, settleOf("s/g", again), 2)
		lag(t, n, "s/g", 0, 0)
	})
	bubble(t, "reads end when the node stops, or the group goes", func(t *testing.T) {
		n := open(t, node.Options{})
		group(t, n, "s/g", nil)
		group(t, n, "s/gone", nil)
		errs := map[string]chan error{"s/g": make(chan error, 1), "s/gone": make(chan error, 1)}
		for name, c := range errs {
			go func() {
				_, err := n.ReadGroup(t.Context(), edda.GroupRead{GroupRef: groupRef(name), Member: "m", Wait: time.Hour})
				c <- err
			}()
		}
		synctest.Wait()
		if err := n.DeleteGroup(t.Context(), groupRef("s/gone")); err != nil {
			t.Fatal(err)
		}
		wantReason(t, <-errs["s/gone"], edda.NoGroup)
		stop(t, n)
		wantReason(t, <-errs["s/g"], edda.Draining)
	})
}

func TestGroupsUnderMembers(t *testing.T) {
	bubble(t, "deleted", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", nil)
		feed(t, n, "s", "1")
		ds := gets(t, n, "s/g", "m", 1, "1")
		if err := n.DeleteGroup(t.Context(), groupRef("s/g")); err != nil {
			t.Fatal(err)
		}
		_, err := n.Ack(t.Context(), settleOf("s/g", ds))
		wantReason(t, err, edda.NoGroup)
		group(t, n, "s/g", nil)
		settles(t, n.Ack, settleOf("s/g", ds), 0)
		settles(t, n.Ack, settleOf("s/g", gets(t, n, "s/g", "m", 1, "1")), 1)
		wantReason(t, n.DeleteGroup(t.Context(), groupRef("s/none")), edda.NoGroup)
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "its stream deleted", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", nil)
		feed(t, n, "s", "1")
		ds := gets(t, n, "s/g", "m", 1, "1")
		if err := n.DeleteStream(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		_, err := n.Ack(t.Context(), settleOf("s/g", ds))
		wantReason(t, err, edda.NoStream)
		_, err = n.Groups(t.Context(), "", "s")
		wantReason(t, err, edda.NoStream)
	})
	bubble(t, "reset", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", nil)
		feed(t, n, "s", "1", "2")
		ds := gets(t, n, "s/g", "m", 2, "1 2")
		settles(t, n.Ack, settleOf("s/g", ds[:1]), 1)
		g, err := n.ResetGroup(t.Context(), groupRef("s/g"), "", edda.FromStart)
		if err != nil || g.Lag != 2 || g.Pending != 0 {
			t.Errorf("after the reset: %+v, %v", g, err)
		}
		settles(t, n.Ack, settleOf("s/g", ds[1:]), 0)
		settles(t, n.Ack, settleOf("s/g", gets(t, n, "s/g", "m", 5, "1 2")), 2)
		_, err = n.ResetGroup(t.Context(), groupRef("s/g"), "none", edda.FromStart)
		wantReason(t, err, edda.NoShard)
		_, err = n.ResetGroup(t.Context(), groupRef("s/g"), "", "")
		wantReason(t, err, edda.BadValue)
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "trimmed", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", nil)
		feed(t, n, "s", "1", "2")
		ds := gets(t, n, "s/g", "m", 1, "1")
		if _, err := n.TrimStream(t.Context(), "", "s", "", edda.FromOffset(2)); err != nil {
			t.Fatal(err)
		}
		settles(t, n.Ack, settleOf("s/g", ds), 1)
		settles(t, n.Ack, settleOf("s/g", gets(t, n, "s/g", "m", 5, "2")), 1) // it was taken in before
		lag(t, n, "s/g", 0, 0)
	})
}
