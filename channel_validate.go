package edda

import (
	"cmp"
	"slices"

	"github.com/edda-io/edda/pattern"
)

// WithDefaults returns the spec with the defaults of what is not set.
func (c ChannelSpec) WithDefaults() ChannelSpec {
	c.Namespace = cmp.Or(c.Namespace, DefaultNamespace)
	c.History.Count, c.History.Age = cmp.Or(c.History.Count, DefaultHistoryCount), cmp.Or(c.History.Age, DefaultHistoryAge)
	return c
}

// Validate names the first field that makes no sense: BadName for names, BadValue for
// the rest, TooLarge for too many sources or patterns.
func (c *ChannelSpec) Validate() error {
	if err := checkTopic(c.Namespace, "channel", c.Name); err != nil {
		return err
	}
	if len(c.From) > MaxChannelSources {
		return badOf("channel", TooLarge, "%d streams feed it, at most %d are allowed", len(c.From), MaxChannelSources)
	}
	bytes := 0
	seen := make(map[string]bool, len(c.From))
	for i := range c.From {
		s := &c.From[i]
		if err := s.validate(); err != nil {
			return badOf("channel", ReasonOf(err), "from[%d]: %w", i, bare(err))
		}
		if seen[s.Stream] {
			return badOf("channel", BadValue, "from[%d]: stream %q is there twice, must be there once, with all its patterns", i, s.Stream)
		}
		seen[s.Stream] = true
		bytes += s.size()
	}
	if bytes > MaxChannelBytes {
		return badOf("channel", TooLarge, "the streams and patterns have %d bytes, at most %d are allowed together", bytes, MaxChannelBytes)
	}
	return checkDuration("channel", "history.age", c.History.Age, longest)
}

func (s *ChannelSource) validate() error {
	if err := CheckName("stream", s.Stream); err != nil {
		return err
	}
	return CheckPatterns(s.Patterns)
}

// size is what MaxChannelBytes bounds.
func (s *ChannelSource) size() int {
	n := len(s.Stream)
	for _, p := range s.Patterns {
		n += len(p)
	}
	return n
}

// Clone returns a copy that shares nothing with c.
func (c ChannelSpec) Clone() ChannelSpec {
	c.From = slices.Clone(c.From)
	for i := range c.From {
		c.From[i].Patterns = slices.Clone(c.From[i].Patterns)
	}
	return c
}

// CheckPatterns checks the patterns of a source or a subscription: at most MaxPatterns,
// else TooLarge, and each one that package pattern reads, at most
// MaxPatternBytes long, else BadValue.
func CheckPatterns(patterns []string) error {
	if len(patterns) > MaxPatterns {
		return badOf("patterns", TooLarge, "there are %d patterns, at most %d are allowed", len(patterns), MaxPatterns)
	}
	for i, p := range patterns {
		if _, err := pattern.Parse(p); err != nil {
			return badOf("patterns", BadValue, "patterns[%d]: %w", i, err)
		}
	}
	return nil
}

// checkTopic checks the name of a stream or channel, and of its namespace unless that is
// empty.
func checkTopic(namespace, what, name string) error {
	if namespace != "" {
		if err := CheckName("namespace", namespace); err != nil {
			return err
		}
	}
	return CheckName(what, name)
}

// checkEither checks that one of a stream and a channel is named, and its name.
func checkEither(op, namespace, stream, channel string) error {
	switch {
	case stream != "" && channel != "":
		return badOf(op, BadValue, "it names the stream %q and the channel %q, must name one of them", clip(stream), clip(channel))
	case channel != "":
		return checkTopic(namespace, "channel", channel)
	default:
		return checkTopic(namespace, "stream", stream)
	}
}

// WithDefaults returns s with the defaults of what is not set.
func (s Subscribe) WithDefaults() Subscribe {
	s.Namespace, s.From = cmp.Or(s.Namespace, DefaultNamespace), cmp.Or(s.From, FromEnd)
	s.Principal = cmp.Or(s.Principal, Anonymous)
	return s
}

// Validate names the first field that makes no sense: BadName for names, BadValue for
// the rest, TooLarge for too many patterns. Of a resume point only the form is checked.
func (s *Subscribe) Validate() error {
	if err := checkEither("subscription", s.Namespace, s.Stream, s.Channel); err != nil {
		return err
	}
	if err := CheckPatterns(s.Patterns); err != nil {
		return err
	}
	return s.From.checkLive()
}

// checkLive checks where a subscription is to begin: empty stands for its default.
func (f From) checkLive() error {
	if f == "" || f.Resumes() {
		return nil
	}
	p, err := f.Parse()
	switch {
	case err != nil:
		return badOf("place", BadValue, "%q is no place to subscribe from, must be %q, %q, a time like %q, or a resume point, which begins with %q",
			clip(string(f)), FromStart, FromEnd, "2006-01-02T15:04:05Z", resumePrefix)
	case p.Kind == AtOffset:
		return badOf("place", BadValue, "the offset %q is of one shard, and a subscription is of all: it must begin at %q, %q, a time or a resume point",
			clip(string(f)), FromStart, FromEnd)
	}
	return nil
}

// resumePrefix is what a resume point begins with.
const resumePrefix = "p"

// Resumes reports whether f has the form of a resume point: "p", then letters, digits,
// '-' and '_'. What it says is for who made it to know.
func (f From) Resumes() bool {
	if len(f) < 2 || f[0] != resumePrefix[0] {
		return false
	}
	for i := range len(f) {
		c := f[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// checkShard checks the shard, and refuses what an append to a channel cannot have.
func (a *Append) checkShard() error {
	switch {
	case a.Channel == "":
		return checkShard(a.Shard)
	case a.Shard != "":
		return badOf("append", BadValue, "shard is %q, but a channel has no shards: leave it out", clip(a.Shard))
	case a.IfLast != nil || a.IfEmpty:
		return badOf("append", BadValue, "IfLast and IfEmpty are for shards of streams, and a channel has none")
	}
	return nil
}
