package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
)

// JSON returns a report function that writes one object a line.
func JSON(w io.Writer) func(Result) error {
	enc := json.NewEncoder(w)
	return func(r Result) error {
		for _, f := range []*float64{&r.Value, &r.Floor, &r.Ratio, &r.P50Micros, &r.P99Micros, &r.CPUMicros, &r.LogBytes, &r.DeviceBytes} {
			*f = rounded(*f)
		}
		return enc.Encode(r)
	}
}

// rounded keeps four significant digits, and all before the point.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, max(0, 3-math.Floor(math.Log10(math.Abs(v)))))
	return math.Round(v*scale) / scale
}

// Table returns a report function that writes a table for people, with the
// target of each row and whether it was met.
func Table(w io.Writer) func(Result) error {
	const format = "%-15s %9s %12s %-7s %16s %8s %10s %10s  %s\n"
	first := true
	return func(r Result) error {
		if first {
			first = false
			_, err := fmt.Fprintf(w, format, "row", "in flight", "value", "", "floor", "ratio", "p50 µs", "p99 µs", "target")
			if err != nil {
				return err
			}
		}
		_, err := fmt.Fprintf(w, format, r.Name, grouped(int64(r.InFlight)), figure(r.Value), r.Unit, r.floor(),
			figure(r.Ratio), figure(r.P50Micros), figure(r.P99Micros), strings.Join(r.notes(), "; "))
		return err
	}
}

// floor is the floor with its unit.
func (r *Result) floor() string {
	switch {
	case r.Floor == 0:
		return figure(r.Floor)
	case r.Compares == "value":
		return figure(r.Floor) + " " + r.Unit
	default:
		return figure(r.Floor) + " µs" // latencies and what comes of them
	}
}

// notes are what stands behind the figures: the target and the extra figures.
func (r *Result) notes() []string {
	var notes []string
	if r.OK != nil {
		verdict := map[bool]string{true: "ok: ", false: "MISSED: "}[*r.OK]
		notes = append(notes, verdict+r.Target)
	}
	if r.FloorName != "" {
		notes = append(notes, "floor is "+r.FloorName+map[bool]string{true: " p50"}[r.Compares == "p50Micros"])
	}
	if r.ResidentBytes > 0 {
		notes = append(notes, fmt.Sprintf("%d MB resident, %d at most", r.ResidentBytes/1e6, r.PeakBytes/1e6))
	}
	if r.LogBytes > 0 {
		notes = append(notes, fmt.Sprintf("%.0f B to the log, %.0f B to the device", r.LogBytes, r.DeviceBytes))
	}
	if r.CPUMicros > 0 {
		notes = append(notes, fmt.Sprintf("%.1f µs CPU each", r.CPUMicros))
	}
	return notes
}

// figure writes a number for people, "-" for none.
func figure(v float64) string {
	switch {
	case v == 0:
		return "-"
	case math.Abs(v) < 10:
		return fmt.Sprintf("%.3f", v)
	case math.Abs(v) < 1000:
		return fmt.Sprintf("%.1f", v)
	default:
		return grouped(int64(math.Round(v)))
	}
}

// grouped writes an integer with a comma before every three digits.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
