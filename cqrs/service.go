package cqrs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/rawjson"
)

// Services are what a node or a worker must host. The caller may set their fields, such as
// Concurrency and AttemptTimeout, before handing them over. Requests that come before Start
// wait for it.
//
// There is an ordered service for each broadcaster of the profile, called like it, so that the
// commands of one aggregate do not race. The key is that of the aggregate, and a method is a
// type of command, such as create.user; one with parameters is called without the colons,
// update.user.user_uuid, or with the parameters filled in, update.user.42. The payload is the
// data as JSON, one object: members of the primary key may be left out. Metadata and the
// expected version come in the headers HeaderMetadata and HeaderExpectVersion. The request's id
// is the command's, so a request that is delivered again has the same outcome; its principal,
// correlation and trace context are the command's too. The reply is the Outcome as JSON. What
// refuses the command fails the request for good; what another attempt may mend (a conflict with
// another writer, a database that is not there, a timeout, a panic) is retried.
//
// The balanced service cqrs.NAME is the app's own.
func (a *App) Services() []*edda.Service {
	var all []*edda.Service
	for _, name := range a.table.names {
		if a.serves(name) {
			all = append(all, a.commandService(a.table.broadcasters[name].broadcaster))
		}
	}
	own := edda.NewBalanced(servicePrefix + a.o.Name)
	own.Namespace = a.o.Namespace
	for _, add := range a.ownMethods() {
		add(own)
	}
	if own.Methods() != nil {
		all = append(all, own)
	}
	return all
}

// commandService takes the commands of a broadcaster.
func (a *App) commandService(b *Broadcaster) *edda.Service {
	s := edda.NewOrdered(b.name)
	s.Namespace = a.o.Namespace
	filled := len(b.commands) == 0 // a service has a handler
	for i := range b.commands {
		spec := &b.commands[i]
		name, plain := methodOf(spec.Type)
		filled = filled || !plain
		if edda.CheckName("method", name) != nil || s.Method(name) != nil {
			continue // App.Do runs it
		}
		m := spec.Model.core()
		s.Add(edda.Method{
			Name: name, Check: func(_ string, payload []byte) error { return checkPayload(payload) },
			Handler: func(ctx *edda.Context, msg *edda.Message) (*edda.Reply, error) {
				return a.handleCommand(ctx, msg, spec.Type, m)
			},
		})
	}
	if filled {
		s.HandleAny(func(ctx *edda.Context, msg *edda.Message) (*edda.Reply, error) {
			c, ok := a.table.command(msg.Type)
			if !ok || c.broadcaster != b {
				return nil, edda.Final(string(edda.NoMethod), "broadcaster %s has no command %s", b.name, msg.Type)
			}
			return a.handleCommand(ctx, msg, msg.Type, c.spec.Model.core())
		})
	}
	return s
}

// methodOf is the method for a type of command; plain says that it is the type itself.
func methodOf(typ string) (name string, plain bool) {
	segs := strings.Split(typ, ".")
	for i, seg := range segs {
		segs[i] = strings.TrimSuffix(strings.TrimPrefix(seg, ":"), "?")
	}
	name = strings.Join(segs, ".")
	return name, name == typ
}

// checkPayload refuses what no command can be made of.
func checkPayload(payload []byte) error {
	switch {
	case len(payload) == 0:
		return nil
	case !json.Valid(payload):
		return &edda.Error{Reason: edda.BadSchema, Err: errors.New("payload is not JSON")}
	case !rawjson.IsObject(payload):
		return &edda.Error{Reason: edda.BadSchema, Err: fmt.Errorf("payload is %s, must be an object: the data of the command", rawjson.Form(payload))}
	}
	return nil
}

// handleCommand runs a command that came as a request.
func (a *App) handleCommand(ctx *edda.Context, msg *edda.Message, typ string, m *model) (*edda.Reply, error) {
	if err := a.life.awaitStart(ctx); err != nil {
		return nil, err
	}
	d, err := m.fromRequest(msg)
	if err != nil {
		return nil, edda.Final(string(edda.ReasonOf(err)), "%s", err)
	}
	c := &Command{ID: msg.ID, Type: typ, Data: d, CorrelationID: msg.Correlation(), Principal: msg.Principal, TraceParent: msg.TraceParent}
	if err := c.readHeaders(msg.Headers); err != nil {
		return nil, edda.Final(string(edda.ReasonOf(err)), "%s", err)
	}
	out, err := a.Do(ctx, c)
	if err != nil {
		return nil, handlerError(c, err)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, edda.Final(string(edda.Internal), "write the outcome: %v", err)
	}
	return &edda.Reply{ContentType: "application/json", Payload: b}, nil
}

// fromRequest makes data of a payload. What of the primary key is not in it is taken from the
// request's key.
func (m *model) fromRequest(msg *edda.Message) (Data, error) {
	payload := json.RawMessage(msg.Payload)
	if len(payload) == 0 {
		payload = json.RawMessage("{}")
	}
	if err := checkPayload(payload); err != nil {
		return Data{}, err
	}
	object, err := rawjson.ReadObject(payload)
	if err != nil {
		return Data{}, m.refuse(err)
	}
	parts := []string{msg.To.Key}
	if len(m.key) > 1 {
		if parts = strings.Split(msg.To.Key, "/"); len(parts) != len(m.key) {
			return Data{}, m.refuse(fmt.Errorf("the request's key %q has %d parts, must have %d: %s",
				msg.To.Key, len(parts), len(m.key), strings.Join(m.key, "/")))
		}
	}
	left := false
	for i, name := range m.key {
		if rawjson.IsNothing(object.Get(name)) {
			object.Set(name, m.keyValue(name, parts[i]))
			left = true
		}
	}
	if left {
		if payload, err = object.JSON(); err != nil {
			return Data{}, m.refuse(err)
		}
	}
	d, err := m.stage(payload, false, false)
	if err == nil && d.keys[0] != msg.To.Key {
		err = m.refuse(fmt.Errorf("the request is for the key %q, but the data has the primary key %q", msg.To.Key, d.keys[0]))
	}
	return d, err
}

// keyValue is a part of a key as the value of its member: a string where that can be one, else
// a number.
func (m *model) keyValue(name, part string) json.RawMessage {
	text, err := json.Marshal(part)
	if err == nil && m.reads(name, text) {
		return text
	}
	if json.Valid([]byte(part)) {
		return json.RawMessage(part)
	}
	return text
}

// handlerError is the error of a command to a service: final, unless another attempt may mend
// it.
func handlerError(c *Command, err error) error {
	he := &edda.HandlerError{Reason: string(edda.ReasonOf(err)), Message: err.Error(), Final: true}
	if own, ok := errors.AsType[*edda.HandlerError](err); ok {
		he.RetryAfter, he.Final = own.RetryAfter, own.Final
		if own.Reason != "" && edda.ReasonOf(err) == edda.Failed {
			he.Reason, he.Message = own.Reason, own.Message
		}
		return he
	}
	switch edda.Reason(he.Reason) {
	case edda.Unavailable, edda.OutcomeUnknown, edda.Timeout, edda.Cancelled, edda.Panicked, edda.WorkerLost:
		he.Final = false
	case edda.Conflict:
		// The next attempt finds another version, which helps unless a certain one was asked for.
		_, raced := errors.AsType[*ledger.VersionError](err)
		he.Final = !raced || c.Expect.kind == expectExact
	}
	return he
}
