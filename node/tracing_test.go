package node_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
	callersOwn   = "00-" + callersTrace + "-" + callersSpan + "-01"
)

// traced returns a provider and what it recorded.
func traced() (trace.TracerProvider, *tracetest.SpanRecorder) {
	r := tracetest.NewSpanRecorder()
	return sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r)), r
}

// spans returns the ended spans, by name and how often that was there before.
func spans(r *tracetest.SpanRecorder) map[string]sdktrace.ReadOnlySpan {
	synctest.Wait()
	all := map[string]sdktrace.ReadOnlySpan{}
	for _, s := range r.Ended() {
		name := s.Name()
		for i := 2; all[name] != nil; i++ {
			name = fmt.Sprint(s.Name(), " ", i)
		}
		all[name] = s
	}
	return all
}

// attr is an attribute of a span, as text.
func attr(s sdktrace.ReadOnlySpan, key string) string {
	for _, a := range s.Attributes() {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

// A message, each attempt at it and what its handler sends are one trace, which is the
// caller's.
func TestTraceOfRequest(t *testing.T) {
	bubble(t, "here", func(t *testing.T) {
		provider, recorded := traced()
		var inHandler, received []string
		first := ordered("first", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			inHandler = append(inHandler, trace.SpanContextFromContext(ctx).SpanID().String())
			received = append(received, m.TraceParent)
			if ctx.Attempt() == 1 {
				return nil, errHandler
			}
			return nil, ctx.Send(msg("second", "note", ""))
		})
		first.Retry = everySecond
		n := start(t, node.Options{TracerProvider: provider, Version: "1.2"}, first, balanced("second", echo))
		began := time.Now()
		call(t, n, with(msg("first/k", "do", "x"), func(m *edda.Message) {
			m.TraceParent, m.TraceState = callersOwn, "vendor=1"
		})).replied(t, 204, "")

		got := spans(recorded)
		accept, one, two, sent := got["accept first.do"], got["attempt first.do"], got["attempt first.do 2"], got["attempt second.note"]
		if len(got) != 4 || accept == nil || one == nil || two == nil || sent == nil {
			t.Fatalf("got spans %v, want one of acceptance, two attempts, and one at what was sent", got)
		}
		for _, c := range []struct {
			span   sdktrace.ReadOnlySpan
			parent string
			kind   trace.SpanKind
			status codes.Code
			took   time.Duration
		}{
			{accept, callersSpan, trace.SpanKindProducer, codes.Unset, 0},
			{one, accept.SpanContext().SpanID().String(), trace.SpanKindConsumer, codes.Error, 0},
			{two, accept.SpanContext().SpanID().String(), trace.SpanKindConsumer, codes.Unset, 0},
			{sent, two.SpanContext().SpanID().String(), trace.SpanKindConsumer, codes.Unset, 0},
		} {
			sc := c.span.SpanContext()
			if sc.TraceID().String() != callersTrace || c.span.Parent().SpanID().String() != c.parent || sc.TraceState().String() != "vendor=1" {
				t.Errorf("%s: trace %s, parent %s, state %s; want the caller's trace and state, and parent %s",
					c.span.Name(), sc.TraceID(), c.span.Parent().SpanID(), sc.TraceState(), c.parent)
			}
			if took := c.span.EndTime().Sub(c.span.StartTime()); c.span.SpanKind() != c.kind || c.span.Status().Code != c.status || took != c.took {
				t.Errorf("%s: kind %v, status %v, took %v; want %v, %v, %v", c.span.Name(), c.span.SpanKind(), c.span.Status(), took, c.kind, c.status, c.took)
			}
		}
		if two.StartTime().Sub(began) != time.Second || one.Status().Description != errHandler.Error() || attr(one, "error.type") != "FAILED" {
			t.Errorf("attempts at %v and %v, the first with status %v; want a second between them, and the handler's error", one.StartTime(), two.StartTime(), one.Status())
		}
		for i, s := range []sdktrace.ReadOnlySpan{one, two} {
			id := s.SpanContext().SpanID().String()
			if inHandler[i] != id || !strings.Contains(received[i], id) || attr(s, "edda.attempt") != fmt.Sprint(i+1) {
				t.Errorf("attempt %d: handler is in span %s and got %s, span says %v; want all of span %s", i+1, inHandler[i], received[i], s.Attributes(), id)
			}
		}
		if attr(accept, "edda.key") != "k" || attr(accept, "edda.method") != "do" || attr(accept, "messaging.message.id") == "" || attr(accept, "edda.position") == "" {
			t.Errorf("accept has attributes %v, want key, method, id and position", accept.Attributes())
		}
		if s := accept.InstrumentationScope(); s.Name != "github.com/edda-io/edda/node" || s.Version != "1.2" {
			t.Errorf("got scope %v, want the package and the version", s)
		}
	})
	bubble(t, "caller's span", func(t *testing.T) {
		provider, recorded := traced()
		n := start(t, node.Options{TracerProvider: provider}, ordered("s", echo))
		ctx, span := provider.Tracer("test").Start(t.Context(), "mine")
		if _, err := n.Client().Send(ctx, msg("s/k", "m", "x")); err != nil {
			t.Fatal(err)
		}
		span.End()
		if accept := spans(recorded)["accept s.m"]; accept == nil || accept.Parent().SpanID() != span.SpanContext().SpanID() {
			t.Errorf("got %v, want a span whose parent is the caller's", accept)
		}
	})
}

// The span of acceptance ends when the message is durable, however long the caller
// waits; one that was refused says why.
func TestSpanOfAcceptance(t *testing.T) {
	bubble(t, "waits", func(t *testing.T) {
		provider, recorded := traced()
		gate := make(chan struct{})
		n := start(t, node.Options{TracerProvider: provider}, ordered("s", waitFor(gate)))
		c := calling(t, n, msg("s/k", "m", "x"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := n.Client().Call(ctx, msg("s/k", "leaves", "x"))
		wantReason(t, err, edda.Timeout)
		close(gate)
		(<-c).replied(t, 200, "x")
		for _, name := range []string{"accept s.m", "accept s.leaves"} {
			s := spans(recorded)[name]
			if s == nil || s.EndTime() != s.StartTime() || s.Status().Code != codes.Unset || attr(s, "edda.position") == "" {
				t.Errorf("%s: got %+v, want it to end when the message was durable", name, s)
			}
		}
	})
	bubble(t, "refused", func(t *testing.T) {
		provider, recorded := traced()
		n := start(t, node.Options{TracerProvider: provider}, ordered("s", echo))
		call(t, n, msg("s", "m", "x")).refused(t, edda.WrongKind)
		s := spans(recorded)["accept s.m"]
		if s == nil || s.Status().Code != codes.Error || attr(s, "error.type") != "WRONG_KIND" || attr(s, "edda.position") != "" {
			t.Errorf("got %+v, want an error and no position", s)
		}
	})
	bubble(t, "joined", func(t *testing.T) {
		provider, recorded := traced()
		n := start(t, node.Options{TracerProvider: provider}, ordered("s", echo))
		for range 2 {
			call(t, n, keyed(msg("s/k", "m", "x"), "once")).replied(t, 200, "x")
		}
		all := spans(recorded)
		if s := all["accept s.m 2"]; len(all) != 3 || s == nil || attr(s, "edda.joined") != "true" {
			t.Errorf("got %v, want two acceptances, the second joined, and one attempt", all)
		}
	})
}

// An attempt elsewhere has a span too, until it is over or given up.
func TestSpanOfAttemptElsewhere(t *testing.T) {
	bubble(t, "elsewhere", func(t *testing.T) {
		provider, recorded := traced()
		n := start(t, node.Options{TracerProvider: provider})
		s := orderedSpec("s")
		s.AttemptTimeout, s.Retry = time.Second, everySecond
		w := attach(t, n, spec("w", s), nil)
		send(t, n, msg("s/k", "m", "x"))
		synctest.Wait()
		a := w.attempt(t, 0)
		a.Taken()
		parent := a.Dispatch().Message.TraceParent
		inside := trace.SpanContextFromContext(a.Context()).SpanID().String()
		time.Sleep(time.Second) // it is given up
		late := spans(recorded)["attempt s.m"]
		if late == nil || attr(late, "error.type") != "FENCED" || late.EndTime().Sub(late.StartTime()) != time.Second || attr(late, "edda.worker") != "w" {
			t.Fatalf("got %+v, want an attempt of w that was fenced after a second", late)
		}
		if id := late.SpanContext().SpanID().String(); !strings.Contains(parent, id) || inside != id {
			t.Errorf("the worker got %s and %s, want span %s", parent, inside, id)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		w.attempt(t, 1).HandBack()
		synctest.Wait()
		done(t, w.attempt(t, 2), reply("x"))
		got := spans(recorded)
		if back, ok := got["attempt s.m 2"], got["attempt s.m 3"]; back == nil || attr(back, "edda.handed_back") != "true" || ok == nil || ok.Status().Code != codes.Unset {
			t.Errorf("got %v, want one attempt handed back, and one well", got)
		}
	})
}

// Without a provider, and with one that does nothing, messages keep the trace that
// they came with; a trace context that is none begins a trace.
func TestTraceContextIsKept(t *testing.T) {
	recording, _ := traced()
	for name, c := range map[string]struct {
		provider     trace.TracerProvider
		parent       string
		kept, traced bool
	}{
		"none":             {nil, callersOwn, true, true},
		"noop":             {noop.NewTracerProvider(), callersOwn, true, true},
		"not valid":        {nil, "00-zz", true, false},
		"recording":        {recording, callersOwn, false, true},
		"recording, long":  {recording, strings.Replace(callersOwn, "00", "cc", 1) + "-more", false, true},
		"recording, short": {recording, "00-" + callersTrace, false, false},
		"recording, zero":  {recording, "00-" + strings.Repeat("0", 32) + "-" + callersSpan + "-01", false, false},
		"recording, flags": {recording, "00-" + callersTrace + "-" + callersSpan + "-zz", false, false},
		"recording, ff":    {recording, strings.Replace(callersOwn, "00", "ff", 1), false, false},
		"recording, dash":  {recording, strings.ReplaceAll(callersOwn, "-", "_"), false, false},
	} {
		bubble(t, name, func(t *testing.T) {
			got := ""
			n := start(t, node.Options{TracerProvider: c.provider}, ordered("s", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
				got = m.TraceParent
				return nil, nil
			}))
			call(t, n, with(msg("s/k", "m", "x"), func(m *edda.Message) { m.TraceParent = c.parent })).replied(t, 204, "")
			if kept, same := got == c.parent, strings.Contains(got, callersTrace); kept != c.kept || same != c.traced {
				t.Errorf("the handler got %s for %s; want the same: %t, the same trace: %t", got, c.parent, c.kept, c.traced)
			}
		})
	}
}
