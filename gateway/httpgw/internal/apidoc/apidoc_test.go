package apidoc_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
)

// A document is made of whatever table of routes there is; what the gateway's own comes to
// is tested where that is served.
func TestOpenAPIIsMadeOfTheTable(t *testing.T) {
	api := apidoc.API{
		Version: "v7", Secured: true,
		Routes: []apidoc.Route{
			{Template: "/v1/boats/{boat}", Namespaced: true, Operations: map[string]*apidoc.Operation{
				"PUT": {ID: "putBoat", Summary: "Launch a boat", Query: []string{"wait"}, Body: "Boat", Schema: "Boat", Creates: true, Also: []string{"text/plain"}},
			}},
			{Template: "/harbour", Open: true, Operations: map[string]*apidoc.Operation{
				"POST": {ID: "enter", Success: 202, Bodies: map[string]string{"*/*": "", "application/json": "Boat"}},
			}},
		},
		Others: apidoc.Object{"/elsewhere": "as it is"},
	}
	doc := api.OpenAPI([]edda.ServiceInfo{{Name: "crane", Kind: edda.Balanced, Methods: []string{"lift"}}})
	paths := doc["paths"].(apidoc.Object)
	want := []string{"/elsewhere", "/harbour", "/v1/boats/{boat}", "/v1/call/crane/lift", "/v1/ns/{namespace}/boats/{boat}"}
	if got := slices.Sorted(maps.Keys(paths)); !slices.Equal(got, want) {
		t.Fatalf("got paths %v, want %v", got, want)
	}
	put := paths["/v1/boats/{boat}"].(apidoc.Object)["put"].(apidoc.Object)
	responses := put["responses"].(apidoc.Object)
	content := responses["201"].(apidoc.Object)["content"].(apidoc.Object)
	if put["operationId"] != "putBoat" || put["security"] != nil || responses["200"] == nil || content["application/json"] == nil || content["text/plain"] == nil {
		t.Errorf("got %v", put)
	}
	there := paths["/v1/ns/{namespace}/boats/{boat}"].(apidoc.Object)
	if n := len(there["parameters"].([]any)); n != 2 || there["put"].(apidoc.Object)["operationId"] != "putBoatInNamespace" {
		t.Errorf("in a namespace: got %v", there)
	}
	enter := paths["/harbour"].(apidoc.Object)["post"].(apidoc.Object)
	sent := enter["requestBody"].(apidoc.Object)["content"].(apidoc.Object)
	if len(enter["security"].([]any)) != 0 || enter["responses"].(apidoc.Object)["202"] == nil || len(sent) != 2 || len(sent["application/json"].(apidoc.Object)) != 1 {
		t.Errorf("open to everybody: got %v", enter)
	}
}
