package human

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Age says how long ago a time was, or how far off it is; "" for the zero time, as with
// Stamp and Due.
func Age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := time.Since(t)
	if d < 0 {
		return "in " + Short(-d)
	}
	return Short(d) + " ago"
}

// Short rounds a duration to what a person wants to know.
func Short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// Stamp writes a time out, with its age beside it.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano) + " (" + Age(t) + ")"
}

// Due says how far off something is, or that nothing but who does it is waited for.
func Due(t time.Time) string {
	if !t.IsZero() && time.Until(t) <= 0 {
		return "due"
	}
	return Age(t)
}

// Duration writes a duration as briefly as a person wants to know it who compares some: it
// is finer than Short.
func Duration(d time.Duration) string {
	switch {
	case d < 100*time.Microsecond:
		return "<0.1ms"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1fms", float64(d.Truncate(100*time.Microsecond))/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// TrimZeros writes 72h of 72h0m0s, which is how Go writes a duration.
func TrimZeros(d string) string {
	if rest, ok := strings.CutSuffix(d, "m0s"); ok {
		d = rest + "m"
	}
	if rest, ok := strings.CutSuffix(d, "h0m"); ok {
		d = rest + "h"
	}
	return d
}

// ParseDuration reads a duration, which may be in days: 7d.
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		const most = 100 * 365
		if err != nil || n < 0 || n > most {
			return 0, fmt.Errorf("%q is no number of days", days)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(s)
}
