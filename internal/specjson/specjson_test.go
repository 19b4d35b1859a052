package specjson_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/specjson"
	"github.com/google/go-cmp/cmp"
)

func TestSaga(t *testing.T) {
	got, err := specjson.Saga([]byte(` {
		"id": "t\u0031", "name": "trip", "start": false, "deadline": "1h", "onFailure": "cancel",
		"steps": [
			{"id": "flight", "service": "flights", "key": "LH\/1", "method": "book", "args": [ {"a": [1, "]}"]} , null, "\"", -1.5e3],
			 "attemptTimeout": "5s", "retry": {"max": 3, "delay": "1s", "maxDelay": "1m", "backoff": 1.5, "jitter": 0},
			 "compensate": {"service": "flights", "key": "LH/1", "method": "drop", "args": [], "retry": {"max": -1, "jitter": 0.5}}},
			{"id": "rest", "after": ["flight"], "saga": {"name": "stay", "deadline": "2030-01-02T15:04:05+01:00", "onFailure": "wait",
			 "steps": [{"id": "hotel", "service": "hotels", "method": "book"}]}},
			{"id": "rooms", "key": "7", "method": "clean", "queue": {"stream": "rooms", "shard": "eu", "success": "cleaned", "failure": "dirty"}}
		]
	}` + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &edda.SagaSpec{
		ID: "t1", Name: "trip", DeadlineAfter: time.Hour, OnFailure: edda.CancelSteps,
		Steps: []edda.StepSpec{
			{
				ID: "flight",
				Task: edda.Task{
					Service: "flights", Key: "LH/1", Method: "book",
					Args:  []json.RawMessage{json.RawMessage(`{"a": [1, "]}"]}`), json.RawMessage("null"), json.RawMessage(`"\""`), json.RawMessage("-1.5e3")},
					Retry: edda.RetryPolicy{Max: 3, Delay: time.Second, MaxDelay: time.Minute, Backoff: 1.5, Jitter: -1},
				},
				AttemptTimeout: 5 * time.Second,
				Compensate:     &edda.Task{Service: "flights", Key: "LH/1", Method: "drop", Retry: edda.RetryPolicy{Max: -1, Jitter: 0.5}},
			},
			{ID: "rest", After: []string{"flight"}, Saga: &edda.SagaSpec{
				Name: "stay", Deadline: time.Date(2030, 1, 2, 14, 4, 5, 0, time.UTC), OnFailure: edda.WaitForSteps,
				Steps: []edda.StepSpec{{ID: "hotel", Task: edda.Task{Service: "hotels", Method: "book"}}},
			}},
			{
				ID: "rooms", Task: edda.Task{Key: "7", Method: "clean"},
				Queue: &edda.QueueSpec{Stream: "rooms", Shard: "eu", Success: "cleaned", Failure: "dirty"},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want - and got +:\n%s", diff)
	}
	if got, err := specjson.Saga([]byte(`{}`)); err != nil || !got.Start {
		t.Errorf("a saga that says nothing: got %+v, %v, want that it starts", got, err)
	}
}

func TestDeadlines(t *testing.T) {
	for text, want := range map[string]edda.SagaSpec{
		"1.5s":                 {DeadlineAfter: 1500 * time.Millisecond},
		"1752000h":             {DeadlineAfter: 1752000 * time.Hour},
		"1969-07-20T20:17:00Z": {Deadline: time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)},
		"2262-01-01T00:00:00Z": {Deadline: time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		got, err := specjson.Saga([]byte(`{"deadline":"` + text + `"}`))
		if err != nil || got.DeadlineAfter != want.DeadlineAfter || !got.Deadline.Equal(want.Deadline) {
			t.Errorf("deadline %s: got %v and %v, %v", text, got.Deadline, got.DeadlineAfter, err)
		}
	}
}

// refusals are documents of a saga, and why and with what words each is refused.
var refusals = []struct {
	doc    string
	reason edda.Reason
	detail string
}{
	{``, edda.BadJSON, "the body must be a JSON object in UTF-8"},
	{`{"name":"a"`, edda.BadJSON, "the body must be a JSON object in UTF-8"},
	{"{\"name\":\"\xff\"}", edda.BadJSON, "the body must be a JSON object in UTF-8"},
	{`[]`, edda.BadJSON, "the body must be an object"},
	{`null`, edda.BadJSON, "the body must be an object"},
	{`1`, edda.BadJSON, "the body must be an object"},
	{`{"nam":"a"}`, edda.UnknownField, `unknown member "nam"; there are id, start, deadline, name, onFailure, steps`},
	{`{"":1}`, edda.UnknownField, `unknown member "\"\""; there are id, start, deadline, name, onFailure, steps`},
	{`{"namespace":"a"}`, edda.UnknownField, `unknown member "namespace"; there are id, start, deadline, name, onFailure, steps`},
	{`{"id":""}`, edda.BadValue, "id must be left out or not empty"},
	{`{"id":"a","name":"n","id":"b"}`, edda.BadValue, "id must be given once"},
	{`{"steps":[],"steps":[]}`, edda.BadValue, "steps must be given once"},
	{`{"steps":[{"id":"a"},{"id":"b","key":"k","id":"c"}]}`, edda.BadValue, "steps[1].id must be given once"},
	{`{"steps":[{"compensate":{"retry":{"max":1,"delay":"1s","max":2}}}]}`, edda.BadValue, "steps[0].compensate.retry.max must be given once"},
	{`{"steps":[{"queue":{"shard":"a","shard":"a"}}]}`, edda.BadValue, "steps[0].queue.shard must be given once"},
	{`{"steps":[{"saga":{"name":"a","name":"b"}}]}`, edda.BadValue, "steps[0].saga.name must be given once"},
	{`{"steps":[{"id":"a","id":"b"}]}`, edda.BadValue, "steps[0].id must be given once"},
	{`{"id":null}`, edda.BadValue, "id must be a string"},
	{`{"name":1}`, edda.BadValue, "name must be a string"},
	{`{"start":"true"}`, edda.BadValue, "start must be true or false"},
	{`{"start":null}`, edda.BadValue, "start must be true or false"},
	{`{"deadline":3600}`, edda.BadValue, `deadline must be a duration above zero or a time, such as "1.5s" or "2026-01-02T15:04:05Z"`},
	{`{"deadline":"0s"}`, edda.BadValue, `deadline must be a duration above zero or a time, such as "1.5s" or "2026-01-02T15:04:05Z"`},
	{`{"deadline":"-1s"}`, edda.BadValue, `deadline must be a duration above zero or a time, such as "1.5s" or "2026-01-02T15:04:05Z"`},
	{`{"deadline":"2026-01-02T15:04"}`, edda.BadValue, `deadline must be a duration above zero or a time, such as "1.5s" or "2026-01-02T15:04:05Z"`},
	{`{"deadline":"2300-01-02T15:04:05Z"}`, edda.BadValue, "deadline must be before the year 2262"},
	{`{"deadline":"2000000h"}`, edda.BadValue, "deadline must be at most 200 years"},
	{`{"onFailure":"stop"}`, edda.BadValue, `onFailure must be "wait" or "cancel"`},
	{`{"onFailure":null}`, edda.BadValue, "onFailure must be a string"},
	{`{"steps":null}`, edda.BadValue, "steps must be an array of steps"},
	{`{"steps":{}}`, edda.BadValue, "steps must be an array of steps"},
	{`{"steps":[{"id":"a"},7]}`, edda.BadValue, "steps[1] must be an object"},
	{`{"steps":[{"id":"a"},{"arg":[]}]}`, edda.UnknownField, `unknown member "steps[1].arg"; there are after, attemptTimeout, compensate, id, queue, saga, args, key, method, retry, service`},
	{`{"steps":[{"id":7}]}`, edda.BadValue, "steps[0].id must be a string"},
	{`{"steps":[{"key":""}]}`, edda.BadValue, "steps[0].key must be left out or not empty"},
	{`{"steps":[{"id":""}]}`, edda.BadValue, "steps[0].id must not be empty"},
	{`{"steps":[{"service":""}]}`, edda.BadValue, "steps[0].service must be left out or not empty"},
	{`{"steps":[{"compensate":{"service":""}}]}`, edda.BadValue, "steps[0].compensate.service must not be empty"},
	{`{"steps":[{"compensate":{"service":"s","method":""}}]}`, edda.BadValue, "steps[0].compensate.method must not be empty"},
	{`{"steps":[{"compensate":{"key":""}}]}`, edda.BadValue, "steps[0].compensate.key must be left out or not empty"},
	{`{"steps":[{"queue":{"stream":""}}]}`, edda.BadValue, "steps[0].queue.stream must not be empty"},
	{`{"steps":[{"queue":{"success":""}}]}`, edda.BadValue, "steps[0].queue.success must not be empty"},
	{`{"steps":[{"queue":{"failure":""}}]}`, edda.BadValue, "steps[0].queue.failure must not be empty"},
	{`{"steps":[{"args":{}}]}`, edda.BadValue, "steps[0].args must be an array"},
	{`{"steps":[{"after":"a"}]}`, edda.BadValue, "steps[0].after must be an array of step ids"},
	{`{"steps":[{"after":["a",null]}]}`, edda.BadValue, "steps[0].after[1] must be a string"},
	{`{"steps":[{"attemptTimeout":1}]}`, edda.BadValue, `steps[0].attemptTimeout must be a duration, such as "1.5s"`},
	{`{"steps":[{"attemptTimeout":"0"}]}`, edda.BadValue, `steps[0].attemptTimeout must be a duration above zero, such as "1.5s"`},
	{`{"steps":[{"retry":[]}]}`, edda.BadValue, "steps[0].retry must be an object"},
	{`{"steps":[{"retry":{"times":3}}]}`, edda.UnknownField, `unknown member "steps[0].retry.times"; there are backoff, delay, jitter, max, maxDelay`},
	{`{"steps":[{"retry":{"max":0}}]}`, edda.BadValue, "steps[0].retry.max must be a number from 1 on, or -1 for no limit"},
	{`{"steps":[{"retry":{"max":1.5}}]}`, edda.BadValue, "steps[0].retry.max must be a number from 1 on, or -1 for no limit"},
	{`{"steps":[{"retry":{"max":null}}]}`, edda.BadValue, "steps[0].retry.max must be a number from 1 on, or -1 for no limit"},
	{`{"steps":[{"retry":{"backoff":0.5}}]}`, edda.BadValue, "steps[0].retry.backoff must be a number from 1 on"},
	{`{"steps":[{"retry":{"jitter":2}}]}`, edda.BadValue, "steps[0].retry.jitter must be a number from 0 to 1"},
	{`{"steps":[{"compensate":true}]}`, edda.BadValue, "steps[0].compensate must be an object"},
	{`{"steps":[{"compensate":{"attemptTimeout":"1s"}}]}`, edda.UnknownField, `unknown member "steps[0].compensate.attemptTimeout"; there are args, key, method, retry, service`},
	{`{"steps":[{"compensate":{"retry":{"delay":"x"}}}]}`, edda.BadValue, `steps[0].compensate.retry.delay must be a duration above zero, such as "1.5s"`},
	{`{"steps":[{"queue":"rooms"}]}`, edda.BadValue, "steps[0].queue must be an object"},
	{`{"steps":[{"queue":{"topic":"rooms"}}]}`, edda.UnknownField, `unknown member "steps[0].queue.topic"; there are failure, shard, stream, success`},
	{`{"steps":[{"queue":{"shard":""}}]}`, edda.BadValue, "steps[0].queue.shard must be left out or not empty"},
	{`{"steps":[{"saga":[]}]}`, edda.BadValue, "steps[0].saga must be an object"},
	{`{"steps":[{"saga":{"start":true}}]}`, edda.UnknownField, `unknown member "steps[0].saga.start"; there are deadline, name, onFailure, steps`},
	{`{"steps":[{"saga":{"steps":[{},{"saga":{"steps":[{"x":1}]}}]}}]}`, edda.UnknownField, `unknown member "steps[0].saga.steps[1].saga.steps[0].x"; there are after, attemptTimeout, compensate, id, queue, saga, args, key, method, retry, service`},
}

func TestRefusals(t *testing.T) {
	for _, tc := range refusals {
		_, err := specjson.Saga([]byte(tc.doc))
		wantRefusal(t, tc.doc, err, tc.reason, tc.detail)
	}
}

func wantRefusal(t *testing.T, doc string, err error, reason edda.Reason, detail string) {
	t.Helper()
	if e, ok := errors.AsType[*edda.Error](err); !ok || e.Reason != reason || e.Error() != detail {
		t.Errorf("%.80s: got %v, want %s %s", doc, err, reason, detail)
	}
}

func TestSteps(t *testing.T) {
	want := []edda.StepSpec{{ID: "a", Task: edda.Task{Service: "echo"}}}
	for _, doc := range []string{`{"id":"a","service":"echo"}`, ` [{"id":"a","service":"echo"}]`} {
		if got, err := specjson.Steps([]byte(doc)); err != nil || !cmp.Equal(want, got) {
			t.Errorf("%s: got %+v, %v, want %+v", doc, got, err, want)
		}
	}
	if got, err := specjson.Steps([]byte(`[]`)); err != nil || len(got) != 0 {
		t.Errorf("no steps: got %+v, %v, want none", got, err)
	}
	for doc, want := range map[string]string{
		`"a"`:                      "the body must be a step or an array of steps",
		`null`:                     "the body must be a step or an array of steps",
		`{`:                        "the body must be a step or an array of steps in UTF-8",
		`[{"id":"a"},{"id":null}]`: "[1].id must be a string",
		`{"id":null}`:              "id must be a string",
	} {
		reason := edda.BadJSON
		if strings.Contains(want, "id") && !strings.Contains(want, "body") {
			reason = edda.BadValue
		}
		_, err := specjson.Steps([]byte(doc))
		wantRefusal(t, doc, err, reason, want)
	}
}

func TestTooManySteps(t *testing.T) {
	doc := `{"steps":[{"saga":{"steps":[` + strings.Repeat("{},", edda.MaxSagaSteps-2) + "{}]}}%]}"
	if _, err := specjson.Saga([]byte(strings.Replace(doc, "%", "", 1))); err != nil {
		t.Errorf("as many as a saga has: got %v", err)
	}
	_, err := specjson.Saga([]byte(strings.Replace(doc, "%", ",{}", 1)))
	wantRefusal(t, "one more", err, edda.TooLarge, "there are more than 100000 steps")
}

func TestRetry(t *testing.T) {
	got, err := specjson.Retry("retry", []byte(`{"max":2,"jitter":0}`))
	if want := (edda.RetryPolicy{Max: 2, Jitter: -1}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	_, err = specjson.Retry("retry", []byte(`{"max":"2"}`))
	wantRefusal(t, "max", err, edda.BadValue, "retry.max must be a number from 1 on, or -1 for no limit")
	_, err = specjson.Retry("retry", []byte(`7`))
	wantRefusal(t, "7", err, edda.BadValue, "retry must be an object")
}
