package message

import (
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// Verb is what a command does with the messages that it sends.
type Verb string

// What commands do with messages.
const (
	Append  Verb = "append"
	Publish Verb = "publish"
)

// done is the verb once it was done.
func (v Verb) done() string { return string(v) + "ed" }

// Flags say what each message is that a command sends.
type Flags struct {
	// Message is what every message has beside its payload.
	Message edda.StreamMessage
	// Lines says that each line of standard input is a message.
	Lines bool

	verb    Verb
	headers []string
}

// AddFlags adds the flags. Key says what a message's key is good for.
func (f *Flags) AddFlags(flags *pflag.FlagSet, verb Verb, key string) {
	f.verb = verb
	flags.StringVar(&f.Message.Type, "type", "", "what the message is about (default message)")
	flags.StringVar(&f.Message.Key, "key", "", key)
	flags.StringVar(&f.Message.ID, "id", "", "`ID` of the message: with one that was there before nothing is "+verb.done()+" again")
	flags.StringArrayVar(&f.headers, "header", nil, "a header `'NAME: VALUE'` of the message; can be repeated")
	flags.StringVar(&f.Message.ContentType, "content-type", "", "content `TYPE` of DATA")
	flags.BoolVar(&f.Lines, "lines", false, string(verb)+" each line of standard input as a message")
}

// Check checks the flags. Args are where the messages go, and the data of one.
func (f *Flags) Check(args []string) error {
	if f.Lines && len(args) > 1 {
		return cli.WrongUse("with --lines the messages come from standard input: leave DATA out")
	}
	return nil
}

// One returns the message whose data args name, if they do.
func (f *Flags) One(in *cli.Invocation, args []string) (m edda.StreamMessage, err error) {
	m = f.Message
	if err := cli.AddHeaders(&m.Headers, f.headers); err != nil {
		return m, err
	}
	if len(args) > 1 {
		m.Payload, m.ContentType, err = in.Payload(args[1], m.ContentType)
	}
	return m, err
}
