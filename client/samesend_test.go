package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
)

// What a handler sends is sent when it returns a reply, and only then.
func sends() ([]*edda.Service, func(*testing.T, *edda.Client)) {
	const delay = 20 * time.Millisecond
	got := make(chan *edda.Message, 10)
	from := service("from", edda.Ordered, func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		err := errors.Join(c.Send(msg("to/1", m.Type, "now")), c.SendAfter(delay, "to/2", m.Type, "later"))
		if m.Type == "fail" {
			err = edda.Final("NO", "no")
		}
		return nil, err
	})
	to := service("to", edda.Ordered, func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		got <- m
		return nil, nil
	})
	return []*edda.Service{from, to}, func(t *testing.T, c *edda.Client) {
		_, err := c.Call(t.Context(), msg("from/1", "fail", ""))
		wantReason(t, err, edda.Failed)
		called := time.Now()
		r, err := c.Call(t.Context(), msg("from/1", "ok", ""))
		if err != nil {
			t.Fatal(err)
		}
		sent := map[string]string{}
		for range 2 { // in any order: they go to two keys
			m := recv(t, got)
			sent[m.To.Key] = string(m.Payload)
			if m.Type != "ok" || m.CausationID != r.RequestID || m.CorrelationID != r.RequestID.String() {
				t.Errorf("sent %+v", m)
			}
			if took := time.Since(called); m.To.Key == "2" && took < delay {
				t.Errorf("what is sent after %v comes after %v", delay, took)
			}
		}
		if want := map[string]string{"1": "now", "2": `"later"`}; !cmp.Equal(sent, want) {
			t.Errorf("sent %q, want %q", sent, want)
		}
	}
}

// Requests that end before their handlers do: cancelled, over their deadline, or
// over the time of an attempt. And callers who do not wait for the end.
func endsEarly() ([]*edda.Service, func(*testing.T, *edda.Client)) {
	began, ended := make(chan string, 10), make(chan error, 10)
	hold := service("hold", edda.Ordered, func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		began <- string(m.Payload)
		<-c.Done()
		ended <- context.Cause(c)
		return nil, c.Err()
	})
	return []*edda.Service{hold}, func(t *testing.T, c *edda.Client) {
		ack, err := c.Send(t.Context(), msg("hold/1", "go", "cancel"))
		if err != nil {
			t.Fatal(err)
		}
		recv(t, began)
		if q, err := c.Cancel(t.Context(), ack.ID); err != nil || q.State != edda.StateCancelled {
			t.Errorf("cancelled: %+v, %v", q, err)
		}
		if err := recv(t, ended); err == nil {
			t.Error("the handler's context does not say why it has ended")
		}
		_, err = c.Wait(t.Context(), ack.ID)
		wantError(t, err, edda.Cancelled, 1, "")

		// A deadline may pass before the attempt begins, or before the request is there.
		begun := false
		for _, within := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, 5 * time.Second, 15 * time.Second} {
			m := msg("hold/1", "go", "within "+within.String())
			m.Deadline = time.Now().Add(within)
			done := make(chan error, 1)
			go func() {
				_, err := c.Call(t.Context(), m)
				done <- err
			}()
			for over := false; !begun && !over; {
				select {
				case what := <-began:
					recv(t, ended)
					begun = what == string(m.Payload) // else one of before, which began late
				case err := <-done:
					wantReason(t, err, edda.DeadlineExceeded)
					over = true
				}
			}
			if begun {
				wantError(t, recv(t, done), edda.DeadlineExceeded, 1, "")
				break
			}
		}
		if !begun {
			t.Fatal("no attempt begins before its deadline")
		}

		// The node may be too slow to say what is known of the request.
		var id edda.ID
		for round := 0; ; round++ {
			m := msg(fmt.Sprint("hold/leave", round), "go", "leave")
			m.ID = edda.NewID(m.To.Hash(), time.Now())
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for what := range began {
					if what == "leave" {
						break
					}
				}
				cancel()
			}()
			_, err = c.Call(ctx, m)
			if id = m.ID; edda.ReasonOf(err) != edda.OutcomeUnknown || round == 20 {
				break
			}
			if _, err := c.Cancel(t.Context(), id); err != nil {
				t.Error(err)
			}
			recv(t, ended)
		}
		wantError(t, err, edda.Timeout, 0, "")
		if e, ok := errors.AsType[*edda.Error](err); !ok || e.RequestID != id {
			t.Errorf("error is %+v, want one about %s", e, id)
		}
		if q, err := c.Request(t.Context(), id); err != nil || q.State.Ended() {
			t.Errorf("the request ends with its caller's patience: %+v, %v", q, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err = c.Wait(ctx, id)
		wantReason(t, err, edda.Timeout)
		if _, err := c.Cancel(t.Context(), id); err != nil {
			t.Error(err)
		}
		recv(t, ended)
	}
}

// A call from a handler is linked to its request, and a circle is refused.
func calls() ([]*edda.Service, func(*testing.T, *edda.Client)) {
	var c *edda.Client
	s := service("ring", edda.Ordered, func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if m.Type == "last" {
			return edda.TextReply(200, m.CorrelationID), nil
		}
		to := msg("ring/"+string(m.Payload), "last", "")
		if ctx.Key() == string(m.Payload) || m.Type == "through" {
			to.Type = "call"
			to.Payload = []byte("a")
		}
		r, err := c.Call(ctx, to)
		if edda.ReasonOf(err) == edda.Cycle {
			return edda.TextReply(409, "cycle"), nil
		}
		return r, err
	})
	return []*edda.Service{s}, func(t *testing.T, client *edda.Client) {
		c = client
		r, err := c.Call(t.Context(), msg("ring/a", "call", "b"))
		if err != nil || string(r.Payload) != r.RequestID.String() {
			t.Errorf("correlation is %s, %v", r.Payload, err)
		}
		for _, way := range []string{"call a", "through b"} {
			method, to, _ := strings.Cut(way, " ")
			if r, err := c.Call(t.Context(), msg("ring/a", method, to)); err != nil || string(r.Payload) != "cycle" {
				t.Errorf("%s: %+v, %v", way, r, err)
			}
		}
	}
}
