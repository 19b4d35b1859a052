package examples

import (
	"encoding/json"

	"github.com/edda-io/edda"
)

// maxEmail is the longest email address there can be.
const maxEmail = 254

// Users returns an ordered service whose keys are users. A login is forbidden
// until the email was allowed:
//
//	login {"email":"ada@example.com"}  403 forbidden
//	allow {"email":"ada@example.com"}  200 ok
//	login {"email":"ada@example.com"}  200 ok
//	logout                             404 not found
//
// It takes any method, so that an unknown one is answered by the service itself:
// 403 and 404 are replies like any other, not errors, and are not retried.
func Users() *edda.Service {
	s := edda.NewOrdered("users")
	s.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		switch m.Type {
		case "login":
			return login(ctx, m)
		case "allow":
			return allow(ctx, m)
		default:
			return edda.TextReply(404, "not found"), nil
		}
	})
	return s
}

func login(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
	email, bad := emailOf(m)
	if bad != nil {
		return bad, nil
	}
	_, allowed, err := ctx.Get("allowed/" + email)
	if err != nil {
		return nil, err // one attempt has failed; the node tries again
	}
	if !allowed {
		return edda.TextReply(403, "forbidden"), nil
	}
	return edda.TextReply(200, "ok"), nil
}

// allow changes the state of the key. The change and the reply are one outcome:
// whoever reads "ok" can log in, also after a crash.
func allow(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
	email, bad := emailOf(m)
	if bad != nil {
		return bad, nil
	}
	if err := ctx.Set("allowed/"+email, []byte(email)); err != nil {
		return nil, err
	}
	return edda.TextReply(200, "ok"), nil
}

// emailOf reads the email from the payload, or returns the reply that says what
// is wrong with it.
func emailOf(m *edda.Message) (string, *edda.Reply) {
	var in struct {
		Email string `json:"email"`
	}
	if json.Unmarshal(m.Payload, &in) != nil || in.Email == "" || len(in.Email) > maxEmail {
		return "", edda.TextReply(400, `the body must be {"email":"..."}`)
	}
	return in.Email, nil
}
