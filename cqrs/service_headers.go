package cqrs

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/edda-io/edda"
)

// Headers of a request to a broadcaster's service, for what has no place in its data. Over
// HTTP their names begin with Edda-Header-.
const (
	// HeaderMetadata has the command's metadata, as a JSON object.
	HeaderMetadata = "Metadata"
	// HeaderExpectVersion says which version the aggregate must have: a number, "new", or
	// "any". Without it, it is the one that it has when the command begins.
	HeaderExpectVersion = "Expect-Version"
)

// readHeaders puts into the command what the headers of its request say.
func (c *Command) readHeaders(h edda.Headers) error {
	if text := h.Get(HeaderMetadata); text != "" {
		if err := json.Unmarshal([]byte(text), &c.Metadata); err != nil {
			return badValue("read the headers", "%s is %s, must be a JSON object: %w", HeaderMetadata, clip([]byte(text)), err)
		}
	}
	var err error
	c.Expect, err = readExpect(h.Get(HeaderExpectVersion))
	return err
}

func readExpect(text string) (Expect, error) {
	switch text {
	case "":
		return Expect{}, nil
	case "new":
		return NewAggregate(), nil
	case "any":
		return AnyVersion(), nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return Expect{}, &edda.Error{Op: "read the headers", Reason: edda.BadValue,
			Err: fmt.Errorf(`%s is %q, must be a version such as 7, "new" or "any"`, HeaderExpectVersion, clip([]byte(text)))}
	}
	return Version(n), nil
}
