package party

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/edda-io/edda"
)

// Client tells the party things.
type Client struct {
	// URL is where it is.
	URL string
}

// Join says that somebody joins, and returns the reference that they have there. The same
// id may be said again. What the party refuses is final.
func (c Client) Join(ctx context.Context, id, name string) (ref string, err error) {
	var out struct{ Ref string }
	err = c.tell(ctx, "join", map[string]string{"id": id, "name": name}, &out)
	return out.Ref, err
}

// Redact takes a joining back.
func (c Client) Redact(ctx context.Context, id string) error {
	return c.tell(ctx, "redact", map[string]string{"id": id}, nil)
}

func (c Client) tell(ctx context.Context, what string, body map[string]string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/"+what, bytes.NewReader(edda.JSON(body)))
	if err != nil {
		return edda.Final("BAD_URL", "%v", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err // whether it was heard is not known: the next attempt says the same id
	}
	defer func() { _ = res.Body.Close() }() // it has been read
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case err != nil:
		return err
	case res.StatusCode >= 500:
		return fmt.Errorf("the third party answered %s", res.Status)
	case res.StatusCode >= 300:
		return edda.Final("REFUSED", "the third party refuses to %s: %s", what, strings.TrimSpace(string(answer)))
	case out == nil:
		return nil
	}
	return json.Unmarshal(answer, out)
}
