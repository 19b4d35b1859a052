package stream_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/stream"
)

// deliver has a service handle a message of a stream, as whatever hosts it would.
func deliver(t *testing.T, s *edda.Service, m edda.StreamMessage) edda.Outcome {
	t.Helper()
	e := m.Envelope()
	e.To.Name, e.To.Namespace = s.Name, edda.DefaultNamespace
	e.ID, e.IdempotencyKey = edda.ID{1}, ""
	return s.Invoke(t.Context(), &edda.Dispatch{Message: &e, Attempt: 1, Delivery: &edda.DeliveryRef{
		Stream: s.Group.Stream, Group: s.Group.Name, Shard: m.Shard, Offset: m.Offset, ID: m.ID,
	}})
}

// appended returns what an outcome appends, without what the root fills in.
func appended(out edda.Outcome) []edda.Append {
	var all []edda.Append
	for _, a := range out.Appends {
		a := *a
		a.Principal = ""
		for i := range a.Messages {
			m := &a.Messages[i]
			m.Principal, m.CorrelationID, m.CausationID = "", "", edda.ID{}
		}
		all = append(all, a)
	}
	return all
}

type name struct {
	Name string `json:"name"`
}

type howdy struct {
	Howdy string `json:"howdy"`
}

// one is the append of one message.
func one(name, shard string, m edda.StreamMessage) []edda.Append {
	return []edda.Append{{Namespace: "default", Stream: name, Shard: shard, Messages: []edda.StreamMessage{m}}}
}

func greeter() *stream.Consumer {
	c := stream.NewConsumer("greetings", "howdy")
	stream.Handle(c, "hello", func(_ *edda.Context, in name) (howdy, error) { return howdy{"there, " + in.Name}, nil })
	stream.Handle(c, "nothing", func(*edda.Context, stream.None) (stream.None, error) { return stream.None{}, nil })
	c.On("raw", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if len(m.Payload) == 0 {
			return nil, nil
		}
		return &edda.Reply{ContentType: "text/plain", Payload: m.Payload, Headers: edda.Headers{{Name: "X", Value: "new"}}}, nil
	})
	stream.Handle(c, "fails", func(*edda.Context, stream.None) (stream.None, error) {
		return stream.None{}, edda.Final("NO", "never")
	})
	return c
}

// What answers the message of a saga's step finishes it.
func TestConsumerFinishesSteps(t *testing.T) {
	step := edda.Headers{{Name: edda.SagaIDHeader, Value: "s"}, {Name: edda.StepIDHeader, Value: "a"}, {Name: edda.CompletionKeyHeader, Value: "k"}}
	m := edda.StreamMessage{
		ID: "m1", Type: "raw", Payload: []byte("x"), ReplyTo: edda.Address{Name: "answers", Key: "eu"}, Headers: append(edda.Headers{{Name: "Y", Value: "why"}}, step...),
	}
	want := append(edda.Headers{{Name: "X", Value: "new"}}, step...)
	check := func(what string) {
		t.Helper()
		got := appended(deliver(t, must(greeter().Service()), m))
		if len(got) != 1 {
			t.Fatalf("%s: got %+v", what, got)
		}
		if diff := cmp.Diff(want, got[0].Messages[0].Headers); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", what, diff)
		}
	}
	check("all three headers")
	m.Headers, want = m.Headers[:3], want[:1]
	check("two of them")
}

func TestConsumerReplies(t *testing.T) {
	hello := edda.StreamMessage{
		ID: "m1", Type: "hello", Key: "ada", Source: "me", Payload: []byte(`{"name":"Ada"}`), ReplyTo: edda.Address{Name: "answers", Key: "eu"},
		Headers: edda.Headers{{Name: "X", Value: "old"}, {Name: "Y", Value: "why"}},
	}
	with := func(change func(m *edda.StreamMessage)) edda.StreamMessage {
		m := hello
		change(&m)
		return m
	}
	to := func(a edda.Address) func(*stream.Consumer) { return func(c *stream.Consumer) { c.To = a } }
	unknown := func(u stream.Unknown) func(*stream.Consumer) {
		return func(c *stream.Consumer) { c.Unknown, c.To = u, edda.Address{Name: "default-replies"} }
	}
	route := func(c *stream.Consumer) { c.Mode, c.To = stream.Route, edda.Address{Name: "b", Key: "red"} }
	strange := with(func(m *edda.StreamMessage) { m.Type = "strange" })
	noHandler := edda.StreamMessage{
		ID: "m1", Type: "error", Key: "ada", Source: "me", ContentType: "application/json",
		Payload: []byte(`{"reason":"NO_METHOD","message":"greetings/howdy has no handler for messages of the type strange"}`),
	}
	reply := edda.StreamMessage{ID: "m1", Type: "reply", Key: "ada", Source: "me", ContentType: "application/json", Payload: []byte(`{"howdy":"there, Ada"}`)}
	for _, c := range []struct {
		name string
		set  func(*stream.Consumer)
		m    edda.StreamMessage
		want []edda.Append
	}{
		{"to the message's reply-to", to(edda.Address{Name: "elsewhere"}), hello, one("answers", "eu", reply)},
		{
			"in another namespace", to(edda.Address{}), with(func(m *edda.StreamMessage) { m.ReplyTo.Namespace = "ns" }),
			[]edda.Append{{Namespace: "ns", Stream: "answers", Shard: "eu", Messages: []edda.StreamMessage{reply}}},
		},
		{"to the default", to(edda.Address{Name: "elsewhere"}), with(func(m *edda.StreamMessage) { m.ReplyTo = edda.Address{} }), one("elsewhere", "", reply)},
		{"to nobody", to(edda.Address{}), with(func(m *edda.StreamMessage) { m.ReplyTo = edda.Address{} }), nil},
		{"one-way", func(c *stream.Consumer) { c.Mode = stream.OneWay }, hello, nil},
		{
			"nothing, typed", to(edda.Address{}), with(func(m *edda.StreamMessage) { m.Type = "nothing" }),
			one("answers", "eu", edda.StreamMessage{ID: "m1", Type: "reply", Key: "ada", Source: "me"}),
		},
		{
			"nothing, raw", to(edda.Address{}), with(func(m *edda.StreamMessage) { m.Type, m.Payload = "raw", nil }),
			one("answers", "eu", edda.StreamMessage{ID: "m1", Type: "reply", Key: "ada", Source: "me"}),
		},
		{
			"routed", route, with(func(m *edda.StreamMessage) { m.Type = "raw" }),
			one("b", "red", edda.StreamMessage{
				ID: "m1", Type: "raw", Key: "ada", Source: "me", ReplyTo: edda.Address{Name: "answers", Key: "eu"}, ContentType: "text/plain",
				Payload: hello.Payload, Headers: edda.Headers{{Name: "Y", Value: "why"}, {Name: "X", Value: "new"}},
			}),
		},
		{
			"routed under another type", func(c *stream.Consumer) { route(c); c.RouteType = "greeting" }, hello,
			one("b", "red", edda.StreamMessage{
				ID: "m1", Type: "greeting", Key: "ada", Source: "me", ReplyTo: hello.ReplyTo, ContentType: "application/json", Payload: reply.Payload, Headers: hello.Headers,
			}),
		},
		{"nothing routed", route, with(func(m *edda.StreamMessage) { m.Type = "nothing" }), nil},
		{"unknown, skipped", to(edda.Address{}), strange, nil},
		{"unknown, error reply", unknown(stream.ErrorReply), strange, one("answers", "eu", noHandler)},
		{
			"unknown, error reply to the default", unknown(stream.ErrorReply),
			with(func(m *edda.StreamMessage) { m.Type, m.ReplyTo = "strange", edda.Address{} }), one("default-replies", "", noHandler),
		},
		{
			"unknown, error reply of a route", func(c *stream.Consumer) { route(c); c.Unknown = stream.ErrorReply },
			with(func(m *edda.StreamMessage) { m.Type, m.ReplyTo = "strange", edda.Address{} }), nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			consumer := greeter()
			c.set(consumer)
			s, err := consumer.Service()
			if err != nil {
				t.Fatal(err)
			}
			out := deliver(t, s, c.m)
			if out.Err != nil || len(out.Reply.Payload) > 0 {
				t.Fatalf("got %+v, want an acknowledgement without a payload", out)
			}
			if diff := cmp.Diff(c.want, appended(out)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestConsumerFails(t *testing.T) {
	large := func(*edda.Context, *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{Payload: make([]byte, edda.MaxOutcomeBytes)}, nil
	}
	for _, c := range []struct {
		name, messageType, payload string
		set                        func(*stream.Consumer)
		want                       string
	}{
		{"by itself", "fails", "{}", func(*stream.Consumer) {}, "NO: never"},
		{"no handler", "strange", "{}", func(c *stream.Consumer) { c.Unknown = stream.DeadLetter }, "NO_METHOD: greetings/howdy has no handler for messages of the type strange"},
		{"payload does not fit", "hello", "[", func(*stream.Consumer) {}, "SCHEMA: payload is not"},
		{"reply is too large", "large", "", func(c *stream.Consumer) { c.On("large", large) }, "TOO_LARGE: append to answers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			consumer := greeter()
			c.set(consumer)
			s, err := consumer.Service()
			if err != nil {
				t.Fatal(err)
			}
			out := deliver(t, s, edda.StreamMessage{ID: "m1", Type: c.messageType, Payload: []byte(c.payload), ReplyTo: edda.Address{Name: "answers"}})
			if h, ok := errors.AsType[*edda.HandlerError](out.Err); !ok || !h.Final || !strings.HasPrefix(h.Error(), c.want) {
				t.Errorf("got %v, want a final error: %s", out.Err, c.want)
			}
		})
	}
}

func TestConsumerIsChecked(t *testing.T) {
	for _, c := range []struct {
		set    func(*stream.Consumer)
		reason edda.Reason
		want   string
	}{
		{func(c *stream.Consumer) { c.Mode = "twice" }, edda.BadValue, `Mode "twice"`},
		{func(c *stream.Consumer) { c.Unknown = "eat" }, edda.BadValue, `Unknown "eat"`},
		{func(c *stream.Consumer) { c.Mode = stream.Route }, edda.BadValue, "To is empty"},
		{func(c *stream.Consumer) { c.Mode, c.To.Name = stream.OneWay, "a" }, edda.BadValue, "To is a"},
		{func(c *stream.Consumer) { c.RouteType = "a" }, edda.BadValue, `RouteType is "a"`},
		{func(c *stream.Consumer) { c.To.Name = "a/b" }, edda.BadName, `"a/b"`},
		{func(c *stream.Consumer) { c.To.Key = "a" }, edda.BadName, "empty"},
		{func(c *stream.Consumer) { c.Group.Name = "" }, edda.BadName, "group"},
		{func(c *stream.Consumer) { c.Group.From = "noon" }, edda.BadValue, "noon"},
		{func(c *stream.Consumer) { c.Concurrency = -1 }, edda.BadValue, "concurrency"},
	} {
		consumer := greeter()
		c.set(consumer)
		s, err := consumer.Service()
		if s != nil || edda.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, %v, want %s: …%s…", s, err, c.reason, c.want)
		}
	}
	p := stream.NewPipe("a", "g", "", nil)
	if _, err := p.Service(); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("a pipe to nowhere: got %v", err)
	}
	p.To = edda.Address{Name: "b", Key: "no/shard"}
	if _, err := p.Service(); edda.ReasonOf(err) != edda.BadName {
		t.Errorf("a pipe to a bad shard: got %v", err)
	}
}

// Handlers come and go while messages come, and the service is the same.
func TestHandlersComeAndGo(t *testing.T) {
	consumer := stream.NewConsumer("s", "g")
	consumer.Unknown = stream.DeadLetter
	s, err := consumer.Service()
	if err != nil {
		t.Fatal(err)
	}
	works := func() bool { return deliver(t, s, edda.StreamMessage{ID: "m", Type: "new"}).Err == nil }
	nothing := func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, nil }
	if works() {
		t.Error("there is no handler yet")
	}
	consumer.On("new", nothing)
	if !works() || len(consumer.Types()) != 1 {
		t.Error("the handler is not there")
	}
	consumer.On("new", func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, errors.New("replaced") })
	if works() {
		t.Error("the handler was not replaced")
	}
	if !consumer.Off("new") || consumer.Off("new") || works() {
		t.Error("the handler was not removed")
	}
	var changes sync.WaitGroup
	for i := range 8 {
		changes.Go(func() {
			for range 100 {
				consumer.On(fmt.Sprint("type", i), nothing)
				works()
				consumer.Off(fmt.Sprint("type", i))
			}
		})
	}
	changes.Wait()
	defer func() {
		if recover() == nil {
			t.Error("a handler that is nil was taken")
		}
	}()
	consumer.On("nil", nil)
}

func TestReceived(t *testing.T) {
	consumer := stream.NewConsumer("s", "g")
	var got *edda.StreamMessage
	consumer.On("x", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		got, _ = stream.Received(ctx)
		return nil, nil
	})
	s := must(consumer.Service())
	sent := edda.StreamMessage{ID: "m7", Stream: "s", Shard: "red", Offset: 7, Type: "x", Key: "k", Payload: []byte("p"), Principal: "ada", ReplyTo: edda.Address{Name: "r"}}
	deliver(t, s, sent)
	if diff := cmp.Diff(&sent, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	other := edda.NewBalanced("other")
	other.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		if _, ok := stream.Received(ctx); ok {
			t.Error("a request is no message of a stream")
		}
		return nil, nil
	})
	other.Invoke(t.Context(), &edda.Dispatch{Message: &edda.Message{}})
}

func TestPipe(t *testing.T) {
	in := edda.StreamMessage{
		ID: "m7", Shard: "red", Offset: 7, Type: "x", Key: "k", Source: "s", Payload: []byte("p"), ContentType: "text/plain",
		ReplyTo: edda.Address{Name: "r"}, Headers: edda.Headers{{Name: "H", Value: "h"}},
	}
	// What is appended is the message, with its place left over from where it was read.
	out := in
	out.Stream = "a"
	failed := errors.New("not now")
	for _, c := range []struct {
		name      string
		transform stream.Transform
		to        edda.Address
		want      []edda.Append
		err       error
	}{
		{"copies", nil, edda.Address{Name: "b"}, one("b", "red", out), nil},
		{"into one shard", nil, edda.Address{Name: "b", Key: "all"}, one("b", "all", out), nil},
		{
			"changes", func(_ *edda.Context, m *edda.StreamMessage) (*edda.StreamMessage, error) {
				return &edda.StreamMessage{ID: m.ID + "-b", Shard: "blue", Payload: []byte(m.Key)}, nil
			}, edda.Address{Name: "b"}, one("b", "blue", edda.StreamMessage{ID: "m7-b", Shard: "blue", Payload: []byte("k")}), nil,
		},
		{"drops", func(*edda.Context, *edda.StreamMessage) (*edda.StreamMessage, error) { return nil, nil }, edda.Address{Name: "b"}, nil, nil},
		{"fails", func(*edda.Context, *edda.StreamMessage) (*edda.StreamMessage, error) { return nil, failed }, edda.Address{Name: "b"}, nil, failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := stream.NewPipe("a", "g", "b", c.transform)
			p.To = c.to
			got := deliver(t, must(p.Service()), in)
			if !errors.Is(got.Err, c.err) {
				t.Fatalf("got %v, want %v", got.Err, c.err)
			}
			if diff := cmp.Diff(c.want, appended(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The status of a reply is a header of the message that it becomes; none is added to one
// that has none.
func TestReplyHasItsStatus(t *testing.T) {
	c := stream.NewConsumer("logins", "checks")
	c.On("login", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		r := &edda.Reply{ContentType: "text/plain", Payload: []byte("forbidden"), Headers: edda.Headers{{Name: "X", Value: "1"}}}
		if len(m.Payload) > 0 {
			r.Status = 403
		}
		return r, nil
	})
	s := must(c.Service())
	for payload, want := range map[string]edda.Headers{
		"x": {{Name: "X", Value: "1"}, {Name: stream.HeaderStatus, Value: "403"}}, "": {{Name: "X", Value: "1"}},
	} {
		out := deliver(t, s, edda.StreamMessage{ID: "m", Type: "login", Payload: []byte(payload), ReplyTo: edda.Address{Name: "answers"}})
		if diff := cmp.Diff(want, appended(out)[0].Messages[0].Headers); diff != "" {
			t.Errorf("payload %q (-want +got)\n%s", payload, diff)
		}
	}
}
