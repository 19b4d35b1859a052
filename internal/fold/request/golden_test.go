package request

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// goldenRecords leave tables with a row of every kind.
var goldenRecords = map[string][]string{
	"table-v1.hex":       goldenRequests,
	"table-v1-parts.hex": goldenParts,
	"table-v1-steps.hex": goldenSteps,

	"table-v1-deliveries.hex": goldenDeliveries,
}

var goldenSteps = []string{
	"at 10", "own 3",
	"accept r1 users/1 start step=1", "accept r2 users/1 step=12", "accept r3 echo step=3", "fail r3 fence=0 retry=60",
	"accept r4 users/2 start step=3", "complete r4 reply=hello", "accept r5 users/3 start step=1", "complete r5 add=admit-6-0",
}

var goldenDeliveries = []string{
	"at 10", "own 3",
	"accept r1 users/1 start step=1", "complete r1 add=deliver-3-0 add=deliver-4-0 add=deliver-5-4 add=deliver-6-1 add=deliver-7-1 starts=4 starts=6 starts=7",
	"fail r4 retry=60", "fail r6", "complete r7 fail=NO_FUNDS set=name:value", "retry r6",
}

var goldenParts = []string{
	"at 10", "own 3",
	"accept r1 users/1 start keep", "part r1 a number=1 type=text/plain", "part r1 b number=2",
	"accept r2 users/2 start", "part r2 a number=1", "release r2 start", "part r2 b number=1 type=text/plain",
	"accept r3 users/3 start", "part r3 a number=1", "complete r3 reply=hello keep=500",
	"accept r4 users/4 start", "part r4 a number=1", "fail r4",
}

var goldenRequests = []string{
	"at 10", "own 3",
	"accept r1 users/1 start keep idem=k fp=f by=bob deadline=900",
	"accept r2 users/1 due=50", "accept r3 users/1", "accept r4 echo start",
	"accept r5 users/2 start", "fail r5 then=stop-key", "accept r6 users/2",
	"accept r7 users/3 start idem=k fp=f", "complete r7 reply=hello status=201 set=name:value set=empty: keep=500 send=r8:2:users/8",
	"accept r9 users/4 start", "fail r9 retry=60",
	"accept r10 users/5 start", "complete r10 fail=NO_FUNDS keep=500",
	"accept r11 users/6", "end r11 CANCELLED keep=500",
	"accept r12 users/7 from=3:1 start", "fail r12 then=pause",
}

// A table that any release has written must be read for ever: the files, rows and
// then what they mean, are never changed.
func TestGoldenTablesAreRead(t *testing.T) {
	for name, records := range goldenRecords {
		t.Run(name, func(t *testing.T) { testGoldenTable(t, "testdata/"+name, records) })
	}
}

func testGoldenTable(t *testing.T, file string, records []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) && *rewrite {
		s := &scenario{t: t, w: newWorld(t), seqs: map[string]uint64{}}
		for _, line := range records {
			s.do(strings.Fields(line))
		}
		s.w.services()
		s.w.checkpoint()
		for p := range s.w.tree.Scan(nil, nil) {
			text = fmt.Appendf(text, "%x %x\n", p.Key, p.Value)
		}
		s.w.load()
		text = append(text, "----\n"+s.meaning()...)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	rows, want, _ := strings.Cut(string(text), "----\n")
	w := &world{tb: t, tree: store.NewTree()}
	var b store.Batch
	for line := range strings.Lines(rows) {
		k, v, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		b.Set(unhex(t, k), unhex(t, v))
	}
	if err := w.tree.Commit(&b, engine.Position(len(records)+2)); err != nil {
		t.Fatal(err)
	}
	w.load()
	w.check()
	s := &scenario{t: t, w: w}
	if got := s.meaning(); got != want {
		t.Errorf("the table means\n%s\nwant\n%s", got, want)
	}
	// Written again, it is the same.
	for r := range w.req.All() {
		w.req.touch(r)
	}
	w.log = make([][]byte, len(records)+2)
	before := w.rows()
	w.checkpoint()
	if after := w.rows(); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("the table is rewritten as\n%s\nwas\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// services registers one and pauses it.
func (w *world) services() {
	s := record.ServiceSet{Address: parseAddress("users"), Kind: "ordered", Methods: []string{"m"}}
	w.do(op{rec: &s, time: 10})
	c := record.ServiceChanged{Address: s.Address, Paused: true}
	w.do(op{rec: &c, typ: record.TypeServicePaused, time: 10})
}

// meaning is all that a table says.
func (s *scenario) meaning() string {
	w := s.w
	out := fmt.Sprintf("epoch %d time %d fence %s\n", w.env.Epoch, w.env.Time, fenceName(w.req.fence))
	out += s.show(nil) + s.show([]string{"users/1", "users/2", "users/3", "users/4"}) + "letters\n" + s.letters() + "outbox\n" + s.outbox()
	for p := range uint64(testPartitions) {
		out += fmt.Sprintf("received from %d: %d\n", p, w.box.Received(p))
	}
	for _, svc := range w.svc.Services() {
		out += fmt.Sprintf("service %s %s %v paused %t\n", svc.Address.Name, svc.Kind, svc.Methods, svc.Paused)
	}
	return out
}
