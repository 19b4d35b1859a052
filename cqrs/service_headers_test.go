package cqrs_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
)

// A request's headers say what has no place in its data.
func TestServiceHeaders(t *testing.T) {
	onFixtures(t, func(f *fixtures) {
		for _, c := range []struct {
			name, value string
			reason      edda.Reason // "" is success
		}{
			{cqrs.HeaderExpectVersion, "1", edda.Conflict},
			{cqrs.HeaderExpectVersion, "new", ""},
			{cqrs.HeaderExpectVersion, "new", edda.Conflict},
			{cqrs.HeaderExpectVersion, "1", ""},
			{cqrs.HeaderExpectVersion, "any", ""},
			{cqrs.HeaderExpectVersion, "-1", edda.BadValue},
			{cqrs.HeaderExpectVersion, "latest", edda.BadValue},
			{cqrs.HeaderMetadata, `{"user":7,"ip":"::1"}`, ""},
			{cqrs.HeaderMetadata, `{"user":`, edda.BadValue},
			{cqrs.HeaderMetadata, `[]`, edda.BadValue},
			{cqrs.HeaderMetadata, `{"hooks":1}`, edda.BadValue},
			{"X-Other", "x", ""},
		} {
			reply, err := f.node.Client().Call(f.Context(), &edda.Message{
				To: edda.Address{Name: "TestBroadcaster", Key: "1"}, Type: "update.test.test_uuid",
				ContentType: "application/json", Payload: []byte(`{"name":"test"}`), Headers: edda.Headers{{Name: c.name, Value: c.value}},
			})
			var refused *edda.HandlerError
			errors.As(err, &refused)
			if (err == nil) != (c.reason == "") || refused != nil && edda.Reason(refused.Reason) != c.reason {
				f.Errorf("%s: %s: got %v, want reason %q", c.name, c.value, err, c.reason)
				continue
			}
			if c.name != cqrs.HeaderMetadata || err != nil {
				continue
			}
			var out cqrs.Outcome
			if err := json.Unmarshal(reply.Payload, &out); err != nil || string(out.Event.Metadata["user"]) != "7" || string(out.Event.Metadata["ip"]) != `"::1"` {
				f.Errorf("got the outcome %s, %v", reply.Payload, err)
			}
		}
	})
}
