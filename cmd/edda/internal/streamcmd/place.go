package streamcmd

import (
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// parsePlace reads where in a stream: start, end, an offset, or a point in time.
func parsePlace(flag, s string, now time.Time) (edda.From, error) {
	if from := edda.From(s); from == "" || from == edda.FromStart || from == edda.FromEnd {
		return from, nil
	}
	return parsePoint(flag, s, now, "start, end, ")
}

// parsePoint reads an offset or a point in time. Besides them an error names what else
// would be right.
func parsePoint(flag, s string, now time.Time, besides string) (edda.From, error) {
	if s != "" && strings.Trim(s, "0123456789") == "" {
		if _, err := edda.From(s).Parse(); err != nil {
			return "", cli.WrongUse("%s: %w", flag, err)
		}
		return edda.From(s), nil
	}
	t, err := cli.ParseTime(flag, s, now)
	if err != nil || s == "" {
		return "", cli.WrongUse("%s is %q, must be %san offset, how long ago (90s, 2h, 7d), a day (2026-11-21), or a time (2026-11-21T09:00:00Z)", flag, s, besides)
	}
	return edda.FromTime(t), nil
}
