package eddatest_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/edda-io/edda"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// amount is a payload.
type amount struct {
	Cents int64 `json:"cents"`
}

// orders is the service under test: place charges what is ordered, and asks for a
// review a day later; payments tell it what became of the charge.
func orders() *edda.Service {
	s := edda.NewOrdered("orders")
	edda.Handle(s, "place", func(ctx *edda.Context, in amount) (string, error) {
		if in.Cents <= 0 {
			return "", edda.Final("NO_AMOUNT", "%d cents cannot be charged", in.Cents)
		}
		if err := edda.Set(ctx, "status", "placed"); err != nil {
			return "", err
		}
		if err := ctx.SendAfter(0, "payments", "charge", in); err != nil {
			return "", err
		}
		return "placed", ctx.SendAfter(24*time.Hour, "mails/"+ctx.Key(), "review", "how was it?")
	})
	edda.Handle(s, "paid", func(ctx *edda.Context, _ []byte) ([]byte, error) {
		return nil, edda.Set(ctx, "status", "paid")
	})
	return s
}

// passThrough is an ordered service that sends its payload to where the method says.
func passThrough(method, to string) *edda.Service {
	s := edda.NewOrdered("pass")
	edda.Handle(s, method, func(ctx *edda.Context, in []byte) ([]byte, error) {
		a, err := edda.ParseAddress(to)
		if err != nil {
			return nil, err
		}
		return nil, ctx.Send(&edda.Message{To: a, Type: method, Payload: in})
	})
	return s
}

// bubble runs each case as a subtest with a clock of its own.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// fake is a test within a test, whose failures can be looked at.
type fake struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	failures []string
	cleanups []func()
}

// failing runs f as a test and returns how it failed.
func failing(t *testing.T, f func(t testing.TB)) string {
	t.Helper()
	return strings.Join(runTest(t, f), "\n")
}

// runTest runs f as a test, in a goroutine of its own that Fatalf ends, then what it
// left to clean up, and returns its failures.
func runTest(tb testing.TB, f func(t testing.TB)) []string {
	ft := &fake{TB: tb}
	ctx, cancel := context.WithCancel(context.Background())
	ft.ctx = ctx
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ft)
	}()
	<-done
	cancel()
	for _, cleanup := range slices.Backward(ft.cleanups) {
		cleanup()
	}
	ft.mu.Lock()
	defer ft.mu.Unlock()
	return ft.failures
}

func (f *fake) Helper()                  {}
func (f *fake) Output() io.Writer        { return io.Discard }
func (f *fake) Context() context.Context { return f.ctx }

func (f *fake) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }

func (f *fake) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures = append(f.failures, fmt.Sprintf(format, args...))
}

func (f *fake) Error(args ...any) { f.Errorf("%s", fmt.Sprint(args...)) }

func (f *fake) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

func (f *fake) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.failures) > 0
}

// has fails the test unless the failures say all of this, in this order.
func has(t *testing.T, failures string, want ...string) {
	t.Helper()
	rest := failures
	for _, w := range want {
		_, after, found := strings.Cut(rest, w)
		if !found {
			t.Fatalf("failures do not say %q (after what was found before); they are\n%s", w, failures)
		}
		rest = after
	}
}

// to returns a message to an address such as "users/42", with a JSON payload or none.
func to(address, method string, payload ...any) *edda.Message {
	a, err := edda.ParseAddress(address)
	if err != nil {
		panic(err)
	}
	m := &edda.Message{To: a, Type: method, ContentType: "application/json"}
	for _, p := range payload {
		m.Payload = edda.JSON(p)
	}
	return m
}
