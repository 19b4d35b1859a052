package servicecmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// member is a flag and the member of the body that it stands for, a path with a dot
// where it is in an object of its own.
type member struct{ flag, path string }

// endpointMembers are those of "services put", which says nothing of the flags that
// were not given.
var endpointMembers = []member{
	{"kind", "kind"}, {"method", "methods"}, {"endpoint", "endpoint"}, {"protocol", "protocol"}, {"concurrency", "concurrency"},
	{"attempt-timeout", "attemptTimeout"}, {"retry-max", "retry.max"}, {"retry-delay", "retry.delay"},
	{"retry-max-delay", "retry.maxDelay"}, {"retry-backoff", "retry.backoff"}, {"retry-jitter", "retry.jitter"},
	{"on-dead", "onDead"}, {"health-path", "health.path"}, {"health-interval", "health.interval"}, {"secret", "secret"},
}

func (a *area) servicesPut() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "put NAME",
		Short: "Set a plain HTTP endpoint as the worker of a service",
		Long: `Registers a service whose requests are posted to a plain HTTP endpoint, or changes
it. What is left out has its default; an endpoint that is there keeps its secret.

Where no secret is given for a new one the node makes it, and this command shows
it, once.`,
		Example: `  ` + a.Program + ` services put users --kind ordered --endpoint http://127.0.0.1:8000/users --protocol envelope
  ` + a.Program + ` services put mail --kind balanced --endpoint https://mail.example/edda --health-path /healthz --retry-max 3`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := a.endpointDoc(cmd.Flags())
			if err != nil {
				return err
			}
			client, err := a.Client()
			if err != nil {
				return err
			}
			s, err := client.PutService(cmd.Context(), args[0], doc)
			if err != nil {
				return err
			}
			if !a.JSON {
				s.SilentWorkers = 0 // nothing was to be heard of it yet
			}
			return a.printService(s)
		},
	}
	f := cmd.Flags()
	f.String("kind", "", "ordered or balanced (required)")
	f.String("endpoint", "", "`URL` that requests are posted to, with /METHOD after it (required)")
	f.StringArray("method", nil, "a method there is, may be repeated; any when left out")
	f.String("protocol", "plain", "plain, or envelope to have the key's state too")
	f.Int("concurrency", edda.DefaultEndpointConcurrency, "requests at a time")
	f.Duration("attempt-timeout", edda.DefaultAttemptTimeout, "how long one attempt may take")
	cli.AddRetry(f, &edda.RetryPolicy{}) // what was given is read from the flags
	f.String("on-dead", "continue", "what follows a dead letter: continue, stop-key or pause")
	f.String("health-path", "", "`PATH` that answers 2xx while the endpoint is well")
	f.Duration("health-interval", edda.DefaultHealthInterval, "how often it is asked for")
	f.String("secret", "", "signs what is posted: whsec_ and base64, or text; - reads it from standard input")
	return cmd
}

// endpointDoc returns the body that the flags make up.
func (a *area) endpointDoc(flags *pflag.FlagSet) (map[string]any, error) {
	for _, name := range []string{"kind", "endpoint"} {
		if !flags.Changed(name) {
			return nil, cli.WrongUse("--%s is missing: an endpoint needs --kind and --endpoint", name)
		}
	}
	doc := map[string]any{}
	for _, m := range endpointMembers {
		f := flags.Lookup(m.flag)
		if !f.Changed {
			continue
		}
		v, err := flagValue(flags, f)
		if err != nil {
			return nil, err
		}
		if m.flag == "secret" && v == "-" {
			b, err := io.ReadAll(a.Stdin)
			if err != nil {
				return nil, fmt.Errorf("read the secret: %w", err)
			}
			v = strings.TrimSpace(string(b))
		}
		into, name := doc, m.path
		if outer, inner, nested := strings.Cut(m.path, "."); nested {
			if doc[outer] == nil {
				doc[outer] = map[string]any{}
			}
			into, name = doc[outer].(map[string]any), inner
		}
		into[name] = v
	}
	return doc, nil
}

// flagValue returns a flag's value as it stands in JSON.
func flagValue(flags *pflag.FlagSet, f *pflag.Flag) (any, error) {
	switch f.Value.Type() {
	case "int":
		return flags.GetInt(f.Name)
	case "float64":
		return flags.GetFloat64(f.Name)
	case "stringArray":
		return flags.GetStringArray(f.Name)
	default:
		return f.Value.String(), nil // durations too
	}
}

// endpointLines are what is printed of an endpoint: names beside values.
func endpointLines(e *edda.EndpointInfo) []string {
	health := ""
	if e.Health != nil {
		health = e.Health.Path + " every " + e.Health.Interval
	}
	secret := ""
	if e.Secret != "" {
		secret = e.Secret + " (keep it: it is not shown again)"
	}
	return []string{
		"endpoint", e.Endpoint, "protocol", string(e.Protocol), "concurrency", fmt.Sprint(e.Concurrency),
		"attempt timeout", e.AttemptTimeout, "attempts", cli.Attempts(&e.Retry), "on dead", string(e.OnDead), "health check", health, "secret", secret,
	}
}
