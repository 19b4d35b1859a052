package cli

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/eddahttp"
)

// DefaultURL is where a node is looked for.
const DefaultURL = "http://127.0.0.1:7400"

// nodeFlags are flags that say how to talk to a node, beside the namespace.
type nodeFlags struct {
	url, token                string
	ca, clientCert, clientKey string
}

// namesOfNodeFlags are the flags that say how to talk to a node.
var namesOfNodeFlags = []string{"url", "token", "ca", "client-cert", "client-key", "namespace"}

func (in *Invocation) addNodeFlags() {
	f, n := in.flags, &in.node
	f.StringVar(&n.url, "url", in.Getenv("EDDA_URL", DefaultURL), "`URL` of the node to talk to (or EDDA_URL)")
	f.StringVar(&n.token, "token", "", "bearer `TOKEN` to show it (or EDDA_TOKEN)")
	f.StringVar(&n.ca, "ca", "", "PEM `FILE` with the CA that it is of, for https (or EDDA_CA; default the system's)")
	f.StringVar(&n.clientCert, "client-cert", "", "PEM `FILE` with the certificate to show it (or EDDA_CLIENT_CERT)")
	f.StringVar(&n.clientKey, "client-key", "", "PEM `FILE` with the key of that (or EDDA_CLIENT_KEY)")
	f.StringVar(&in.Namespace, "namespace", in.Getenv("EDDA_NAMESPACE", ""), "`NAMESPACE` to work in (or EDDA_NAMESPACE)")
}

// NoNode is the annotation of commands that talk to no node, and of groups of them.
const NoNode = "talks to no node"

func talksToNode(cmd *cobra.Command) bool {
	for c := cmd; c != nil; c = c.Parent() {
		if c.Annotations[NoNode] != "" {
			return false
		}
	}
	return true
}

// refuseNodeFlags refuses, with a command that talks to no node, flags that
// would be without effect.
func refuseNodeFlags(cmd *cobra.Command) error {
	if talksToNode(cmd) {
		return nil
	}
	for _, name := range namesOfNodeFlags {
		if cmd.Flags().Changed(name) {
			return WrongUse("--%s says how to talk to a node, which %s does not do", name, cmd.CommandPath())
		}
	}
	return nil
}

// Client returns a client of the node that the flags name. The token is read
// from the environment here, so that no help text shows it.
func (in *Invocation) Client() (*eddahttp.Client, error) {
	o := eddahttp.Options{Token: cmp.Or(in.node.token, in.Getenv("EDDA_TOKEN", "")), Namespace: in.Namespace}
	if strings.HasPrefix(in.node.url, "https://") {
		encryption, err := auth.ClientTLS(auth.ClientTLSOptions{
			CAFile:   cmp.Or(in.node.ca, in.Getenv("EDDA_CA", "")),
			CertFile: cmp.Or(in.node.clientCert, in.Getenv("EDDA_CLIENT_CERT", "")),
			KeyFile:  cmp.Or(in.node.clientKey, in.Getenv("EDDA_CLIENT_KEY", "")),
		})
		if err != nil {
			return nil, &usageError{err}
		}
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = encryption
		o.Transport = t
	} else if in.node.ca+in.node.clientCert+in.node.clientKey != "" {
		return nil, WrongUse("--ca, --client-cert and --client-key are for a node at https://, and its URL is %q", in.node.url)
	}
	c, err := eddahttp.New(in.node.url, o)
	if _, ofName := errors.AsType[*edda.Error](err); err != nil && !ofName && !in.flags.Changed("url") {
		return nil, WrongUse("EDDA_URL in the environment: %w", err)
	} else if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

// WithNamed is the work of a command whose first argument is the name of something, of a
// kind such as stream. It checks the name, and then that there is a client.
func (in *Invocation) WithNamed(
	kind string, do func(ctx context.Context, c *eddahttp.Client, args []string) error,
) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := edda.CheckName(kind, args[0]); err != nil {
			return &usageError{err}
		}
		client, err := in.Client()
		if err != nil {
			return err
		}
		return do(cmd.Context(), client, args)
	}
}

// Spell writes a command to copy, which talks to the same node about the same namespace.
func (in *Invocation) Spell(words ...string) string {
	if in.flags.Changed("namespace") {
		words = append([]string{"--namespace", in.Namespace}, words...)
	}
	if in.flags.Changed("url") {
		words = append([]string{"--url", in.node.url}, words...)
	}
	return in.Program + " " + strings.Join(words, " ")
}
