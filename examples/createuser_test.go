package examples_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	_ "modernc.org/sqlite"             // the driver sqlite

	"github.com/edda-io/edda/examples/createuser/party"
	"github.com/edda-io/edda/internal/pgtest"
)

// The program of the README does what it says.
func TestSignup(t *testing.T) {
	signup := buildProgram(t, "signup") // takes its own time
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, signup)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	said := string(out)
	for _, want := range []string{
		`newsletter: subscribe {"ID":"1","Email":"ada@example.com"}`, "user.1.created version 1",
		`newsletter: subscribe {"ID":"2","Email":"ada@example.com"}`, "profiles.email",
	} {
		_, rest, ok := strings.Cut(said, want)
		if !ok {
			t.Fatalf("the program said\n%s\nwithout, or not in this order: %s", out, want)
		}
		said = rest
	}
	// Whether the newsletter has forgotten somebody before the program says why is a matter of
	// chance, but it has before the program ends.
	if want := `newsletter: forget {"ID":"2","Email":"ada@example.com"}`; !strings.Contains(string(out), want) {
		t.Errorf("the program said\n%s\nwithout: %s", out, want)
	}
}

// onDatabases runs a test with what createuser wants to know of each database.
func onDatabases(t *testing.T, test func(t *testing.T, db string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "users.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.Open(t)) })
}

// A user is created on the page, another page hears of it by the channel, and what goes wrong
// is seen to be undone.
func TestCreateUserInTheBrowser(t *testing.T) {
	b := startBrowser(t)
	onDatabases(t, func(t *testing.T, db string) {
		p := startProgram(t, "createuser", "-listen", "127.0.0.1:0", "-dir", t.TempDir(), "-db", db)
		ada, bob := b.open(t, "Ada", p.url), b.open(t, "Bob", p.url)
		for _, tab := range []*tab{ada, bob} {
			tab.until(`document.querySelector("#status").dataset.state === "open"`)
		}
		ada.picture("createuser-empty", 1280, 900, "light")
		ada.create("Ada", "ada@example.com", "")
		ada.until(`document.querySelector("#result").dataset.state === "done"`)
		for _, tab := range []*tab{ada, bob} {
			tab.until(`document.querySelectorAll("#users li").length === 1`)
			if got := look[string](tab, `document.querySelector("#users li").innerText`); !strings.HasPrefix(got, "Ada\n") || !strings.Contains(got, "ada@example.com, ref-1, friend Edda") {
				t.Errorf("%s heard of %q", tab.name, got)
			}
		}
		ada.sees("1 in profiles, each with a row in friend_lists", "2 in edda_events", "1 in log")
		ada.picture("createuser-done", 1280, 900, "light")

		bob.create("Bob", "bob@example.com", "friends")
		bob.until(`document.querySelector("#result").dataset.state === "failed"`)
		bob.until(`[...document.querySelectorAll("#told li")].map((e) => e.firstChild.textContent).join() === "redact Bob,join Bob,join Ada"`)
		if got, want := look[[]string](bob, `[...document.querySelectorAll("#steps li")].map((e) => e.dataset.state)`),
			[]string{"done", "undone", "done", "undone", "failed", "never", "never"}; !slices.Equal(got, want) {
			t.Errorf("the steps are shown as %q, want %q", got, want)
		}
		bob.sees("1 in profiles, each with a row in friend_lists", "2 in edda_events", "1 in log")
		bob.picture("createuser-failed", 1280, 900, "light")
		bob.picture("createuser-failed", 400, 1400, "dark")

		bob.create("Eve", "ada@example.com", "")
		bob.until(`document.querySelector("#result").textContent.includes("ada@example.com is somebody's already")`)
		bob.create("Bob", "bob@example.com", "")
		ada.until(`document.querySelectorAll("#users li").length === 2`)
		if got := look[[]string](ada, `[...document.querySelectorAll("#users li")].map((e) => e.firstChild.textContent)`); !slices.Equal(got, []string{"Bob", "Ada"}) {
			t.Errorf("Ada heard of %q", got)
		}
	})
}

// create fills in the form and sends it.
func (b *tab) create(name, email, trouble string) {
	b.t.Helper()
	look[any](b, `document.querySelector("#name").value = document.querySelector("#email").value = ""`)
	b.do(
		chromedp.SendKeys(chromedp.CSS("#name"), name), chromedp.SendKeys(chromedp.CSS("#email"), email),
		chromedp.Click(chromedp.CSS(`input[name="trouble"][value="`+trouble+`"]`)), chromedp.Click(chromedp.CSS("#create")),
	)
}

// sees waits until the page says what is in the database.
func (b *tab) sees(counts ...string) {
	b.t.Helper()
	want, err := json.Marshal(counts)
	if err != nil {
		b.t.Fatal(err)
	}
	b.until(`JSON.stringify([...document.querySelectorAll("#tables dt")].map((e) => e.textContent + " " + e.nextSibling.textContent)) === ` + "`" + string(want) + "`")
}

// The process dies at a step, as by kill -9. When it is back, the user whose creation had been
// accepted is created, once, by the request that goes on, and the third party has that one
// member: what the first run had told it was taken back.
func TestCreateUserIsKilled(t *testing.T) {
	onDatabases(t, func(t *testing.T, db string) {
		for _, step := range []string{"before", "call", "called", "after", "profile", "friends"} {
			t.Run(step, func(t *testing.T) { killedAt(t, db, step) })
		}
	})
}

func killedAt(t *testing.T, db, step string) {
	t.Helper()
	third := &party.Party{}
	server := httptest.NewServer(third)
	defer server.Close()
	dir := t.TempDir()
	args := []string{"-listen", "127.0.0.1:0", "-dir", dir, "-db", db, "-party", server.URL}
	p := startProgram(t, "createuser", append(args, "-die", step)...)
	body := `{"user_uuid":"` + step + `","name":"` + step + `","email":"` + step + `@example.com"}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/v1/call/users/"+step+"/create.user", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", step)
	if res, err := http.DefaultClient.Do(req); err == nil {
		_ = res.Body.Close()
		t.Fatalf("it was answered with %s, though the process should have died", res.Status)
	}
	p.kill()

	p = startProgram(t, "createuser", args...)
	req.URL.Host = strings.TrimPrefix(p.url, "http://")
	req.Host = ""
	req.Body, _ = req.GetBody()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("repeated, it is answered with %s: %s, %v", res.Status, answer, err)
	}
	if got := third.Members(); !slices.Equal(got, []string{step}) {
		t.Errorf("the third party was told %v and has the members %q, want one", third.Told(), got)
	}
	checkStored(t, db, step)
}

// checkStored checks that a user is there once, in every table.
func checkStored(t *testing.T, where, user string) {
	t.Helper()
	driver, source := "pgx", where
	if file, ok := strings.CutPrefix(where, "sqlite:"); ok {
		driver, source = "sqlite", file
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for query, want := range map[string]int{
		"SELECT count(*) FROM profiles WHERE user_uuid = $1":                              1,
		"SELECT count(*) FROM friend_list_entries WHERE user_uuid = $1":                   1,
		"SELECT friends FROM friend_lists WHERE user_uuid = $1":                           1,
		"SELECT count(*) FROM edda_events WHERE event_type = 'user.' || $1 || '.created'": 1,
		"SELECT count(*) FROM edda_commands WHERE key = $1 AND status = 'committed'":      1,
		"SELECT version FROM edda_aggregates WHERE object = 'User' AND key = $1":          1,
	} {
		var got int
		if err := db.QueryRowContext(t.Context(), query, user).Scan(&got); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", query, got, err, want)
		}
	}
}
