package httpgw

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/httpheader"
	"github.com/edda-io/edda/internal/jsondata"
)

// errBroken: an answer that had begun could not be brought to its end. The
// connection is broken off, so that whoever reads it does not take it for whole.
var errBroken = errors.New("the answer was broken off")

// partItem is a part, or a reset, as it stands in JSON.
type partItem struct {
	Number      edda.PartID `json:"number"`
	Attempt     int         `json:"attempt"`
	Reset       bool        `json:"reset,omitempty"`
	ContentType string      `json:"contentType,omitempty"`
	jsondata.Data
}

func newPartItem(p *edda.Part) partItem {
	return partItem{p.ID(), p.Attempt, p.Reset, p.ContentType, jsondata.Encode(p.ContentType, p.Payload)}
}

// getParts answers with a page of the parts of a reply, or with all of them as
// they come.
func (g *Gateway) getParts(x *exchange) error {
	id, err := g.ownRequest(x)
	if err != nil {
		return err
	}
	q, err := x.query()
	if err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	wait, err := x.waitOf(q)
	if err != nil {
		return err
	}
	after, err := partAfter("after", p.After)
	if err != nil {
		return err
	}
	if reqhead.AcceptsEvents(x.r.Header["Accept"]) {
		if last := x.r.Header.Get("Last-Event-ID"); last != "" {
			if after, err = partAfter("Last-Event-ID", last); err != nil {
				return err
			}
		}
		// Whoever asks for nothing gets a proper answer.
		if _, err := g.calls.Request(x.r.Context(), x.namespace, id); err != nil {
			return err
		}
		return g.events(x, id, after, forever)
	}
	parts, ended, err := g.node.PartsPage(x.r.Context(), x.namespace, id, after, p.Limit, wait)
	if err != nil {
		return err
	}
	items := make([]partItem, len(parts))
	for i := range parts {
		items[i] = newPartItem(&parts[i])
		after = parts[i].ID()
	}
	if ended {
		return page(x, items, "")
	}
	return page(x, items, after.String())
}

// partAfter reads the number of a part from a parameter or header.
func partAfter(name, value string) (edda.PartID, error) {
	id, err := edda.ParsePartID(value)
	if err != nil {
		return id, refuse(edda.BadValue, name+" must be the number of a part, such as 2.7")
	}
	return id, nil
}

// callParts stores a call and answers with the parts of its reply as they come,
// as events or as they are. The caller's wait is for the first of them.
func (g *Gateway) callParts(x *exchange, m *edda.Message, p reqhead.Preferences) error {
	x.waits = true
	ack, err := g.calls.Send(x.r.Context(), m)
	if err != nil {
		return err
	}
	x.id = ack.ID
	if ack.Done {
		p.Wait = forever // it is all there
	}
	if p.Events {
		g.streamHeaders(x, ack, p)
		return g.events(x, ack.ID, edda.PartID{}, p.Wait)
	}
	return g.chunks(x, ack, p)
}

// streamHeaders says of a request whose reply is streamed what is known when the
// stream begins.
func (g *Gateway) streamHeaders(x *exchange, ack *edda.Ack, p reqhead.Preferences) {
	h := x.w.Header()
	h["Edda-Request-Id"] = []string{ack.ID.String()}
	h["Edda-Position"] = []string{ack.Position}
	h["Edda-Durability"] = []string{string(ack.Durability)}
	h["Cache-Control"] = httpio.NoStore
	if p.Parts {
		h["Preference-Applied"] = []string{"parts"}
	}
	if ack.Joined && ack.Done {
		h["Idempotency-Replayed"] = httpio.Yes
	}
}

// chunks answers with the bytes of each part, then with those of the reply.
// Before the first part it is an answer like any other; after it a failure, or a
// reset, can only break the connection.
func (g *Gateway) chunks(x *exchange, ack *edda.Ack, p reqhead.Preferences) error {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	came := patience(p.Wait, cancel)
	defer came()
	s := stream{x: x}
	defer s.close()
	for part, err := range g.calls.Parts(ctx, x.namespace, ack.ID, edda.PartID{}) {
		switch {
		case err != nil && s.begun:
			return errBroken
		case err != nil:
			return acknowledged(err, ack)
		case part.Reset && s.begun:
			return errBroken
		case part.Reset:
			continue
		}
		if !s.begun {
			came()
			g.streamHeaders(x, ack, p)
			s.begin(part.ContentType)
		}
		if s.write(part.Payload) != nil {
			return errBroken
		}
	}
	reply, err := g.await(x, ack, defaultWait) // which is there
	if !s.begun {
		if err == nil {
			g.reply(x, reply)
		}
		return err
	}
	// The status has gone, so that one which says that something went wrong can only
	// be told by breaking off.
	if err != nil || reply.EffectiveStatus() >= http.StatusBadRequest || s.write(reply.Payload) != nil {
		return errBroken
	}
	return nil
}

// forever is a wait without an end.
const forever time.Duration = -1

// patience ends a wait for parts in time, unless came is called before.
func patience(wait time.Duration, cancel context.CancelCauseFunc) (came func()) {
	if wait == forever {
		return func() {}
	}
	t := time.AfterFunc(wait, func() { cancel(errWaited) })
	return func() { t.Stop() }
}

// errWaited: nothing came while the caller was ready to wait.
var errWaited = errors.New("the wait was over before the first part came")

// acknowledged returns an error about a request that was acknowledged.
func acknowledged(err error, ack *edda.Ack) error {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		return err
	}
	known := *e
	known.RequestID, known.Position = ack.ID, ack.Position
	return &known
}

// stream is an answer that is written bit by bit.
type stream struct {
	x     *exchange
	begun bool
	c     *http.ResponseController
	// patience is how long the reader may take for what is written; bodyTimeout when zero.
	patience time.Duration
}

func (s *stream) begin(contentType string) {
	s.begun, s.c = true, http.NewResponseController(s.x.w)
	h := s.x.w.Header()
	h["Content-Type"] = nil // so that net/http does not guess
	if contentType != "" && httpheader.ValidValue(contentType) {
		h["Content-Type"] = []string{contentType}
	}
	s.x.status = http.StatusOK
	s.x.w.WriteHeader(s.x.status)
}

// write sends the bytes off. An error says that nobody takes them.
func (s *stream) write(b []byte) error {
	_ = s.c.SetWriteDeadline(time.Now().Add(cmp.Or(s.patience, httpio.BodyTimeout))) // what cannot have one has none
	if len(b) > 0 {
		if _, err := s.x.w.Write(b); err != nil {
			return err
		}
	}
	return s.c.Flush()
}

func (s *stream) close() {
	if s.begun {
		_ = s.c.SetWriteDeadline(time.Time{})
	}
}
