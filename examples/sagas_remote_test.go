package examples_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/saga"
)

// definition reads one of the sagas that can be started with edda sagas start.
func definition(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("sagas", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// play creates a saga over HTTP and returns it when it has ended.
func play(t *testing.T, url, spec string) *edda.Saga {
	t.Helper()
	return played(t, url, begin(t, url, spec))
}

// begin creates a saga over HTTP.
func begin(t *testing.T, url, spec string) *edda.Saga {
	t.Helper()
	status, body := post(t, url+"/v1/sagas", spec)
	s := &edda.Saga{}
	if err := json.Unmarshal([]byte(body), s); err != nil || status != http.StatusCreated {
		t.Fatalf("create: got %d %s, %v", status, body, err)
	}
	return s
}

// played returns a saga when it has ended.
func played(t *testing.T, url string, s *edda.Saga) *edda.Saga {
	t.Helper()
	res, err := http.Get(url + "/v1/sagas/" + s.ID + "?wait=30s")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(s); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("wait: got %s, %v", res.Status, err)
	}
	return s
}

// One service is in Go, the other a Python program that says that its step is
// pending, and completes it, or fails it, over HTTP with the completion key.
func TestTwoServiceHammer(t *testing.T) {
	url, _ := serveNode(t, t.TempDir(), examples.Smithy())
	python(t, "handles.py", url, "127.0.0.1:0")

	two := definition(t, "two-services.json")
	s := play(t, url, two)
	wantSaga(t, s, edda.SagaSucceeded, "head succeeded", "head' waiting", "handle succeeded", "hammer succeeded")
	var hammer examples.Hammer
	if err := json.Unmarshal(s.Steps[2].Result, &hammer); err != nil || hammer.Handle != (examples.Handle{HandleID: "handle-1", Size: "short"}) {
		t.Errorf("got hammer %+v, %v, want one with the handle from Python", hammer, err)
	}

	s = play(t, url, strings.ReplaceAll(two, `"short"`, `"endless"`))
	wantSaga(t, s, edda.SagaCompensated, "head compensated", "head' succeeded", "handle failed", "hammer skipped")
	if e := s.Steps[1].Error; e == nil || e.Reason != edda.Failed || !strings.Contains(e.Message, "no handle has the size endless") {
		t.Errorf("got error %+v, want the one from Python", e)
	}
}

// The handles come from a Python program that reads a stream as a member of a group, and
// answers on two others. Of two of them one is killed over its work.
func TestHandleFactory(t *testing.T) {
	url, _ := serveNode(t, t.TempDir(), examples.Smithy())
	first := startMember(t, "handle_factory.py", url, "first", "--timeout", "1s", "--takes", "600")
	spec := definition(t, "handle-factory.json")
	s := begin(t, url, spec)
	request := <-first.has
	first.kill()
	startMember(t, "handle_factory.py", url, "second")
	s = played(t, url, s)
	wantSaga(t, s, edda.SagaSucceeded, "head succeeded", "head' waiting", "handle succeeded", "hammer succeeded")
	var hammer examples.Hammer
	if err := json.Unmarshal(s.Steps[2].Result, &hammer); err != nil || hammer.Handle != (examples.Handle{HandleID: "handle-" + request, Size: "short"}) {
		t.Errorf("got hammer %+v, %v, want one with the handle from Python", hammer, err)
	}
	var requests, handles page
	document(t, url+"/v1/streams/handle-requests?from=start", &requests)
	document(t, url+"/v1/streams/handles?from=start", &handles)
	if len(requests.Items) != 1 || len(handles.Items) != 1 || handles.Items[0].ID != request {
		t.Errorf("got requests %+v, answers %+v, want one of each", requests.Items, handles.Items)
	}

	s = play(t, url, strings.ReplaceAll(spec, `"short"`, `"endless"`))
	wantSaga(t, s, edda.SagaCompensated, "head compensated", "head' succeeded", "handle failed", "hammer skipped")
	if e := s.Steps[1].Error; e == nil || e.Reason != "NO_SIZE" || e.Message != "no handle has the size endless" {
		t.Errorf("got error %+v, want the one from Python", e)
	}
}

// The files say what the definitions in Go say.
func TestSagaFiles(t *testing.T) {
	url, _ := serveNode(t, t.TempDir(), examples.Services()...)
	s := play(t, url, definition(t, "hammer.json"))
	wantSaga(t, s, edda.SagaSucceeded, "head succeeded", "head' waiting", "handle succeeded", "hammer succeeded")
	s = play(t, url, definition(t, "hammer-fails.json"))
	wantSaga(t, s, edda.SagaCompensated, "head compensated", "head' succeeded", "handle not_compensated", "hammer failed")

	post(t, url+"/v1/call/flights/LH1/open", `{"places":5}`)
	post(t, url+"/v1/call/hotels/ritz/open", `{"places":3}`)
	s = play(t, url, definition(t, "trip.json"))
	wantSaga(t, s, edda.SagaCompensated, "flight compensated", "flight' succeeded", "hotel compensated", "hotel' succeeded",
		"car failed", "car' waiting")
	for address, want := range map[string]string{"flights/LH1": `{"places":5}`, "hotels/ritz": `{"places":3}`} {
		if _, body := post(t, url+"/v1/call/"+address+"/left", `{}`); body != want {
			t.Errorf("%s: got %s, want %s", address, body, want)
		}
	}
}

// The same code as in one process, with a worker and a client in others.
func TestHammerOverTheNetwork(t *testing.T) {
	url, _ := serveNode(t, t.TempDir())
	runWorker(t, url, examples.Smithy())
	conn, err := client.Dial(url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sagas := saga.NewClient(conn)

	def := examples.HammerSaga("assemble")
	def.IdempotencyKey = "order-7"
	first, err := sagas.Start(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	again, err := sagas.Start(t.Context(), def)
	if err != nil || again.ID != first.ID || !again.Joined {
		t.Errorf("started again: got %+v, %v, want that of %s", again, err, first.ID)
	}
	hammer, err := saga.Result[examples.Hammer](t.Context(), sagas, first.ID, "hammer")
	if err != nil || hammer.Head.Kind != "ThunderBestowed" || hammer.Handle.Size != "short" {
		t.Errorf("got %+v, %v", hammer, err)
	}
	broken, err := sagas.Start(t.Context(), examples.HammerSaga("broken"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = saga.Result[examples.Hammer](t.Context(), sagas, broken.ID, "hammer")
	if undone, ok := errors.AsType[*saga.UndoneError](err); !ok || undone.Saga.State != edda.SagaCompensated {
		t.Errorf("got %v, want that it was undone", err)
	}
	if edda.ReasonOf(err) != edda.SagaStepFailed {
		t.Errorf("got reason %s, want %s", edda.ReasonOf(err), edda.SagaStepFailed)
	}
	var listed []string
	for s, err := range sagas.Sagas(t.Context(), edda.SagaFilter{Name: "hammer"}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, s.ID)
	}
	slices.Sort(listed)
	want := []string{first.ID, broken.ID}
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		t.Errorf("listed %v, want %v", listed, want)
	}
}
