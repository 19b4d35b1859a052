package story

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/internal/eddahttp"
)

// command is one that is done, and one that a table refuses after a third party was told.
func command(t *teller) {
	ada, eve := t.to("members", "ada"), t.to("members", "eve")
	email := fmt.Sprintf(`{"email":"ada%s@example.com"}`, t.Suffix)
	join := func(member edda.Address) eddahttp.Call {
		return eddahttp.Call{To: member, Method: "join.club", Payload: []byte(email), ContentType: "application/json"}
	}
	readers := func() {
		t.post(eddahttp.Call{To: t.to("newsletter", "weekly"), Method: "readers"}, fmt.Sprintf("200 [%q]", ada.Key))
	}

	event := t.commit(join(ada), "member."+ada.Key+".joined")
	readers()
	t.post(eddahttp.Call{To: edda.Address{Name: "club"}, Method: "find", Payload: []byte(email)}, fmt.Sprintf(`200 {"id":%q}`, ada.Key))
	if event != nil {
		t.relayed(event)
	}
	t.sayf("The newsletter, a third party, was told first. Event and table were then written in one transaction")
	t.sayf("of SQLite, and the event went on to the stream.")
	t.refuse(join(eve))
	readers()
	t.sayf("The table takes no email twice: nothing was stored of eve, and the newsletter was told to forget her.")
}

// commit sends a command, and returns its event.
func (t *teller) commit(c eddahttp.Call, event string) *cqrs.Event {
	answer, err := t.Client.Call(t.ctx, c)
	got, want := outcome(answer, err), "200 "+event+", version 1"
	var out cqrs.Outcome
	if err == nil && answer.Reply != nil && json.Unmarshal(answer.Reply.Payload, &out) == nil && out.Event != nil {
		got = fmt.Sprintf("%d %s, version %d", answer.Reply.Status, out.Event.Type, out.Event.Version)
	}
	t.line(spell(t.Client, c), got, got == want, want)
	if out.Event != nil {
		t.event = out.Event.ID
	}
	return out.Event
}

// relayed waits for an event to come to the stream.
func (t *teller) relayed(e *cqrs.Event) {
	const stream = "club.events"
	m, err := t.Client.AwaitMessage(t.ctx, stream, e.ID.String(), maxWait)
	got := status(err, "")
	if err == nil {
		got = "200 " + m.Type
	}
	t.line("GET  /v1/streams/"+stream+"/messages/"+brief(e.ID)+"?wait=10s", got, got == "200 "+e.Type, "200 "+e.Type)
}

// refuse sends a command that fails once its call was made, and waits until that is undone.
func (t *teller) refuse(c eddahttp.Call) {
	answer, err := t.Client.Call(t.ctx, c)
	got := outcome(answer, err)
	t.line(spell(t.Client, c), got, got == "500 FAILED", "500 FAILED")
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		return
	}
	// The command's id is the request's, and its calls are a saga, here the first one.
	const run = ".1"
	s, err := t.Client.Saga(t.ctx, e.RequestID.String()+run, maxWait)
	t.undone("GET  /v1/sagas/"+brief(e.RequestID)+run+"?wait=10s", s, err, edda.StepCompensated, edda.StepFailed)
}
