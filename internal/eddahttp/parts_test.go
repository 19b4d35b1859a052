package eddahttp_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

func streams(body string) http.HandlerFunc {
	return respond(200, body, "Content-Type", "text/event-stream", "Edda-Request-Id", requestID)
}

// read reads all parts, as text.
func read(t *testing.T, p *eddahttp.Parts, err error) (string, error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var got []string
	for part, err := range p.All() {
		if err != nil {
			return strings.Join(got, " "), err
		}
		text := part.ID().String() + "=" + string(part.Payload)
		if part.Reset {
			text = part.ID().String() + "=reset"
		}
		got = append(got, text)
	}
	return strings.Join(got, " "), nil
}

const twoParts = ": still here\n\nid: 1.1\nevent: part\ndata: {\"number\":\"1.1\",\"attempt\":1,\"contentType\":\"text/plain\",\"data\":\"a\\nb\"}\n\n" +
	"event: later\ndata: 1\n\n" +
	"id: 2.0\nevent: reset\ndata:{\"number\":\"2.0\",\"attempt\":2,\"reset\":true}\n\n" +
	"event: part\ndata: {\"number\":\"2.1\",\"attempt\":2,\"dataBase64\":\"/w==\"}\n\n"

func TestPartsAreRead(t *testing.T) {
	c, g := fakeNode(t, eddahttp.Options{Token: "s3cret"}, streams(twoParts+"event: end\ndata: {}\n\n"))
	p, err := c.CallParts(t.Context(), eddahttp.Call{To: edda.Address{Name: "users", Key: "a"}, Method: "m", Payload: []byte("x"), IdempotencyKey: "k"})
	if got, err := read(t, p, err); err != nil || got != "1.1=a\nb 2.0=reset 2.1=\xff" || p.RequestID.String() != requestID {
		t.Errorf("got %q of %s, %v", got, p.RequestID, err)
	}
	if g.method != "POST" || g.uri != "/v1/call/users/a/m" || g.body != "x" || g.header.Get("Accept") != "text/event-stream" ||
		g.header.Get("Idempotency-Key") != "k" || g.header.Get("Authorization") != "Bearer s3cret" {
		t.Errorf("the node saw %+v", g)
	}
	id, _ := edda.ParseID(requestID)
	p, err = c.Parts(t.Context(), id, edda.PartID{Attempt: 1, Number: 7})
	if _, err := read(t, p, err); err != nil || g.uri != "/v1/requests/"+requestID+"/parts" || g.header.Get("Last-Event-ID") != "1.7" {
		t.Errorf("the node saw %+v, %v", g, err)
	}
	p, err = c.Parts(t.Context(), id, edda.PartID{})
	if err != nil || g.header.Values("Last-Event-ID") != nil {
		t.Fatalf("the node saw %+v, %v", g, err)
	}
	for range p.All() {
		break
	}
	_ = p.Close()
}

func TestPartsEndWithAnError(t *testing.T) {
	const dead = `{"status":500,"code":"aborted","reason":"DEAD","detail":"boom","requestId":"` + requestID + `"}`
	for name, tc := range map[string]struct {
		end    string
		reason edda.Reason
		text   string
	}{
		"problem":      {"event: error\ndata: " + dead + "\n\n", edda.Dead, "boom"},
		"no reason":    {"event: error\ndata: {}\n\n", edda.Internal, "without a reason"},
		"no end":       {"", edda.Unavailable, "broke"},
		"half":         {"event: part\ndata: {", edda.Unavailable, "broke"},
		"no part":      {"event: part\ndata: {\n\n", edda.Internal, "something else"},
		"bad number":   {"event: part\ndata: {\"number\":\"x\"}\n\n", edda.BadValue, "something else"},
		"too much":     {"event: part\ndata: " + strings.Repeat("x", 9<<20) + "\n\n", edda.Unavailable, "too long"},
		"bad encoding": {"event: part\ndata: {\"number\":\"2.2\",\"contentType\":\"text/plain\",\"data\":1}\n\n", edda.BadValue, "data"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := fakeNode(t, eddahttp.Options{}, streams(twoParts+tc.end))
			p, err := c.CallParts(t.Context(), eddahttp.Call{To: edda.Address{Name: "s"}, Method: "m"})
			got, err := read(t, p, err)
			if edda.ReasonOf(err) != tc.reason || !strings.Contains(err.Error(), tc.text) || !strings.HasSuffix(got, "2.1=\xff") {
				t.Errorf("got %q, %v, want %s with %q", got, err, tc.reason, tc.text)
			}
		})
	}
}

func TestPartsRefused(t *testing.T) {
	c, _ := fakeNode(t, eddahttp.Options{}, respond(404, `{"status":404,"code":"not_found","reason":"NO_REQUEST"}`, "Content-Type", "application/problem+json"))
	if _, err := c.Parts(t.Context(), edda.ID{}, edda.PartID{}); edda.ReasonOf(err) != edda.NoRequest {
		t.Errorf("got %v, want NO_REQUEST", err)
	}
	call := eddahttp.Call{To: edda.Address{Name: "s"}, Method: "m"}
	other, _ := fakeNode(t, eddahttp.Options{}, respond(200, "hello"))
	if _, err := other.CallParts(t.Context(), call); err == nil || !strings.Contains(err.Error(), "is it an Edda node") {
		t.Errorf("got %v, want a doubt about the node", err)
	}
	for _, bad := range []eddahttp.Call{{Method: "m"}, {To: edda.Address{Name: "s"}, Method: "/"}} {
		if _, err := c.CallParts(t.Context(), bad); edda.ReasonOf(err) != edda.BadName {
			t.Errorf("%+v: got %v, want BAD_NAME", bad, err)
		}
	}
}
