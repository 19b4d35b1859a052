package story

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/internal/eddahttp"
)

// adds is how many requests are sent to one counter at once.
const adds = 20

func users(t *teller) {
	ada := t.to("users", "ada")
	email := []byte(`{"email":"ada@example.com"}`)
	t.post(eddahttp.Call{To: ada, Method: "login", Payload: email}, "403 forbidden")
	t.post(eddahttp.Call{To: ada, Method: "allow", Payload: email}, "200 ok")
	t.post(eddahttp.Call{To: ada, Method: "login", Payload: email}, "200 ok")
	t.sayf("The second one stored the email in the state of users/%s; the state and the reply", ada.Key)
	t.sayf("are one record of the log, kept together or not at all.")
}

func counter(t *teller) {
	visits := t.to("counter", "visits")
	values, failed := addAtOnce(t, visits)
	slices.Sort(values)
	want := make([]int64, adds)
	for i := range want {
		want[i] = int64(i + 1)
	}
	got := fmt.Sprintf("%d replies: %s", len(values), span(values))
	if failed != nil {
		got += ", and " + outcome(nil, failed)
	}
	t.line(fmt.Sprintf("POST %s/add {\"n\":1}  %d times at once", address(visits), adds), got,
		slices.Equal(values, want), fmt.Sprintf("each of 1 to %d once", adds))
	t.post(eddahttp.Call{To: visits, Method: "get"}, `200 {"value":20}`)
	t.sayf("Each one saw the value that the one before had left: no lock, no lost update.")
}

// addAtOnce sends the adds concurrently and returns the values replied.
func addAtOnce(t *teller, to edda.Address) (values []int64, failed error) {
	var mu sync.Mutex // guards values and failed
	var wg sync.WaitGroup
	for range adds {
		wg.Go(func() {
			v, err := add(t, to)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			values = append(values, v)
		})
	}
	wg.Wait()
	return values, failed
}

func add(t *teller, to edda.Address) (int64, error) {
	a, err := t.Client.Call(t.ctx, eddahttp.Call{
		To: to, Method: "add", ContentType: "application/json", Payload: []byte(`{"n":1}`),
	})
	if err != nil {
		return 0, err
	}
	if a.Reply == nil || a.Reply.Status != 200 {
		return 0, fmt.Errorf("answered %s", outcome(a, nil))
	}
	var v examples.Value
	return v.Value, json.Unmarshal(a.Reply.Payload, &v)
}

// span writes 1 2 3 … 20.
func span(values []int64) string {
	var words []string
	for i, v := range values {
		switch {
		case i < 3 || i == len(values)-1:
			words = append(words, fmt.Sprint(v))
		case i == 3:
			words = append(words, "…")
		}
	}
	return strings.Join(words, " ")
}

func address(a edda.Address) string { return "/v1/call/" + a.Name + "/" + a.Key }

func repeat(t *teller) {
	cart := t.to("counter", "cart")
	once := eddahttp.Call{To: cart, Method: "add", Payload: []byte(`{"n":5}`), IdempotencyKey: "order-7"}
	t.post(once, `200 {"value":5}`)
	t.post(once, `200 {"value":5} (replayed)`)
	t.post(eddahttp.Call{To: cart, Method: "get"}, `200 {"value":5}`)
	other := once
	other.Payload = []byte(`{"n":6}`)
	t.post(other, "422 IDEMPOTENCY_MISMATCH")
}

func later(t *teller) {
	a := t.post(eddahttp.Call{
		To: edda.Address{Name: "slow"}, Method: "nap", Payload: []byte(`{"ms":200}`), Async: true,
	}, "202 accepted…")
	if a != nil && a.Ack != nil {
		t.reply(a.Ack.ID, `200 {"ms":200}`)
	}
	delay, sent := 300*time.Millisecond, time.Now()
	a = t.post(eddahttp.Call{
		To: t.to("counter", "reminders"), Method: "add", Payload: []byte(`{"n":1}`), Delay: delay, Async: true,
	}, "202 accepted…")
	if a == nil || a.Ack == nil {
		return
	}
	t.reply(a.Ack.ID, `200 {"value":1}`)
	r, err := t.Client.Request(t.ctx, a.Ack.ID, 0)
	if err != nil {
		t.check(false, "when it was started: "+err.Error(), "an answer")
		return
	}
	waited := r.StartedAt.Sub(sent)
	t.check(waited >= delay, fmt.Sprintf("it was started %v after it was sent", waited.Round(time.Millisecond)),
		fmt.Sprintf("at least %v", delay))
}

func retries(t *teller) {
	a := t.post(eddahttp.Call{To: t.to("flaky", "a"), Method: "try", Payload: []byte(`{"fail":2}`)}, `200 {"attempts":3}`)
	if a != nil && a.Reply != nil {
		t.check(a.Reply.Attempts == 3, fmt.Sprintf("the reply says Edda-Attempts: %d", a.Reply.Attempts), "3")
	}
	t.sayf("The handler returned an error twice; the delay doubles from 20 ms, with some chance in it.")
}

func letters(t *teller) {
	b := t.to("flaky", "b")
	first := deadLetter(t, b, `{"fail":5}`)
	second := deadLetter(t, b, `{"fail":-1}`)
	if first == nil || second == nil {
		t.check(false, "both are dead letters", "two of them")
		return
	}
	err := t.Client.RetryDeadLetter(t.ctx, first.ID)
	t.line("POST /v1/deadletters/"+brief(first.ID)+"/retry", status(err, "202"), err == nil, "202")
	t.reply(first.ID, `200 {"attempts":6}`)
	err = t.Client.DropDeadLetter(t.ctx, second.ID)
	t.line("DELETE /v1/deadletters/"+brief(second.ID), status(err, "204"), err == nil, "204")
	t.sayf("The retried one kept its id and its count of attempts; the dropped one stays dead.")
}

// deadLetter sends what fails for good, and finds its dead letter.
func deadLetter(t *teller, to edda.Address, payload string) *eddahttp.DeadLetter {
	c := eddahttp.Call{To: to, Method: "try", Payload: []byte(payload), ContentType: "application/json"}
	_, err := t.Client.Call(t.ctx, c)
	got := outcome(&eddahttp.Answer{Reply: &edda.Reply{}}, err)
	t.line(spell(t.Client, c), got, edda.ReasonOf(err) == edda.Dead, "500 DEAD")
	page, err := t.Client.DeadLetters(t.ctx, eddahttp.Query{Service: to.Name, Key: to.Key})
	if err != nil {
		return nil
	}
	for i := range page.Items {
		d := &page.Items[i]
		if payloadOf(d) == payload {
			t.sayf("dead after %d attempts: %s", d.Attempts, d.Detail)
			return d
		}
	}
	return nil
}

func payloadOf(d *eddahttp.DeadLetter) string {
	b, err := d.Decode(d.ContentType)
	if err != nil {
		return ""
	}
	return string(b)
}

// status is what a command without a document was answered.
func status(err error, done string) string {
	if err == nil {
		return done
	}
	return outcome(nil, err)
}

func restart(t *teller) {
	a := t.post(eddahttp.Call{
		To: edda.Address{Name: "slow"}, Method: "nap", Payload: []byte(`{"ms":400}`), Async: true,
	}, "202 accepted…")
	away, err := t.Restart(t.ctx)
	if err != nil {
		t.check(false, "the node is stopped while that runs, and opened again: "+err.Error(), "a node that runs")
		return
	}
	t.check(true, fmt.Sprintf("the node was stopped while that ran, and opened again after %v", away.Round(time.Millisecond)), "")
	if a != nil && a.Ack != nil {
		t.reply(a.Ack.ID, `200 {"ms":400}`)
	}
	t.post(eddahttp.Call{To: t.to("counter", "visits"), Method: "get"}, fmt.Sprintf(`200 {"value":%d}`, adds))
	t.post(eddahttp.Call{
		To: t.to("counter", "cart"), Method: "add", Payload: []byte(`{"n":5}`), IdempotencyKey: "order-7",
	}, `200 {"value":5} (replayed)`)
	t.hear(t.point, missed...)
	t.sayf("All of it was read back from the log: the request, the state, the reply kept under the key, the messages.")
}
