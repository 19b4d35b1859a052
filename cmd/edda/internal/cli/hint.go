package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
)

// hintedError is an error with what would be right after it. That is best known where it
// came about: of this stream, or of that saga.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// WithHint adds to an error what would be right after it, in lines. Without a hint, or with
// one that is there already, the error stays as it is: who was nearer knew more.
func WithHint(err error, hint string) error {
	if _, has := errors.AsType[*hintedError](err); err == nil || has || hint == "" {
		return err
	}
	return &hintedError{err, hint}
}

// AppPrefix is what the names of the services of apps of package cqrs begin with.
const AppPrefix = "cqrs."

// hints says what would be right after an error of a command, in lines.
func (in *Invocation) hints(cmd *cobra.Command, err error) []string {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		return nil
	}
	h := in.hint(cmd, e)
	if told, ok := errors.AsType[*hintedError](err); ok {
		h = told.hint
	}
	if !e.RequestID.IsZero() && e.Reason != edda.NoRequest && !strings.Contains(h, e.RequestID.String()) {
		h = strings.TrimPrefix(h+"\n"+in.Spell("requests show", e.RequestID.String()), "\n")
	}
	if h == "" {
		return nil
	}
	return strings.Split(h, "\n")
}

// hint says what would be right whatever a command is about.
func (in *Invocation) hint(cmd *cobra.Command, e *edda.Error) string {
	switch e.Reason {
	case edda.Unavailable:
		if errors.Is(e, context.Canceled) {
			return "" // the node is there
		}
		if _, ok := errors.AsType[x509.UnknownAuthorityError](e); ok {
			return "say with --ca or EDDA_CA which CA the node's certificate is of"
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](e); ok {
			return "" // the node is there
		}
		if errors.Is(e, http.ErrSchemeMismatch) {
			return "say so with --url or EDDA_URL"
		}
		return "start a node with: " + in.Program + " dev --example\nor say where one is with --url or EDDA_URL"
	case edda.NoService, edda.UnknownService:
		return "what there is: " + in.Spell("services ls") + "\nservices to try: " + in.Program + " dev --example"
	case edda.WrongKind:
		return "an ordered service is called as SERVICE/KEY, a balanced one as SERVICE"
	case edda.BadMediaType:
		return "DATA that is not JSON is sent as text: write it as '{\"n\":1}', or name its type with --content-type"
	case edda.NoCredentials:
		return "show a token with --token or EDDA_TOKEN, or a certificate with --client-cert and --client-key"
	case edda.Timeout:
		return "it goes on: " + in.Spell("requests wait", e.RequestID.String())
	case edda.Dead:
		return "see it:   " + in.Spell("deadletters show", e.RequestID.String()) +
			"\nretry it: " + in.Spell("deadletters retry", e.RequestID.String()) +
			"\ndrop it:  " + in.Spell("deadletters drop", e.RequestID.String())
	case edda.NoWorkerID:
		return "who there is: " + in.Spell("workers ls")
	case edda.NoStream:
		return "what there is: " + in.Spell("streams ls")
	case edda.NoChannel:
		return "what there is: " + in.Spell("channels ls")
	case edda.NoSaga:
		return "what there is: " + in.Spell("sagas ls")
	case edda.NoEvent:
		return "what there is: " + in.Spell("cqrs events")
	case edda.NoWorker:
		return "it is stored, and goes on when a worker comes"
	case edda.OutcomeUnknown:
		return mayBeStored(cmd)
	case edda.IdempotencyMismatch:
		return "this --idempotency-key belongs to another request: take a new one"
	default:
		return in.serviceHint(e.Reason, edda.Address{Name: "SERVICE", Key: "KEY"})
	}
}

// AboutService adds to an error of a call what would be right of the service.
func (in *Invocation) AboutService(to edda.Address, err error) error {
	return WithHint(err, in.serviceHint(edda.ReasonOf(err), to))
}

func (in *Invocation) serviceHint(reason edda.Reason, to edda.Address) string {
	switch reason {
	case edda.NoService, edda.UnknownService:
		if strings.HasPrefix(to.Name, AppPrefix) {
			return "what there is: " + in.Spell("services ls") + "\nan app to try: go run ./examples/createuser"
		}
	case edda.NoMethod:
		return "its methods: " + in.Spell("services show", to.Name)
	case edda.KeyStopped:
		return "it is stored, and goes on after: " + in.Spell("services resume-key", to.Name, cmp.Or(to.Key, "KEY"))
	case edda.ServicePaused:
		return "it is stored, and goes on after: " + in.Spell("services resume", to.Name)
	}
	return ""
}
