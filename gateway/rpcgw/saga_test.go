package rpcgw

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/rpcconn"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// tripSaga has a value in every field.
func tripSaga() *edda.Saga {
	at := func(s int64) time.Time { return time.Unix(s, 5).UTC() }
	args := []json.RawMessage{json.RawMessage(`1`), json.RawMessage(`"x"`)}
	return &edda.Saga{
		ID: "trip-1", Namespace: "shop", Name: "trip", State: edda.SagaCompensating, Reason: edda.SagaStepFailed, Detail: "step sleep failed",
		OnFailure: edda.CancelSteps, Principal: "ada", CorrelationID: "c", CreatedAt: at(1), StartedAt: at(2), EndedAt: at(3), Deadline: at(4),
		StepCount: 2, SucceededCount: 1,
		Steps: []edda.Step{
			{
				ID: "fly", Service: "flights", Method: "book", Key: "LH 1", State: edda.StepCompensating, Args: args, Attempts: 2,
				Result: json.RawMessage(`{"seat":1}`), StartedAt: at(2), EndedAt: at(3),
				Compensation: &edda.Compensation{
					Service: "flights", Method: "cancel", Key: "LH 1", Args: args[:1], State: edda.CompensationFailed, Attempts: 3,
					Error: &edda.StepError{Reason: edda.Dead, Message: "gone", Status: 503}, StartedAt: at(4), EndedAt: at(5),
				},
			},
			{
				ID: "sleep", Service: "hotels", Method: "book", State: edda.StepFailed, After: []string{"fly"}, SagaID: "trip-1~sleep", Pending: true,
				Attempts: 1, Error: &edda.StepError{Reason: edda.Failed, Message: "full", Status: 409}, StartedAt: at(3), EndedAt: at(4),
			},
		},
	}
}

// tripView is tripSaga as it travels.
func tripView() *eddav1.Saga {
	at := func(s int64) int64 { return s*1e9 + 5 }
	return &eddav1.Saga{
		Id: "trip-1", Namespace: "shop", Name: "trip", State: "compensating", Reason: "STEP_FAILED", Detail: "step sleep failed", OnFailure: "cancel",
		Principal: "ada", CorrelationId: "c", CreatedAt: at(1), StartedAt: at(2), EndedAt: at(3), Deadline: at(4), StepCount: 2, SucceededCount: 1,
		Steps: []*eddav1.Step{
			{
				Id: "fly", Service: "flights", Method: "book", Key: "LH 1", State: "compensating", Args: [][]byte{[]byte(`1`), []byte(`"x"`)}, Attempts: 2,
				Result: []byte(`{"seat":1}`), StartedAt: at(2), EndedAt: at(3),
				Compensation: &eddav1.Compensation{
					Service: "flights", Method: "cancel", Key: "LH 1", Args: [][]byte{[]byte(`1`)}, State: "failed", Attempts: 3,
					Error: &eddav1.StepError{Reason: "DEAD", Message: "gone", Status: 503}, StartedAt: at(4), EndedAt: at(5),
				},
			},
			{
				Id: "sleep", Service: "hotels", Method: "book", State: "failed", After: []string{"fly"}, SagaId: "trip-1~sleep", Pending: true, Attempts: 1,
				Error: &eddav1.StepError{Reason: "FAILED", Message: "full", Status: 409}, StartedAt: at(3), EndedAt: at(4),
			},
		},
	}
}

func TestSagaMethods(t *testing.T) {
	f := &fakeSagas{saga: tripSaga()}
	c := eddav1.NewSagaServiceClient(serveSagas(t, f, Options{}))
	ctx := as(t, "")
	ref := &eddav1.SagaRef{Namespace: "shop", Id: "trip-1"}
	view := tripView()
	for _, tc := range []struct {
		name string
		call func() (proto.Message, error)
		want proto.Message
		asks string
	}{
		{"get", func() (proto.Message, error) {
			return c.GetSaga(ctx, &eddav1.GetSagaRequest{Namespace: "shop", Id: "trip-1"})
		}, view, ""},
		{"wait", func() (proto.Message, error) {
			return c.GetSaga(ctx, &eddav1.GetSagaRequest{Namespace: "shop", Id: "trip-1", Wait: 1})
		}, view, "wait shop:trip-1"},
		{"start", func() (proto.Message, error) { return c.StartSaga(ctx, ref) }, view, "start shop:trip-1"},
		{"cancel", func() (proto.Message, error) { return c.CancelSaga(ctx, ref) }, view, "cancel shop:trip-1"},
		{"compensate", func() (proto.Message, error) {
			return c.Compensate(ctx, &eddav1.CompensateRequest{Namespace: "shop", Id: "trip-1", Step: "fly", Action: "retry"})
		}, view, "retry fly shop:trip-1"},
		{"finish", func() (proto.Message, error) {
			return c.FinishStep(ctx, &eddav1.FinishStepRequest{
				Namespace: "shop", Id: "trip-1", Step: "fly", Outcome: &eddav1.FinishStepRequest_Result{Result: []byte("1")},
			})
		}, &eddav1.StepAnswer{Applied: true, State: "succeeded"}, "finish fly shop:trip-1"},
		{"prune", func() (proto.Message, error) { return c.PruneSagas(ctx, &eddav1.PruneSagasRequest{}) }, &eddav1.PruneSagasResponse{Removed: 7}, "prune"},
	} {
		f.asked = nil
		got, err := tc.call()
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if diff := cmp.Diff(tc.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		if asked := strings.Join(f.asked, ", "); asked != tc.asks {
			t.Errorf("%s: the backend is asked to %q, want %q", tc.name, asked, tc.asks)
		}
	}
	if !f.waited {
		t.Error("nobody waited")
	}
}

func TestCreateSagaAndAddSteps(t *testing.T) {
	f := &fakeSagas{saga: tripSaga()}
	c := eddav1.NewSagaServiceClient(serveSagas(t, f, Options{Authenticator: sagaTokens(t)}))
	want := fullSpec()
	b, err := rpcconn.AppendSaga(nil, 1, want)
	if err != nil {
		t.Fatal(err)
	}
	r := new(eddav1.CreateSagaRequest)
	if err := proto.Unmarshal(b, r); err != nil {
		t.Fatal(err)
	}
	ack, err := c.CreateSaga(as(t, "ada"), r)
	if err != nil || ack.GetId() != "trip-1" || ack.GetState() != "running" || ack.GetDurability() != "fsync" || !ack.GetJoined() {
		t.Errorf("got %v, %v", ack, err)
	}
	want.Principal = "ada"
	if diff := cmp.Diff(want, f.spec); diff != "" {
		t.Errorf("the saga (-sent +got):\n%s", diff)
	}
	_, err = c.AddSteps(as(t, "ada"), &eddav1.AddStepsRequest{Namespace: "shop", Id: "trip-1", Steps: r.GetSaga().GetSteps()})
	if diff := cmp.Diff(want.Steps, f.steps); err != nil || diff != "" {
		t.Errorf("the steps, %v (-sent +got):\n%s", err, diff)
	}
}

func TestListSagas(t *testing.T) {
	f := &fakeSagas{saga: tripSaga()}
	c := eddav1.NewSagaServiceClient(serveSagas(t, f, Options{Authenticator: sagaTokens(t)}))
	filter := &eddav1.SagaFilter{Namespace: "shop", Id: "trip-1", Name: "trip", State: "running", Principal: "ada", Since: 1, Until: 2}
	want := edda.SagaFilter{
		Namespace: "shop", ID: "trip-1", Name: "trip", State: edda.SagaRunning, Principal: "ada", Since: time.Unix(0, 1).UTC(), Until: time.Unix(0, 2).UTC(),
	}
	got, err := c.ListSagas(as(t, "ops"), &eddav1.ListSagasRequest{Filter: filter, Limit: 5, After: "cursor"})
	if err != nil || got.GetNext() != "more" || len(got.GetSagas()) != 2 || f.filter != want || f.asked[0] != `list 5 after "cursor"` {
		t.Errorf("got %v, %v; asked for %+v, %q", got, err, f.filter, f.asked)
	}
	if s := got.GetSagas()[0]; len(s.GetSteps()) != 0 || s.GetMoreSteps() || s.GetStepCount() != 2 {
		t.Errorf("got %v, want no steps", s)
	}
	if _, err := c.ListSagas(as(t, "ada"), &eddav1.ListSagasRequest{}); err != nil || f.filter.Principal != "ada" {
		t.Errorf("without the right to manage: %v, those of %q are listed", err, f.filter.Principal)
	}
	_, err = c.ListSagas(as(t, "bob"), &eddav1.ListSagasRequest{Filter: filter})
	if r, _ := reasonOf(err); r != edda.NotAllowed {
		t.Errorf("another's: got %v, want NOT_ALLOWED", err)
	}
	if _, err := c.PruneSagas(as(t, "ops"), &eddav1.PruneSagasRequest{Filter: filter}); err != nil || f.filter != want {
		t.Errorf("prune: %v, %+v", err, f.filter)
	}
}

// A saga that does not fit into one message is asked for in pages.
func TestManySteps(t *testing.T) {
	s := tripSaga()
	s.Steps = nil
	big := json.RawMessage(`"` + strings.Repeat("x", maxViewBytes/2) + `"`)
	for i := range 4 {
		s.Steps = append(s.Steps, edda.Step{ID: string(rune('a' + i)), Result: big})
	}
	s.StepCount = len(s.Steps)
	c := eddav1.NewSagaServiceClient(serveSagas(t, &fakeSagas{saga: s}, Options{}))
	var ids []string
	for pages := 1; ; pages++ {
		v, err := c.GetSaga(as(t, ""), &eddav1.GetSagaRequest{Id: s.ID, FirstStep: uint32(len(ids))})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range v.GetSteps() {
			ids = append(ids, step.GetId())
		}
		if !v.GetMoreSteps() {
			if pages != 4 || !slices.Equal(ids, []string{"a", "b", "c", "d"}) {
				t.Errorf("got %v in %d pages, want one each", ids, pages)
			}
			break
		}
	}
	v, err := c.GetSaga(as(t, ""), &eddav1.GetSagaRequest{Id: s.ID, FirstStep: 9})
	if err != nil || len(v.GetSteps()) != 0 || v.GetMoreSteps() {
		t.Errorf("past the end: got %d steps, %v", len(v.GetSteps()), err)
	}
	s.Steps[0].Result = append(append(slices.Clip(big[:len(big)-1]), big[1:]...), big...)
	v, err = c.StartSaga(as(t, ""), &eddav1.SagaRef{Id: s.ID})
	if err != nil || len(v.GetSteps()) != 1 || !v.GetMoreSteps() {
		t.Errorf("a step that does not fit alone: got %d, %v", len(v.GetSteps()), err)
	}
}

func TestFinishStep(t *testing.T) {
	f := &fakeSagas{saga: tripSaga()}
	c := eddav1.NewSagaServiceClient(serveSagas(t, f, Options{}))
	for _, tc := range []struct {
		r    *eddav1.FinishStepRequest
		want edda.StepResult
	}{
		{
			&eddav1.FinishStepRequest{Outcome: &eddav1.FinishStepRequest_Result{Result: []byte(`{}`)}, CompletionKey: "k"},
			edda.StepResult{Result: json.RawMessage(`{}`), CompletionKey: "k"},
		},
		{&eddav1.FinishStepRequest{Outcome: &eddav1.FinishStepRequest_Result{}}, edda.StepResult{}},
		{
			&eddav1.FinishStepRequest{Outcome: &eddav1.FinishStepRequest_Error{Error: &eddav1.StepError{Reason: "R", Message: "m", Status: 400}}},
			edda.StepResult{Error: &edda.StepError{Reason: "R", Message: "m", Status: 400}},
		},
	} {
		tc.r.Id = "trip-1"
		_, err := c.FinishStep(as(t, ""), tc.r)
		if diff := cmp.Diff(tc.want, f.result); err != nil || diff != "" {
			t.Errorf("%v: %v (-want +got):\n%s", tc.r, err, diff)
		}
	}
}

func TestBadSagaRequests(t *testing.T) {
	f := &fakeSagas{saga: tripSaga()}
	c := eddav1.NewSagaServiceClient(serveSagas(t, f, Options{}))
	ctx := as(t, "")
	err := func(_ any, err error) error { return err }
	for _, tc := range []struct {
		name   string
		err    error
		reason edda.Reason
		text   string
	}{
		{"no saga", err(c.CreateSaga(ctx, &eddav1.CreateSagaRequest{})), edda.BadValue, "there is no saga"},
		{"negative wait", err(c.GetSaga(ctx, &eddav1.GetSagaRequest{Id: "trip-1", Wait: -1})), edda.BadValue, "wait is -1ns, must be 0 to 10m0s"},
		{"long wait", err(c.GetSaga(ctx, &eddav1.GetSagaRequest{Id: "trip-1", Wait: int64(time.Hour)})), edda.BadValue, "wait is 1h0m0s"},
		{"nothing to finish with", err(c.FinishStep(ctx, &eddav1.FinishStepRequest{Id: "trip-1", Step: "fly"})), edda.BadValue, "neither a result nor an error"},
		{"no action", err(c.Compensate(ctx, &eddav1.CompensateRequest{Id: "trip-1"})), edda.BadValue, `action is "", must be retry, skip or resolve`},
		{"no such action", err(c.Compensate(ctx, &eddav1.CompensateRequest{Id: "trip-1", Action: "undo"})), edda.BadValue, `action is "undo"`},
		{"no such saga", err(c.StartSaga(ctx, &eddav1.SagaRef{Id: "none"})), edda.NoSaga, `there is no saga "none"`},
	} {
		if r, text := reasonOf(tc.err); r != tc.reason || !strings.Contains(text, tc.text) {
			t.Errorf("%s: got %s %q, want %s %q", tc.name, r, text, tc.reason, tc.text)
		}
	}
	if want := []string{"start :none"}; !slices.Equal(f.asked, want) {
		t.Errorf("the backend is asked to %q, want %q", f.asked, want)
	}
}

// Who may do what, and who is told that he may not; then the backend is not asked.
func TestSagaRights(t *testing.T) {
	f := &fakeSagas{saga: tripSaga()}
	c := eddav1.NewSagaServiceClient(serveSagas(t, f, Options{Authenticator: sagaTokens(t)}))
	ref := &eddav1.SagaRef{Namespace: "shop", Id: "trip-1"}
	steps := func(services ...string) (out []*eddav1.StepSpec) {
		for _, s := range services {
			out = append(out, &eddav1.StepSpec{Id: s, Task: &eddav1.Task{Service: "hotels"}, Compensate: &eddav1.Task{Service: s}})
		}
		return []*eddav1.StepSpec{{Id: "nested", Saga: &eddav1.SagaSpec{Steps: out}}}
	}
	finish := func(step, key string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.FinishStep(ctx, &eddav1.FinishStepRequest{
				Namespace: "shop", Id: "trip-1", Step: step, CompletionKey: key, Outcome: &eddav1.FinishStepRequest_Result{},
			})
			return err
		}
	}
	for _, tc := range []struct {
		name string
		call func(context.Context) error
		may  []string
	}{
		{"create", func(ctx context.Context) error {
			_, err := c.CreateSaga(ctx, &eddav1.CreateSagaRequest{Saga: &eddav1.SagaSpec{Namespace: "shop", Steps: steps("cars")}})
			return err
		}, []string{"ada", "bob"}},
		{"create with what only bob may call", func(ctx context.Context) error {
			_, err := c.CreateSaga(ctx, &eddav1.CreateSagaRequest{Saga: &eddav1.SagaSpec{Namespace: "shop", Steps: steps("cars", "yachts")}})
			return err
		}, []string{"bob"}},
		{"get", func(ctx context.Context) error {
			_, err := c.GetSaga(ctx, &eddav1.GetSagaRequest{Namespace: "shop", Id: "trip-1"})
			return err
		}, []string{"ada", "ops"}},
		{"start", func(ctx context.Context) error { _, err := c.StartSaga(ctx, ref); return err }, []string{"ada", "ops"}},
		{"cancel", func(ctx context.Context) error { _, err := c.CancelSaga(ctx, ref); return err }, []string{"ada", "ops"}},
		{"add", func(ctx context.Context) error {
			_, err := c.AddSteps(ctx, &eddav1.AddStepsRequest{Namespace: "shop", Id: "trip-1", Steps: steps("cars")})
			return err
		}, []string{"ada"}},
		{"add what she may not call", func(ctx context.Context) error {
			_, err := c.AddSteps(ctx, &eddav1.AddStepsRequest{Namespace: "shop", Id: "trip-1", Steps: steps("yachts")})
			return err
		}, nil},
		{"finish a step of flights", finish("fly", ""), []string{"ada", "host", "ops"}},
		{"finish a step of hotels", finish("sleep", ""), []string{"ada", "ops"}},
		{"finish with a key", finish("sleep", "key"), []string{"", "ada", "bob", "host", "ops"}},
		{"compensate", func(ctx context.Context) error {
			_, err := c.Compensate(ctx, &eddav1.CompensateRequest{Namespace: "shop", Id: "trip-1", Step: "fly", Action: "skip"})
			return err
		}, []string{"ops"}},
		{"prune", func(ctx context.Context) error { _, err := c.PruneSagas(ctx, &eddav1.PruneSagasRequest{}); return err }, []string{"ops"}},
	} {
		for _, who := range []string{"", "ada", "bob", "host", "ops", "stranger"} {
			f.asked = nil
			want := edda.NotAllowed
			switch {
			case slices.Contains(tc.may, who):
				want = ""
			case who == "" || who == "stranger":
				want = edda.NoCredentials
			}
			if r, text := reasonOf(tc.call(as(t, who))); r != want {
				t.Errorf("%s by %q: got %s (%s), want %q", tc.name, who, r, text, want)
			}
			if want != "" && len(f.asked) > 0 {
				t.Errorf("%s by %q: refused, but the backend was asked to %q", tc.name, who, f.asked)
			}
		}
	}
}

// FuzzSagaSpec reads whatever a client may send, and writes and reads it again.
func FuzzSagaSpec(f *testing.F) {
	b, err := rpcconn.AppendSaga(nil, 1, fullSpec())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Add([]byte{10, 2, 66, 0})
	g, err := build(nil, backends{sagas: &fakeSagas{saga: tripSaga()}}, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := new(eddav1.CreateSagaRequest)
		if proto.Unmarshal(b, r) != nil {
			return
		}
		ctx := context.WithValue(t.Context(), grantKey{}, &auth.Grant{Principal: "ada", Rights: auth.Rights{Call: []auth.Pattern{"*"}}})
		if _, err := g.CreateSaga(ctx, r); err != nil && edda.ReasonOf(err) == edda.Internal {
			t.Errorf("got %v", err)
		}
		spec, err := sagaSpecOf(r.GetSaga())
		if err != nil {
			return
		}
		again, err := rpcconn.AppendSaga(nil, 1, spec)
		if err != nil {
			return // a key that no service takes
		}
		r2 := new(eddav1.CreateSagaRequest)
		if err := proto.Unmarshal(again, r2); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		got, err := sagaSpecOf(r2.GetSaga())
		if diff := cmp.Diff(spec, got, cmp.Comparer(sameNumber)); err != nil || diff != "" {
			t.Errorf("%v (-read +read again):\n%s", err, diff)
		}
	})
}

// sameNumber compares numbers, of which NaN is one here.
func sameNumber(a, b float64) bool { return a == b || a != a && b != b }
