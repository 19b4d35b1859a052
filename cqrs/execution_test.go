package cqrs

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda/cqrs/driver"
)

// An execution goes to another process and back without a loss.
func TestExecutionJSON(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, newUsers())
		for _, d := range []Data{staged(t, users, user{ID: "1", Email: "a"}), staged(t, users, user{ID: "1"}, user{ID: "2"})} {
			x, err := w.newExecution(&Command{
				ID: newID(), Type: "update.user.1", EventType: "user.:user_uuid.renamed", Data: d, Expect: NewAggregate(),
				CorrelationID: "story", CausationID: newID(), Metadata: map[string]json.RawMessage{"ip": raw("::1")}, Explain: raw("why"),
				Principal: "ann", DoNotSave: true, NoTransaction: true, TraceParent: "00-1-2-01",
			})
			if err != nil {
				t.Fatal(err)
			}
			x.run, x.level = 2, 3
			x.before, x.saga, x.after = []string{"a"}, []string{"b"}, []string{"c"}
			x.found = map[string]json.RawMessage{"a": raw(1)}
			x.includes = map[string]json.RawMessage{"b": raw(2)}
			x.command.Calls = map[string]json.RawMessage{"c": raw(3)}
			x.command.Expect = Expect{} // what it said is in want
			first, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			got, err := w.readExecution(first)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.command, x.command) {
				t.Errorf("command %+v, want %+v", got.command, x.command)
			}
			second, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(first), string(second)); diff != "" {
				t.Errorf("read and written again (-first +second):\n%s", diff)
			}
			e, err := x.newEvent()
			if err != nil {
				t.Fatal(err)
			}
			f, err := got.newEvent()
			if err != nil {
				t.Fatal(err)
			}
			f.ID = e.ID
			if diff := cmp.Diff(e, f); diff != "" {
				t.Errorf("its event (-first +second):\n%s", diff)
			}
		}
		for _, c := range []struct{ raw, want string }{
			{"1", "read the execution"},
			{`{"spec":"bury.user"}`, `no broadcaster has a command "bury.user"`},
			{`{"spec":"create.user","object":"Friend"}`, "about a User here, and about a Friend"},
			{`{"spec":"create.user","object":"User","data":{}}`, "it has no user_uuid"},
			{`{"spec":"create.user","object":"User","data":{"user_uuid":"1"},"event_type":"*"}`, "stands for many types"},
		} {
			if _, err := w.readExecution(json.RawMessage(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.raw, err, c.want)
			}
		}
	})
}
