package main

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/edda-io/edda"
)

// The longest name and text, in characters. The page knows them too.
const (
	maxName = 32
	maxText = 2000
)

// people returns the service whose keys are names. Whoever joins under one first gets its
// token; that it is taken is kept with that reply, or neither is.
func people(t *tokens) *edda.Service {
	type joined struct {
		Token string `json:"token"`
	}
	s := edda.NewOrdered("people")
	edda.Handle(s, "join", func(ctx *edda.Context, _ []byte) (*edda.Reply, error) {
		name := ctx.Key()
		if !validName(name) {
			return edda.TextReply(400, "A name has 1 to 32 letters, digits, spaces, or any of - _ . '"), nil
		}
		_, taken, err := ctx.Get("joined")
		if err != nil {
			return nil, err
		}
		if taken {
			return edda.TextReply(409, name+" is here already. Take another name."), nil
		}
		if err := ctx.Set("joined", []byte("yes")); err != nil {
			return nil, err
		}
		return &edda.Reply{ContentType: "application/json", Payload: edda.JSON(joined{t.sign(name)})}, nil
	})
	return s
}

// validName reports whether a name can be shown, and told from others.
func validName(name string) bool {
	ok := name != "" && utf8.RuneCountInString(name) <= maxName && strings.TrimSpace(name) == name && !strings.Contains(name, "  ")
	for _, r := range name {
		ok = ok && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || strings.ContainsRune(" -_.'", r))
	}
	return ok
}

// said is a message of the chat. The page chooses ID, to know its own messages by it.
type said struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// chat returns the service whose keys are channels. What is said to one is published when it
// is acknowledged, in the order in which it was said, under the name of whoever said it.
func chat() *edda.Service {
	s := edda.NewOrdered("chat")
	edda.Handle(s, "say", func(ctx *edda.Context, in said) (*edda.Reply, error) {
		n := utf8.RuneCountInString(in.Text)
		if strings.TrimSpace(in.Text) == "" || n > maxText || len(in.ID) > 64 {
			return edda.TextReply(400, "a message has 1 to 2000 characters"), nil
		}
		return nil, ctx.Publish(ctx.Key(), edda.StreamMessage{Type: "said", ContentType: "application/json", Payload: edda.JSON(in)})
	})
	return s
}
