package reqhead

import (
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda/gateway/internal/httpio"
)

// Preferences are what Prefer (RFC 7240) asks for.
type Preferences struct {
	Async   bool
	HasWait bool
	Wait    time.Duration
	// Parts asks for the parts of the reply as they come, and Events, which Accept
	// asks for, for each as an event.
	Parts, Events bool
}

// Applied returns the value of Preference-Applied for an asynchronous answer.
func (p Preferences) Applied() string {
	if !p.HasWait {
		return "respond-async"
	}
	return "respond-async, wait=" + strconv.Itoa(int(p.Wait/time.Second))
}

// maxPreferWait is the longest wait, in seconds.
const maxPreferWait = 600

// parsePrefer reads the values of Prefer. The first of several preferences of
// one name counts; one that is malformed is as if it were not there.
func parsePrefer(values []string) Preferences {
	var p Preferences
	for _, v := range values {
		for v != "" {
			var item string
			item, v = cutUnquoted(v, ',')
			item, _ = cutUnquoted(item, ';') // parameters mean nothing here
			p.add(item)
		}
	}
	return p
}

func (p *Preferences) add(item string) {
	name, value := cutUnquoted(item, '=')
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if strings.HasPrefix(value, `"`) {
		var ok bool
		if value, ok = httpio.Unquote(value); !ok {
			return
		}
	}
	switch {
	case strings.EqualFold(name, "respond-async"):
		p.Async = p.Async || value == ""
	case strings.EqualFold(name, "parts"):
		p.Parts = p.Parts || value == ""
	case strings.EqualFold(name, "wait") && !p.HasWait:
		if n, ok := seconds(value); ok {
			p.HasWait, p.Wait = true, time.Duration(n)*time.Second
		}
	}
}

func seconds(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = 10*n + int(s[i]-'0'); n > maxPreferWait {
			return 0, false
		}
	}
	return n, s != ""
}
