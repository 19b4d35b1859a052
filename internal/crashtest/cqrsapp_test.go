package crashtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/cqrs/sqlitedb"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker"
)

// What the process with an app is told.
const (
	cqrsDir    = "EDDA_CRASHTEST_CQRS_DIR"
	cqrsLedger = "EDDA_CRASHTEST_CQRS_LEDGER"
	cqrsNode   = "EDDA_CRASHTEST_CQRS_NODE" // a node elsewhere; in this process when empty
)

// order is a line that the process with an app reads: a command to run. One without an id
// asks whether all sagas have ended, or, with the kind events, what is on the stream.
type order struct {
	ID   edda.ID       `json:"id,omitzero"`
	Kind string        `json:"kind,omitempty"`
	Wait time.Duration `json:"wait,omitempty"` // how long the caller waits; for ever when zero
}

// result is a line that it writes.
type result struct {
	ID     edda.ID     `json:"id,omitzero"`
	Reason edda.Reason `json:"reason,omitempty"` // empty: committed
	Text   string      `json:"text,omitempty"`
}

// bankAccount is what commands are about.
type bankAccount struct {
	ID   string `json:"number"`
	Kind string `json:"kind"`
	Ref  string `json:"ref,omitempty"`
}

var bankAccounts = cqrs.NewModel(cqrs.ModelOptions[bankAccount]{Name: "Account", Key: []string{"number"}})

// runCQRS is a process with an app, which does what its input says until it is asked to end:
// then it stops without waiting for what runs.
func runCQRS() error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	db, err := sqlitedb.Open(filepath.Join(os.Getenv(cqrsDir), "app.db"), sqlitedb.Options{})
	if err != nil {
		return err
	}
	if _, err := db.SQL().ExecContext(ctx, "CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, ref TEXT NOT NULL)"); err != nil {
		return err
	}
	app, err := cqrs.New(db, cqrs.Options{Logger: slog.New(slog.DiscardHandler)}, banking(os.Getenv(cqrsLedger)))
	if err != nil {
		return err
	}
	backend, stop, err := host(ctx, app)
	if err != nil {
		return err
	}
	if err := app.Start(ctx, backend); err != nil {
		return err
	}
	p := &cqrsProcess{app: app, node: backend, out: os.Stdout}
	go func() { _ = p.serve(os.Stdin) }() // ends with the process
	<-ctx.Done()
	if err := stop(); err != nil {
		return err
	}
	if err := app.Stop(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return db.Close()
}

// host has the app's services hosted: by a node in this process, or by a worker of one
// elsewhere, which ends with ctx. Stop ends either without waiting for handlers.
func host(ctx context.Context, app *cqrs.App) (b cqrs.Backend, stop func() error, err error) {
	url := os.Getenv(cqrsNode)
	if url == "" {
		n, err := node.Open(context.WithoutCancel(ctx), node.Options{Dir: filepath.Join(os.Getenv(cqrsDir), "node"), Partitions: 4, Services: app.Services()})
		return n, func() error { return n.Stop(ctx) }, err
	}
	conn, err := client.Dial(url, client.Options{})
	if err != nil {
		return nil, nil, err
	}
	connected := make(chan struct{})
	once := sync.OnceFunc(func() { close(connected) })
	w := worker.Options{DrainTimeout: -1, OnConnect: func(string) { once() }}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, url, app.Services()...) }()
	select {
	case <-connected:
		return conn, func() error { return <-ended }, nil
	case err := <-ended:
		return nil, nil, err
	}
}

// cqrsProcess does what it is told by lines.
type cqrsProcess struct {
	app  *cqrs.App
	node cqrs.Backend

	mu  sync.Mutex // guards out
	out io.Writer
}

func (p *cqrsProcess) serve(in io.Reader) error {
	ctx := context.Background() // as callers have who know nothing of the process
	p.say(result{Text: "up"})
	lines := bufio.NewScanner(in)
	var wg sync.WaitGroup
	defer wg.Wait()
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		wg.Go(func() { p.do(ctx, o) })
	}
	return lines.Err()
}

func (p *cqrsProcess) say(r result) {
	line := append(edda.JSON(r), '\n')
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.out.Write(line)
}

func (p *cqrsProcess) do(ctx context.Context, o order) {
	switch {
	case o.Kind == "events":
		p.say(result{Text: p.events(ctx)})
		return
	case o.ID.IsZero():
		p.say(result{Text: p.unfinished(ctx)})
		return
	}
	if o.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Wait)
		defer cancel()
	}
	data, err := bankAccounts.Stage(bankAccount{ID: o.ID.String(), Kind: o.Kind})
	if err == nil {
		_, err = p.app.Do(ctx, &cqrs.Command{ID: o.ID, Type: "create.account", Data: data})
	}
	r := result{ID: o.ID, Reason: edda.ReasonOf(err)}
	if err != nil {
		r.Text = err.Error()
	}
	p.say(r)
}

// unfinished says which sagas go on; "" when none does.
func (p *cqrsProcess) unfinished(ctx context.Context) string {
	for _, state := range []edda.SagaState{edda.SagaCreated, edda.SagaRunning, edda.SagaCompensating, edda.SagaCompensationFailed} {
		all, _, err := p.node.Sagas(ctx, edda.SagaFilter{State: state}, 1, "")
		switch {
		case err != nil:
			return err.Error()
		case len(all) > 0:
			return fmt.Sprintf("saga %s is %s", all[0].ID, state)
		}
	}
	return ""
}

// events are the commands whose events are on the stream, in its order.
func (p *cqrsProcess) events(ctx context.Context) string {
	var all []string
	for from := edda.FromStart; ; {
		page, err := p.node.ReadStream(ctx, edda.Read{Stream: p.app.EventStream(), From: from, Limit: 1000})
		if err != nil {
			return err.Error()
		}
		for i := range page.Messages {
			var e cqrs.Event
			if err := json.Unmarshal(page.Messages[i].Payload, &e); err != nil {
				return err.Error()
			}
			all = append(all, e.CommandID.String())
		}
		if page.Next >= page.End {
			return strings.Join(all, " ")
		}
		from = edda.FromOffset(page.Next)
	}
}

// banking opens accounts, with two calls to a third party.
func banking(ledger string) *cqrs.Broadcaster {
	call := func(name string) cqrs.Call {
		return cqrs.Call{
			Name: name, Merge: cqrs.Merge{True: name == "reserve"}, Timeout: 5 * time.Second,
			Retry: edda.RetryPolicy{Delay: time.Millisecond, MaxDelay: 20 * time.Millisecond},
			Do: func(ctx context.Context, c *cqrs.Called) (any, error) {
				var a bankAccount
				if err := json.Unmarshal(c.Data, &a); err != nil {
					return nil, err
				}
				if a.Kind == "refused "+name {
					return nil, edda.Final("REFUSED", "the third party does not want %s", a.ID)
				}
				return tellThird(ctx, ledger+"/do/"+c.ID)
			},
			Undo: func(ctx context.Context, c *cqrs.Called) error {
				_, err := tellThird(ctx, ledger+"/undo/"+c.ID)
				return err
			},
		}
	}
	b := cqrs.NewBroadcaster("bank")
	b.Command(cqrs.CommandSpec{
		Type: "create.account", Event: "account.:number.created", Model: bankAccounts,
		Calls: []cqrs.Call{call("reserve"), call("charge")},
	})
	b.Validator("create.account", func(context.Context, *cqrs.Command) error { return nil })
	b.Hook("Bank.check", func(_ context.Context, _ cqrs.Querier, c *cqrs.Command) (cqrs.Data, error) {
		var a bankAccount
		if err := c.Data.Decode(&a); err != nil {
			return cqrs.Data{}, err
		}
		if a.Kind == "refused after" {
			return cqrs.Data{}, errors.New("the account is refused")
		}
		return cqrs.Data{}, nil
	}, cqrs.On("create.account", cqrs.Config{Lifecycle: cqrs.After}))
	b.Projector("Bank.account", cqrs.Projects(func(ctx context.Context, tx *cqrs.Tx, _ *cqrs.Event, a *bankAccount) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO accounts (id, ref) VALUES ($1, $2)", a.ID, a.Ref); err != nil {
			return err
		}
		if a.Kind == "refused in the transaction" {
			return errors.New("the account is not for the books")
		}
		return nil
	}), nil, cqrs.On("account.:number.created", cqrs.Config{}))
	return b
}

func tellThird(ctx context.Context, url string) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if len(b) == 0 {
		b = []byte("null")
	}
	return b, err
}
