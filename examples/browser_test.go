package examples_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/edda-io/edda/internal/freeport"
)

// browser is where tabs are opened.
type browser struct{ ctx context.Context }

// startBrowser starts a browser. Without one the test is left out, but not in continuous
// integration.
func startBrowser(t *testing.T) browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		path = program(t, "chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox) // which root cannot have
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return browser{ctx}
}

// tab is a page in a browser.
type tab struct {
	t    *testing.T
	name string
	ctx  context.Context

	mu     sync.Mutex // guards what follows
	thrown []string   // exceptions that nobody has caught
}

// open opens a tab on a page.
func (w browser) open(t *testing.T, name, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(w.ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*patience)
	t.Cleanup(cancel)
	b := &tab{t: t, name: name, ctx: ctx}
	err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*runtime.EventExceptionThrown); ok {
			b.mu.Lock()
			b.thrown = append(b.thrown, thrown(e.ExceptionDetails))
			b.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate(url))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.thrown) > 0 {
			t.Errorf("%s has thrown: %s", name, strings.Join(b.thrown, "\n"))
		}
	})
	return b
}

// thrown says what an exception was.
func thrown(e *runtime.ExceptionDetails) string {
	if e.Exception != nil {
		return e.Text + " " + e.Exception.Description
	}
	return e.Text
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", b.name, err)
	}
}

// until waits for an expression to be true.
func (b *tab) until(expression string) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience)))
	if err == nil {
		return
	}
	page, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	b.t.Fatalf("%s: it never was that %s: %v; the page says:\n%s", b.name, expression, err, page)
}

// look returns what an expression is in the page.
func look[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %s: %v", b.name, expression, err)
	}
	return v
}

// picture takes a picture of the page, where EDDA_PICTURES names a directory for them.
func (b *tab) picture(name string, width, height int64, scheme string) {
	b.t.Helper()
	dir := os.Getenv("EDDA_PICTURES")
	if dir == "" {
		return
	}
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(width, height))
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), png, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// Of the chat.

// join joins the chat under a name, which may be refused.
func (b *tab) join(name string) {
	b.t.Helper()
	look[any](b, `document.querySelector("#name").value = ""`)
	b.do(chromedp.SendKeys(chromedp.CSS("#name"), name), chromedp.Click(chromedp.CSS("#join-button")))
}

// connected waits until the page says so.
func (b *tab) connected() {
	b.t.Helper()
	b.until(`document.querySelector("#status").dataset.state === "open"`)
}

// people waits until the page says that so many are here.
func (b *tab) people(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelector("#count").textContent === "%d" && document.querySelectorAll("#people li").length === %[1]d`, n))
}

// say says something, as a person would: with the button, or the key Enter.
func (b *tab) say(text string, enter bool) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS("#text"), text))
	if !enter {
		b.do(chromedp.Click(chromedp.CSS("#say-form button")))
		return
	}
	for _, typ := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
		key := input.DispatchKeyEventParams{Type: typ, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13}
		if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, key); err != nil {
			b.t.Fatal(err)
		}
	}
}

// chatter has the page say "NAME FROM" to "NAME TO", one after the other, on its own.
func (b *tab) chatter(from, to int) {
	b.t.Helper()
	look[any](b, fmt.Sprintf(`{
		let i = %d;
		const timer = setInterval(() => {
			document.querySelector("#text").value = "%s " + i;
			document.querySelector("#say-form").requestSubmit();
			if (i++ === %d) clearInterval(timer);
		}, 15);
	}`, from, b.name, to))
}

// heard returns what the page shows that was said, in order.
func (b *tab) heard() []string {
	b.t.Helper()
	return look[[]string](b, `[...document.querySelectorAll("#messages .text")].map((e) => e.textContent)`)
}

// hears waits until the page shows so many messages.
func (b *tab) hears(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelectorAll("#messages .text").length >= %d`, n))
}

// Two people talk while the node is killed and comes back. Nothing that they say is lost or
// repeated, both see it in the same order, and so does who comes later.
func TestChatSurvivesItsNode(t *testing.T) {
	b := startBrowser(t)
	dir := t.TempDir()
	chat := startProgram(t, "chat", "-listen", freeport.Localhost(t), "-dir", dir)
	ada, bob := b.open(t, "Ada", chat.url), b.open(t, "Bob", chat.url)
	both := []*tab{ada, bob}
	ada.picture("join", 400, 750, "light")
	ada.join("Ada")
	ada.connected()
	ada.until(`!document.querySelector("#empty").hidden`)
	bob.join("Ada")
	bob.until(`document.querySelector("#join-error").textContent === "Ada is here already. Take another name."`)
	bob.join("<Bob>")
	bob.until(`document.querySelector("#join-error").textContent.startsWith("A name has 1 to 32 letters")`)
	bob.join("Bob")
	bob.connected()
	ada.people(2)
	bob.people(2)
	ada.say("Hello, Bob", false)
	bob.hears(1)
	bob.say("<b>Hello</b>, Ada", true)
	ada.hears(2)

	const each = 60
	ada.chatter(1, each)
	bob.chatter(1, each)
	ada.hears(12)
	chat.kill()
	for _, p := range both {
		p.until(`document.querySelector("#status").dataset.state === "lost"`)
	}
	for _, p := range both { // what is not sent is on its way yet
		p.until(fmt.Sprintf(`document.querySelectorAll("#messages .mine, #unsent .mine").length === %d`, each+1))
	}
	ada.say("Are you there?", true)
	bob.say("Where is everybody?", false)
	for _, p := range both {
		p.until(`document.querySelectorAll("#unsent .mine").length > 0`)
	}
	ada.picture("lost", 1280, 800, "light")
	ada.picture("lost", 400, 750, "dark")

	chat = startProgram(t, "chat", "-listen", strings.TrimPrefix(chat.url, "http://"), "-dir", dir)
	for _, p := range both {
		p.connected()
		p.until(`document.querySelectorAll("#unsent li").length === 0`)
		p.hears(2*each + 4)
	}
	ada.say("There you are", true)
	bob.hears(2*each + 5)
	ada.hears(2*each + 5)
	ada.picture("back", 1280, 800, "dark")
	ada.picture("back", 400, 750, "light")

	all := ada.heard()
	checkSaid(t, all, "Ada", each, "Hello, Bob", "Are you there?", "There you are")
	checkSaid(t, all, "Bob", each, "<b>Hello</b>, Ada", "Where is everybody?")
	if len(all) != 2*each+5 {
		t.Errorf("there are %d messages, want %d", len(all), 2*each+5)
	}
	eve := b.open(t, "Eve", chat.url)
	eve.join("Eve")
	eve.hears(len(all))
	bob.do(chromedp.Reload()) // it is Bob yet
	bob.hears(len(all))
	for _, p := range []*tab{bob, eve} {
		if got := p.heard(); !slices.Equal(got, all) {
			t.Errorf("%s and Ada do not see the same:\n%q\n%q", p.name, got, all)
		}
	}
	bob.people(3)
	eve.do(chromedp.Click(chromedp.CSS("#leave")))
	bob.people(2)
}

// checkSaid checks that what somebody has said is there once, and in the order in which it was
// said: the first by hand, then the chatter, then the rest by hand.
func checkSaid(t *testing.T, all []string, who string, chatter int, byHand ...string) {
	t.Helper()
	want := byHand[:1:1]
	for i := 1; i <= chatter; i++ {
		want = append(want, fmt.Sprint(who, " ", i))
	}
	want = append(want, byHand[1:]...)
	var got []string
	for _, m := range all {
		if slices.Contains(want, m) {
			got = append(got, m)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("of %s there is\n%q, want\n%q", who, got, want)
	}
}
