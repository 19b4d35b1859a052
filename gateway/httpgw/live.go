package httpgw

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/streamjson"
)

const (
	lastEvent = "Last-Event-ID"
	// takeMessages is how many messages a reader of events is given at a time, and
	// writeBytes about how many bytes of small ones are written at once.
	takeMessages = 256
	writeBytes   = 32 << 10
	// slowTimeout is how long a reader that is too slow may take to be told so.
	slowTimeout = 5 * time.Second
)

// subscribe answers with the messages of a channel as they come. It returns when the
// reader leaves, or there can be no more. What a reader does not take is nowhere but in
// the streams.
func (g *Gateway) subscribe(x *exchange, q url.Values) error {
	if err := x.grant.CheckSubscribe(x.namespace, x.args[0]); err != nil {
		return err
	}
	s, err := x.subscription(q)
	if err != nil {
		return err
	}
	x.w.Header()["Cache-Control"] = httpio.NoStore
	if x.r.Method == http.MethodHead {
		return g.headOfEvents(x)
	}
	rang := make(chan struct{}, 1)
	s.Notify = func() {
		select {
		case rang <- struct{}{}:
		default: // it is told already
		}
	}
	sub, err := g.channels.Subscribe(x.r.Context(), s)
	if err != nil {
		return err
	}
	defer sub.Close()
	x.waits = true
	l := &listener{g: g, x: x, sub: sub, rang: rang, out: stream{x: x}}
	defer l.out.close()
	return l.listen()
}

// headOfEvents answers HEAD: nobody subscribes.
func (g *Gateway) headOfEvents(x *exchange) error {
	if _, err := g.channels.Channel(x.r.Context(), x.namespace, x.args[0]); err != nil {
		return err
	}
	s := stream{x: x}
	s.begin(reqhead.EventStream)
	return nil
}

// subscription reads what the reader wants to hear, and from where: after the last event
// that it has seen, else where the query says.
func (x *exchange) subscription(q url.Values) (*edda.Subscribe, error) {
	s := &edda.Subscribe{Namespace: x.namespace, Channel: x.args[0], Principal: x.grant.Principal}
	var err error
	if s.Patterns, err = reqhead.Patterns(q); err != nil {
		return nil, err
	}
	if s.From, err = reqhead.LiveFrom(q); err != nil {
		return nil, err
	}
	if last := edda.From(x.r.Header.Get(lastEvent)); last != "" {
		if !last.Resumes() {
			return nil, refuse(edda.BadValue, lastEvent+" must be the id of an event of this channel")
		}
		s.From = last
	}
	return s, s.Validate()
}

// listener is a reader of events about a subscription.
type listener struct {
	g    *Gateway
	x    *exchange
	sub  edda.Subscription
	rang <-chan struct{}
	out  stream
	// b is what is to be written, at the id that the reader was told last.
	b  []byte
	at edda.From
	// gap says that the reader was told of one.
	gap bool
}

// listen writes events until there are no more, or nobody takes them.
func (l *listener) listen() error {
	ctx, expire := l.x.whileKnown()
	defer expire()
	l.out.begin(reqhead.EventStream)
	// A reader that comes back before the first message goes on from here.
	l.place()
	if l.write() != nil {
		return nil // nobody takes it
	}
	beat := time.NewTimer(heartbeat)
	defer beat.Stop()
	for {
		batch, err := l.sub.Take(ctx, takeMessages)
		if err = cmp.Or(err, ctx.Err()); err != nil {
			l.end(ctx, err)
			return nil
		}
		if l.tell(&batch) != nil {
			return nil
		}
		switch {
		case batch.Over:
			return nil
		case l.sub.Behind() > l.g.opts.MaxBehind:
			return l.slow()
		case len(batch.Messages) > 0:
			continue
		}
		select {
		case <-l.rang:
		case <-ctx.Done():
		case <-beat.C:
			l.b = append(l.b, ": still here\n\n"...)
			if l.place(); l.write() != nil {
				return nil
			}
			beat.Reset(heartbeat)
		}
	}
}

// tell writes an event for each message.
func (l *listener) tell(batch *edda.LiveBatch) error {
	if batch.Gap || !l.gap && l.sub.Gap() {
		l.gap = true
		l.b = append(l.b, "event: "+streamjson.GapEvent+"\ndata: {}\n\n"...)
	}
	for _, m := range batch.Messages {
		data := m.Encoded(streamjson.Live)
		if len(l.b)+len(data) > writeBytes && len(l.b) > 0 {
			if err := l.write(); err != nil {
				return err
			}
		}
		l.at = m.From
		l.b = append(append(l.b, "id: "...), m.From...)
		l.b = append(append(l.b, "\nevent: "...), eventName(m.Message.Type)...)
		l.b = append(append(l.b, "\ndata: "...), data...)
		l.b = append(l.b, '\n', '\n')
	}
	return l.write()
}

// eventName is the type of a message, unless it would be taken for an event of the
// node's own, or could not stand in a line.
func eventName(messageType string) string {
	if messageType == "" || strings.HasPrefix(messageType, "edda.") || strings.ContainsAny(messageType, "\r\n") {
		return edda.DefaultMessageType
	}
	return messageType
}

// place has the reader come back to where it is now, also when what it has passed was
// not for it: an id without data is noted, and is no event.
func (l *listener) place() {
	if at := l.sub.From(); at != l.at {
		l.at = at
		l.b = append(append(append(l.b, "id: "...), at...), '\n', '\n')
	}
}

// write sends off what is to be written.
func (l *listener) write() error {
	if len(l.b) == 0 {
		return nil
	}
	err := l.out.write(l.b)
	if l.b = l.b[:0]; cap(l.b) > 4*writeBytes {
		l.b = nil // a large message must not stay with each reader
	}
	return err
}

// end says why there are no more messages, unless the reader has left.
func (l *listener) end(ctx context.Context, err error) {
	switch {
	case l.x.r.Context().Err() != nil:
		return
	case ctx.Err() != nil:
		err = refuse(edda.NoCredentials, errExpired.Error())
	}
	l.b = append(l.b, appendEvent("", streamjson.EndEvent, httpio.AppendProblem(nil, l.g.problem(l.x, err)))...)
	_ = l.write() // or nobody listens
}

// slow says that the reader takes too little, and breaks the connection off. It has
// missed nothing: it comes back with the id of the last event.
func (l *listener) slow() error {
	l.g.slow.Inc()
	err := refuse(edda.Slow, "too much has come that was not taken")
	l.b = append(l.b, appendEvent("", streamjson.EndEvent, httpio.AppendProblem(nil, l.g.problem(l.x, err)))...)
	l.out.patience = slowTimeout
	_ = l.write() // or nobody listens
	return errBroken
}
