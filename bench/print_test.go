package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

func someResult() Result {
	ok := false
	return Result{
		Name: "call", InFlight: 1024, Value: 98765.4321, Unit: perSecond, Floor: 2_000_000, Ratio: 0.049382,
		P50Micros: 1234.5678, P99Micros: 9876.54321, Durability: edda.Fsync, Cores: 4,
		FloorName: "append-floor", Compares: "value", Target: "ratio ≥ 0.20", OK: &ok, CPUMicros: 7.123456,
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	report := JSON(&b)
	for _, r := range []Result{someResult(), {Name: "flush"}} {
		if err := report(r); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2: %s", len(lines), b.String())
	}
	want := `{"name":"call","inFlight":1024,"value":98765,"unit":"1/s","floor":2000000,"ratio":0.04938,` +
		`"p50Micros":1235,"p99Micros":9877,"durability":"fsync","cores":4,"floorName":"append-floor","compares":"value",` +
		`"target":"ratio ≥ 0.20","ok":false,"cpuMicros":7.123}`
	if lines[0] != want {
		t.Errorf("line is\n%s\nwant\n%s", lines[0], want)
	}
	var flush map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &flush); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"name", "inFlight", "value", "unit", "floor", "ratio", "p50Micros", "p99Micros", "durability", "cores"} {
		if _, there := flush[name]; !there {
			t.Errorf("a row without figures lacks %q: %s", name, lines[1])
		}
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	report := Table(&b)
	met, start := true, someResult()
	start.OK, start.ResidentBytes, start.PeakBytes = &met, 61_000_000, 72_000_000
	call := someResult()
	call.Floor, call.Compares = 134.1, "p50Micros"
	for _, r := range []Result{someResult(), start, call} {
		if err := report(r); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"in flight", "98,765 1/s", "2,000,000 1/s    0.049", "134.1 µs    0.049", "MISSED: ratio ≥ 0.20", "ok: ratio ≥ 0.20", "floor is append-floor",
		"61 MB resident, 72 at most", "7.1 µs CPU each",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, b.String())
		}
	}
	if n := strings.Count(b.String(), "in flight"); n != 1 {
		t.Errorf("table has %d heads, want 1", n)
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{0: "-", 0.1234: "0.123", 12.34: "12.3", 999.9: "999.9", 1000: "1,000", 1234567: "1,234,567", -0.5: "-0.500"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) is %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]float64{0: 0, 123456.7: 123457, 1.23456: 1.235, 0.000123456: 0.0001235} {
		if got := rounded(v); got != want {
			t.Errorf("rounded(%v) is %v, want %v", v, got, want)
		}
	}
}
