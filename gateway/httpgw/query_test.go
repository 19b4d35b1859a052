package httpgw

import (
	"net/http"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

// Of a parameter that is given twice neither value is taken, whatever the route; what no
// route knows is ignored however often it is there.
func TestParametersAreGivenOnce(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{})
	fill := strings.NewReplacer("{id}", edda.NewID(0, at(1)).String(), "{step}", "s", "{service}", "s", "{stream}", "s", "{channel}", "c", "{group}", "g", "{key}", "k")
	asked := 0
	for _, rt := range append(g.routes.namespaced, g.routes.fixed...) {
		for _, o := range rt.ops {
			for _, known := range o.doc.Query {
				name := known[strings.IndexByte(known, '.')+1:]
				if name == "patterns" {
					continue
				}
				asked++
				target := fill.Replace(rt.template) + "?x=1&x=2&" + name + "=1&" + name + "=2"
				w := refused(t, g, edda.BadValue, o.method, target, "")
				if p := wantProblem(t, w); p.Detail != name+" is given more than once" {
					t.Errorf("%s %s: got %q", o.method, target, p.Detail)
				}
			}
		}
	}
	if asked < 40 {
		t.Errorf("%d parameters were tried, which cannot be all", asked)
	}
	for _, target := range []string{"/v1/sagas?x=1&x=2&limit=1", "/v1/streams?x&x"} {
		if w := do(g, http.MethodGet, target, ""); w.Code != http.StatusOK {
			t.Errorf("%s: got %d %s", target, w.Code, w.Body)
		}
	}
}
